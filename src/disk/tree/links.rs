//! Whether the symlinks of a tree stay in the tree: decided from their text, before any is made.
//!
//! Pure. Invariant: when [`Links::check`] is content, following any of the links, alone or through
//! others of them, from anywhere in the tree, never leaves it.
//!
//! Most links begin with as many `..` as they need and then only go down. Such a link is judged
//! alone: it starts in a real directory, climbs through real directories, and whatever other link
//! it then goes through is judged itself. Where a `..` follows a name, it matters what that name
//! is, so the target is resolved as the system would do it, through all links that are known.

use std::collections::HashMap;

use crate::disk::tree::path::TreePath;

/// The most links that are gone through to judge one, as on Linux (path_resolution(7)).
const MAX_HOPS: u32 = 40;
/// The longest target that systems take (`PATH_MAX` of Linux, with its zero).
const MAX_TARGET: usize = 4095;
/// The most bytes of paths and targets that are kept for a tree: as much memory as a hostile DAG
/// can make this use, a few times over; enough for some 100,000 links.
const MAX_BYTES: usize = 16 << 20;

/// A link that is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unsafe symlink {path} to {:?}: {reason}",
    String::from_utf8_lossy(target)
)]
pub struct UnsafeLink {
    /// Where the link would stand.
    pub path: TreePath,
    /// What it would hold.
    pub target: Vec<u8>,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The links of one tree.
#[derive(Debug)]
pub struct Links {
    links: Vec<Link>,
    /// The directories that lead to links, and the links: from a place and a name to a place.
    places: HashMap<(Place, Box<[u8]>), Place>,
    /// Which places are links.
    link_at: HashMap<Place, usize>,
    bytes: usize,
    folds_names: bool,
}

#[derive(Debug)]
struct Link {
    path: TreePath,
    target: Box<[u8]>,
}

/// A directory or link that is known; the root is 0.
type Place = u32;
const ROOT: Place = 0;

impl Links {
    /// No links yet. `folds_names` says what [`crate::disk::tree::Tree::folds_names`] does: there a
    /// link may be reached by other names than its own, so a `..` after a name is refused.
    pub fn new(folds_names: bool) -> Self {
        Self {
            links: Vec::new(),
            places: HashMap::new(),
            link_at: HashMap::new(),
            bytes: 0,
            folds_names: folds_names || cfg!(windows),
        }
    }

    /// Adds a link and judges what can be said of it alone. The first of two with one path counts.
    ///
    /// # Errors
    /// [`UnsafeLink`]; the link is not kept then.
    pub fn add(&mut self, path: &TreePath, target: &[u8]) -> Result<(), UnsafeLink> {
        let bytes = self.bytes + path.as_str().len() + target.len();
        let flaw = flaw(path, target).or_else(|| {
            if bytes > MAX_BYTES {
                Some("the tree has too many links")
            } else if self.folds_names && climbs_late(target) {
                Some("it has `..` after a name, and names are ambiguous here")
            } else {
                None
            }
        });
        if let Some(reason) = flaw {
            return Err(unsafe_link(path, target, reason));
        }
        let mut at = ROOT;
        for name in path.names() {
            // Bounded by the bytes.
            let next = self.places.len() as Place + 1;
            at = *self
                .places
                .entry((at, name.as_bytes().into()))
                .or_insert(next);
        }
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.link_at.entry(at) {
            vacant.insert(self.links.len());
            self.bytes = bytes;
            self.links.push(Link {
                path: path.clone(),
                target: target.into(),
            });
        }
        Ok(())
    }

    /// Judges all links together; to be called when all were added, before any is made.
    ///
    /// # Errors
    /// The first [`UnsafeLink`].
    pub fn check(&self) -> Result<(), UnsafeLink> {
        self.links
            .iter()
            .filter(|link| climbs_late(&link.target))
            .try_for_each(|link| {
                self.resolve(link)
                    .map_err(|reason| unsafe_link(&link.path, &link.target, reason))
            })
    }

    /// Every link, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &[u8])> {
        self.links.iter().map(|link| (&link.path, &*link.target))
    }

    /// Walks a target as the system would if every name in it existed.
    fn resolve(&self, link: &Link) -> Result<(), &'static str> {
        // Where the walk is: for each name on the way down, the place if it is a known one.
        let mut at: Vec<Option<Place>> = Vec::new();
        for name in link.path.names() {
            at.push(self.step(at.last().copied(), name.as_bytes()));
        }
        at.pop();
        // Targets that are gone through, the innermost last.
        let mut targets = vec![names(&link.target)];
        let mut hops = 0;
        while let Some(target) = targets.last_mut() {
            let Some(name) = target.next() else {
                targets.pop();
                continue;
            };
            if name == b".." {
                at.pop().ok_or(LEAVES)?;
                continue;
            }
            let place = self.step(at.last().copied(), name);
            match place.and_then(|place| self.link_at.get(&place)) {
                None => at.push(place),
                Some(_) if hops == MAX_HOPS => return Err("it goes through too many links"),
                Some(&number) => {
                    hops += 1;
                    targets.push(names(&self.links[number].target));
                }
            }
        }
        Ok(())
    }

    /// The place that a name leads to; `from` is `None` for the root.
    fn step(&self, from: Option<Option<Place>>, name: &[u8]) -> Option<Place> {
        let from = from.unwrap_or(Some(ROOT))?;
        self.places.get(&(from, Box::from(name))).copied()
    }
}

const LEAVES: &str = "it leads out of the tree";

/// What is wrong with a link whatever other links there are.
fn flaw(path: &TreePath, target: &[u8]) -> Option<&'static str> {
    if target.is_empty() {
        Some("it is empty")
    } else if target.len() > MAX_TARGET {
        Some("it is longer than 4095 bytes")
    } else if target.contains(&0) {
        Some("it contains a zero byte")
    } else if target.starts_with(b"/") {
        Some("it is absolute")
    } else if cfg!(windows) && (target.contains(&b'\\') || target.contains(&b':')) {
        Some("it contains a character that Windows reserves")
    } else if leaves_by_its_text(path, target) {
        Some(LEAVES)
    } else {
        None
    }
}

/// Whether a target, read without a look at what its names are, leads above the root.
fn leaves_by_its_text(path: &TreePath, target: &[u8]) -> bool {
    let mut depth = path.names().count() - 1;
    for name in names(target) {
        if name != b".." {
            depth += 1;
        } else if depth == 0 {
            return true;
        } else {
            depth -= 1;
        }
    }
    false
}

/// Whether a `..` follows a name.
fn climbs_late(target: &[u8]) -> bool {
    names(target)
        .skip_while(|&name| name == b"..")
        .any(|name| name == b"..")
}

fn names(target: &[u8]) -> impl Iterator<Item = &[u8]> {
    target
        .split(|&byte| byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
}

fn unsafe_link(path: &TreePath, target: &[u8], reason: &'static str) -> UnsafeLink {
    UnsafeLink {
        path: path.clone(),
        target: target.to_vec(),
        reason,
    }
}

#[cfg(test)]
mod tests;
