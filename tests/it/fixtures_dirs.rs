//! Directories, shards, symlinks and paths of other implementations, and hostile ones: what is in
//! them is what their `expected.json` says, and every path leads where the tree has it.

pub mod lister;

use fetchd::content::cid::{self, Cid};
use fetchd::content::path::{At, Obstacle, PathError, Step};
use fetchd::content::unixfs::hamt::{self, Fanout, HamtError, Lookup, Place};
use fetchd::content::unixfs::{self, Fault, NameFlaw, Node, UnixFsError};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::fixtures_car::expected::{cars, json, parse};
use crate::fixtures_car::walker::{Blocks, read_car};
use lister::{End, Listing, follow, list, split};

/// Every real CAR with its blocks and its tree.
fn trees() -> Vec<(String, Blocks, Vec<Value>)> {
    let cars = cars("expected.json", "").into_iter();
    cars.map(|(name, bytes, mut expected)| {
        let blocks = Blocks::of(&read_car(&bytes, bytes.len()).sections);
        let tree = expected["tree"].as_array_mut().expect("a tree");
        (name, blocks, std::mem::take(tree))
    })
    .collect()
}

fn is_directory(entry: &Value) -> bool {
    let kind = entry["type"].as_str();
    kind == Some("directory") || kind == Some("hamt-sharded-directory")
}

fn path(entry: &Value) -> &str {
    entry["path"].as_str().expect("a path")
}

/// These go out of their directory, or into another; a listing refuses them.
fn escapes(name: &str) -> bool {
    name.ends_with("outside-root.car") || name.ends_with("inside-root.car")
}

#[test]
fn directories_hold_what_the_trees_say() {
    let mut checked = Vec::new();
    for (name, blocks, tree) in trees() {
        for directory in tree.iter().filter(|entry| is_directory(entry)) {
            let label = format!("{name}: {}", path(directory));
            let listing = match list(&blocks, &parse(&directory["cid"])) {
                Err(UnixFsError::UnsafeName { .. }) if escapes(&name) => continue,
                listing => listing.unwrap().unwrap_or_else(|| panic!("{label}")),
            };
            if let Some(summary) = summary(&tree, path(directory)) {
                check_summary(&listing, summary, &label);
            } else {
                check_entries(&listing, &tree, path(directory), &label);
            }
            checked.push(listing.shards);
        }
    }
    let sharded = checked.iter().filter(|shards| **shards > 0).count();
    assert!(checked.is_empty() || (checked.len() > 80 && sharded == 6));
}

/// Of a large directory the tree has only a summary and the first few.
fn summary<'a>(tree: &'a [Value], directory: &str) -> Option<&'a Value> {
    let star = format!("{directory}*");
    tree.iter().find(|entry| path(entry) == star)
}

fn check_summary(listing: &Listing, summary: &Value, label: &str) {
    let mut names: Vec<String> = listing
        .entries
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    // The tree counts a shard that is not there as one name.
    for shard in &listing.missing {
        let bucket = shard.place.path() & 0xff;
        names.push(format!("<shard {bucket:02X} missing>"));
    }
    assert_eq!(names.len() as u64, summary["entries"], "{label}");
    names.sort();
    let hash = Sha256::digest(names.join("\n"));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, summary["sortedNamesSha256"], "{label}");
}

fn check_entries(listing: &Listing, tree: &[Value], directory: &str, label: &str) {
    assert_eq!(listing.missing, [], "{label}");
    let below = tree.iter().filter_map(|entry| {
        let rest = path(entry).strip_prefix(directory)?;
        let name = rest.strip_suffix('/').unwrap_or(rest);
        let direct = !name.is_empty() && !name.contains('/');
        direct.then(|| (name.to_owned(), parse(&entry["cid"])))
    });
    let mut expected: Vec<(String, Cid)> = below.collect();
    let mut found = listing.entries.clone();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "{label}");
}

/// Blocks that `dag-scope=entity` sends of a sharded directory, and how deep they lie.
#[test]
fn shards_are_as_many_as_gateways_send() {
    let known = [
        ("single-layer-hamt-with-multi-block-files.car", (237, 2)),
        (
            "directory-with-multilayer-hamt-and-multiblock-files.car",
            (3, 1),
        ),
    ];
    for (name, blocks, tree) in trees() {
        let Some((_, expected)) = known.iter().find(|(car, _)| name.ends_with(car)) else {
            continue;
        };
        let sharded = |entry: &&Value| entry["type"] == "hamt-sharded-directory";
        let root = parse(&tree.iter().find(sharded).unwrap()["cid"]);
        let listing = list(&blocks, &root).unwrap().unwrap();
        assert_eq!((listing.shards, listing.deepest), *expected, "{name}");
    }
}

/// Also through directories that a listing refuses: looking up is harmless.
#[test]
fn every_path_leads_where_the_tree_has_it() {
    for (name, blocks, tree) in trees() {
        for entry in tree.iter().filter(|entry| entry["cid"].is_string()) {
            let (root, names) = split(path(entry));
            let label = format!("{name}: {}", path(entry));
            // No name has a separator, and a shard is not a name.
            if names.contains(&"..") || path(entry).contains("<shard ") {
                continue;
            }
            assert_eq!(
                follow(&blocks, root, &names),
                End::At(parse(&entry["cid"])),
                "{label}"
            );
        }
    }
}

#[test]
fn names_that_are_not_there_are_proved_absent() {
    for (name, blocks, tree) in trees() {
        for directory in tree.iter().filter(|entry| is_directory(entry)) {
            let (root, mut names) = split(path(directory));
            names.push("no such name");
            match follow(&blocks, root, &names) {
                End::Nowhere(PathError::Absent { name: absent, .. }) => {
                    assert_eq!(absent, "no such name");
                }
                // The one archive whose shards are not all there proves nothing.
                End::Missing(_) if name.contains("wikipedia") => {}
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_is_no_directory_ends_the_way() {
    for (name, blocks, tree) in trees() {
        for entry in tree.iter().filter(|entry| !is_directory(entry)) {
            let (Some(kind), false) = (entry["type"].as_str(), path(entry).contains("..")) else {
                continue;
            };
            let (root, mut names) = split(path(entry));
            names.push("x");
            let end = follow(&blocks, root, &names);
            let label = format!("{name}: {}: {end:?}", path(entry));
            let what = match end {
                End::Nowhere(PathError::NotADirectory { what, .. }) => what,
                End::Nowhere(PathError::Malformed { .. }) => {
                    assert_eq!(kind, "dag-pb(not unixfs)", "{label}");
                    continue;
                }
                _ => panic!("{label}"),
            };
            match what {
                Obstacle::File => assert!(kind == "file" || kind == "raw", "{label}"),
                Obstacle::Symlink { target } => {
                    assert_eq!(target, entry["target"].as_str().unwrap(), "{label}");
                }
                Obstacle::Opaque { codec } => {
                    assert_eq!(cid::codec::name(codec), Some(kind), "{label}");
                }
            }
        }
    }
}

#[test]
fn directories_and_symlinks_keep_mode_and_mtime() {
    for (name, blocks, tree) in trees() {
        for entry in tree.iter().filter(|entry| entry["mtime"].is_object()) {
            let cid = parse(&entry["cid"]);
            let block = blocks.block(&cid).unwrap();
            let (mode, mtime) = match unixfs::node(cid.codec(), &block).unwrap() {
                Node::File(file) => (file.mode, file.mtime),
                Node::Directory(directory) => (directory.mode, directory.mtime),
                Node::Symlink(link) => (link.mode, link.mtime),
                other => panic!("{name}: {other:?}"),
            };
            let seconds = mtime.unwrap().seconds.to_string();
            assert_eq!(seconds, entry["mtime"]["secs"], "{name}");
            if let Some(text) = entry["mode"].as_str() {
                assert_eq!(mode, u32::from_str_radix(text, 8).ok(), "{name}");
            }
        }
    }
}

#[test]
fn hashes_of_names_are_the_recorded_ones() {
    let Some((_, vectors)) = json("derived/hamt-hash-vectors.json") else {
        return;
    };
    for vector in vectors["vectors"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let hash = hamt::hash(name.as_bytes());
        assert_eq!(format!("{hash:016x}"), vector["hash_be_hex"], "{name}");
        let first = |fanout: u64| {
            let fanout = Fanout::new(fanout).unwrap();
            let place = Place::ROOT.with_fanout(fanout).unwrap();
            place.bucket_of(name.as_bytes()).unwrap()
        };
        assert_eq!(first(1024), vector["first_index_fanout1024"]);
        assert_eq!(first(16), vector["first_index_fanout16"]);
        assert_eq!(first(8), vector["first_index_fanout8_3bits"]);
        let fanout = Fanout::new(256).unwrap();
        let mut place = Place::ROOT;
        for prefix in vector["prefix_fanout256_levels"].as_array().unwrap() {
            place = place.with_fanout(fanout).unwrap();
            let bucket = place.bucket_of(name.as_bytes()).unwrap();
            assert_eq!(fanout.prefix(bucket), prefix.as_str().unwrap());
            place = place.below(bucket);
        }
    }
}

/// A hostile CAR's blocks, its root, and what is noted of it.
fn hostile(name: &str) -> Option<(Blocks, Cid, Value)> {
    let mut cars = cars("derived/expected.json", &format!("hostile/{name}"));
    let (_, bytes, expected) = cars.pop()?;
    let blocks = Blocks::of(&read_car(&bytes, bytes.len()).sections);
    Some((blocks, parse(&expected["roots"][0]), expected))
}

#[test]
fn hostile_directories_are_refused() {
    type IsRight = fn(&UnixFsError) -> bool;
    let cases: [(&str, IsRight); 5] = [
        ("evil-names.car", |error| error.fault() == Fault::Unsafe),
        (
            "symlink-then-dir-same-name.car",
            |error| matches!(error, UnixFsError::DuplicateName { name } if name == "x"),
        ),
        ("hamt-depth-10.car", |error| {
            *error == UnixFsError::Hamt(HamtError::TooDeep(8))
        }),
        ("hamt-fanout-huge.car", |error| {
            *error == UnixFsError::Hamt(HamtError::Fanout(1 << 40))
        }),
        ("hamt-short-link-name.car", |error| {
            matches!(error, UnixFsError::Hamt(HamtError::Prefix { .. }))
        }),
    ];
    for (name, is_right) in cases {
        let Some((blocks, root, _)) = hostile(name) else {
            return;
        };
        let error = list(&blocks, &root).unwrap_err();
        assert!(is_right(&error), "{name}: {error:?}");
    }
}

/// Each of the evil names: unsafe here, or left to the disk, which knows its own rules.
#[test]
fn evil_names_are_judged_one_by_one() {
    let Some((blocks, root, expected)) = hostile("evil-names.car") else {
        return;
    };
    let block = blocks.block(&root).unwrap();
    let names = expected["names_hex"].as_array().unwrap();
    let mut judged = Vec::new();
    for name in names {
        let hex = name.as_str().unwrap();
        let digits = (0..hex.len()).step_by(2);
        let bytes: Vec<u8> = digits
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let found = At::new(root).step(&block, &text).unwrap();
        let Step::Found(entry) = found else {
            panic!("{text:?}: {found:?}");
        };
        match entry.check_name() {
            Ok(()) => {}
            Err(UnixFsError::UnsafeName { flaw, .. }) => judged.push((text, flaw)),
            Err(other) => panic!("{other:?}"),
        }
    }
    let expected = [
        ("..", NameFlaw::Dots),
        (".", NameFlaw::Dots),
        ("", NameFlaw::Empty),
        ("a/b", NameFlaw::Separator),
        ("/etc/passwd", NameFlaw::Separator),
        ("nul\0byte", NameFlaw::Separator),
    ]
    .map(|(name, flaw)| (name.to_owned(), flaw));
    assert_eq!(judged, expected);
}

#[test]
fn deep_directories_take_one_step_each() {
    let Some((blocks, root, _)) = hostile("deep-dir-2000.car") else {
        return;
    };
    let (mut here, mut depth) = (root, 0);
    while let Some(listing) = list(&blocks, &here).unwrap() {
        assert_eq!(listing.entries.len(), 1);
        here = listing.entries[0].1;
        depth += 1;
    }
    assert_eq!(depth, 2000);
}

#[test]
fn escaping_symlinks_are_read_and_not_followed() {
    let Some((blocks, root, expected)) = hostile("symlinks-escaping.car") else {
        return;
    };
    let listing = list(&blocks, &root).unwrap().unwrap();
    for (name, target) in expected["targets"].as_object().unwrap() {
        let (_, cid) = listing.entries.iter().find(|(n, _)| n == name).unwrap();
        let block = blocks.block(cid).unwrap();
        let Ok(Node::Symlink(link)) = unixfs::node(cid.codec(), &block) else {
            panic!("{name}");
        };
        assert_eq!(link.target, target.as_str().unwrap());
        let end = follow(&blocks, root, &[name, "x"]);
        assert!(
            matches!(
                end,
                End::Nowhere(PathError::NotADirectory {
                    what: Obstacle::Symlink { .. },
                    ..
                })
            ),
            "{name}: {end:?}"
        );
    }
}

/// Lookups find in a real directory whatever a walk lists, at every depth.
#[test]
fn lookups_find_what_walks_list() {
    for (name, blocks, tree) in trees() {
        for directory in tree
            .iter()
            .filter(|e| e["type"] == "hamt-sharded-directory")
        {
            let root = parse(&directory["cid"]);
            let listing = list(&blocks, &root).unwrap().unwrap();
            for (entry, cid) in &listing.entries {
                assert_eq!(follow(&blocks, root, &[entry]), End::At(*cid), "{name}");
            }
            let block = blocks.block(&root).unwrap();
            let Ok(Node::HamtShard(shard)) = unixfs::node(root.codec(), &block) else {
                panic!("{name}");
            };
            let shard = shard.place(Place::ROOT).unwrap();
            let found = listing
                .entries
                .iter()
                .filter(|(entry, _)| matches!(shard.lookup(entry.as_bytes()), Lookup::Found(_)));
            assert!(found.count() <= shard.node().len(), "{name}");
        }
    }
}
