//! One symlink of a tree that stands already.

use std::path::Path;

use crate::disk::error::DiskError;
use crate::disk::install;
use crate::disk::place::{Nonce, Target};
use crate::disk::tree::path::TreePath;
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
        return Err(DiskError::of("open", root)(
            std::io::ErrorKind::NotFound.into(),
        ));
    };
    install::remove(&part)?;
    tree.at("create the link", path, |dir, _| dir.symlink(name, target))?;
    install::install(&part, &on_disk, true)
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
        assert!(put("none/link").is_err());
    }
}
