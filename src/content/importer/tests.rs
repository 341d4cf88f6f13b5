use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::content::cid::{self, codec};
use crate::content::hash::{self, BLAKE3};
use crate::content::unixfs::hamt::{Lookup, Place};
use crate::content::unixfs::{self, Node};

/// Sizes of the files that [`RECORDED`] is about, each named by its size.
const SIZES: [usize; 7] = [0, 1, 100, 262_144, 262_145, 1_048_577, 3_000_000];

/// What Kubo 0.42 gives: the profile, the CID of the largest file, and that of the directory of
/// all of them.
const RECORDED: [(&str, &str, &str); 16] = [
    (
        "unixfs-v0-2015",
        "QmRyp95H2YfY3M1FiwTmEUnpmAhr73iwbeEf7ZaFjkKtFM",
        "Qmec6HsmMk2nEVsKj8hShoD24WnYBMxCvMdh84USv1rnzX",
    ),
    (
        "kubo-cid-v1",
        "bafybeibhreex6niidryz3z64dfjme37wljinvzhu4vvr3sp3346oeimbgq",
        "bafybeifswdqoz3hivptrdipsp77lrccstwkf2puio2mcg7opgtssrrh4gy",
    ),
    (
        "kubo-raw-leaves",
        "QmQzyohpTrrYEk5nj43RpUyPRmfHwYEBGyhhjKyC7yzDxf",
        "QmVQjaQykFLGBjnnPW1GamETq8aohvzqav8qVgMUt7bNWg",
    ),
    (
        "kubo-cid-v1-dag-pb",
        "bafybeidpyxqbbgm2m6h66gwqlkooczbwtsxcd3h3ogreufrum4ky2jstny",
        "bafybeibr4v4dnzpcwydupso65z6h2tlfzwzbw5o62igwtzykttwt5o735i",
    ),
    (
        "test-cid-v1",
        "bafybeihv3pldlvl3hxizuqqrnkwt6n2sqhdix2koysgprq265po53vpi44",
        "bafybeifvule7up3dtj7k7hlincb2e6o6oxmpz3rypobdihwczzcf4otimq",
    ),
    (
        "lotus",
        "bafykbzacedxlg63n32657yaxx43ktauj2yjfbgmsuch4jonl6byxhymhe2wyi",
        "bafykbzaceayzpww4x6fhbbhspuazx7wjlkp4l2ev7iwvlqxxclwzxpsqp54kk",
    ),
    (
        "kubo-blake3",
        "bafyb4ighsgs5x7v47ctp65d2gqje4pjh4ahfphkzytyqlqs3uotbo2lure",
        "bafyb4iekfnrgysitj2pwhqtthfxdquiti4ixvvr3jm4fkyjhgfipqyazvy",
    ),
    (
        "kubo-trickle",
        "QmZSvE6mxy3ye5EZ5QoC7kZrofz2CLScaoZ18A1ZWvYhVn",
        "QmTu92rwGoa6x4o8EsJitizTJQ2EkmjvUN4sVhr5cuzcCe",
    ),
    (
        "kubo-trickle-cid-v1",
        "bafybeibhreex6niidryz3z64dfjme37wljinvzhu4vvr3sp3346oeimbgq",
        "bafybeicy4kkck5aqq2biy54jxvuaufqxtph323ljfmw7zo4slp6zwrdwye",
    ),
    (
        "kubo-rabin",
        "QmQdvcniytQXTruuy3pQBAKqnKs3h4Kq3wR9E9HGoqQGmN",
        "QmVJsu71i1PEvJ2W2mkBkpfDXUMWchCqETqPEdWcEoYBvv",
    ),
    (
        "kubo-rabin-cid-v1",
        "bafybeigvkv3xpo7fwbofyjf3woz6ovdzsmo36z5p3a745mt556473xfet4",
        "bafybeiej6zyuqecvcbxxwmldps44qbqjx2jxvaje5qv2kk6wzerd5wmere",
    ),
    (
        "kubo-buzhash",
        "QmTe7KgefMz7bpcE7tGGZ1gwN7yKu3ck5r7pfWqEd4oFiw",
        "QmTrGTXcCntEqxrt1iHRdjTbKuu7tW5ThFiogpE85zxvzc",
    ),
    (
        "kubo-buzhash-cid-v1",
        "bafybeiejogcmkamvfv4gqsd6dzwz27aa5wdxttyfnjl63q2rw6lydk6lvi",
        "bafybeih64oas6sec63qlmdpaetffbni2wotjtcjng6eiz2n53ietu6xtdi",
    ),
    (
        "unixfs-v1-2025",
        "bafybeihv3pldlvl3hxizuqqrnkwt6n2sqhdix2koysgprq265po53vpi44",
        "bafybeifvule7up3dtj7k7hlincb2e6o6oxmpz3rypobdihwczzcf4otimq",
    ),
    (
        "unixfs-v1-2025-blake3",
        "bafyb4ibpsk6z3ncwhnnpaf5ofgvpxqoqbmiqrhpudwysdizy5ltg665vwa",
        "bafyb4ifxqyc5u46ybl6g64ql26gg4ltp4qjxzzsso5efctlv4aabxldcyu",
    ),
    (
        "unixfs-v1-2025-trickle",
        "bafybeihv3pldlvl3hxizuqqrnkwt6n2sqhdix2koysgprq265po53vpi44",
        "bafybeihhzjmnt3twoypiprfmwcz3pftaxaunymrtgv4whbwm4s27xp2zgi",
    ),
];

/// Bytes that look random and are always the same.
fn noise(len: usize) -> Bytes {
    let mut state = (len as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| word()).collect();
    bytes.truncate(len);
    bytes.into()
}

fn profile(name: &str) -> Profile {
    Profile::named(name).unwrap()
}

/// The profile with small chunks.
fn small(name: &str, chunk: usize, layout: Layout) -> Profile {
    let profile = profile(name).with_chunker(Chunker::Size(chunk)).unwrap();
    profile.with_layout(layout).unwrap()
}

fn roots(profiles: &[Profile], bytes: &Bytes) -> Vec<Option<Root>> {
    let mut importer = Importer::new(profiles);
    importer.push(bytes);
    importer.finish().roots
}

/// The root under one profile, and all blocks in the order in which they came.
fn blocks(profile: Profile, bytes: &Bytes) -> (Root, Vec<(Cid, Bytes)>) {
    let mut blocks = Vec::new();
    let mut keep = |block: Block| blocks.push((block.cid, Bytes::from(block.parts.concat())));
    let mut importer = Importer::new(&[profile]);
    importer.push_with(bytes, &mut keep);
    let root = importer.finish_with(&mut keep).roots[0].unwrap();
    (root, blocks)
}

fn named(name: impl Into<Bytes>, root: Root) -> Named {
    let name = name.into();
    Named { name, root }
}

#[test]
fn profiles_give_what_kubo_gives() {
    let profiles = RECORDED.map(|(name, ..)| profile(name));
    let files = SIZES.map(|size| roots(&profiles, &noise(size)));
    for (index, (name, largest, all)) in RECORDED.into_iter().enumerate() {
        let root = |file: &Vec<Option<Root>>| file[index].unwrap();
        assert_eq!(cid::text(&root(&files[6]).cid), largest, "{name}");
        let entries = SIZES.iter().zip(&files);
        let entries = entries.map(|(size, file)| named(size.to_string(), root(file)));
        let whole = directory(&profiles[index], entries.collect(), &mut |_| {}).unwrap();
        assert_eq!(cid::text(&whole.cid), all, "{name}");
    }
}

#[test]
fn a_file_of_one_block_is_that_block_or_nothing() {
    let import = |len: usize| roots(&[profile("raw-block")], &noise(len))[0];
    let whole = import(3000).unwrap();
    assert_eq!(whole.tsize, 3000);
    assert!(hash::matches(whole.cid.hash(), [&noise(3000)[..]]));
    assert!(import(0).is_some() && import(Chunker::MAX).is_some());
    assert_eq!(import(Chunker::MAX + 1), None);
}

#[test]
fn a_leaf_that_two_profiles_share_comes_once() {
    let profiles = ["kubo-cid-v1", "kubo-raw-leaves"].map(profile);
    let mut found = Vec::new();
    let mut importer = Importer::new(&profiles);
    importer.push_with(&noise(600_000), &mut |block| found.push(block.cid));
    let import = importer.finish_with(&mut |block| found.push(block.cid));
    assert_eq!(import.size, 600_000);
    let roots: Vec<Cid> = import.roots.iter().flatten().map(|root| root.cid).collect();
    assert_eq!(found.len(), 3 + 2);
    assert_eq!(found[3..], roots, "leaves, then the two nodes");
    assert!(found[..3].iter().all(|cid| cid.codec() == codec::RAW));
}

#[test]
fn leaves_are_slices_of_what_was_pushed() {
    let bytes = noise(10_000);
    let range = bytes.as_ptr_range();
    let layout = Layout::Balanced { width: 2 };
    let mut importer = Importer::new(&[small("kubo-cid-v1", 5000, layout)]);
    let mut lent = 0;
    importer.push_with(&bytes, &mut |block| {
        lent += usize::from(range.contains(&block.parts[0].as_ptr()));
    });
    assert_eq!(lent, 2);
}

#[test]
fn candidates_are_what_can_have_the_cid() {
    let names = |text: &str| -> Vec<&str> {
        let found = Profile::candidates(&cid::parse(text).unwrap());
        found.iter().map(Profile::name).collect()
    };
    // Version 0 may be written as version 1, and is then found all the same.
    let v0 = names("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH");
    assert_eq!(v0[0], "unixfs-v0-2015");
    assert_eq!(
        v0,
        names("bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y")
    );
    assert!(
        !v0.contains(&"raw-block") && !v0.contains(&"helia"),
        "{v0:?}"
    );
    let raw = names("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
    assert!(raw.contains(&"raw-block") && !raw.contains(&"unixfs-v0-2015"));
    assert!(!raw.iter().any(|name| name.contains("trickle")), "{raw:?}");
    assert_eq!(names("bafkqaaa"), ["lotus"]);
    assert!(names("bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua").is_empty());
}

#[test]
fn what_is_usual_is_tried_first() {
    let tiers = |text: &str| {
        let tiers = Profile::tiers(&cid::parse(text).unwrap());
        let [usual, rest] = &tiers;
        assert!(usual.iter().all(|profile| !rest.contains(profile)));
        tiers.map(|tier| tier.iter().map(Profile::name).collect::<Vec<_>>())
    };
    let [v0, rest] = tiers("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH");
    assert_eq!(v0, ["unixfs-v0-2015"]);
    assert!(rest.contains(&"kubo-rabin") && rest.contains(&"kubo-raw-leaves"));
    let [v1, rest] = tiers("bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y");
    assert_eq!(v1, ["kubo-cid-v1", "unixfs-v1-2025", "test-cid-v1"]);
    assert!(rest.contains(&"lotus") && rest.contains(&"unixfs-v0-2015"));
    let [usual, rest] = tiers("bafkqaaa");
    assert_eq!((usual.len(), &rest[..]), (0, &["lotus"][..]));
}

#[test]
fn candidates_take_the_hash_function_of_the_cid() {
    let file = noise(300_000);
    let root = roots(&[profile("kubo-blake3")], &file)[0].unwrap();
    let candidates = Profile::candidates(&root.cid);
    let found = roots(&candidates, &file);
    assert!(found.iter().flatten().any(|found| found.is(&root.cid)));
    assert!(
        candidates
            .iter()
            .all(|profile| profile.naming().hash == BLAKE3)
    );
}

#[test]
fn names_of_profiles_are_unique() {
    let mut seen = HashSet::new();
    for known in Profile::ALL {
        assert!(seen.insert(known.name()), "{}", known.name());
        assert_eq!(Profile::named(known.name()), Some(*known));
        assert_eq!(
            known.with_chunker(known.chunker()),
            Some(*known),
            "sound chunks"
        );
        assert_eq!(
            known.with_layout(known.layout()),
            Some(*known),
            "a sound layout"
        );
        assert_eq!(
            known.with_hash(known.naming().hash),
            Some(*known),
            "a known hash"
        );
        assert!(unixfs::hamt::Fanout::new(known.fanout()).is_ok());
    }
    assert_eq!(profile("legacy-cid-v0"), profile("unixfs-v0-2015"));
    assert_eq!(Profile::named("unheard-of"), None);
    assert_eq!(
        profile("kubo").with_layout(Layout::Balanced { width: 1 }),
        None
    );
    assert_eq!(profile("kubo").with_hash(0), None);
}

#[test]
fn a_symlink_is_read_as_one() {
    let mut block = None;
    let root = symlink(&profile("kubo"), b"../a", &mut |made| block = Some(made));
    assert_eq!(
        cid::text(&root.cid),
        "QmasJT5tCnfkFgkEQHGZoKD1eq6B2rkAPUfxThUMxVUQpu"
    );
    let bytes = Bytes::from(block.unwrap().parts.concat());
    let Ok(Node::Symlink(link)) = unixfs::node(root.cid.codec(), &bytes) else {
        panic!("no symlink");
    };
    assert_eq!(
        (&link.target[..], root.tsize),
        (&b"../a"[..], bytes.len() as u64)
    );
}

#[test]
fn entries_that_make_no_directory() {
    let root = roots(&[profile("kubo")], &Bytes::new())[0].unwrap();
    let of = |names: &[&'static str]| {
        let entries = names.iter().map(|name| named(*name, root)).collect();
        directory(&profile("kubo"), entries, &mut |_| {})
    };
    assert_eq!(
        of(&["b", "a", "b"]),
        Err(DirectoryError::DuplicateName("b".into()))
    );
    for name in ["", ".", "..", "a/b", "a\0"] {
        assert!(
            matches!(of(&["b", name]), Err(DirectoryError::Name(_))),
            "{name:?}"
        );
    }
    let empty = of(&[]).unwrap();
    assert_eq!(
        cid::text(&empty.cid),
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
    );
    assert_eq!(of(&["b", "a"]), of(&["a", "b"]));
}

#[test]
fn every_name_is_found_in_a_sharded_directory() {
    let sharded = profile("kubo-cid-v1").with_sharding(Sharding::Entries(0));
    let root = roots(&[sharded], &noise(5))[0].unwrap();
    let entries: Vec<Named> = (0..5000)
        .map(|index| named(format!("{index}"), root))
        .collect();
    let mut blocks = std::collections::HashMap::new();
    let whole = directory(&sharded, entries.clone(), &mut |block| {
        blocks.insert(block.cid, Bytes::from(block.parts.concat()));
    });
    let whole = whole.unwrap();
    let sum: usize = blocks.values().map(Bytes::len).sum();
    assert_eq!(whole.tsize, sum as u64 + 5 * 5000);
    let Ok(Node::HamtShard(top)) = unixfs::node(codec::DAG_PB, &blocks[&whole.cid]) else {
        panic!("no shard");
    };
    let top = top.place(Place::ROOT).unwrap();
    for entry in &entries {
        let mut shard = top.clone();
        let found = loop {
            match shard.lookup(&entry.name) {
                Lookup::Found(found) => break found.clone(),
                Lookup::Descend(link) => shard = link.read(&blocks[&link.cid]).unwrap(),
                Lookup::Absent => panic!("{entry:?}"),
            }
        };
        assert_eq!((found.cid, found.tsize), (root.cid, Some(5)));
    }
}

/// The bytes of the file that `cid` names, from blocks that came in post-order: each after all
/// that it links to.
fn read(blocks: &[(Cid, Bytes)], cid: &Cid, before: usize) -> Vec<u8> {
    let at = blocks[..before].iter().position(|(known, _)| known == cid);
    let at = at.expect("below comes before above");
    let Node::File(file) = unixfs::node(cid.codec(), &blocks[at].1).unwrap() else {
        panic!("no file");
    };
    let mut out = blocks[at].1[file.inline].to_vec();
    for child in &file.children {
        let part = read(blocks, &child.cid, at);
        assert_eq!(part.len() as u64, child.size);
        out.extend(part);
    }
    out
}

fn layouts() -> impl Strategy<Value = Layout> {
    let widths = 2usize..6;
    widths.prop_flat_map(|width| {
        prop_oneof![
            Just(Layout::Balanced { width }),
            Just(Layout::Trickle { width })
        ]
    })
}

proptest! {
    #[test]
    fn blocks_are_the_file_in_post_order(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        chunk in 1usize..50,
        layout in layouts(),
        which in 0usize..4,
    ) {
        let name = ["unixfs-v0-2015", "kubo-raw-leaves", "unixfs-v1-2025", "lotus"][which];
        let bytes = Bytes::from(bytes);
        let (root, blocks) = blocks(small(name, chunk, layout), &bytes);
        prop_assert_eq!(blocks.last().map(|last| last.0), Some(root.cid));
        prop_assert_eq!(blocks.iter().map(|(_, block)| block.len() as u64).sum::<u64>(), root.tsize);
        for (cid, block) in &blocks {
            prop_assert!(hash::matches(cid.hash(), [&block[..]]));
        }
        prop_assert_eq!(read(&blocks, &root.cid, blocks.len()), &bytes[..]);
    }

    #[test]
    fn pieces_and_company_do_not_matter(
        bytes in prop::collection::vec(any::<u8>(), 0..30_000),
        piece in 1usize..9000,
        layout in layouts(),
    ) {
        let bytes = Bytes::from(bytes);
        let profiles = [
            small("kubo", 5000, layout),
            small("kubo-cid-v1", 700, layout),
            small("kubo-cid-v1-dag-pb", 5000, layout),
            profile("raw-block"),
        ];
        let mut importer = Importer::new(&profiles);
        for at in (0..bytes.len()).step_by(piece) {
            importer.push(&bytes.slice(at..bytes.len().min(at + piece)));
        }
        let alone: Vec<_> = profiles.iter().map(|one| roots(&[*one], &bytes)[0]).collect();
        prop_assert_eq!(importer.finish().roots, alone);
    }
}
