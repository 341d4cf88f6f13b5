//! Trees with what they must look like on disk.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::dag::{Dag, Dir};

/// What stands at a path.
#[derive(Clone, PartialEq, Eq)]
pub enum Stands {
    Directory,
    File(Vec<u8>),
    Link(Vec<u8>),
}

impl std::fmt::Debug for Stands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stands::Directory => f.write_str("directory"),
            Stands::File(data) => write!(f, "file of {} bytes", data.len()),
            Stands::Link(target) => write!(f, "link to {}", target.escape_ascii()),
        }
    }
}

/// Every entry below a directory, by its path with `/`; the directory itself is not among them.
pub type Listing = BTreeMap<String, Stands>;

/// A directory that is being put together, and the same as a DAG.
#[derive(Clone)]
pub struct Sample {
    dir: Dir,
    pub expected: Listing,
}

impl Sample {
    pub fn new() -> Self {
        Self {
            dir: Dir::new(),
            expected: Listing::new(),
        }
    }

    pub fn file(mut self, name: &str, dag: &Dag) -> Self {
        self.expected
            .insert(name.to_owned(), Stands::File(dag.data.clone()));
        Self {
            dir: self.dir.entry(name, dag),
            ..self
        }
    }

    /// An entry of a codec that is no file: the block itself is what is saved.
    pub fn block(mut self, name: &str, dag: &Dag) -> Self {
        let block = dag.block(&dag.root).expect("the root").to_vec();
        self.expected.insert(name.to_owned(), Stands::File(block));
        Self {
            dir: self.dir.entry(name, dag),
            ..self
        }
    }

    pub fn files<'a>(self, files: impl IntoIterator<Item = (String, &'a Dag)>) -> Self {
        let files = files.into_iter();
        files.fold(self, |sample, (name, dag)| sample.file(&name, dag))
    }

    pub fn link(mut self, name: &str, target: &str) -> Self {
        self.expected
            .insert(name.to_owned(), Stands::Link(target.into()));
        Self {
            dir: self.dir.entry(name, &Dag::symlink(target)),
            ..self
        }
    }

    pub fn dir(mut self, name: &str, below: &Sample) -> Self {
        self.expected.insert(name.to_owned(), Stands::Directory);
        for (path, stands) in &below.expected {
            self.expected
                .insert(format!("{name}/{path}"), stands.clone());
        }
        Self {
            dir: self.dir.entry(name, &below.dag()),
            ..self
        }
    }

    pub fn sharded(self, fanout: u64) -> Self {
        self.with(|dir| dir.sharded(fanout))
    }

    /// The same with its own node changed.
    pub fn with(self, change: impl FnOnce(Dir) -> Dir) -> Self {
        Self {
            dir: change(self.dir),
            ..self
        }
    }

    pub fn dag(&self) -> Dag {
        self.dir.clone().build()
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        let sizes = self.expected.values().map(|stands| match stands {
            Stands::File(data) => data.len() as u64,
            Stands::Directory | Stands::Link(_) => 0,
        });
        sizes.sum()
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        let is_file = |stands: &&Stands| matches!(stands, Stands::File(_));
        self.expected.values().filter(is_file).count()
    }
}

/// What stands below a directory on disk; links are not followed.
#[cfg(unix)]
pub fn listing(root: &Path) -> Listing {
    use std::os::unix::ffi::OsStringExt as _;
    let mut found = Listing::new();
    let mut directories = vec![(root.to_path_buf(), String::new())];
    while let Some((directory, prefix)) = directories.pop() {
        let entries = std::fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        for entry in entries {
            let entry = entry.expect("a readable directory");
            let name = entry.file_name().into_string().expect("a Unicode name");
            let (path, on_disk) = (format!("{prefix}{name}"), entry.path());
            let kind = entry.file_type().expect("a kind");
            let stands = if kind.is_symlink() {
                let target = std::fs::read_link(&on_disk).expect("a link");
                Stands::Link(target.into_os_string().into_vec())
            } else if kind.is_dir() {
                directories.push((on_disk, format!("{path}/")));
                Stands::Directory
            } else {
                Stands::File(std::fs::read(&on_disk).expect("a readable file"))
            };
            found.insert(path, stands);
        }
    }
    found
}

/// Fails unless exactly this stands below a directory on disk.
#[track_caller]
pub fn stands_as(root: &Path, expected: &Listing, context: &str) {
    let found = listing(root);
    let differs = |path: &&String| found.get(*path) != expected.get(*path);
    let paths = found.keys().chain(expected.keys());
    let wrong: Vec<String> = paths
        .filter(differs)
        .map(|path| {
            format!(
                "{path:?}: {:?}, not {:?}",
                found.get(path),
                expected.get(path)
            )
        })
        .take(20)
        .collect();
    assert!(wrong.is_empty(), "{}\n{context}", wrong.join("\n"));
}
