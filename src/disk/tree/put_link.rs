//! One symlink of a tree that stands already.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::disk::error::DiskError;
use crate::disk::place::{Nonce, Target};
use crate::disk::platform::Dir;
use crate::disk::tree::entry::EntryKind;
use crate::disk::tree::path::TreePath;
use crate::disk::tree::remove::fine_if_gone;
use crate::disk::tree::root::Root;

/// Puts a link at `path` of the tree at `root`, in place of a file or link that has that name. It
/// is made beside that, under the name that a part with this nonce has, and renamed over it; what
/// an interrupted try left under that name goes. Where the link leads, the caller has judged.
///
/// # Errors
/// [`DiskError::IsDirectory`] if a directory stands there.
pub fn put_link(
    root: &Path,
    path: &TreePath,
    target: &[u8],
    nonce: &Nonce,
) -> Result<(), DiskError> {
    let on_disk = path.below(root);
    let part = Target::at(&on_disk)?.part_path(nonce);
    let Some((name, tree)) = part.file_name().zip(Root::open(root, false)?) else {
        return Err(DiskError::of("open", root)(io::ErrorKind::NotFound.into()));
    };
    let put = |dir: &Dir, link: &OsStr| {
        let there = dir.look(link)?;
        if there.is_some_and(|there| there.kind == EntryKind::Directory) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        fine_if_gone(dir.remove_file(name))?;
        dir.symlink(name, target)?;
        dir.rename(name, link)?;
        dir.sync()
    };
    match tree.at("create the link", path, put) {
        Err(DiskError::Io { source, .. }) if source.kind() == io::ErrorKind::IsADirectory => {
            Err(DiskError::IsDirectory { path: on_disk })
        }
        put => put,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn replaces_files_and_links_and_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let nonce = Nonce::parse("0123abcd").unwrap();
        let put = |name: &str| {
            let path = TreePath::parse(name).unwrap();
            put_link(dir.path(), &path, b"to", &nonce)
        };
        std::fs::create_dir_all(dir.path().join("sub/full")).unwrap();
        std::fs::write(dir.path().join("sub/file"), "mine").unwrap();
        symlink("elsewhere", dir.path().join("sub/link")).unwrap();
        // What an interrupted try left.
        symlink("to", dir.path().join("sub/new.0123abcd.partial")).unwrap();
        for name in ["sub/file", "sub/link", "sub/new"] {
            put(name).unwrap();
            let link = std::fs::read_link(dir.path().join(name)).unwrap();
            assert_eq!(link, Path::new("to"));
        }
        assert!(matches!(
            put("sub/full"),
            Err(DiskError::IsDirectory { .. })
        ));
        assert!(!dir.path().join("sub/full.0123abcd.partial").exists());
        assert!(put("none/link").is_err());

        // What lies where a link leads is somebody else's.
        let elsewhere = tempfile::tempdir().unwrap();
        let theirs = elsewhere.path().join("link.0123abcd.partial");
        std::fs::write(&theirs, "theirs").unwrap();
        symlink(elsewhere.path(), dir.path().join("away")).unwrap();
        assert!(put("away/link").is_err());
        assert!(theirs.exists() && !elsewhere.path().join("link").exists());
    }
}
