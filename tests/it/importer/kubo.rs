//! A real Kubo that adds files, in a repository of its own and never online.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository.
pub struct Kubo {
    binary: PathBuf,
    home: tempfile::TempDir,
}

impl Kubo {
    /// A new repository with these profiles of its configuration.
    pub fn new(binary: &Path, profiles: &str) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let kubo = Self {
            binary: binary.to_owned(),
            home,
        };
        kubo.run(&["init", "--empty-repo", &format!("--profile={profiles}")]);
        kubo
    }

    /// Stdout of a command that succeeds.
    pub fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new(&self.binary)
            .args(["--offline"])
            .args(arguments)
            .env("HOME", self.home.path())
            .env("IPFS_PATH", self.home.path())
            .output()
            .expect("Kubo runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        output.stdout
    }

    /// Adds a folder without keeping it: the CID of everything in it, by path from the folder on;
    /// the folder itself has the empty path.
    pub fn hash(&self, folder: &Path, options: &[&str]) -> BTreeMap<String, String> {
        let folder_text = folder.to_str().expect("text");
        let add = ["add", "--recursive", "--only-hash", "--hidden"];
        let output = self.run(&[&add, options, &[folder_text]].concat());
        let own = folder
            .file_name()
            .and_then(|name| name.to_str())
            .expect("text");
        let line = |line: &str| {
            let (cid, path) = line.strip_prefix("added ")?.split_once(' ')?;
            let path = path.strip_prefix(own)?;
            Some((path.trim_start_matches('/').to_owned(), cid.to_owned()))
        };
        let output = String::from_utf8(output).expect("text");
        output.lines().filter_map(line).collect()
    }
}
