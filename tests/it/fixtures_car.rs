//! CARs of other implementations, and synthetic ones with known verdicts: framing, blocks and
//! files are read as their `expected.json` says.

pub mod expected;
pub mod walker;

use std::fs;

use fetchd::content::car::{CarError, Section};
use fetchd::content::cid::{self, Cid, codec};
use fetchd::content::dagpb::{self, DagPbError};
use fetchd::content::hash;
use fetchd::content::leaf::{self, LeafForm};
use fetchd::content::unixfs::{self, Kind, Node, UnixFsError};
use serde_json::Value;

use crate::support::fixtures;
use expected::{cars, json, parse, texts};
use walker::{Blocks, WalkError, read_car};

fn sha256(bytes: &[u8]) -> String {
    let mut hasher = hash::Hasher::new(0x12).unwrap();
    hasher.update(bytes);
    hex(&hasher.finish())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_file(blocks: &Blocks, cid: &Cid, expected: &Value, name: &str) {
    let bytes = blocks
        .file(cid)
        .unwrap_or_else(|error| panic!("{name}: {error:?}"));
    assert_eq!(bytes.len() as u64, expected["size"], "{name}");
    assert_eq!(
        sha256(&bytes),
        expected["sha256"].as_str().unwrap(),
        "{name}"
    );
}

#[test]
fn real_cars_give_their_blocks() {
    for (name, bytes, expected) in cars("expected.json", "") {
        for chunk in [1, 333, bytes.len()] {
            let read = read_car(&bytes, chunk);
            assert_eq!(read.end, Ok(()), "{name}");
            let roots = read.header.unwrap().roots;
            let roots: Vec<_> = roots.iter().map(cid::text).collect();
            assert_eq!(roots, texts(&expected["roots"]), "{name}");
            assert_eq!(read.sections.len() as u64, expected["blocks"], "{name}");
            // Large archives come without the list.
            if expected["block_order"].is_array() {
                assert_eq!(
                    order(&read.sections),
                    texts(&expected["block_order"]),
                    "{name}"
                );
            }
            let largest = read.sections.iter().map(|section| section.len).max();
            assert_eq!(largest.unwrap(), expected["max_block"], "{name}");
            check_offsets(&read.sections, &bytes);
            assert!(Blocks::of(&read.sections).rejected.is_empty(), "{name}");
        }
    }
}

fn order(sections: &[Section]) -> Vec<String> {
    sections
        .iter()
        .map(|section| cid::text(&section.cid))
        .collect()
}

fn check_offsets(sections: &[Section], bytes: &[u8]) {
    for section in sections {
        let start = usize::try_from(section.offset).unwrap();
        let end = start + usize::try_from(section.len).unwrap();
        assert_eq!(section.contiguous(), bytes[start..end]);
    }
}

#[test]
fn real_files_have_their_bytes() {
    for (name, bytes, expected) in cars("expected.json", "") {
        let blocks = Blocks::of(&read_car(&bytes, bytes.len()).sections);
        for entry in expected["tree"].as_array().unwrap() {
            let label = format!("{name}: {}", entry["path"]);
            let Some(kind) = entry["type"].as_str() else {
                continue;
            };
            // A root that is not a directory is its own path.
            let cid = parse(entry.get("cid").unwrap_or(&entry["path"]));
            match (kind, entry["error"].as_str()) {
                ("file" | "raw", None) => check_file(&blocks, &cid, entry, &label),
                ("file", Some(error)) => {
                    let missing = error.strip_prefix("missing ").unwrap().to_owned();
                    assert_eq!(
                        blocks.file(&cid),
                        Err(WalkError::Missing(missing)),
                        "{label}"
                    );
                }
                _ => check_node(&blocks, &cid, entry, &label),
            }
        }
    }
}

/// What the tree says of something that is not a file.
fn check_node(blocks: &Blocks, cid: &Cid, entry: &Value, label: &str) {
    let block = blocks.block(cid).unwrap();
    let node = unixfs::node(cid.codec(), &block);
    match entry["type"].as_str().unwrap() {
        // Their entries are held against the tree with the directories.
        "directory" => assert!(
            matches!(
                node,
                Ok(Node::Directory(_)) | Err(UnixFsError::UnsafeName { .. })
            ),
            "{label}: {node:?}"
        ),
        "hamt-sharded-directory" => assert!(matches!(node, Ok(Node::HamtShard(_))), "{label}"),
        "symlink" => {
            let Ok(Node::Symlink(link)) = node else {
                panic!("{label}: {node:?}");
            };
            assert_eq!(link.target, entry["target"].as_str().unwrap(), "{label}");
        }
        "dag-pb(not unixfs)" => assert_eq!(node, Err(UnixFsError::NoData), "{label}"),
        _ => assert_eq!(node, Ok(Node::Opaque { codec: cid.codec() }), "{label}"),
    }
    if let Some(links) = entry["links"].as_u64() {
        let decoded = dagpb::decode(&block).unwrap();
        assert_eq!(decoded.links.len() as u64, links, "{label}");
    }
    if let Some(seconds) = entry["mtime"]["secs"].as_str() {
        let data = dagpb::decode(&block).unwrap().data.unwrap();
        let unixfs = unixfs::decode(&block[data]).unwrap();
        assert_eq!(
            unixfs.mtime.unwrap().seconds.to_string(),
            seconds,
            "{label}"
        );
        let mode = entry["mode"]
            .as_str()
            .map(|mode| u32::from_str_radix(mode, 8).unwrap());
        assert_eq!(unixfs.mode.map(|mode| mode & 0o7777), mode, "{label}");
    }
}

#[test]
fn specification_offsets() {
    for version in ["carv1", "carv2"] {
        let base = format!("ipld/specs/transport/car/fixture/{version}-basic/{version}-basic");
        let Some((_, expected)) = json(&format!("{base}.json")) else {
            return;
        };
        let bytes = fs::read(fixtures(&format!("{base}.car")).unwrap()).unwrap();
        let read = read_car(&bytes, 64);
        assert_eq!(read.end, Ok(()));
        let roots = read.header.unwrap().roots;
        for (root, expected) in roots
            .iter()
            .zip(expected["header"]["roots"].as_array().unwrap())
        {
            assert_eq!(*root, parse(&expected["/"]));
        }
        let blocks = expected["blocks"].as_array().unwrap();
        assert_eq!(read.sections.len(), blocks.len());
        for (section, expected) in read.sections.iter().zip(blocks) {
            assert_eq!(section.cid, parse(&expected["cid"]["/"]));
            assert_eq!(section.offset, expected["blockOffset"]);
            assert_eq!(section.len, expected["blockLength"]);
        }
    }
}

/// Number of blocks if known, and whether this is how the reading may end.
type Verdict = (Option<usize>, fn(&Result<(), CarError>) -> bool);

/// What `damaged/<name>` must come to: blocks read, and the end.
fn damaged_end(name: &str) -> Verdict {
    use CarError::{Cid, EmptySection, Header, Length, SectionTooLarge, Truncated};
    let truncated = |end: &_| matches!(end, Err(Truncated { .. }));
    let clean = |end: &Result<(), CarError>| end.is_ok();
    match &name[..2] {
        "01" | "02" => (Some(0), truncated),
        "03" => (Some(0), clean),
        "04" => (Some(6), clean),
        "05" | "08" => (Some(1), truncated),
        "07" => (Some(6), truncated),
        "09" => (Some(9), truncated),
        "10" => (Some(6), |end| matches!(end, Err(Cid { .. }))),
        "20" => (Some(6), |end| matches!(end, Err(EmptySection { .. }))),
        "22" => (Some(6), |end| matches!(end, Err(SectionTooLarge { .. }))),
        "23" => (Some(6), |end| matches!(end, Err(Length { .. }))),
        "25" => (Some(0), |end| matches!(end, Err(Header(_)))),
        _ => (None, clean),
    }
}

#[test]
fn damaged_cars_have_their_verdicts() {
    for (path, bytes, expected) in cars("derived/expected.json", "damaged/") {
        let name = path.strip_prefix("damaged/").unwrap();
        let (count, is_expected_end) = damaged_end(name);
        for chunk in [1, 64, bytes.len().max(1)] {
            let read = read_car(&bytes, chunk);
            assert!(is_expected_end(&read.end), "{name}: {:?}", read.end);
            if let Some(count) = count {
                assert_eq!(read.sections.len(), count, "{name}");
            }
            if let Some(count) = expected["blocks_ok"].as_u64() {
                assert_eq!(read.sections.len() as u64, count, "{name}");
            }
            let rejected = Blocks::of(&read.sections).rejected;
            let bad: Vec<_> = expected["bad"].as_str().into_iter().collect();
            let rejected: Vec<_> = rejected.iter().map(cid::text).collect();
            assert_eq!(rejected, bad, "{name}");
            if name.starts_with("00") {
                assert_eq!(order(&read.sections), texts(&expected["blocks"]));
                check_offsets(&read.sections, &bytes);
            }
        }
    }
}

/// Blocks that are in the DAG below `root` but not in the CAR.
fn missing_below(blocks: &Blocks, root: &Cid) -> usize {
    let (mut missing, mut stack) = (0, vec![*root]);
    while let Some(cid) = stack.pop() {
        match blocks.block(&cid) {
            Ok(block) if cid.codec() == codec::DAG_PB => {
                stack.extend(
                    dagpb::decode(&block)
                        .unwrap()
                        .links
                        .iter()
                        .map(|link| link.cid),
                );
            }
            Ok(_) => {}
            Err(_) => missing += 1,
        }
    }
    missing
}

#[test]
fn only_the_walk_knows_what_is_complete() {
    for (name, bytes, expected) in cars("derived/expected.json", "damaged/") {
        let blocks = Blocks::of(&read_car(&bytes, 4096).sections);
        let complete = expected["verdict"]
            .as_str()
            .unwrap()
            .starts_with("complete");
        let missing = missing_below(&blocks, &parse(&expected["root"]));
        assert_eq!(missing == 0, complete, "{name}");
    }
}

#[test]
fn unusual_files_are_read() {
    for (name, bytes, expected) in cars("derived/expected.json", "dags/") {
        let read = read_car(&bytes, 100);
        assert_eq!(read.end, Ok(()), "{name}");
        let content = &expected["content"];
        if content.is_object() {
            let blocks = Blocks::of(&read.sections);
            check_file(&blocks, &parse(&expected["roots"][0]), content, &name);
        }
    }
}

/// The one structural error that the file at the root of `hostile/<name>` must give.
fn hostile_error(name: &str) -> Option<WalkError> {
    use DagPbError::{DataTwice, NoCid, SplitLinks};
    let dag_pb = |error| UnixFsError::DagPb(error);
    let error = match name.trim_end_matches(".car") {
        "bomb-file-16pow12" => return Some(WalkError::TooLarge(288_230_376_151_711_744)),
        "dagpb-data-twice" => dag_pb(DataTwice),
        "dagpb-links-data-links" => dag_pb(SplitLinks),
        "dagpb-link-no-hash" => dag_pb(NoCid { link: 0 }),
        "file-blocksizes-count-mismatch" => UnixFsError::SizeCount { links: 2, sizes: 1 },
        "file-chunk-link-with-name" => UnixFsError::NamedPart { index: 0 },
        "file-child-is-dag-cbor" => UnixFsError::PartCodec {
            index: 0,
            codec: codec::DAG_CBOR,
        },
        "file-filesize-lie-small" => UnixFsError::FileSize {
            claimed: 10,
            sum: 300,
        },
        "metadata-type" => UnixFsError::Metadata,
        "mtime-nanos-1e9" => UnixFsError::Mtime,
        "no-type" => UnixFsError::NoType,
        _ => return None,
    };
    Some(WalkError::Structure(error))
}

#[test]
fn hostile_files_are_refused() {
    for (path, bytes, expected) in cars("derived/expected.json", "hostile/") {
        let name = path.strip_prefix("hostile/").unwrap();
        let read = read_car(&bytes, bytes.len());
        assert_eq!(read.end, Ok(()), "{name}: the framing is right");
        let blocks = Blocks::of(&read.sections);
        assert!(blocks.rejected.is_empty(), "{name}: the hashes are right");
        let result = blocks.file(&parse(&expected["roots"][0]));
        match name {
            // Writers must give the size; where none is given, the bytes say it.
            "file-no-filesize.car" => assert_eq!(result.unwrap().len(), 3, "{name}"),
            "dagpb-link-bad-cid.car" | "dagpb-truncated-length.car" => {
                let refused = matches!(result, Err(WalkError::Structure(UnixFsError::DagPb(_))));
                assert!(refused, "{name}");
            }
            "file-blocksize-lie.car" => {
                let refused = matches!(
                    result,
                    Err(WalkError::Structure(UnixFsError::PartSize { .. }))
                );
                assert!(refused, "{name}");
            }
            // What is wrong with directories is told with them.
            "evil-names.car" | "symlink-then-dir-same-name.car" => {
                assert!(matches!(result, Err(WalkError::Structure(_))), "{name}");
            }
            _ if name.starts_with("hamt-") => assert!(result.is_err(), "{name}"),
            _ => assert_eq!(
                result,
                Err(hostile_error(name).unwrap_or(WalkError::NotFile)),
                "{name}"
            ),
        }
    }
}

#[test]
fn leaves_rebuild_to_their_vectors() {
    let Some((_, vectors)) = json("derived/leaf-rebuild-vectors.json") else {
        return;
    };
    for vector in vectors["vectors"].as_array().unwrap() {
        let len = vector["len"].as_u64().unwrap();
        let bytes: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        assert_eq!(sha256(&bytes), vector["data_sha256"].as_str().unwrap());
        let found = |cid: &Value| leaf::rebuild(&parse(cid), len, bytes.chunks(1000));
        assert_eq!(found(&vector["raw_leaf_cid"]), Some(LeafForm::Raw));
        for (key, form) in [
            ("type_file", LeafForm::DagPbFile),
            ("type_raw", LeafForm::DagPbRaw),
        ] {
            let expected = &vector[key];
            let (prefix, suffix) = form.wrapping(len);
            assert_eq!(hex(&prefix), expected["prefix_hex"].as_str().unwrap());
            assert_eq!(hex(&suffix), expected["suffix_hex"].as_str().unwrap());
            let block_len = len + leaf::canonical_overhead(len);
            assert_eq!(block_len, expected["block_len"]);
            assert_eq!(found(&expected["cid_v0"]), Some(form));
            assert_eq!(found(&expected["cid_v1"]), Some(form));
        }
    }
}

/// Every leaf of the classic files rebuilds from its bytes, in the form that the file says.
#[test]
fn leaves_of_real_files_rebuild() {
    for (name, form) in [
        ("type-file", LeafForm::DagPbFile),
        ("type-raw", LeafForm::DagPbRaw),
    ] {
        let rel = format!("derived/dags/v0-file-dagpb-leaves-{name}.car");
        let Some(path) = fixtures(&rel) else {
            return;
        };
        let bytes = fs::read(path).unwrap();
        let read = read_car(&bytes, bytes.len());
        let blocks = Blocks::of(&read.sections);
        let root = read.header.unwrap().roots[0];
        let file = blocks.file(&root).unwrap();
        let Node::File(node) = unixfs::node(root.codec(), &blocks.block(&root).unwrap()).unwrap()
        else {
            panic!("{name} is a file");
        };
        assert_eq!(node.children.len(), 3);
        for child in node.children {
            let start = usize::try_from(child.offset).unwrap();
            let part = &file[start..start + usize::try_from(child.size).unwrap()];
            assert_eq!(leaf::rebuild(&child.cid, child.size, [part]), Some(form));
            let overhead = child.tsize.unwrap() - child.size;
            assert_eq!(leaf::canonical_overhead(child.size), overhead);
        }
    }
}

#[test]
fn bare_messages_are_read() {
    for folder in [
        "go-unixfsnode/data/fixtures",
        "js-ipfs-unixfs/packages/ipfs-unixfs/test/fixtures",
    ] {
        for (name, kind) in [
            // Named so, but of type File in both collections.
            ("raw", Kind::File),
            ("directory", Kind::Directory),
            ("file.txt", Kind::File),
            ("symlink.txt", Kind::Symlink),
        ] {
            let Some(path) = fixtures(&format!("{folder}/{name}.unixfs")) else {
                return;
            };
            let message = fs::read(path).unwrap();
            let unixfs = unixfs::decode(&message).unwrap();
            assert_eq!(unixfs.kind, kind, "{folder}/{name}");
            let content = unixfs.data.map_or(&[][..], |data| &message[data]);
            let expected: &[u8] = match kind {
                Kind::File => b"Hello UnixFS\n",
                Kind::Symlink => b"file.txt",
                _ => b"",
            };
            assert_eq!(content, expected, "{folder}/{name}");
        }
    }
}
