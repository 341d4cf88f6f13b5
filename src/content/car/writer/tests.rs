use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::content::car::{CarParser, Limits};
use crate::content::cid::Multihash;
use crate::content::importer::{Importer, Layout, Named, Profile, directory};

const LIMITS: Limits = Limits {
    header: 1024,
    block: 1 << 20,
};

fn raw(digest: &[u8]) -> Cid {
    Cid::new_v1(codec::RAW, Multihash::wrap(0, digest).unwrap())
}

/// A dag-pb block of these links and nothing else.
fn node(links: &[Cid]) -> Bytes {
    let mut out = Vec::new();
    for link in links {
        let cid = link.to_bytes();
        out.extend([0x12, cid.len() as u8 + 2, 0x0a, cid.len() as u8]);
        out.extend(cid);
    }
    out.into()
}

fn named(block: &Bytes) -> Cid {
    Cid::new_v1(codec::DAG_PB, Multihash::wrap(0, &block[..]).unwrap())
}

/// The walk over blocks; those that are not there are skipped.
fn walk(root: Cid, blocks: &HashMap<Cid, Bytes>) -> Vec<Cid> {
    let mut dfs = Dfs::new(&root);
    let mut order = Vec::new();
    while let Some(cid) = dfs.next_wanted() {
        assert_eq!(dfs.next_wanted(), Some(cid), "the same until it is fed");
        match blocks.get(&cid) {
            Some(block) => {
                order.push(cid);
                dfs.feed(block).unwrap();
            }
            None => dfs.skip(),
        }
    }
    assert_eq!(dfs.next_wanted(), None);
    order
}

#[test]
fn the_header_is_what_go_car_writes() {
    let root = cid::parse("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH").unwrap();
    let known = [
        &b"\x38\xa2\x65roots\x81\xd8\x2a\x58\x23\x00"[..],
        &root.to_bytes(),
        b"\x67version\x01",
    ];
    assert_eq!(header(&root), known.concat());
}

#[test]
fn depth_first_in_the_order_of_links_and_nothing_twice() {
    let [a, b, c] = [b"a", b"b", b"c"].map(|digest| raw(digest));
    let leaf = |cid: Cid| (cid, Bytes::copy_from_slice(cid.hash().digest()));
    let left = node(&[b, a, b]);
    let root = node(&[named(&left), c, named(&left), a]);
    let blocks: HashMap<Cid, Bytes> = [leaf(a), leaf(b), leaf(c)]
        .into_iter()
        .chain([(named(&left), left.clone()), (named(&root), root.clone())])
        .collect();
    let order = walk(named(&root), &blocks);
    assert_eq!(order, [named(&root), named(&left), b, a, c]);
    let partial: HashMap<Cid, Bytes> = blocks
        .into_iter()
        .filter(|(cid, _)| *cid != named(&left))
        .collect();
    assert_eq!(walk(named(&root), &partial), [named(&root), c, a]);
}

#[test]
fn one_hash_under_two_codecs_is_two_blocks() {
    let digest = Multihash::wrap(SHA2_256, &[7; 32]).unwrap();
    let cids = [
        Cid::new_v0(digest).unwrap(),
        Cid::new_v1(codec::DAG_PB, digest),
        Cid::new_v1(codec::RAW, digest),
        Cid::new_v1(codec::DAG_CBOR, digest),
    ];
    let mut seen = Seen::default();
    assert!(cids.iter().all(|cid| seen.insert(cid)));
    assert!(!cids.iter().any(|cid| seen.insert(cid)));
}

#[test]
fn what_is_not_dag_pb_is_named() {
    let block = Bytes::from_static(b"\xff");
    let mut dfs = Dfs::new(&named(&block));
    dfs.next_wanted();
    assert!(matches!(dfs.feed(&block), Err(DfsError::Block { .. })));
    assert_eq!(dfs.next_wanted(), None);
}

/// A chain of nodes of which each has a second link, so that no level is ever done with.
#[test]
fn depth_has_a_limit() {
    let link = |index: u32| {
        let digest = index.to_be_bytes();
        Cid::new_v1(codec::DAG_PB, Multihash::wrap(0, &digest).unwrap())
    };
    let mut dfs = Dfs::new(&link(0));
    let result = (1u32..).try_for_each(|index| {
        dfs.next_wanted().unwrap();
        dfs.feed(&node(&[link(index), raw(b"x")]))
    });
    assert!(
        matches!(result, Err(DfsError::TooDeep { .. })),
        "{result:?}"
    );
}

/// A directory of one file, and all its blocks.
fn dag(bytes: &Bytes, chunk: usize, width: usize) -> (Cid, HashMap<Cid, Bytes>) {
    let chunker = crate::content::importer::Chunker::Size(chunk);
    let profile = Profile::named("unixfs-v0-2015").unwrap();
    let profile = profile.with_chunker(chunker).unwrap();
    let profile = profile.with_layout(Layout::Balanced { width }).unwrap();
    let mut blocks = HashMap::new();
    let mut keep = |block: crate::content::importer::Block| {
        blocks.insert(block.cid, block.parts.concat().into());
    };
    let mut importer = Importer::new(&[profile]);
    importer.push_with(bytes, &mut keep);
    let root = importer.finish_with(&mut keep).roots[0].unwrap();
    let entry = |name: &'static [u8]| Named {
        name: name.into(),
        root,
    };
    let root = directory(&profile, vec![entry(b"one"), entry(b"two")], &mut keep).unwrap();
    (root.cid, blocks)
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        chunk in 1usize..40,
        width in 2usize..5,
    ) {
        let (root, blocks) = dag(&bytes.into(), chunk, width);
        let order = walk(root, &blocks);
        prop_assert_eq!(order.len(), blocks.len());
        let mut car = header(&root);
        for cid in &order {
            car.extend(section(cid, blocks[cid].len() as u64));
            car.extend(&blocks[cid]);
        }
        let mut parser = CarParser::new(LIMITS);
        parser.push(car.into());
        for cid in &order {
            let section = parser.next().unwrap().unwrap();
            prop_assert_eq!(&section.cid, cid);
            prop_assert_eq!(&section.contiguous(), &blocks[cid]);
        }
        prop_assert_eq!((parser.next(), parser.finish()), (Ok(None), Ok(())));
        prop_assert_eq!(&parser.header().unwrap().roots[..], &[root]);
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let block = Bytes::from(bytes);
        let mut dfs = Dfs::new(&raw(b""));
        dfs.next_wanted();
        prop_assert_eq!(dfs.feed(&block), Ok(()));
        let mut dfs = Dfs::new(&named(&Bytes::new()));
        dfs.next_wanted();
        let _ = dfs.feed(&block);
        while dfs.next_wanted().is_some() {
            dfs.skip();
        }
    }
}
