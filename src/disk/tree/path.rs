//! Paths below the root of a tree: the only way in which names of a DAG reach the disk.
//!
//! Invariant: a [`TreePath`] has at least one component and each is a [`SafeName`], so that on its
//! own it names something below the root. Symlinks on the way are for `Tree` to refuse.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::disk::error::DiskError;
use crate::disk::place::SafeName;

/// The deepest tree that is built: far more than any real one, and few enough steps that walking
/// down anew for each operation stays cheap.
pub const MAX_DEPTH: usize = 1024;

/// A checked path below the root of a tree, with `/` between its names on every system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(String);

impl TreePath {
    /// Checks a path with `/` between the names.
    ///
    /// # Errors
    /// [`DiskError::UnsafeName`] when it is empty or absolute, when a name in it is empty or no
    /// [`SafeName`] (`.`, `..`, …), or when it has more than [`MAX_DEPTH`] names.
    pub fn parse(path: &str) -> Result<Self, DiskError> {
        for name in path.split('/') {
            SafeName::new(name)?;
        }
        if path.bytes().filter(|&byte| byte == b'/').count() < MAX_DEPTH {
            Ok(Self(path.to_owned()))
        } else {
            Err(DiskError::UnsafeName {
                name: path.to_owned(),
                reason: "it lies too deep",
            })
        }
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last name.
    pub fn name(&self) -> &str {
        self.split().1
    }

    /// The directory that holds it; `None` for an entry of the root.
    pub fn parent(&self) -> Option<Self> {
        match self.dir() {
            "" => None,
            dir => Some(Self(dir.to_owned())),
        }
    }

    /// The names from the root down.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Where it lies on disk when the root is `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        let mut path = root.to_path_buf();
        path.extend(self.names());
        path
    }

    /// The path of the directory that holds it; empty for the root.
    pub(super) fn dir(&self) -> &str {
        self.split().0
    }

    fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    #[test]
    fn parts_of_a_path() {
        let path = TreePath::parse("a/b c/ü").unwrap();
        assert_eq!((path.dir(), path.name()), ("a/b c", "ü"));
        assert_eq!(path.names().collect::<Vec<_>>(), ["a", "b c", "ü"]);
        assert_eq!(path.parent().unwrap().parent().unwrap().as_str(), "a");
        assert_eq!(TreePath::parse("a").unwrap().parent(), None);
        assert_eq!(path.below(Path::new("/r")), Path::new("/r/a/b c/ü"));
    }

    #[test]
    fn what_is_no_path() {
        let long = "n".repeat(256);
        for bad in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\0", "a/b\n", &long,
        ] {
            assert!(
                matches!(TreePath::parse(bad), Err(DiskError::UnsafeName { .. })),
                "{bad:?}"
            );
        }
        let deep = vec!["d"; MAX_DEPTH].join("/");
        assert!(TreePath::parse(&deep).is_ok());
        assert!(TreePath::parse(&format!("{deep}/d")).is_err());
    }

    proptest! {
        #[test]
        fn never_leads_out(text in r"([a-z./\\:]|\PC){0,12}") {
            if let Ok(path) = TreePath::parse(&text) {
                prop_assert_eq!(path.as_str(), &text);
                let below = path.below(Path::new("root"));
                let names: Vec<_> = below.components().collect();
                prop_assert_eq!(names.len(), path.names().count() + 1);
                prop_assert!(names.iter().all(|name| matches!(name, Component::Normal(_))));
            }
        }
    }
}
