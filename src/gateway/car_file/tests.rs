//! Small CARs, made here.

use std::path::PathBuf;

use super::*;
use crate::content::cid::{codec, text};
use ::cid::multihash::Multihash;
use sha2::{Digest, Sha256};

fn raw_cid(data: &[u8]) -> Cid {
    let digest = Sha256::digest(data);
    Cid::new_v1(
        codec::RAW,
        Multihash::wrap(0x12, digest.as_slice()).unwrap(),
    )
}

fn varint(n: usize) -> Vec<u8> {
    unsigned_varint::encode::usize(n, &mut unsigned_varint::encode::usize_buffer()).to_vec()
}

fn section(cid: &Cid, data: &[u8]) -> Vec<u8> {
    let cid = cid.to_bytes();
    [varint(cid.len() + data.len()), cid, data.to_vec()].concat()
}

/// A header that names one root.
fn header(root: &Cid) -> Vec<u8> {
    let root = root.to_bytes();
    let mut map = b"\xa2\x65roots\x81\xd8\x2a\x58".to_vec();
    map.push(u8::try_from(root.len() + 1).unwrap());
    map.push(0);
    map.extend(root);
    map.extend(b"\x67version\x01");
    [varint(map.len()), map].concat()
}

struct Fixture {
    dir: tempfile::TempDir,
    car: PathBuf,
}

impl Fixture {
    fn new(car: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.car");
        std::fs::write(&path, car).unwrap();
        Self { dir, car: path }
    }

    fn indexes(&self) -> PathBuf {
        self.dir.path().join("indexes")
    }

    fn open(&self) -> Result<CarFile, CarFileError> {
        CarFile::open(&self.car, &self.indexes())
    }

    /// Names in the index directory.
    fn index_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.indexes()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

#[test]
fn serves_blocks_by_cid() {
    let (one, two) = (raw_cid(b"one"), raw_cid(b"two"));
    let car = [
        header(&one),
        section(&one, b"one"),
        section(&two, b"two"),
        section(&raw_cid(b""), b""),
    ]
    .concat();
    let fixture = Fixture::new(&car);
    let file = fixture.open().unwrap();
    assert_eq!(
        file.roots().iter().map(text).collect::<Vec<_>>(),
        [text(&one)]
    );
    assert!(file.is_whole());
    assert_eq!(file.block(&two, 3).unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(
        file.block(&raw_cid(b""), 0).unwrap().as_deref(),
        Some(&b""[..])
    );
    assert_eq!(file.block(&raw_cid(b"three"), 9).unwrap(), None);
    assert!(matches!(
        file.block(&two, 2),
        Err(CarFileError::TooLarge { len: 3, max: 2 })
    ));
    // The codec is not the bytes' affair.
    let other_codec = Cid::new_v1(codec::DAG_PB, *two.hash());
    assert!(file.block(&other_codec, 3).unwrap().is_some());
    assert_eq!(fixture.index_files().len(), 1);
}

#[test]
fn the_index_is_used_again_until_the_car_changes() {
    let one = raw_cid(b"one");
    let fixture = Fixture::new(&[header(&one), section(&one, b"one")].concat());
    drop(fixture.open().unwrap());
    let index = fixture.indexes().join(&fixture.index_files()[0]);
    let written = std::fs::metadata(&index).unwrap().modified().unwrap();
    drop(fixture.open().unwrap());
    assert_eq!(
        std::fs::metadata(&index).unwrap().modified().unwrap(),
        written
    );

    let two = raw_cid(b"two two");
    std::fs::write(
        &fixture.car,
        [header(&two), section(&two, b"two two")].concat(),
    )
    .unwrap();
    let file = fixture.open().unwrap();
    assert!(file.block(&two, 99).unwrap().is_some() && file.block(&one, 99).unwrap().is_none());
    assert_eq!(fixture.index_files().len(), 1);
}

#[test]
fn a_damaged_index_is_written_anew() {
    let one = raw_cid(b"one");
    let fixture = Fixture::new(&[header(&one), section(&one, b"one")].concat());
    drop(fixture.open().unwrap());
    let index = fixture.indexes().join(&fixture.index_files()[0]);
    let good = std::fs::read(&index).unwrap();
    for bad in [
        &b""[..],
        &good[..good.len() - 1],
        &good[1..],
        b"not an index at all, but long enough to be read",
    ] {
        std::fs::write(&index, bad).unwrap();
        assert!(fixture.open().unwrap().block(&one, 3).unwrap().is_some());
        assert_eq!(std::fs::read(&index).unwrap(), good);
    }
}

#[test]
fn of_several_copies_the_sound_one_comes() {
    let one = raw_cid(b"one");
    let car = [
        header(&one),
        section(&one, b"0ne"),
        section(&one, b"one"),
        section(&one, b"on3"),
    ]
    .concat();
    assert_eq!(
        Fixture::new(&car)
            .open()
            .unwrap()
            .block(&one, 3)
            .unwrap()
            .as_deref(),
        Some(&b"one"[..])
    );
    let longer = [
        header(&one),
        section(&one, b"larger"),
        section(&one, b"one"),
    ];
    let file = Fixture::new(&longer.concat()).open().unwrap();
    assert_eq!(file.block(&one, 3).unwrap().as_deref(), Some(&b"one"[..]));
    let bad = [header(&one), section(&one, b"0ne")].concat();
    assert_eq!(
        Fixture::new(&bad)
            .open()
            .unwrap()
            .block(&one, 3)
            .unwrap()
            .as_deref(),
        Some(&b"0ne"[..])
    );
}

#[test]
fn a_cut_car_serves_what_comes_before_the_cut() {
    let (one, two) = (raw_cid(b"one"), raw_cid(b"two"));
    let car = [header(&one), section(&one, b"one"), section(&two, b"two")].concat();
    let file = Fixture::new(&car[..car.len() - 1]).open().unwrap();
    assert!(!file.is_whole());
    assert!(file.block(&one, 3).unwrap().is_some() && file.block(&two, 3).unwrap().is_none());
}

#[test]
fn what_is_no_car() {
    let one = raw_cid(b"one");
    let whole = header(&one);
    for bytes in [
        &b""[..],
        b"hello, world",
        &whole[..whole.len() - 1],
        b"\xff\xff\xff\xff\x7f",
    ] {
        assert!(matches!(
            Fixture::new(bytes).open(),
            Err(CarFileError::NotCar { .. })
        ));
    }
    let missing = CarFile::open(&PathBuf::from("/nonexistent/x.car"), &std::env::temp_dir());
    assert!(matches!(missing, Err(CarFileError::Disk(_))));
}
