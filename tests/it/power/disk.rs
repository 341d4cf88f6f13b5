//! What a disk may hold after a power cut.
//!
//! A file consists of what was synced, and of what was done to it since then: of that, any page may
//! have arrived or not, and the length for itself. A directory consists of the names that were
//! synced, and of single changes since then, any of which may have arrived. What is renamed is
//! renamed in one step. So it may be far worse than on ext4, xfs and btrfs, which keep some order.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recording::{Call, Recording, What};
use crate::support::dice::Dice;

/// The directories of a sandbox that are on the disk whose power is cut.
pub const KEPT: [&str; 2] = ["out", "state"];

/// What arrives in one piece.
const PAGE: usize = 4096;

type Number = usize;
type Names = BTreeMap<OsString, Number>;

/// A file, a directory or a link.
#[derive(Clone)]
struct Node {
    kind: Kind,
    /// What was done before this is safe. Counts lines of the recording.
    safe: usize,
}

#[derive(Clone)]
enum Kind {
    Directory(Names),
    File {
        base: Vec<u8>,
        changes: Vec<(usize, Change)>,
    },
    Link(PathBuf),
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, data: Arc<[u8]> },
    Resize { len: usize, may_shrink: bool },
}

/// A name in a directory stands for something else, or for nothing any more.
#[derive(Clone)]
struct Naming {
    directory: Number,
    name: OsString,
    node: Option<Number>,
}

/// A disk, with what is not safe on it.
#[derive(Clone)]
pub struct Disk {
    nodes: Vec<Node>,
    /// Number 0, and each directory in its present state.
    live: HashMap<Number, Names>,
    /// Changes of names that happen in one step.
    steps: Vec<(usize, Vec<Naming>)>,
}

impl Disk {
    /// What lies below `root` now, all of it safe.
    pub fn of(root: &Path) -> Self {
        let mut disk = Self {
            nodes: Vec::new(),
            live: HashMap::new(),
            steps: Vec::new(),
        };
        let top = disk.add(Kind::Directory(Names::new()));
        let names = KEPT.map(|name| (OsString::from(name), disk.load(&root.join(name))));
        disk.fill(top, Names::from(names));
        disk
    }

    fn load(&mut self, path: &Path) -> Number {
        let metadata = std::fs::symlink_metadata(path).expect("a readable sandbox");
        if metadata.is_symlink() {
            let text = std::fs::read_link(path).expect("a readable sandbox");
            return self.add(Kind::Link(text));
        }
        if metadata.is_file() {
            let base = std::fs::read(path).expect("a readable sandbox");
            let changes = Vec::new();
            return self.add(Kind::File { base, changes });
        }
        let number = self.add(Kind::Directory(Names::new()));
        let entries = std::fs::read_dir(path).expect("a readable sandbox");
        let names = entries.map(|entry| {
            let entry = entry.expect("a readable sandbox");
            (entry.file_name(), self.load(&entry.path()))
        });
        let names = names.collect();
        self.fill(number, names);
        number
    }

    fn add(&mut self, kind: Kind) -> Number {
        self.nodes.push(Node { kind, safe: 0 });
        self.nodes.len() - 1
    }

    fn fill(&mut self, directory: Number, names: Names) {
        self.nodes[directory].kind = Kind::Directory(names.clone());
        self.live.insert(directory, names);
    }

    /// What a recorded run did up to the cut. What was under way then is never safe.
    pub fn replay(&mut self, recording: &Recording, cut: usize) {
        let begun = recording.calls.iter().filter(|call| call.begin < cut);
        for call in begun {
            match call.end.filter(|&end| end < cut) {
                Some(end) => self.apply(call, end),
                None if matches!(call.what, What::Sync(_) | What::SyncAll) => {}
                None => self.apply(call, cut),
            }
        }
    }

    fn apply(&mut self, call: &Call, at: usize) {
        match &call.what {
            What::Create(path) => {
                if let Some((directory, name)) = self.place(path)
                    && self.find(path).is_none()
                {
                    let (base, changes) = (Vec::new(), Vec::new());
                    let node = self.add(Kind::File { base, changes });
                    self.name(at, vec![(directory, name, Some(node))]);
                }
            }
            What::MakeDir(path) => {
                if let Some((directory, name)) = self.place(path) {
                    let node = self.add(Kind::Directory(Names::new()));
                    self.live.insert(node, Names::new());
                    self.name(at, vec![(directory, name, Some(node))]);
                }
            }
            What::Symlink { text, path } => {
                if let Some((directory, name)) = self.place(path) {
                    let node = self.add(Kind::Link(text.clone()));
                    self.name(at, vec![(directory, name, Some(node))]);
                }
            }
            What::Link { from, to } => {
                if let (Some(node), Some((directory, name))) = (self.find(from), self.place(to)) {
                    self.name(at, vec![(directory, name, Some(node))]);
                }
            }
            What::Remove(path) => {
                if let Some((directory, name)) = self.place(path) {
                    self.name(at, vec![(directory, name, None)]);
                }
            }
            What::Rename { from, to, exchange } => {
                let other = self.find(to).filter(|_| *exchange);
                if let (Some(node), Some(from), Some(to)) =
                    (self.find(from), self.place(from), self.place(to))
                {
                    let names = [(from.0, from.1, other), (to.0, to.1, Some(node))];
                    self.name(at, names.into());
                }
            }
            What::Write { path, offset, data } => {
                let (offset, data) = (usize::try_from(*offset).expect("small"), data.clone());
                self.change(path, at, Change::Write { offset, data });
            }
            What::Resize {
                path,
                len,
                may_shrink,
            } => {
                let (len, may_shrink) = (usize::try_from(*len).expect("small"), *may_shrink);
                self.change(path, at, Change::Resize { len, may_shrink });
            }
            What::Sync(path) => {
                if let Some(node) = self.find(path) {
                    self.secure(node, call.begin);
                }
            }
            What::SyncAll => (0..self.nodes.len()).for_each(|node| self.secure(node, call.begin)),
            What::Tell(_) => {}
        }
    }

    fn secure(&mut self, node: Number, begin: usize) {
        let safe = &mut self.nodes[node].safe;
        *safe = begin.max(*safe);
    }

    fn name(&mut self, at: usize, names: Vec<(Number, OsString, Option<Number>)>) {
        let naming = |(directory, name, node)| Naming {
            directory,
            name,
            node,
        };
        let step: Vec<Naming> = names.into_iter().map(naming).collect();
        step.iter().for_each(|naming| naming.take(&mut self.live));
        self.steps.push((at, step));
    }

    fn change(&mut self, path: &Path, at: usize, change: Change) {
        let Some(node) = self.find(path) else { return };
        if let Kind::File { changes, .. } = &mut self.nodes[node].kind {
            changes.push((at, change));
        }
    }

    /// What stands at a path.
    fn find(&self, path: &Path) -> Option<Number> {
        path.iter()
            .try_fold(0, |node, name| self.live.get(&node)?.get(name).copied())
    }

    /// The directory that holds a path, and its name there.
    fn place(&self, path: &Path) -> Option<(Number, OsString)> {
        Some((self.find(path.parent()?)?, path.file_name()?.to_owned()))
    }

    /// Puts below `root` what may be there after the cut.
    pub fn write(&self, root: &Path, dice: &mut Dice) {
        let mut names = self.safe_names();
        let percent = *dice.one_of(&[0, 50, 90, 100]);
        // Where changes of names are kept in order, the first ones arrive.
        let until = dice.is_so(50).then(|| dice.below(self.steps.len() + 1));
        for (index, (at, step)) in self.steps.iter().enumerate() {
            let is_safe = step
                .iter()
                .any(|naming| *at < self.nodes[naming.directory].safe);
            let arrives = match until {
                Some(until) => index < until,
                None => dice.is_so(percent),
            };
            if is_safe || arrives {
                step.iter().for_each(|naming| naming.take(&mut names));
            }
        }
        for top in KEPT {
            let path = root.join(top);
            if path.exists() {
                std::fs::remove_dir_all(&path).expect("a directory of ours");
            }
        }
        self.write_below(&names, 0, root, &mut HashMap::new(), dice);
    }

    fn safe_names(&self) -> HashMap<Number, Names> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter_map(|(number, node)| match &node.kind {
                Kind::Directory(names) => Some((number, names.clone())),
                _ => None,
            })
            .collect()
    }

    fn write_below(
        &self,
        names: &HashMap<Number, Names>,
        directory: Number,
        path: &Path,
        written: &mut HashMap<Number, PathBuf>,
        dice: &mut Dice,
    ) {
        for (name, &node) in names.get(&directory).into_iter().flatten() {
            let path = path.join(name);
            if let Some(other) = written.get(&node) {
                std::fs::hard_link(other, &path).expect("a second name");
                continue;
            }
            match &self.nodes[node].kind {
                Kind::Directory(_) => {
                    std::fs::create_dir(&path).expect("a new directory");
                    self.write_below(names, node, &path, written, dice);
                }
                Kind::Link(text) => {
                    std::os::unix::fs::symlink(text, &path).expect("a new link");
                }
                Kind::File { base, changes } => {
                    let safe = self.nodes[node].safe;
                    let content = content(base, changes, safe, dice);
                    std::fs::write(&path, content).expect("a new file");
                    written.insert(node, path);
                }
            }
        }
    }
}

impl Naming {
    fn take(&self, names: &mut HashMap<Number, Names>) {
        let directory = names.entry(self.directory).or_default();
        match self.node {
            Some(node) => directory.insert(self.name.clone(), node),
            None => directory.remove(&self.name),
        };
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, data } => {
                let end = offset + data.len();
                content.resize(content.len().max(end), 0);
                content[*offset..end].copy_from_slice(data);
            }
            Change::Resize { len, may_shrink } => {
                if *may_shrink || *len > content.len() {
                    content.resize(*len, 0);
                }
            }
        }
    }

    /// The pages that it changes, of so many.
    fn pages(&self, pages: usize) -> std::ops::Range<usize> {
        match self {
            Change::Write { offset, data } => {
                offset / PAGE..(offset + data.len()).div_ceil(PAGE).min(pages)
            }
            Change::Resize { len, .. } => len / PAGE..pages,
        }
    }
}

/// What may be left of a file: what is safe, and of each page any of its later states.
fn content(base: &[u8], changes: &[(usize, Change)], safe: usize, dice: &mut Dice) -> Vec<u8> {
    let mut content = base.to_vec();
    let (sure, loose): (Vec<_>, Vec<_>) = changes.iter().partition(|(at, _)| *at < safe);
    sure.iter()
        .for_each(|(_, change)| change.apply(&mut content));
    match dice.below(5) {
        0 => return content,
        1 => {
            loose
                .iter()
                .for_each(|(_, change)| change.apply(&mut content));
            return content;
        }
        2 => {
            let arrived = dice.below(loose.len() + 1);
            let arrived = &loose[..arrived];
            arrived
                .iter()
                .for_each(|(_, change)| change.apply(&mut content));
            return content;
        }
        _ => {}
    }
    // The states of the file one after the other: its lengths, and what changes each page.
    let mut whole = content.clone();
    let mut lens = vec![whole.len()];
    for (_, change) in &loose {
        change.apply(&mut whole);
        lens.push(whole.len());
    }
    let pages = lens.iter().max().map_or(0, |len| len.div_ceil(PAGE));
    let mut touched: Vec<Vec<&Change>> = vec![Vec::new(); pages];
    for (_, change) in &loose {
        for page in change.pages(pages) {
            touched[page].push(change);
        }
    }
    let percent = *dice.one_of(&[5, 50, 95]);
    content.resize(pages * PAGE, 0);
    for (page, touched) in touched.iter().enumerate() {
        let arrived = match dice.is_so(percent) {
            true => touched.len(),
            false => dice.below(touched.len() + 1),
        };
        let range = page * PAGE..(page + 1) * PAGE;
        for change in &touched[..arrived] {
            change.apply_within(&mut content, range.clone());
        }
    }
    content.truncate(*dice.one_of(&lens));
    content
}

impl Change {
    /// The same on one page alone.
    fn apply_within(&self, content: &mut [u8], page: std::ops::Range<usize>) {
        match self {
            Change::Write { offset, data } => {
                let (from, to) = (page.start.max(*offset), page.end.min(offset + data.len()));
                content[from..to].copy_from_slice(&data[from - offset..to - offset]);
            }
            Change::Resize { len, may_shrink } => {
                if *may_shrink {
                    content[page.start.max(*len).min(page.end)..page.end].fill(0);
                }
            }
        }
    }
}
