//! Files and directories that others imported, imported again.

use bytes::Bytes;
use fetchd::content::cid::{self, Cid, Version};
use fetchd::content::importer::{
    Chunker, Importer, Named, Profile, Root, Sharding, directory, symlink,
};
use fetchd::content::unixfs::hamt::{Place, Shard, Slot};
use fetchd::content::unixfs::{self, Entry, Node};

use crate::fixtures_car::expected::{cars, parse};
use crate::fixtures_car::walker::{Blocks, read_car};

/// What no importer made that leaves modes and times out: files that have them, and directories
/// made by hand.
const OTHERWISE: &[&str] = &["unixfs-dir-with-mode-mtime.car", "inside-root.car"];

/// Every CID of a real tree whose blocks are all there, with whether it comes out again.
fn check(again: impl Fn(&Blocks, &Cid) -> Option<bool>) -> Vec<(String, bool)> {
    let mut checked = Vec::new();
    for (name, bytes, expected) in cars("expected.json", "") {
        let blocks = Blocks::of(&read_car(&bytes, bytes.len()).sections);
        let tree = expected["tree"].as_array().into_iter().flatten();
        for entry in tree.filter(|entry| !entry["cid"].is_null()) {
            let cid = parse(&entry["cid"]);
            if let Some(found) = again(&blocks, &cid) {
                checked.push((format!("{name}: {}", cid::text(&cid)), found));
            }
        }
    }
    checked
}

#[track_caller]
fn report(checked: &[(String, bool)], at_least: usize) {
    let lost: Vec<&str> = checked
        .iter()
        .filter(|(_, found)| !found)
        .map(|(label, _)| &label[..])
        .filter(|label| !OTHERWISE.iter().any(|known| label.contains(known)))
        .collect();
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(
        checked.is_empty() || checked.len() >= at_least,
        "{}",
        checked.len()
    );
}

/// The fixtures have small chunks; how small, the first link says.
fn chunk_of(blocks: &Blocks, cid: &Cid) -> Option<usize> {
    let block = blocks.block(cid).ok()?;
    match unixfs::node(cid.codec(), &block).ok()? {
        Node::File(file) => Some(
            file.children
                .first()
                .map_or(1 << 18, |child| child.size as usize),
        ),
        _ => None,
    }
}

#[test]
fn files_of_others_have_their_cids_again() {
    let checked = check(|blocks, cid| {
        let chunker = Chunker::Size(chunk_of(blocks, cid)?);
        let bytes = Bytes::from(blocks.file(cid).ok()?);
        let profiles: Vec<Profile> = Profile::candidates(cid)
            .into_iter()
            .filter_map(|profile| profile.with_chunker(chunker))
            .collect();
        let mut importer = Importer::new(&profiles);
        importer.push(&bytes);
        let roots = importer.finish().roots;
        Some(roots.iter().flatten().any(|root| root.is(cid)))
    });
    report(&checked, 100);
}

fn named(entry: &Entry) -> Named {
    let root = Root {
        cid: entry.cid,
        tsize: entry.tsize.unwrap_or(0),
    };
    Named {
        name: entry.name.clone(),
        root,
    }
}

/// All entries below a shard, if all shards are there.
fn walk(blocks: &Blocks, shard: &Shard, entries: &mut Vec<Named>) -> Option<()> {
    for slot in shard.slots() {
        match slot {
            Slot::Entry(entry) => entries.push(named(entry)),
            Slot::Shard(link) => {
                let block = blocks.block(&link.cid).ok()?;
                walk(blocks, &link.read(&block).ok()?, entries)?;
            }
        }
    }
    Some(())
}

#[test]
fn directories_and_symlinks_of_others_have_their_cids_again() {
    let checked = check(|blocks, cid| {
        let block = blocks.block(cid).ok()?;
        let profile = match cid.version() {
            Version::V0 => Profile::named("unixfs-v0-2015"),
            Version::V1 => Profile::named("kubo-cid-v1"),
        }?;
        let root = match unixfs::node(cid.codec(), &block).ok()? {
            Node::Directory(plain) => {
                let profile = profile.with_sharding(Sharding::Entries(usize::MAX));
                let entries = plain.entries.iter().map(named).collect();
                directory(&profile, entries, &mut |_| {}).expect("a directory")
            }
            Node::HamtShard(shard) => {
                let profile = profile.with_sharding(Sharding::Entries(0));
                let mut entries = Vec::new();
                walk(blocks, &shard.place(Place::ROOT).ok()?, &mut entries)?;
                directory(&profile, entries, &mut |_| {}).expect("a directory")
            }
            Node::Symlink(link) => symlink(&profile, &link.target, &mut |_| {}),
            _ => return None,
        };
        Some(root.cid == *cid)
    });
    report(&checked, 80);
}
