use proptest::prelude::*;

use super::*;
use crate::content::unixfs::hamt;
use crate::content::unixfs::sample::{
    DAG_CBOR_CID, DAG_PB_CID, RAW_CID, block, cid, directory, named, shard,
};

fn way(root: [u8; 4], names: &[&str]) -> Resolution {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Resolution::new(cid(root), names)
}

/// The bucket of a name at some depth of fanout 256.
fn bucket(name: &str, depth: u32) -> u32 {
    u32::from(hamt::hash(name.as_bytes()).to_be_bytes()[depth as usize])
}

#[test]
fn no_names_are_no_way() {
    let mut way = way(DAG_PB_CID, &[]);
    assert_eq!(way.wanted(), None);
    assert_eq!(way.here(), cid(DAG_PB_CID));
    assert_eq!(way.feed(&Bytes::new()), Ok(()), "nothing is asked of it");
}

#[test]
fn names_lead_from_block_to_block() {
    let mut way = way(DAG_PB_CID, &["a", "b", "c"]);
    assert_eq!(way.wanted(), Some(cid(DAG_PB_CID)));
    way.feed(&directory(&[named(DAG_PB_CID, b"a")])).unwrap();
    // A sharded directory whose "b" is one shard further down.
    way.feed(&shard(256, &[(bucket("b", 0), DAG_PB_CID, b"")]))
        .unwrap();
    assert_eq!(way.entry().unwrap().name, "a", "no step for a shard");
    way.feed(&shard(256, &[(bucket("b", 1), DAG_PB_CID, b"b")]))
        .unwrap();
    assert_eq!(way.entry().unwrap().name, "b");
    way.feed(&directory(&[named(RAW_CID, b"c")])).unwrap();
    assert_eq!((way.wanted(), way.here()), (None, cid(RAW_CID)));
}

#[test]
fn absence_is_proved_by_directories_and_shards() {
    for block in [
        directory(&[named(RAW_CID, b"other")]),
        shard(256, &[(bucket("other", 0), RAW_CID, b"other")]),
    ] {
        let mut way = way(DAG_PB_CID, &["dir", "x"]);
        way.feed(&directory(&[named(DAG_PB_CID, b"dir")])).unwrap();
        let error = way.feed(&block).unwrap_err();
        assert!(matches!(error, PathError::Absent { .. }));
        let root = cid::text(&cid(DAG_PB_CID));
        assert_eq!(error.to_string(), format!("{root}/dir has no entry \"x\""));
    }
}

#[test]
fn what_is_in_the_way_is_said() {
    let said = |root, block: &Bytes| {
        let error = way(root, &["x"]).feed(block).unwrap_err();
        let PathError::NotADirectory { what, .. } = error else {
            panic!("{error:?}");
        };
        what.to_string()
    };
    assert_eq!(said(RAW_CID, &Bytes::from_static(b"bytes")), "a file");
    assert_eq!(said(DAG_PB_CID, &block(&[], &[0x08, 0x02])), "a file");
    assert_eq!(
        said(DAG_PB_CID, &block(&[], b"\x08\x04\x12\x02/\x1b")),
        "a symbolic link to \"/\\u{1b}\", which is not followed"
    );
    assert_eq!(
        said(DAG_CBOR_CID, &Bytes::from_static(&[0xa0])),
        "a dag-cbor block, which is saved whole or not at all"
    );
}

#[test]
fn broken_blocks_are_no_proof_of_absence() {
    let malformed = |way: &mut Resolution, block: &Bytes| {
        let error = way.feed(block).unwrap_err();
        let PathError::Malformed { source, .. } = error else {
            panic!("{error:?}");
        };
        source
    };
    malformed(&mut way(DAG_PB_CID, &["x"]), &Bytes::from_static(b"?"));
    let mut below = way(DAG_PB_CID, &["x"]);
    below
        .feed(&shard(256, &[(bucket("x", 0), DAG_PB_CID, b"")]))
        .unwrap();
    let source = malformed(&mut below.clone(), &directory(&[named(RAW_CID, b"x")]));
    assert_eq!(source, HamtError::NotAShard.into());
    let source = malformed(&mut below, &shard(16, &[]));
    let fanout = HamtError::OtherFanout {
        expected: 256,
        actual: 16,
    };
    assert_eq!(source, fanout.into());
}

#[test]
fn unsafe_neighbours_do_no_harm() {
    let mut way = way(DAG_PB_CID, &["x"]);
    way.feed(&directory(&[named(RAW_CID, b"a/b"), named(RAW_CID, b"x")]))
        .unwrap();
    assert_eq!(way.here(), cid(RAW_CID));
}

proptest! {
    #[test]
    fn never_panics(root in prop::sample::select(&[RAW_CID, DAG_PB_CID, DAG_CBOR_CID][..]), name in ".{0,9}", bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = way(root, &[&name]).feed(&bytes.into());
    }
}
