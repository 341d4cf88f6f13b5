//! A CAR on its way to its final name, and one that has it already.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::content::car::writer::{self, Dfs};
use crate::content::car::{CarParser, Limits};
use crate::content::cid::Cid;
use crate::content::hash::{FileSha256, VerifiedBlock};
use crate::disk::part::PartFile;
use crate::disk::random_file::RandomFile;
use crate::disk::{DiskError, install};
use crate::engine::fetch::MAX_CAR_HEADER;

/// Bytes gathered before a write, and read at once.
const PIECE: usize = 1 << 20;

/// A CAR that is being written: from front to back, hashed on the way.
pub struct CarPart {
    file: Appender,
    sha256: FileSha256,
}

impl CarPart {
    /// Begins anew at this path; what an earlier try left there goes.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path) -> Result<Self, DiskError> {
        Ok(Self {
            file: Appender::create(path)?,
            sha256: FileSha256::new(),
        })
    }

    /// Bytes so far.
    pub fn position(&self) -> u64 {
        self.file.position()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.sha256.update(bytes);
        self.file.append(bytes)
    }

    /// Makes it durable and gives it its final name; its SHA-256.
    ///
    /// # Errors
    /// [`DiskError::Exists`] if the name is taken and `overwrite` is false; then, as after any
    /// other failure, the part stays.
    pub fn install(self, target: &Path, overwrite: bool) -> Result<[u8; 32], DiskError> {
        self.file.install(target, overwrite)?;
        Ok(self.sha256.finish())
    }
}

/// A part file that is written from front to back.
pub(in crate::engine) struct Appender {
    part: PartFile,
    written: u64,
    buffer: Vec<u8>,
}

impl Appender {
    /// Begins anew at this path; what an earlier try left there goes, unless that is still being
    /// made.
    pub fn create(path: &Path) -> Result<Self, DiskError> {
        let locked = || DiskError::Locked { path: path.into() };
        if !PartFile::discard(path)? {
            return Err(locked());
        }
        let part = PartFile::create(path)?;
        if !part.try_lock()? {
            return Err(locked());
        }
        Ok(Self {
            part,
            written: 0,
            buffer: Vec::with_capacity(2 * PIECE),
        })
    }

    /// Bytes so far.
    pub fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(())
    }

    /// Puts other bytes in the place of the first ones.
    pub fn rewrite_head(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.flush()?;
        self.part.write_at(0, bytes)
    }

    /// Forgets everything that was written.
    pub fn restart(&mut self) -> Result<(), DiskError> {
        self.buffer.clear();
        self.written = 0;
        self.part.set_len(0)
    }

    /// Writes what was gathered.
    pub fn flush(&mut self) -> Result<(), DiskError> {
        self.part.write_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes it durable and gives it its final name.
    ///
    /// # Errors
    /// [`DiskError::Locked`] if another process makes one at the same place by now, as it can where
    /// the file system has no locks.
    pub fn install(mut self, target: &Path, overwrite: bool) -> Result<(), DiskError> {
        self.flush()?;
        self.part.sync()?;
        if self.part.is_replaced()? {
            let path = self.part.path().into();
            return Err(DiskError::Locked { path });
        }
        install::install(self.part.path(), target, overwrite)
    }
}

/// Length and SHA-256 of the file at `path`, if it is the very CAR that a full export of `root`
/// gives. Reads all of it.
pub fn is_car_of(
    path: &Path,
    root: &Cid,
    max_block: u64,
    is_stopped: &AtomicBool,
) -> Option<(u64, [u8; 32])> {
    let file = RandomFile::open(path).ok()?;
    let mut parser = CarParser::new(Limits {
        header: MAX_CAR_HEADER,
        block: max_block,
    });
    let mut dfs = Dfs::new(root);
    let (mut found, mut canonical) = (FileSha256::new(), FileSha256::new());
    canonical.update(&writer::header(root));
    let mut piece = vec![0; PIECE];
    loop {
        let len = file.read_at(found.position(), &mut piece).ok()?;
        if len == 0 || is_stopped.load(Ordering::Relaxed) {
            break;
        }
        found.update(&piece[..len]);
        parser.push(piece[..len].to_vec().into());
        while let Some(section) = parser.next().ok()? {
            let wanted = dfs.next_wanted().filter(|wanted| *wanted == section.cid)?;
            let block = VerifiedBlock::check(wanted, section.contiguous()).ok()?;
            dfs.feed(block.data()).ok()?;
            canonical.update(&writer::section(&wanted, section.len));
            canonical.update(block.data());
        }
    }
    let len = found.position();
    let is_whole = dfs.next_wanted().is_none() && parser.finish().is_ok();
    let (found, canonical) = (found.finish(), canonical.finish());
    (is_whole && found == canonical).then_some((len, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the file system has no locks, two processes may make the same CAR at once.
    #[test]
    fn what_somebody_else_makes_at_the_same_place_is_not_installed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (part, target) = (dir.path().join("part"), dir.path().join("out.car"));
        let mut ours = Appender::create(&part).expect("a part");
        ours.append(b"ours, and whole").expect("written");
        std::fs::remove_file(&part).expect("removed");
        std::fs::write(&part, b"theirs, not yet").expect("another part");
        let refused = ours.install(&target, false);
        assert!(
            matches!(refused, Err(DiskError::Locked { .. })),
            "{refused:?}"
        );
        assert!(part.exists() && !target.exists());
    }
}
