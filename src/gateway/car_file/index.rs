//! Where the blocks of a CAR are: a file of sorted runs.
//!
//! Records of 28 bytes (key, offset, length), then a trailer that says what was indexed. The
//! records come in runs of 256 Ki, each sorted by key, in the order in which the CAR was read; so
//! building one holds a single run in memory, and looking up is one binary search a run (a CAR of
//! 1 TiB in blocks of 256 KiB has sixteen). The index is trusted for nothing but speed: a wrong
//! entry gives bytes that do not prove.

use std::path::{Path, PathBuf};

use crate::content::cid::Multihash;
use crate::disk::DiskError;
use crate::disk::place::Target;
use crate::disk::random_file::RandomFile;
use crate::disk::whole_file::{Access, NewFile};
use crate::gateway::car_file::{Scan, ScanError};

/// Key, offset, length.
const RECORD: usize = KEY + 8 + 4;
const KEY: usize = 16;
/// First bytes of the trailer; the last one is the version of the layout.
const MAGIC: [u8; 8] = *b"fetchdc\x01";
/// Magic, CAR length, CAR mtime (seconds, nanoseconds), record count, whether the CAR is whole.
const TRAILER: usize = 8 + 8 + 8 + 4 + 8 + 1;
/// Records of a run: 8 MiB in memory.
const RUN: u64 = 256 << 10;
/// Copies of a block that are looked at.
const MAX_COPIES: usize = 8;

/// What a CAR looked like when it was indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: (i64, u32),
}

/// Where a block's bytes are in the CAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) len: u32,
}

/// One block: sorted by key, then by where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    key: [u8; KEY],
    place: Place,
}

/// An index on disk.
#[derive(Debug)]
pub(super) struct Index {
    file: RandomFile,
    records: u64,
    whole: bool,
}

impl Stamp {
    pub(super) fn of(file: &RandomFile) -> Self {
        Self {
            len: file.len(),
            modified: file.modified(),
        }
    }
}

/// The index of the CAR at `car`: its name comes from the absolute path, so that one CAR has one.
pub(super) fn path_for(car: &Path, index_dir: &Path) -> Result<PathBuf, DiskError> {
    let absolute = Target::at(car)?;
    let name = blake3::hash(absolute.path().as_os_str().as_encoded_bytes()).to_hex();
    Ok(index_dir.join(format!("{}.index", &name[..32])))
}

impl Index {
    /// An index that fits `stamp`; `None` if there is none, or a stale or damaged one.
    pub(super) fn open(path: &Path, stamp: Stamp) -> Option<Self> {
        let file = RandomFile::open(path).ok()?;
        let records_len = file.len().checked_sub(TRAILER as u64)?;
        let mut found = [0; TRAILER];
        file.read_exact_at(records_len, &mut found).ok()?;
        let records = records_len / RECORD as u64;
        let whole = [true, false]
            .into_iter()
            .find(|&whole| found == trailer(stamp, records, whole))?;
        Some(Self {
            file,
            records,
            whole,
        })
    }

    /// Reads the whole CAR and writes its index.
    pub(super) fn build(car: &RandomFile, stamp: Stamp, path: &Path) -> Result<Self, DiskError> {
        let mut writer = Writer::new(path)?;
        let whole = match writer.add_all(car) {
            Ok(()) => true,
            Err(ScanError::Car(_)) => false,
            Err(ScanError::Disk(error)) => return Err(error),
        };
        let records = writer.finish(stamp, whole)?;
        let file = RandomFile::open(path)?;
        Ok(Self {
            file,
            records,
            whole,
        })
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Where blocks with this hash are: the first few, in the order of the CAR.
    pub(super) fn find(&self, hash: &Multihash) -> Result<Vec<Place>, DiskError> {
        let key = key(hash);
        let mut places = Vec::new();
        let mut start = 0;
        while start < self.records {
            let end = self.records.min(start + RUN);
            let mut at = self.lower_bound(&key, start, end)?;
            while at < end && places.len() < MAX_COPIES {
                let record = self.record(at)?;
                if record.key != key {
                    break;
                }
                places.push(record.place);
                at += 1;
            }
            start = end;
        }
        Ok(places)
    }

    /// The first record of the run `start..end` whose key is not below `key`.
    fn lower_bound(&self, key: &[u8; KEY], mut start: u64, mut end: u64) -> Result<u64, DiskError> {
        while start < end {
            let middle = start + (end - start) / 2;
            if self.record(middle)?.key < *key {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        Ok(start)
    }

    fn record(&self, at: u64) -> Result<Record, DiskError> {
        let mut bytes = [0; RECORD];
        self.file.read_exact_at(at * RECORD as u64, &mut bytes)?;
        Ok(Record::decode(&bytes))
    }
}

impl Record {
    fn encode(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..KEY].copy_from_slice(&self.key);
        bytes[KEY..KEY + 8].copy_from_slice(&self.place.offset.to_le_bytes());
        bytes[KEY + 8..].copy_from_slice(&self.place.len.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; RECORD]) -> Self {
        let (key, rest) = bytes
            .split_first_chunk()
            .expect("a record is longer than its key");
        let (offset, rest) = rest.split_first_chunk().expect("an offset follows");
        let len = rest.first_chunk().expect("a length follows");
        let place = Place {
            offset: u64::from_le_bytes(*offset),
            len: u32::from_le_bytes(*len),
        };
        Self { key: *key, place }
    }
}

/// Equal hashes have equal keys; hashes of attackers' choice cannot be made to crowd one place.
fn key(hash: &Multihash) -> [u8; KEY] {
    let digest = blake3::hash(&hash.to_bytes());
    *digest
        .as_bytes()
        .first_chunk()
        .expect("a digest of 32 bytes")
}

fn trailer(stamp: Stamp, records: u64, whole: bool) -> [u8; TRAILER] {
    let mut bytes = [0; TRAILER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&stamp.len.to_le_bytes());
    bytes[16..24].copy_from_slice(&stamp.modified.0.to_le_bytes());
    bytes[24..28].copy_from_slice(&stamp.modified.1.to_le_bytes());
    bytes[28..36].copy_from_slice(&records.to_le_bytes());
    bytes[36] = u8::from(whole);
    bytes
}

/// An index that is being written; dropped unfinished, it leaves nothing.
struct Writer {
    file: NewFile,
    run: Vec<Record>,
    written: u64,
}

impl Writer {
    fn new(path: &Path) -> Result<Self, DiskError> {
        let file = NewFile::create(path, Access::Private)?;
        Ok(Self {
            file,
            run: Vec::new(),
            written: 0,
        })
    }

    fn add_all(&mut self, car: &RandomFile) -> Result<(), ScanError> {
        let mut scan = Scan::new(car);
        while scan.feed()? {
            while let Some(section) = scan.parser.next().map_err(ScanError::Car)? {
                // The limit on blocks is far below 4 GiB.
                let len = u32::try_from(section.len).expect("a block within the limit");
                let place = Place {
                    offset: section.offset,
                    len,
                };
                let record = Record {
                    key: key(section.cid.hash()),
                    place,
                };
                self.add(record).map_err(ScanError::Disk)?;
            }
        }
        scan.parser.finish().map_err(ScanError::Car)
    }

    fn add(&mut self, record: Record) -> Result<(), DiskError> {
        self.run.push(record);
        if self.run.len() as u64 == RUN {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Ends the run.
    fn flush(&mut self) -> Result<(), DiskError> {
        self.run.sort_unstable();
        for record in self.run.drain(..) {
            self.file.append(&record.encode())?;
            self.written += 1;
        }
        Ok(())
    }

    /// Gives the file its name; gives the number of records.
    fn finish(mut self, stamp: Stamp, whole: bool) -> Result<u64, DiskError> {
        self.flush()?;
        self.file.append(&trailer(stamp, self.written, whole))?;
        self.file.finish()?;
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::cid::parse;

    /// More than two runs, looked up in each.
    #[test]
    fn finds_in_every_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.index");
        let mut writer = Writer::new(&path).unwrap();
        let key_of = |n: u64| {
            *blake3::hash(&n.to_le_bytes())
                .as_bytes()
                .first_chunk()
                .unwrap()
        };
        let total = 2 * RUN + 5;
        for n in 0..total {
            let place = Place { offset: n, len: 1 };
            writer
                .add(Record {
                    key: key_of(n),
                    place,
                })
                .unwrap();
        }
        let hash = *parse("bafkqaaa").unwrap().hash();
        for offset in [3, 1] {
            let place = Place { offset, len: 7 };
            writer
                .add(Record {
                    key: key(&hash),
                    place,
                })
                .unwrap();
        }
        let stamp = Stamp {
            len: 1,
            modified: (2, 3),
        };
        assert_eq!(writer.finish(stamp, true).unwrap(), total + 2);

        let index = Index::open(&path, stamp).unwrap();
        assert!(index.is_whole());
        assert_eq!(
            index
                .find(&hash)
                .unwrap()
                .iter()
                .map(|place| place.offset)
                .collect::<Vec<_>>(),
            [1, 3]
        );
        for n in [0, 1, RUN - 1, RUN, 2 * RUN, total - 1] {
            let start = n / RUN * RUN;
            let at = index
                .lower_bound(&key_of(n), start, (start + RUN).min(total + 2))
                .unwrap();
            assert_eq!(index.record(at).unwrap().place.offset, n);
        }
        assert!(Index::open(&path, Stamp { len: 2, ..stamp }).is_none());
        assert!(Index::open(&dir.path().join("none"), stamp).is_none());
    }
}
