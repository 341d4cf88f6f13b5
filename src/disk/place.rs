//! Where things go on disk: targets, and the parts beside them.
//!
//! Names come from strangers, paths from the user: a [`SafeName`] is checked for everything that
//! could lead out of its directory, a path from the command line only for what cannot work.
//! Invariant: a [`Target`] is absolute, has a final name, and holds no `.` and no `..`.

use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::hash::BuildHasher;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::disk::error::DiskError;
use crate::disk::install::{parent, sync_dir};

mod name;

use name::MAX_NAME;
pub use name::{SafeName, sanitize_name};

/// What a part is called after its target's name and the nonce.
const PART_SUFFIX: &str = ".partial";

/// Eight random hex digits that keep the parts of different downloads apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(u32);

impl Nonce {
    /// A new one. Unlikely to repeat, not hard to guess: it is for uniqueness, and what happens
    /// to repeat is refused when the part is created.
    pub fn random() -> Self {
        // Each state has fresh keys from the system's randomness, or differs from the last by one
        // key step; the hash folds them into a number.
        Self(RandomState::new().hash_one(std::process::id()) as u32)
    }

    /// The nonce with this text: exactly eight lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 8 || !text.bytes().all(is_hex) {
            return None;
        }
        u32::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The path that a finished download will have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    path: PathBuf,
}

impl Target {
    /// `name` in `dir`.
    ///
    /// # Errors
    /// When `dir` has no absolute form.
    pub fn new(dir: &Path, name: &SafeName) -> Result<Self, DiskError> {
        let mut path = clean(dir)?;
        path.push(name.as_str());
        Ok(Self { path })
    }

    /// A path as a user typed it.
    ///
    /// # Errors
    /// [`DiskError::IsDirectory`] if it can only name a directory (`x/`, `..`, `/`), and an error
    /// of the class [`DiskError::is_uncreatable`] if no file can have that name.
    pub fn at(path: &Path) -> Result<Self, DiskError> {
        let clean = clean(path)?;
        let Some(name) = clean.file_name().filter(|_| !names_directory(path)) else {
            return Err(DiskError::IsDirectory {
                path: path.to_path_buf(),
            });
        };
        // Windows counts UTF-16 units, of which a name never has more than it has bytes here.
        if cfg!(unix) && name.len() > MAX_NAME {
            return Err(DiskError::of("create", path)(
                io::ErrorKind::InvalidFilename.into(),
            ));
        }
        Ok(Self { path: clean })
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that holds it.
    pub fn dir(&self) -> &Path {
        parent(&self.path)
    }

    /// Where the part with this nonce lies: `<file name>.<nonce>.partial` in the same directory, the
    /// file name cut where the whole would be too long.
    pub fn part_path(&self, nonce: &Nonce) -> PathBuf {
        sibling(&self.path, &format!(".{nonce}{PART_SUFFIX}"))
    }

    /// Where the part lies of work that no record knows, such as an export. A repeat finds what a
    /// killed one left there, so that it does not stay for ever.
    pub fn scratch_path(&self) -> PathBuf {
        let hash = blake3::hash(self.path.as_os_str().as_encoded_bytes());
        let [a, b, c, d, ..] = *hash.as_bytes();
        self.part_path(&Nonce(u32::from_be_bytes([a, b, c, d])))
    }

    /// Where the CAR with this nonce is written while its blocks are still in the part.
    pub fn car_part_path(&self, nonce: &Nonce) -> PathBuf {
        sibling(&self.path, &format!(".{nonce}.car{PART_SUFFIX}"))
    }

    /// The nonces of all parts of this target that lie beside it, whosever they are. Targets whose
    /// long names begin alike share the names of their parts.
    ///
    /// # Errors
    /// When the directory cannot be read; a missing one holds nothing.
    pub fn parts(&self) -> Result<Vec<Nonce>, DiskError> {
        let dir = self.dir();
        let entries = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(DiskError::of("list", dir))?,
        };
        let mut nonces = Vec::new();
        for entry in entries {
            let name = entry.map_err(DiskError::of("list", dir))?.file_name();
            nonces.extend(
                nonce_of(&name).filter(|nonce| self.part_path(nonce).file_name() == Some(&*name)),
            );
        }
        Ok(nonces)
    }

    /// Whether a file could be installed here, as far as looking can tell. For an early answer
    /// only: [`crate::disk::install::install`] is what decides.
    ///
    /// # Errors
    /// [`DiskError::Exists`] unless `overwrite`, [`DiskError::IsDirectory`], and whatever is wrong
    /// with the directory; all of the class [`DiskError::is_uncreatable`].
    pub fn check_creatable(&self, overwrite: bool) -> Result<(), DiskError> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(there) if there.is_dir() => Err(DiskError::IsDirectory {
                path: self.path.clone(),
            }),
            Ok(_) if overwrite => Ok(()),
            Ok(_) => Err(DiskError::Exists {
                path: self.path.clone(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.check_dir(),
            Err(error) => Err(DiskError::of("create", &self.path)(error)),
        }
    }

    fn check_dir(&self) -> Result<(), DiskError> {
        let metadata =
            std::fs::metadata(self.dir()).map_err(DiskError::of("create a file in", self.dir()))?;
        if metadata.is_dir() {
            Ok(())
        } else {
            Err(DiskError::of("create a file in", self.dir())(
                io::ErrorKind::NotADirectory.into(),
            ))
        }
    }
}

/// Makes a directory and the missing ones above it, durably.
///
/// # Errors
/// Among others, when something that is not a directory stands in the way.
pub fn ensure_dir(dir: &Path) -> Result<(), DiskError> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    std::fs::create_dir_all(dir).map_err(DiskError::of("create", dir))?;
    // A file is only as durable as the names of the directories that lead to it.
    missing
        .into_iter()
        .try_for_each(|made| sync_dir(parent(made)))
}

/// A name beside `path`, made of its name and `suffix`, the name cut at a character where the
/// whole would be longer than a name can be.
pub(super) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_else(|| OsStr::new("_"));
    let room = MAX_NAME.saturating_sub(suffix.len());
    let mut sibling = if name.len() <= room {
        name.to_owned()
    } else {
        let text = name.to_string_lossy();
        OsString::from(&text[..text.floor_char_boundary(room)])
    };
    sibling.push(suffix);
    path.with_file_name(sibling)
}

fn nonce_of(part_name: &OsStr) -> Option<Nonce> {
    let stem = part_name
        .as_encoded_bytes()
        .strip_suffix(PART_SUFFIX.as_bytes())?;
    let (_, nonce) = stem.split_at_checked(stem.len().checked_sub(9)?)?;
    Nonce::parse(str::from_utf8(nonce.strip_prefix(b".")?).ok()?)
}

/// The absolute form without `.` and `..`. A `..` after a symlink means the parent of what the
/// link leads to, as the system reads it; otherwise links stay as they were typed.
fn clean(path: &Path) -> Result<PathBuf, DiskError> {
    let absolute = std::path::absolute(path).map_err(DiskError::of("find", path))?;
    let mut clean = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if clean.is_symlink() {
                    clean = std::fs::canonicalize(&clean).map_err(DiskError::of("find", &clean))?;
                }
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    Ok(clean)
}

fn names_directory(path: &Path) -> bool {
    let typed = path.as_os_str().as_encoded_bytes();
    let last = typed
        .rsplit(|&byte| std::path::is_separator(char::from(byte)))
        .next();
    matches!(last, None | Some(b"" | b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn name(text: &str) -> SafeName {
        SafeName::new(text).unwrap()
    }

    #[test]
    fn nonces_round_trip_and_differ() {
        let nonces: std::collections::HashSet<Nonce> = (0..100).map(|_| Nonce::random()).collect();
        assert!(nonces.len() > 95);
        assert!(
            nonces
                .iter()
                .all(|nonce| Nonce::parse(&nonce.to_string()) == Some(*nonce))
        );
        assert_eq!(
            Nonce::parse("0000000a")
                .map(|nonce| nonce.to_string())
                .as_deref(),
            Some("0000000a")
        );
        for bad in [
            "",
            "0000000A",
            "+000000a",
            "0000000",
            "000000000",
            "0000000g",
            "é00000é",
        ] {
            assert_eq!(Nonce::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn parts_lie_beside_their_target() {
        let nonce = Nonce::parse("0123abcd").unwrap();
        let target = Target::new(Path::new("/data"), &name("file.bin")).unwrap();
        assert_eq!(
            target.part_path(&nonce),
            target.dir().join("file.bin.0123abcd.partial")
        );

        for long in ["n".repeat(255), "€".repeat(85), "n".repeat(237) + "€€"] {
            let target = Target::new(Path::new("/data"), &name(&long)).unwrap();
            let part = target.part_path(&nonce);
            let part_name = part.file_name().and_then(OsStr::to_str).unwrap();
            assert!((250..=255).contains(&part_name.len()), "{part_name}");
            assert!(part_name.ends_with(".0123abcd.partial"));
            assert_eq!(nonce_of(part.file_name().unwrap()), Some(nonce));
        }
    }

    #[test]
    fn finds_the_parts_of_a_target_only() {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::new(dir.path(), &name("f")).unwrap();
        assert!(
            Target::at(&dir.path().join("no/f"))
                .unwrap()
                .parts()
                .unwrap()
                .is_empty()
        );
        for file in [
            "f",
            "f.0123abcd.partial",
            "g.0123abce.partial",
            "f.0123ABCD.partial",
            "f.partial",
            ".partial",
        ] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        assert_eq!(target.parts().unwrap(), [Nonce::parse("0123abcd").unwrap()]);
    }

    #[cfg(unix)]
    #[test]
    fn targets_are_absolute_and_clean() {
        let here = std::env::current_dir().unwrap();
        let at = |path: &str| Target::at(Path::new(path)).map(|target| target.path);
        assert_eq!(at("x").unwrap(), here.join("x"));
        assert_eq!(at("./a/../x").unwrap(), here.join("x"));
        assert_eq!(at("../x").unwrap(), here.parent().unwrap().join("x"));
        assert_eq!(at("/../a//./b").unwrap(), Path::new("/a/b"));
        for directory in ["/", "..", ".", "x/", "x/.", "x/y/..", "/.."] {
            assert!(
                matches!(at(directory), Err(DiskError::IsDirectory { .. })),
                "{directory}"
            );
        }
        assert!(at("").unwrap_err().is_uncreatable());
        assert!(at(&"n".repeat(256)).unwrap_err().is_uncreatable());
    }

    #[cfg(unix)]
    #[test]
    fn a_parent_of_a_link_is_the_parent_of_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("real/inner")).unwrap();
        std::os::unix::fs::symlink(root.join("real/inner"), root.join("link")).unwrap();
        let at = |path: &str| Target::at(&root.join(path)).unwrap().path;
        assert_eq!(at("link/../x"), root.join("real/x"));
        assert_eq!(at("link/x"), root.join("link/x"));
    }

    #[test]
    fn tells_early_what_cannot_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let target = |text: &str| Target::at(&dir.path().join(text)).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        fs::create_dir(dir.path().join("dir")).unwrap();
        target("new").check_creatable(false).unwrap();
        target("file").check_creatable(true).unwrap();
        assert!(matches!(
            target("file").check_creatable(false),
            Err(DiskError::Exists { .. })
        ));
        assert!(matches!(
            target("dir").check_creatable(true),
            Err(DiskError::IsDirectory { .. })
        ));
        for (text, overwrite) in [("no/new", false), ("no/new", true), ("file/new", false)] {
            assert!(
                target(text)
                    .check_creatable(overwrite)
                    .unwrap_err()
                    .is_uncreatable(),
                "{text}"
            );
        }
    }

    #[test]
    fn makes_directories() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        ensure_dir(&deep).unwrap();
        ensure_dir(&deep).unwrap();
        assert!(deep.is_dir());
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(ensure_dir(&file).is_err());
        assert!(ensure_dir(&file.join("below")).is_err());
    }
}
