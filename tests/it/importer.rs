//! Importer profiles and CARs against a real Kubo: the same files have the same CIDs, and the same
//! DAG is the same CAR. And against the fixtures: what others imported comes out the same.
//!
//! Kubo is the binary that `FETCHD_KUBO` names; skipped without it.

mod fixtures;
mod kubo;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bytes::Bytes;
use fetchd::content::car::writer::{self, Dfs};
use fetchd::content::cid::{self, Cid};
use fetchd::content::importer::{
    Block, Chunker, Importer, Layout, Named, Profile, Root, directory, symlink,
};

use crate::support;
use kubo::Kubo;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The profiles that Kubo can be told to have, with how. [`V1_2025`] are added to a repository
/// of that profile.
const BY_OPTIONS: &[(&str, &[&str])] = &[
    ("unixfs-v0-2015", &[]),
    ("kubo-cid-v1", &["--cid-version=1"]),
    (
        "kubo-cid-v1-dag-pb",
        &["--cid-version=1", "--raw-leaves=false"],
    ),
    ("kubo-raw-leaves", &["--raw-leaves"]),
    (
        "test-cid-v1",
        &["--cid-version=1", "--chunker=size-1048576"],
    ),
    ("lotus", LOTUS),
    ("kubo-blake3", &["--hash=blake3", "--cid-version=1"]),
    ("kubo-trickle", &["--trickle"]),
    ("kubo-trickle-cid-v1", &["--trickle", "--cid-version=1"]),
    ("kubo-rabin", &["--chunker=rabin"]),
    ("kubo-rabin-cid-v1", &["--chunker=rabin", "--cid-version=1"]),
    ("kubo-buzhash", &["--chunker=buzhash"]),
    (
        "kubo-buzhash-cid-v1",
        &["--chunker=buzhash", "--cid-version=1"],
    ),
];

const LOTUS: &[&str] = &[
    "--cid-version=1",
    "--chunker=size-1048576",
    "--max-file-links=1024",
    "--hash=blake2b-256",
    "--inline",
    "--inline-limit=126",
];

/// Those that have the settings of `unixfs-v1-2025` for what the options do not say.
const V1_2025: &[(&str, &[&str])] = &[
    ("unixfs-v1-2025", &[]),
    ("unixfs-v1-2025-blake3", &["--hash=blake3"]),
    ("unixfs-v1-2025-trickle", &["--trickle"]),
];

/// Bytes that look random and are always the same.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| word()).collect();
    bytes.truncate(len);
    bytes
}

fn named(name: &str) -> Profile {
    Profile::named(name).unwrap_or_else(|| panic!("no profile {name}"))
}

fn text(root: &Root) -> String {
    cid::text(&root.cid)
}

/// The roots of these bytes under each profile, pushed in pieces of `piece` bytes.
fn roots(profiles: &[Profile], bytes: &Bytes, piece: usize) -> Vec<Option<Root>> {
    let mut importer = Importer::new(profiles);
    for at in (0..bytes.len()).step_by(piece) {
        importer.push(&bytes.slice(at..bytes.len().min(at + piece)));
    }
    importer.finish().roots
}

/// A directory of these files, all imported in one pass under each profile; and of each profile
/// what Kubo should print.
fn hashes(profiles: &[Profile], files: &BTreeMap<String, Bytes>) -> Vec<BTreeMap<String, String>> {
    let mut entries = vec![Vec::new(); profiles.len()];
    for (name, bytes) in files {
        for (index, root) in roots(profiles, bytes, 300_007).into_iter().enumerate() {
            let root = root.expect("no profile of one block");
            let name = Bytes::from(name.clone());
            entries[index].push(Named { name, root });
        }
    }
    let print = |(profile, entries): (&Profile, Vec<Named>)| {
        let line = |entry: &Named| {
            let name = String::from_utf8(entry.name.to_vec()).expect("text");
            (name, text(&entry.root))
        };
        let mut lines: BTreeMap<String, String> = entries.iter().map(line).collect();
        let root = directory(profile, entries, &mut |_| {}).expect("a directory");
        lines.insert(String::new(), text(&root));
        lines
    };
    profiles.iter().zip(entries).map(print).collect()
}

fn write(folder: &Path, files: &BTreeMap<String, Bytes>) {
    std::fs::create_dir_all(folder).expect("a folder");
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).expect("written");
    }
}

/// What differs, and nothing of what does not.
#[track_caller]
fn same(label: &str, ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) {
    let differ: Vec<_> = theirs
        .iter()
        .filter(|(path, cid)| ours.get(*path) != Some(cid))
        .take(5)
        .collect();
    assert!(
        differ.is_empty() && ours.len() == theirs.len(),
        "{label}: {} of {}, {differ:?}",
        ours.len(),
        theirs.len()
    );
}

/// Files whose sizes lie around those of chunks and of full nodes.
fn files_of_telling_sizes() -> BTreeMap<String, Bytes> {
    let sizes = [
        0,
        1,
        32,
        126,
        127,
        128 * KIB,
        256 * KIB - 1,
        256 * KIB,
        256 * KIB + 1,
        512 * KIB + 1,
        MIB,
        MIB + 1,
        5 * MIB + 77,
        174 * 256 * KIB,
        174 * 256 * KIB + 1,
    ];
    let mut files: BTreeMap<String, Bytes> = sizes
        .iter()
        .map(|&size| (format!("{size}"), noise(size, size as u64).into()))
        .collect();
    files.insert("zeros".into(), vec![0; 3 * MIB].into());
    files.insert("ones".into(), vec![1; 3 * MIB].into());
    files
}

#[test]
fn every_profile_is_that_of_kubo() {
    let Some(binary) = support::kubo() else {
        return;
    };
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("files");
    let files = files_of_telling_sizes();
    write(&folder, &files);
    for (repository, table) in [("test", BY_OPTIONS), ("test,unixfs-v1-2025", V1_2025)] {
        let kubo = Kubo::new(&binary, repository);
        let profiles: Vec<Profile> = table.iter().map(|(name, _)| named(name)).collect();
        let ours = hashes(&profiles, &files);
        for ((name, options), ours) in table.iter().zip(&ours) {
            same(name, ours, &kubo.hash(&folder, options));
        }
    }
}

/// Trees of many levels, from small chunks and narrow nodes.
#[test]
fn every_shape_is_that_of_kubo() {
    let Some(binary) = support::kubo() else {
        return;
    };
    let kubo = Kubo::new(&binary, "test");
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("files");
    let sizes = (0..140).chain([255, 256, 257, 1000, 1023, 1024, 1025, 9999]);
    let files: BTreeMap<String, Bytes> = sizes
        .map(|size| (format!("{size}"), noise(size, 5).into()))
        .collect();
    write(&folder, &files);
    for (chunk, width) in [(1, 2), (4, 2), (4, 3), (7, 5)] {
        for trickle in [false, true] {
            let layout = match trickle {
                true => Layout::Trickle { width },
                false => Layout::Balanced { width },
            };
            let with = |name| {
                let profile = named(name)
                    .with_chunker(Chunker::Size(chunk))
                    .expect("sound");
                profile.with_layout(layout).expect("sound")
            };
            let ours = hashes(&[with("unixfs-v0-2015"), with("kubo-cid-v1")], &files);
            for (version, ours) in ours.iter().enumerate() {
                let options = [
                    format!("--chunker=size-{chunk}"),
                    format!("--max-file-links={width}"),
                    format!("--trickle={trickle}"),
                    format!("--cid-version={version}"),
                ];
                let options = options.each_ref().map(String::as_str);
                same(&format!("{options:?}"), ours, &kubo.hash(&folder, &options));
            }
        }
    }
}

/// Content-defined chunks of other sizes than the default.
#[test]
fn rabin_is_that_of_kubo() {
    let Some(binary) = support::kubo() else {
        return;
    };
    let kubo = Kubo::new(&binary, "test");
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("files");
    let files: BTreeMap<String, Bytes> = [0, 15, 16, 17, 999, 1000, 20_000, 2_000_000]
        .map(|size| (format!("{size}"), noise(size, 9).into()))
        .into();
    write(&folder, &files);
    for (min, avg, max) in [(16, 20, 30), (16, 1000, 9000), (500, 4096, 4097)] {
        let chunker = Chunker::Rabin { min, avg, max };
        let profile = named("kubo-cid-v1").with_chunker(chunker).expect("sound");
        let option = format!("--chunker=rabin-{min}-{avg}-{max}");
        let theirs = kubo.hash(&folder, &["--cid-version=1", &option]);
        same(&option, &hashes(&[profile], &files)[0], &theirs);
    }
}

/// Empty files whose names and CIDs add up to `total` bytes in the measure of one profile, each
/// file costing `each` and its name being `each - around` bytes.
fn entries_of(total: usize, each: usize, around: usize) -> BTreeMap<String, Bytes> {
    let count = total / each;
    let name = |index: usize| {
        let longer = if index == 0 { total % each } else { 0 };
        format!("{index:0width$}", width = each - around + longer)
    };
    (0..count)
        .map(|index| (name(index), Bytes::new()))
        .collect()
}

/// Directories that are just not sharded and just so. Around a name there are 34 or 36 bytes of
/// CID; in a block with a raw link also six bytes of tags and lengths and one of size.
#[test]
fn directories_are_sharded_when_kubo_shards_them() {
    let Some(binary) = support::kubo() else {
        return;
    };
    let home = tempfile::tempdir().expect("a folder");
    let cases = [
        ("unixfs-v0-2015", "test", &[][..], 128, 34, 0),
        ("kubo-cid-v1", "test", &["--cid-version=1"][..], 128, 36, 0),
        ("unixfs-v1-2025", "test,unixfs-v1-2025", &[][..], 110, 44, 4),
    ];
    for (name, repository, options, each, around, fixed) in cases {
        let kubo = Kubo::new(&binary, repository);
        for over in [0, 1] {
            let files = entries_of(256 * KIB - fixed + over, each, around);
            let folder = home.path().join(format!("{name}-{over}"));
            write(&folder, &files);
            let mut blocks = 0;
            let profile = named(name);
            let root = roots(&[profile], &Bytes::new(), 1)[0].expect("a root");
            let entries = files.keys().map(|name| Named {
                name: name.clone().into(),
                root,
            });
            let root = directory(&profile, entries.collect(), &mut |_| blocks += 1);
            let theirs = kubo.hash(&folder, options);
            let label = format!("{name} {over} too many");
            assert_eq!(text(&root.expect("a directory")), theirs[""], "{label}");
            assert_eq!(blocks > 1, over == 1, "{label}");
        }
    }
}

/// Directories in directories, empty ones, symlinks and odd names, built from the leaves up.
fn tree(profile: &Profile, folder: &Path, emit: &mut dyn FnMut(Block)) -> Root {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let (kind, path) = (entry.file_type().expect("a kind"), entry.path());
        let root = if kind.is_dir() {
            tree(profile, &path, emit)
        } else if kind.is_symlink() {
            let target = std::fs::read_link(&path).expect("a link");
            symlink(profile, target.as_os_str().as_encoded_bytes(), emit)
        } else {
            let mut importer = Importer::new(&[*profile]);
            let bytes = Bytes::from(std::fs::read(&path).expect("a file"));
            importer.push_with(&bytes, emit);
            importer.finish_with(emit).roots[0].expect("a root")
        };
        let name = Bytes::copy_from_slice(entry.file_name().as_encoded_bytes());
        entries.push(Named { name, root });
    }
    directory(profile, entries, emit).expect("a directory")
}

/// A tree with something of everything; the same bytes twice, and a large directory.
#[cfg(unix)]
fn plant(folder: &Path) {
    let file = |path: &str, bytes: Vec<u8>| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("written");
    };
    file("a/b/c/deep", noise(100, 1));
    file("a/large", noise(3 * MIB + 5, 2));
    file("a/again", noise(3 * MIB + 5, 2));
    file("a.b", noise(10, 3));
    file("Ä ö\n\"", noise(10, 3));
    file(".hidden", Vec::new());
    for index in 0..3000 {
        file(&format!("many/{index:-<100}"), noise(index % 7, 4));
    }
    std::fs::create_dir_all(folder.join("empty/below")).expect("a folder");
    std::os::unix::fs::symlink("../a/b", folder.join("a/link")).expect("a link");
    std::os::unix::fs::symlink("nowhere", folder.join("zlink")).expect("a link");
}

#[cfg(unix)]
#[test]
fn trees_and_their_cars_are_those_of_kubo() {
    let Some(binary) = support::kubo() else {
        return;
    };
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("tree");
    plant(&folder);
    let cases = [
        ("unixfs-v0-2015", "test", &[][..]),
        ("kubo-raw-leaves", "test", &["--raw-leaves"][..]),
        ("kubo-trickle", "test", &["--trickle"][..]),
        ("unixfs-v1-2025", "test,unixfs-v1-2025", &[][..]),
        ("lotus", "test", LOTUS),
    ];
    for (name, repository, options) in cases {
        let kubo = Kubo::new(&binary, repository);
        let mut blocks = HashMap::new();
        let root = tree(&named(name), &folder, &mut |block| {
            blocks.insert(block.cid, Bytes::from(block.parts.concat()));
        });
        let add = ["add", "--recursive", "--hidden", "--quieter"];
        let path = folder.to_str().expect("text");
        let added = kubo.run(&[&add, options, &[path]].concat());
        let added = String::from_utf8(added).expect("text");
        assert_eq!(text(&root), added.trim(), "{name}");
        let exported = kubo.run(&["dag", "export", "--progress=false", &text(&root)]);
        assert!(car(&root.cid, &blocks) == exported, "{name}: another CAR");
    }
}

fn car(root: &Cid, blocks: &HashMap<Cid, Bytes>) -> Vec<u8> {
    let mut dfs = Dfs::new(root);
    let mut car = writer::header(root);
    while let Some(cid) = dfs.next_wanted() {
        let block = &blocks[&cid];
        car.extend(writer::section(&cid, block.len() as u64));
        car.extend(block);
        dfs.feed(block).expect("dag-pb");
    }
    car
}
