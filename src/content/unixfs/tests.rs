use proptest::prelude::*;

use super::sample::{DAG_CBOR_CID, DAG_PB_CID, RAW_CID, block, directory, link, named, shard};
use super::*;
use crate::content::wire::WireError;

const FILE: [u8; 2] = [0x08, 0x02];

fn message(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn file(block: &Bytes) -> FileNode {
    match node(codec::DAG_PB, block) {
        Ok(Node::File(file)) => file,
        other => panic!("{other:?}"),
    }
}

fn refused(block: &Bytes) -> UnixFsError {
    node(codec::DAG_PB, block).unwrap_err()
}

#[test]
fn raw_blocks_are_leaves_and_other_codecs_opaque() {
    let bytes = Bytes::from_static(b"\xff\xff");
    let Ok(Node::File(leaf)) = node(codec::RAW, &bytes) else {
        panic!("a raw block is a file");
    };
    assert_eq!((leaf.size, leaf.inline), (2, 0..2));
    let opaque = Node::Opaque {
        codec: codec::DAG_CBOR,
    };
    assert_eq!(node(codec::DAG_CBOR, &bytes), Ok(opaque));
}

#[test]
fn inline_bytes_come_before_children() {
    let links = [
        link(RAW_CID, &[0x12, 0x00, 0x18, 0x0c]),
        link(DAG_PB_CID, &[]),
    ];
    let fields = [&FILE[..], b"\x12\x03abc\x18\x11\x20\x0a\x20\x04"];
    let block = block(&links, &message(&fields));
    let file = file(&block);
    assert_eq!(file.size, 17);
    assert_eq!(&block[file.inline], b"abc");
    let places: Vec<_> = file
        .children
        .iter()
        .map(|c| (c.offset, c.size, c.tsize))
        .collect();
    assert_eq!(places, [(3, 10, Some(12)), (13, 4, None)]);
}

#[test]
fn block_sizes_may_be_packed() {
    let links = [link(RAW_CID, &[]), link(RAW_CID, &[]), link(RAW_CID, &[])];
    let packed = message(&[&FILE, &[0x22, 0x03, 0x80, 0x01, 0x00], &[0x20, 0x01]]);
    assert_eq!(decode(&packed).unwrap().blocksizes, [128, 0, 1]);
    assert_eq!(file(&block(&links, &packed)).size, 129);
    let cut = message(&[&FILE, &[0x22, 0x01, 0x80]]);
    assert_eq!(decode(&cut), Err(WireError::Truncated.into()));
}

#[test]
fn sizes_must_agree() {
    let leaf = |rest: &[u8]| block(&[], &message(&[&FILE, b"\x12\x03abc", rest]));
    assert_eq!(file(&leaf(&[0x18, 0x03])).size, 3);
    assert_eq!(
        file(&leaf(&[])).size,
        3,
        "an absent size is that of the parts"
    );
    let lie = UnixFsError::FileSize { claimed: 4, sum: 3 };
    assert_eq!(refused(&leaf(&[0x18, 0x04])), lie);
    let zero = UnixFsError::FileSize { claimed: 0, sum: 3 };
    assert_eq!(refused(&leaf(&[0x18, 0x00])), zero);
    let count = UnixFsError::SizeCount { links: 0, sizes: 1 };
    assert_eq!(refused(&leaf(&[0x20, 0x01])), count);
    let count = UnixFsError::SizeCount { links: 1, sizes: 0 };
    assert_eq!(refused(&block(&[link(RAW_CID, &[])], &FILE)), count);
}

#[test]
fn sizes_do_not_wrap_around() {
    let mut huge = vec![0x20];
    huge.extend([0xff; 9]);
    huge.push(0x01);
    let links = [link(RAW_CID, &[]), link(RAW_CID, &[])];
    let wrapping = message(&[&FILE, &[0x18, 0x00], &huge, &[0x20, 0x01]]);
    assert_eq!(
        refused(&block(&links, &wrapping)),
        UnixFsError::SizeOverflow
    );
    let largest = file(&block(&links[..1], &message(&[&FILE, &huge])));
    assert_eq!(largest.size, u64::MAX);
}

#[test]
fn parts_have_no_names_and_hold_files() {
    let sizes = message(&[&FILE, &[0x20, 0x00]]);
    let named = link(RAW_CID, &[0x12, 0x01, b'x']);
    let error = UnixFsError::NamedPart { index: 0 };
    assert_eq!(refused(&block(&[named], &sizes)), error);
    let error = UnixFsError::PartCodec {
        index: 0,
        codec: codec::DAG_CBOR,
    };
    assert_eq!(refused(&block(&[link(DAG_CBOR_CID, &[])], &sizes)), error);
}

#[test]
fn a_child_is_what_its_parent_says() {
    let cid = |bytes: &[u8]| crate::content::cid::parse_bytes(bytes).unwrap();
    let part = |bytes: &[u8], size| Child {
        cid: cid(bytes),
        offset: 0,
        size,
        tsize: None,
    };
    let bytes = Bytes::from_static(b"abc");
    assert_eq!(child(&part(&RAW_CID, 3), &bytes).unwrap().inline, 0..3);
    let error = UnixFsError::PartSize {
        expected: 2,
        actual: 3,
    };
    assert_eq!(child(&part(&RAW_CID, 2), &bytes), Err(error));
    let directory = block(&[], &[0x08, 0x01]);
    let as_part = child(&part(&DAG_PB_CID, 0), &directory);
    assert_eq!(as_part, Err(UnixFsError::PartKind));
}

#[test]
fn recognises_the_other_kinds() {
    let read = |message: &[u8]| node(codec::DAG_PB, &block(&[], message));
    assert!(matches!(read(&[0x08, 0x01]), Ok(Node::Directory(_))));
    let empty = node(codec::DAG_PB, &shard(256, &[]));
    assert!(matches!(empty, Ok(Node::HamtShard(shard)) if shard.is_empty()));
    let symlink = SymlinkNode {
        target: Bytes::from_static(b"../x"),
        mode: Some(0o777),
        mtime: Some(Mtime {
            seconds: 5,
            nanos: 0,
        }),
    };
    assert_eq!(
        read(b"\x08\x04\x12\x04../x\x18\x04\x38\xff\x83\x02\x42\x02\x08\x05"),
        Ok(Node::Symlink(symlink))
    );
    assert_eq!(read(&[0x08, 0x03]), Err(UnixFsError::Metadata));
    assert_eq!(read(&[0x08, 0x06]), Err(UnixFsError::UnknownType(6)));
    assert_eq!(read(&[0x12, 0x00]), Err(UnixFsError::NoType));
    assert_eq!(refused(&Bytes::new()), UnixFsError::NoData);
    let linked = block(&[link(RAW_CID, &[])], &[0x08, 0x04]);
    assert_eq!(refused(&linked), UnixFsError::SymlinkWithLinks);
}

#[test]
fn type_may_come_last_and_nothing_twice() {
    assert_eq!(decode(&[0x18, 0x00, 0x08, 0x02]).unwrap().kind, Kind::File);
    assert_eq!(
        decode(&[0x08, 0x02, 0x08, 0x02]),
        Err(UnixFsError::Repeated(1))
    );
    assert!(
        decode(&[0x08, 0x02, 0x78, 0x01]).is_ok(),
        "unknown fields are skipped"
    );
    assert_eq!(decode(&[0x0a, 0x00]), Err(WireError::WrongType(1).into()));
}

#[test]
fn mode_is_masked_to_permissions() {
    // 0o100644, as stat gives it.
    let regular = message(&[&FILE, &[0x38, 0xa4, 0x83, 0x02]]);
    assert_eq!(decode(&regular).unwrap().mode, Some(0o100644));
    assert_eq!(file(&block(&[], &regular)).mode, Some(0o644));
    let huge = message(&[&FILE, &[0x38, 0xff, 0xff, 0xff, 0xff, 0x7f]]);
    assert_eq!(decode(&huge), Err(UnixFsError::OutOfRange(7)));
}

#[test]
fn mtime_has_seconds_and_sane_nanos() {
    let read = |fields: &[u8]| {
        let mtime = [&[0x42, fields.len() as u8], fields].concat();
        decode(&message(&[&FILE, &mtime])).map(|unixfs| unixfs.mtime)
    };
    let mtime = |seconds, nanos| Ok(Some(Mtime { seconds, nanos }));
    assert_eq!(read(&[0x08, 0x05]), mtime(5, 0));
    let mut before = vec![0x08];
    before.extend([0xff; 9]);
    before.push(0x01);
    assert_eq!(read(&before), mtime(-1, 0));
    let nanos = |value: u32| [&[0x08, 0x05, 0x15][..], &value.to_le_bytes()].concat();
    assert_eq!(read(&nanos(999_999_999)), mtime(5, 999_999_999));
    for malformed in [&nanos(0)[..], &nanos(1_000_000_000), &[]] {
        assert_eq!(read(malformed), Err(UnixFsError::Mtime));
    }
}

fn entries(block: &Bytes) -> DirNode {
    match node(codec::DAG_PB, block) {
        Ok(Node::Directory(directory)) => directory,
        other => panic!("{other:?}"),
    }
}

#[test]
fn directories_keep_order_names_and_metadata() {
    let links = [
        link(RAW_CID, b"\x12\x02z\xff\x18\x07"),
        named(DAG_CBOR_CID, b"a b"),
        named(DAG_PB_CID, b"..."),
    ];
    // 0o1755 and an mtime of one second.
    let block = block(&links, b"\x08\x01\x38\xed\x07\x42\x02\x08\x01");
    let directory = entries(&block);
    let names: Vec<_> = directory.entries.iter().map(|e| &e.name[..]).collect();
    assert_eq!(names, [&b"z\xff"[..], b"a b", b"..."]);
    assert_eq!(directory.entries[0].tsize, Some(7));
    assert_eq!(directory.mode, Some(0o1755));
    assert_eq!(directory.mtime.unwrap().seconds, 1);
    let found = directory.lookup(b"a b").unwrap();
    assert_eq!(
        (found.cid.codec(), found.text()),
        (codec::DAG_CBOR, Ok("a b"))
    );
    assert_eq!(directory.lookup(b"a"), None);
    let odd = directory.entries[0].text().unwrap_err();
    assert_eq!(odd.fault(), Fault::Unsafe, "names that are not UTF-8");
}

#[test]
fn names_that_lead_elsewhere_are_unsafe_and_not_malformed() {
    let cases: [(&[u8], NameFlaw); 6] = [
        (b"", NameFlaw::Empty),
        (b".", NameFlaw::Dots),
        (b"..", NameFlaw::Dots),
        (b"a/b", NameFlaw::Separator),
        (b"/etc/passwd", NameFlaw::Separator),
        (b"nul\0byte", NameFlaw::Separator),
    ];
    for (name, expected) in cases {
        let block = directory(&[named(RAW_CID, b"good"), named(RAW_CID, name)]);
        let error = refused(&block);
        assert!(
            matches!(error, UnixFsError::UnsafeName { flaw, .. } if flaw == expected),
            "{error:?}"
        );
        assert_eq!(error.fault(), Fault::Unsafe);
        assert!(
            read(codec::DAG_PB, &block).is_ok(),
            "looking up is harmless"
        );
    }
}

#[test]
fn names_are_there_and_there_once() {
    let twice = [
        named(RAW_CID, b"x"),
        named(RAW_CID, b"y"),
        named(RAW_CID, b"x"),
    ];
    let error = refused(&directory(&twice));
    assert_eq!(error.fault(), Fault::Malformed);
    assert_eq!(error.to_string(), "the directory has the name \"x\" twice");
    let nameless = directory(&[named(RAW_CID, b"x"), link(RAW_CID, &[])]);
    assert_eq!(refused(&nameless), UnixFsError::NoName { index: 1 });
}

#[test]
fn entries_of_one_block_are_bounded() {
    // Names do not matter: the count is looked at first.
    let links = vec![link(RAW_CID, &[]); MAX_ENTRIES + 1];
    let error = refused(&directory(&links));
    assert_eq!(error.fault(), Fault::TooLarge);
}

#[test]
fn long_names_are_cut_short_in_errors() {
    let long = b"/".repeat(110);
    let error = refused(&directory(&[named(RAW_CID, &long)]));
    assert!(error.to_string().len() < 160, "{error}");
}

proptest! {
    #[test]
    fn never_panics(codec in prop::sample::select(&[0x55u64, 0x70, 0x71][..]), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(&bytes);
        let _ = node(codec, &bytes.into());
    }

    /// Whatever a changed byte makes of a file, its places stay inside and add up.
    #[test]
    fn almost_valid_files_add_up(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3)) {
        let links = [link(RAW_CID, &[0x12, 0x00, 0x18, 0x0c]), link(DAG_PB_CID, &[])];
        let fields = [&FILE[..], b"\x12\x03abc\x18\x11\x20\x0a\x20\x04\x38\x04\x42\x02\x08\x01"];
        let mut bytes = block(&links, &message(&fields)).to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let block = Bytes::from(bytes);
        if let Ok(Node::File(file)) = node(codec::DAG_PB, &block) {
            prop_assert!(file.inline.end <= block.len());
            let mut at = file.inline.len() as u64;
            for child in file.children {
                prop_assert_eq!(child.offset, at);
                at += child.size;
            }
            prop_assert_eq!(file.size, at);
        }
    }

    /// Whatever a changed byte makes of a directory, its names stay apart and safe.
    #[test]
    fn almost_valid_directories_are_sound(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3)) {
        let links = [named(RAW_CID, b"ab"), link(DAG_PB_CID, b"\x12\x02ac\x18\x05"), named(RAW_CID, b"...")];
        let mut bytes = block(&links, b"\x08\x01\x38\xed\x07\x42\x02\x08\x01").to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(Node::Directory(directory)) = node(codec::DAG_PB, &bytes.into()) {
            for (index, entry) in directory.entries.iter().enumerate() {
                prop_assert_eq!(directory.lookup(&entry.name), Some(&directory.entries[index]));
                prop_assert!(!entry.name.is_empty() && !entry.name.contains(&b'/'));
                prop_assert!(entry.name != b".."[..] && entry.name != b"."[..]);
            }
            prop_assert!(directory.mode.is_none_or(|mode| mode <= 0o7777));
        }
    }
}
