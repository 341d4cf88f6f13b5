//! The plan by itself: whatever the order in which blocks come, and wherever it is broken off and
//! taken up again, the same tree is the result.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::entry::Claim;
use super::{EntryId, Expected, FilePlan, Found, FoundKind, Limits, Plan, PlanError, State};
use crate::content::cid::{self, Cid, Multihash};
use crate::content::hash::HashPolicy;
use crate::engine::filter::Filter;
use crate::store::{DirectoryRow, FileKind, FileRow, TreeRows};

const RAW: u8 = 0x55;
const DAG_PB: u8 = 0x70;

fn limits() -> Limits {
    Limits {
        hashes: HashPolicy::default(),
        max_size: None,
        max_block: 2 << 20,
        max_depth: 16,
        max_entries: 10_000,
    }
}

/// A tree as it is meant.
#[derive(Debug, Clone)]
enum Meant {
    /// Leaves of a file; one alone is its root.
    File(Vec<u8>),
    Directory(BTreeMap<String, Meant>),
}

/// Few different files and names, so that much of a tree is there twice.
fn meant() -> impl Strategy<Value = Meant> {
    let file = prop::collection::vec(0u8..4, 0..5).prop_map(Meant::File);
    let tree = file.prop_recursive(4, 40, 5, |below| {
        prop::collection::btree_map("[a-e]", below, 0..5).prop_map(Meant::Directory)
    });
    // The root is a directory.
    prop::collection::btree_map("[a-e]", tree, 0..5).prop_map(Meant::Directory)
}

/// The blocks of a tree.
#[derive(Default)]
struct Blocks(BTreeMap<Vec<u8>, (Cid, Bytes)>);

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    out.extend(varint(bytes.len()));
    out.extend(bytes);
    out
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

impl Blocks {
    fn put(&mut self, codec: u8, block: Vec<u8>) -> Cid {
        let mut bytes = vec![1, codec, 0x12, 32];
        bytes.extend(Sha256::digest(&block));
        let cid = cid::parse_bytes(&bytes).unwrap();
        self.0.insert(cid.hash().to_bytes(), (cid, block.into()));
        cid
    }

    fn node(&mut self, links: &[(Cid, &str, usize)], message: &[u8]) -> Cid {
        let mut block = Vec::new();
        for (cid, name, size) in links {
            let mut link = field(1, &cid.to_bytes());
            link.extend(field(2, name.as_bytes()));
            link.push(3 << 3);
            link.extend(varint(*size));
            block.extend(field(2, &link));
        }
        block.extend(field(1, message));
        self.put(DAG_PB, block)
    }

    fn add(&mut self, meant: &Meant) -> Cid {
        match meant {
            Meant::File(leaves) => {
                let contents: Vec<Vec<u8>> = leaves.iter().map(|&leaf| content(leaf)).collect();
                if let [only] = contents.as_slice() {
                    return self.put(RAW, only.clone());
                }
                let size = contents.iter().map(Vec::len).sum();
                let mut message = vec![8, 2, 3 << 3];
                message.extend(varint(size));
                for content in &contents {
                    message.push(4 << 3);
                    message.extend(varint(content.len()));
                }
                let links: Vec<(Cid, &str, usize)> = contents
                    .iter()
                    .map(|content| (self.put(RAW, content.clone()), "", content.len()))
                    .collect();
                self.node(&links, &message)
            }
            Meant::Directory(entries) => {
                let links: Vec<(Cid, &str, usize)> = entries
                    .iter()
                    .map(|(name, below)| (self.add(below), name.as_str(), 100))
                    .collect();
                self.node(&links, &[8, 1])
            }
        }
    }
}

fn content(leaf: u8) -> Vec<u8> {
    vec![leaf; usize::from(leaf) + 1]
}

fn files(meant: &Meant, path: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    match meant {
        Meant::File(leaves) => {
            let data = leaves.iter().flat_map(|&leaf| content(leaf)).collect();
            found.insert(path.trim_start_matches('/').to_owned(), data);
        }
        Meant::Directory(entries) => {
            for (name, below) in entries {
                files(below, &format!("{path}/{name}"), found);
            }
        }
    }
}

/// What an engine does with a plan: a disk, a store, and no network.
struct Machine {
    plan: Plan,
    root: Cid,
    blocks: Blocks,
    disk: BTreeMap<String, Vec<u8>>,
    rows: BTreeMap<EntryId, Found>,
    finished: BTreeSet<EntryId>,
    kept: HashMap<Vec<u8>, Bytes>,
    /// Roots of entries that were asked for.
    asked: BTreeSet<Vec<u8>>,
}

impl Machine {
    fn new(meant: &Meant) -> Self {
        let mut blocks = Blocks::default();
        let root = blocks.add(meant);
        Self {
            plan: Plan::new(root, limits(), Filter::default()).unwrap(),
            root,
            blocks,
            disk: BTreeMap::new(),
            rows: BTreeMap::new(),
            finished: BTreeSet::new(),
            kept: HashMap::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Blocks that are waited for.
    fn wanted(&self) -> Vec<Multihash> {
        let blocks = self.blocks.0.values();
        let is_wanted = |hash: &Multihash| self.plan.expects(hash) != Expected::No;
        blocks
            .map(|(cid, _)| *cid.hash())
            .filter(is_wanted)
            .collect()
    }

    fn block(&self, hash: &Multihash) -> Bytes {
        self.blocks.0[&hash.to_bytes()].1.clone()
    }

    /// A block comes.
    fn receive(&mut self, hash: &Multihash) {
        let block = self.block(hash);
        match self.plan.expects(hash) {
            Expected::No => {}
            Expected::Leaf { len, places } => {
                assert_eq!(len, block.len() as u64);
                for (id, offset) in places {
                    self.write(id, offset, &block);
                }
            }
            Expected::Node => {
                let is_root = |(_, entry): (EntryId, &super::entry::Entry)| {
                    entry.cid.hash() == hash && matches!(entry.state, State::Unknown)
                };
                if self.plan.entries().any(is_root) {
                    assert!(self.asked.insert(hash.to_bytes()), "asked for twice");
                }
                self.grow(hash, &block);
            }
        }
        self.settle();
    }

    fn grow(&mut self, hash: &Multihash, block: &Bytes) {
        let expansion = self.plan.expand(hash, block).unwrap();
        if expansion.is_node {
            self.kept.insert(hash.to_bytes(), block.clone());
        }
        for found in expansion.found {
            self.rows.insert(found.id, found);
        }
        for inline in expansion.inline {
            self.write(inline.entry, inline.offset, &inline.data);
        }
    }

    fn write(&mut self, id: EntryId, offset: u64, data: &[u8]) {
        let Some(path) = self.plan.entry(id).map(|entry| entry.path.to_string()) else {
            return;
        };
        let file = self.disk.entry(path).or_default();
        let end = offset as usize + data.len();
        file.resize(file.len().max(end), 0xff);
        file[offset as usize..end].copy_from_slice(data);
        self.plan.prove(id, offset, data.len() as u64, false);
    }

    /// Finishes what is complete, copies what is the same, reads what was put aside.
    fn settle(&mut self) {
        loop {
            let complete = self.plan.files().find(|(_, file)| file.is_complete());
            let complete = complete.map(|(id, _)| id);
            let mut twins = self.plan.twins().into_iter();
            let twin = twins.find(|(_, first)| self.finished.contains(first));
            if let Some(id) = complete {
                self.plan.finish_file(id);
                self.finished.insert(id);
            } else if let Some((id, first)) = twin {
                let data = self.disk[&*self.rows[&first].path].clone();
                let path = self.plan.entry(id).unwrap().path.to_string();
                self.plan.finish_twin(id, data.len() as u64);
                self.disk.insert(path, data);
                self.finished.insert(id);
            } else if let Some(cid) = self.plan.next_recall(true) {
                let block = self.kept[&cid.hash().to_bytes()].clone();
                self.grow(cid.hash(), &block);
            } else {
                return;
            }
        }
    }

    fn run(&mut self, mut choose: impl FnMut(usize) -> usize, most: usize) {
        for _ in 0..most {
            let wanted = self.wanted();
            if wanted.is_empty() {
                return;
            }
            self.receive(&wanted[choose(wanted.len()) % wanted.len()]);
        }
    }

    #[track_caller]
    fn is_done(&self, meant: &Meant) {
        let mut expected = BTreeMap::new();
        files(meant, "", &mut expected);
        assert_eq!(self.disk, expected);
        assert!(self.plan.is_complete(), "{:?}", self.plan);
        assert!(self.wanted().is_empty(), "something still waits");
        assert_eq!(self.plan.next_open(None), None);
        let bytes: usize = expected.values().map(Vec::len).sum();
        let totals = self.plan.totals();
        assert_eq!(
            (totals.files_done, totals.done_bytes),
            (expected.len() as u64, bytes as u64)
        );
        assert_eq!(self.plan.size(), Some(bytes as u64));
        assert_eq!(self.plan.proved_bytes(), bytes as u64);
    }

    /// Breaks off and takes up again from what a store would hold.
    fn restart(&mut self) {
        let (rows, entries) = self.tree_rows();
        let unfinished: Vec<EntryId> = entries.iter().map(|row| row.file.index).collect();
        self.plan = Plan::empty(limits(), Filter::default());
        self.plan.restore(self.root, &rows).unwrap();
        for row in entries {
            self.plan.restore_entry(row);
        }
        self.plan.end_restore();
        self.asked.clear();
        for id in unfinished {
            let Some(cid) = self.plan.entry(id).map(|entry| entry.cid) else {
                continue;
            };
            if let Some(block) = self.kept.get(&cid.hash().to_bytes()).cloned() {
                self.grow(cid.hash(), &block);
            }
        }
        self.settle();
    }

    /// What is known of the whole tree, and its unfinished entries.
    fn tree_rows(&self) -> (TreeRows, Vec<FileRow>) {
        let mut unfinished = Vec::new();
        let mut rows = TreeRows {
            next_index: self.rows.keys().last().map_or(0, |last| last + 1),
            ..TreeRows::default()
        };
        for (&id, found) in &self.rows {
            let (kind, size) = match found.kind {
                FoundKind::File { size } => (FileKind::File, Some(size)),
                FoundKind::Directory => (FileKind::Directory, None),
                _ => (FileKind::Unknown, None),
            };
            if id == 0 {
                rows.root_kind = Some(kind);
            }
            let mut row = FileRow::unknown_root(&cid::text(&found.cid));
            row.file.index = id;
            row.file.parent = found.parent;
            row.file.path = found.path.to_string();
            row.file.kind = kind;
            row.file.size = size;
            row.file.tsize = found.tsize;
            match kind {
                FileKind::Directory => rows.directories.push(self.directory_row(found)),
                _ if self.finished.contains(&id) => {
                    rows.files_done += 1;
                    rows.done_bytes += size.unwrap();
                }
                _ => unfinished.push(row),
            }
        }
        (rows, unfinished)
    }

    fn directory_row(&self, directory: &Found) -> DirectoryRow {
        let below = self.rows.values();
        let below = below.filter(|found| found.parent == Some(directory.id));
        let done = below.filter_map(|found| match found.kind {
            FoundKind::File { size } if self.finished.contains(&found.id) => Some(size),
            _ => None,
        });
        DirectoryRow {
            index: directory.id,
            parent: directory.parent,
            cid: cid::text(&directory.cid),
            tsize: directory.tsize,
            done_bytes: done.sum(),
            largest_child: 0,
            claimed: 0,
        }
    }
}

/// Numbers without structure.
fn random(mut state: u64) -> impl FnMut(usize) -> usize {
    move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    }
}

proptest! {
    #[test]
    fn any_order_gives_the_same_tree(meant in meant(), seed in any::<u64>()) {
        let mut machine = Machine::new(&meant);
        machine.run(random(seed), usize::MAX);
        machine.is_done(&meant);
    }

    #[test]
    fn taken_up_again_it_is_as_if_it_had_gone_on(meant in meant(), seed in any::<u64>(), steps in prop::collection::vec(0usize..20, 0..4)) {
        let mut machine = Machine::new(&meant);
        let mut choose = random(seed);
        for most in steps {
            machine.run(&mut choose, most);
            machine.restart();
        }
        machine.run(&mut choose, usize::MAX);
        machine.is_done(&meant);
    }

    #[test]
    fn what_is_claimed_is_given_back(meant in meant(), seed in any::<u64>(), steps in prop::collection::vec(0usize..6, 0..8)) {
        let mut machine = Machine::new(&meant);
        let mut choose = random(seed);
        for (most, task) in steps.into_iter().zip(1..) {
            let ids: Vec<EntryId> = machine.plan.entries().map(|(id, _)| id).collect();
            let parents: Vec<EntryId> = machine.plan.entries().filter_map(|(_, entry)| entry.parent).collect();
            let all = [ids, parents].concat();
            if let Some(&id) = all.get(choose(0) % all.len().max(1)) {
                machine.plan.claim_tree(id, task);
            }
            machine.run(&mut choose, most);
            machine.plan.release(task);
            for (id, entry) in machine.plan.entries() {
                prop_assert!(!matches!(entry.claim, Some(Claim::Task(_))), "{id}: {entry:?}");
                let is_open = machine.plan.next_open(id.checked_sub(1)) == Some(id);
                let must_be_open = matches!(entry.state, State::Unknown) && entry.claim.is_none();
                prop_assert!(is_open || !must_be_open, "{id}: {entry:?}");
            }
        }
        machine.run(&mut choose, usize::MAX);
        machine.is_done(&meant);
    }
}

/// Repetition is refused before it is unfolded.
#[test]
fn a_bomb_is_refused_before_it_unfolds() {
    let file = Meant::File(vec![1]);
    let wide = |below: &Meant| {
        let names = (0..100).map(|n| (format!("{n:03}"), below.clone()));
        Meant::Directory(names.collect())
    };
    let bomb = wide(&wide(&file));
    let mut blocks = Blocks::default();
    // The same once more, by its link: the tree itself would be too large to write down.
    let below = blocks.add(&bomb);
    let names: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
    let links: Vec<(Cid, &str, usize)> =
        names.iter().map(|name| (below, name.as_str(), 1)).collect();
    let root = blocks.node(&links, &[8, 1]);
    let mut plan = Plan::new(root, limits(), Filter::default()).unwrap();
    let mut error = None;
    while error.is_none() {
        let (cid, block) = blocks
            .0
            .values()
            .find(|(cid, _)| plan.expects(cid.hash()) == Expected::Node)
            .unwrap();
        error = plan.expand(cid.hash(), block).err();
    }
    assert!(matches!(
        error,
        Some(PlanError::TooManyEntries { limit: 10_000 })
    ));
    assert!(plan.entries().count() <= 10_200);
    assert!(plan.files().all(|(_, file)| !FilePlan::is_complete(file)));
}
