use proptest::prelude::*;

use super::*;
use crate::content::unixfs::sample::{
    DAG_CBOR_CID, DAG_PB_CID, RAW_CID, block, cid, directory, named, shard, shard_message,
};
use crate::content::unixfs::{Fault, NameFlaw};

/// A node at the root.
fn placed(block: &Bytes) -> Result<Shard, UnixFsError> {
    match node(codec::DAG_PB, block)? {
        Node::HamtShard(shard) => shard.place(Place::ROOT),
        other => panic!("{other:?}"),
    }
}

fn refused(block: &Bytes) -> HamtError {
    match placed(block).unwrap_err() {
        UnixFsError::Hamt(error) => error,
        other => panic!("{other:?}"),
    }
}

/// The bucket of a name at some depth.
fn bucket(name: &[u8], fanout: u16, depth: u32) -> u32 {
    let bits = fanout.trailing_zeros();
    (hash(name) << (bits * depth) >> (64 - bits)) as u32
}

fn sub_shard(shard: &Shard) -> SubShard {
    match shard.slots().next() {
        Some(Slot::Shard(below)) => below,
        other => panic!("{other:?}"),
    }
}

/// Words as spaolacci/murmur3 writes them, which Kubo uses; these names stand in real directories.
#[test]
fn hashes_are_those_of_real_directories() {
    for (name, expected) in [
        ("", 0),
        ("a", 0x8555_5565_f659_7889),
        ("470.txt", 0x006e_88df_5847_e67c),
        ("emoji🚀.txt", 0x3543_fa68_e50d_70a6),
        ("0123456789abcdef0", 0xeb24_ae87_85a5_c075),
    ] {
        assert_eq!(hash(name.as_bytes()), expected, "{name}");
    }
}

#[test]
fn prefixes_are_as_wide_as_the_last_bucket() {
    for (fanout, bucket, prefix) in [
        (8, 7, "7"),
        (16, 15, "F"),
        (32, 3, "03"),
        (256, 10, "0A"),
        (512, 10, "00A"),
        (1024, 1023, "3FF"),
    ] {
        assert_eq!(Fanout::new(fanout).unwrap().prefix(bucket), prefix);
    }
    for fanout in [0, 1, 2, 4, 12, 255, 2048, 1 << 40, u64::MAX] {
        assert_eq!(Fanout::new(fanout), Err(HamtError::Fanout(fanout)));
    }
}

#[test]
fn lookups_and_walks_agree() {
    for fanout in [8, 16, 256, 1024] {
        let (first, second) = (bucket(b"a", fanout, 0), bucket(b"hello.txt", fanout, 0));
        assert!(first < second, "in the order of buckets");
        let shard = shard(fanout, &[(first, RAW_CID, b"a"), (second, DAG_PB_CID, b"")]);
        let shard = placed(&shard).unwrap();
        let Lookup::Found(entry) = shard.lookup(b"a") else {
            panic!("a is there");
        };
        assert_eq!((&entry.name[..], entry.cid), (&b"a"[..], cid(RAW_CID)));
        let Lookup::Descend(below) = shard.lookup(b"hello.txt") else {
            panic!("further down");
        };
        let slots: Vec<_> = shard.slots().collect();
        assert_eq!(slots, [Slot::Entry(entry), Slot::Shard(below)]);
        let absent = (0u32..).map(|n| n.to_string()).find(|name| {
            let bucket = bucket(name.as_bytes(), fanout, 0);
            bucket != first && bucket != second
        });
        assert_eq!(shard.lookup(absent.unwrap().as_bytes()), Lookup::Absent);
        let other = (0u32..)
            .map(|n| n.to_string())
            .find(|name| bucket(name.as_bytes(), fanout, 0) == first);
        let other = shard.lookup(other.unwrap().as_bytes()).clone();
        assert_eq!(other, Lookup::Absent, "another name of that bucket");
    }
}

#[test]
fn shards_below_hold_what_belongs_there() {
    for fanout in [8, 256, 1024] {
        let top = bucket(b"a", fanout, 0);
        let root = placed(&shard(fanout, &[(top, DAG_PB_CID, b"")])).unwrap();
        let below = sub_shard(&root);
        let here = bucket(b"a", fanout, 1);
        let right = below
            .read(&shard(fanout, &[(here, RAW_CID, b"a")]))
            .unwrap();
        assert!(matches!(right.lookup(b"a"), Lookup::Found(_)));
        assert_eq!(
            right.lookup(b"hello.txt"),
            Lookup::Absent,
            "nothing from elsewhere is below"
        );
        let wrong = (here + 1) % u32::from(fanout);
        let misplaced = below.read(&shard(fanout, &[(wrong, RAW_CID, b"a")]));
        let error = HamtError::WrongBucket {
            name: "a".into(),
            bucket: wrong,
            depth: 1,
        };
        assert_eq!(misplaced, Err(error.into()));
        // The bucket fits this depth, but not the way that led here.
        let foreign = (0u32..)
            .map(|n| n.to_string())
            .find(|name| bucket(name.as_bytes(), fanout, 0) != top);
        let foreign = foreign.unwrap();
        let at = bucket(foreign.as_bytes(), fanout, 1);
        let stray = below.read(&shard(fanout, &[(at, RAW_CID, foreign.as_bytes())]));
        assert!(matches!(
            stray,
            Err(UnixFsError::Hamt(HamtError::WrongBucket { .. }))
        ));
    }
}

#[test]
fn shards_below_are_of_one_kind() {
    let root = placed(&shard(256, &[(0, DAG_PB_CID, b"")])).unwrap();
    let below = sub_shard(&root);
    let error = HamtError::OtherFanout {
        expected: 256,
        actual: 16,
    };
    assert_eq!(below.read(&shard(16, &[])), Err(error.into()));
    let not = Err(HamtError::NotAShard.into());
    assert_eq!(below.read(&directory(&[])), not);
    assert_eq!(below.read(&shard(256, &[])), Err(HamtError::Empty.into()));
    let cbor = HamtError::ShardCodec {
        bucket: 0,
        codec: codec::DAG_CBOR,
    };
    assert_eq!(refused(&shard(256, &[(0, DAG_CBOR_CID, b"")])), cbor);
}

#[test]
fn depth_ends_with_the_bits_of_the_hash() {
    for (fanout, levels) in [(8, 21), (16, 16), (256, 8), (512, 7), (1024, 6)] {
        let deeper = shard(fanout, &[(1, DAG_PB_CID, b"")]);
        let mut here = placed(&deeper).unwrap();
        for _ in 1..levels {
            here = sub_shard(&here).read(&deeper).unwrap();
        }
        assert_eq!(here.place().depth(), levels - 1);
        let error = HamtError::TooDeep(levels);
        assert_eq!(sub_shard(&here).read(&deeper), Err(error.into()));
    }
}

#[test]
fn the_bit_field_says_what_the_links_are() {
    let message = |field: &[u8]| shard_message(0x22, 256, field);
    let one = [named(RAW_CID, b"85a")];
    let bits = |bits| HamtError::LinkCount { links: 1, bits };
    assert_eq!(refused(&block(&one, &message(&[]))), bits(0));
    assert_eq!(refused(&block(&one, &message(&[3]))), bits(2));
    let other = HamtError::Prefix {
        index: 0,
        bucket: 0x84,
    };
    let field = |bucket: usize| {
        let mut field = [0; 32];
        field[31 - bucket / 8] = 1 << (bucket % 8);
        field
    };
    assert_eq!(refused(&block(&one, &message(&field(0x84)))), other);
    assert!(placed(&block(&one, &message(&field(0x85)))).is_ok());
    let long = HamtError::BitFieldLength {
        len: 33,
        fanout: 256,
    };
    assert_eq!(refused(&block(&[], &message(&[0; 33]))), long);
}

#[test]
fn names_of_links_begin_with_their_bucket() {
    let message = shard_message(0x22, 256, &[1, 0]);
    for name in [&b"0"[..], b"", b"8", b"09a", b"0x"] {
        let error = HamtError::Prefix {
            index: 0,
            bucket: 8,
        };
        assert_eq!(refused(&block(&[named(RAW_CID, name)], &message)), error);
    }
    // 0A, not 0a.
    let message = shard_message(0x22, 256, &[4, 0]);
    let lower = block(&[named(DAG_PB_CID, b"0a")], &message);
    assert!(matches!(refused(&lower), HamtError::Prefix { .. }));
}

#[test]
fn other_hashes_and_fanouts_are_refused() {
    let other = block(&[], &shard_message(0x12, 256, &[]));
    assert_eq!(refused(&other), HamtError::HashType(Some(0x12)));
    let none = block(&[], &[0x08, 0x05, 0x30, 0x80, 0x02]);
    assert_eq!(refused(&none), HamtError::HashType(None));
    let narrow = block(&[], &shard_message(0x22, 12, &[]));
    assert_eq!(refused(&narrow), HamtError::Fanout(12));
    let none = block(&[], &[0x08, 0x05, 0x28, 0x22]);
    assert_eq!(refused(&none), HamtError::Fanout(0));
}

#[test]
fn unsafe_names_are_told_apart() {
    let up = shard(256, &[(bucket(b"..", 256, 0), RAW_CID, b"..")]);
    let error = placed(&up).unwrap_err();
    assert_eq!(error.fault(), Fault::Unsafe);
    let flaw = NameFlaw::Dots;
    assert!(matches!(error, UnixFsError::UnsafeName { flaw: found, .. } if found == flaw));
}

proptest! {
    /// Whatever a changed byte makes of a shard, what is in it is found, and only there.
    #[test]
    fn almost_valid_shards_are_sound(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
        let slots = [(bucket(b"1.png", 256, 0), RAW_CID, &b"1.png"[..]), (0x85, RAW_CID, b"a"), (0xdf, DAG_PB_CID, b"")];
        let mut bytes = shard(256, &slots).to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let Ok(Node::HamtShard(shard)) = node(codec::DAG_PB, &bytes.into()) else {
            return Ok(());
        };
        if let Ok(shard) = shard.place(Place::ROOT) {
            prop_assert_eq!(shard.slots().count(), shard.node().len());
            for slot in shard.slots() {
                if let Slot::Entry(entry) = slot {
                    prop_assert_eq!(shard.lookup(&entry.name), Lookup::Found(entry));
                }
            }
        }
    }

    #[test]
    fn never_panics(field in prop::collection::vec(any::<u8>(), 0..40), fanout: u16, name in prop::collection::vec(any::<u8>(), 0..8)) {
        let block = block(&[named(RAW_CID, &name)], &shard_message(0x22, fanout & 0x3fff, &field));
        let _ = node(codec::DAG_PB, &block);
    }

    /// The buckets of all depths together are the bits of the hash.
    #[test]
    fn places_follow_the_hash(name in ".{1,40}", bits in 3u32..=10) {
        let fanout = Fanout::new(1 << bits).unwrap();
        let mut place = Place::ROOT;
        for depth in 0..64 / bits {
            place = place.with_fanout(fanout).unwrap();
            let at = place.bucket_of(name.as_bytes());
            prop_assert_eq!(at, Some(bucket(name.as_bytes(), 1 << bits, depth)));
            place = place.below(at.unwrap());
        }
        prop_assert!(place.with_fanout(fanout).is_err());
    }
}
