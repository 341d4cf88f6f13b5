//! The manifest, the lock beside it, and the directory that both speak of.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::commands::error::CommandError;
use crate::disk::place::Target;
use crate::disk::whole_file::{self, Access};
use crate::disk::{DiskError, inspect};
use crate::download::{chain, quoted_path};
use crate::exit::ExitKind;
use crate::settings::manifest::{Entry, Lock, MAX_BYTES, Manifest, Pin, Platform};
use crate::settings::{Document, DocumentError, Environment};

/// The manifest that is read where none is named.
const USUAL: &str = "fetchd.toml";

/// A manifest on disk.
pub(super) struct Project {
    /// Absolute.
    pub(super) manifest_file: PathBuf,
    /// Beside it, of the same name with the ending `.lock`.
    pub(super) lock_file: PathBuf,
    /// What targets are relative to.
    pub(super) dir: PathBuf,
    /// The manifest as it was when it was read.
    read: RefCell<Vec<u8>>,
}

impl Project {
    /// The project of this manifest; that of the current directory if none is named.
    pub(super) fn find(named: Option<&Path>) -> Result<Self, CommandError> {
        let named = named.unwrap_or(Path::new(USUAL));
        let file = match inspect::leads_to_directory(named) {
            true => named.join(USUAL),
            false => named.to_owned(),
        };
        let target = Target::at(&file)?;
        let manifest_file = target.path().to_owned();
        let lock_file = manifest_file.with_extension("lock");
        if lock_file == manifest_file {
            let message = format!("{} has the name of a lock", manifest_file.display());
            return Err(CommandError::usage(message).hint("name the manifest, not its lock"));
        }
        Ok(Self {
            dir: target.dir().to_owned(),
            manifest_file,
            lock_file,
            read: RefCell::default(),
        })
    }

    /// Reads the manifest.
    pub(super) fn read_manifest(
        &self,
        environment: &Environment,
    ) -> Result<Manifest, CommandError> {
        let path = &self.manifest_file;
        let bytes = whole_file::read_small(path, MAX_BYTES).map_err(|error| {
            let hint = match error.is_missing() {
                true => "name the manifest, as in: fetchd sync path/to/fetchd.toml",
                false => "the manifest must be a file that can be read",
            };
            unreadable("manifest", &error).hint(hint)
        })?;
        let document = Document {
            path,
            bytes: &bytes,
        };
        let manifest = Manifest::parse(&document, Platform::HERE, environment)?;
        self.read.replace(bytes);
        let mut entries = manifest.entries.iter();
        entries.try_for_each(|entry| self.check_target(entry))?;
        self.check_case(&manifest)?;
        Ok(manifest)
    }

    /// Refuses targets that are told apart by the case of letters alone where the disk does not.
    fn check_case(&self, manifest: &Manifest) -> Result<(), CommandError> {
        let mut alike: HashMap<String, Vec<&Entry>> = HashMap::new();
        for entry in manifest.entries.iter().filter(|entry| entry.holds) {
            let others = alike.entry(entry.target.as_str().to_lowercase());
            let others = others.or_default();
            let path = entry.target.below(&self.dir);
            let is_same = |other: &&&Entry| self.is_one(&path, &other.target.below(&self.dir));
            if let Some(other) = others.iter().find(is_same) {
                let message = format!(
                    "the target {:?} is {:?} too: the disk does not tell their letters apart",
                    entry.target.as_str(),
                    other.target.as_str()
                );
                return Err(self.wrong_at(entry, message).into());
            }
            others.push(entry);
        }
        Ok(())
    }

    /// Whether two paths that differ in the case of letters are one. Where nothing is there yet, the
    /// manifest's own directory says how the disk sees it.
    fn is_one(&self, one: &Path, other: &Path) -> bool {
        inspect::is_one(one, other).unwrap_or_else(|| inspect::ignores_case(&self.manifest_file))
    }

    fn wrong_at(&self, entry: &Entry, message: String) -> DocumentError {
        let document = Document {
            path: &self.manifest_file,
            bytes: &self.read.borrow(),
        };
        document.wrong(entry.offset, message)
    }

    /// The manifest and the lock are nobody's target.
    fn check_target(&self, entry: &Entry) -> Result<(), CommandError> {
        let path = entry.target.below(&self.dir);
        let own = [&self.manifest_file, &self.lock_file];
        let is_own = |own: &&PathBuf| {
            let is_alike =
                path.to_string_lossy().to_lowercase() == own.to_string_lossy().to_lowercase();
            path == **own || is_alike && self.is_one(&path, own)
        };
        if !own.iter().any(is_own) {
            return Ok(());
        }
        let message = format!("the target {:?} is fetchd's own", entry.target.as_str());
        Err(self.wrong_at(entry, message).into())
    }

    /// Reads the lock; `None` if there is none.
    pub(super) fn read_lock(&self) -> Result<Option<Lock>, CommandError> {
        let path = &self.lock_file;
        let bytes = match whole_file::read_small(path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(unreadable("lock", &error)),
        };
        let document = Document {
            path,
            bytes: &bytes,
        };
        match Lock::parse(&document) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) => Err(CommandError::from(error).hint(format!(
                "restore it, or delete it to have everything resolved anew: rm {}",
                quoted_path(path)
            ))),
        }
    }

    /// URLs as they are; files by their absolute paths.
    pub(super) fn places(&self, places: &[String]) -> Vec<String> {
        let absolute = |place: &String| match place.contains("://") {
            true => place.clone(),
            false => self.dir.join(place).to_string_lossy().into_owned(),
        };
        places.iter().map(absolute).collect()
    }

    /// Refuses a lock that pins a CID to another one: somebody edited it.
    pub(super) fn require_sound(
        &self,
        manifest: &Manifest,
        lock: &Lock,
    ) -> Result<(), CommandError> {
        for entry in manifest.entries.iter().filter(|entry| entry.holds) {
            let pinned = lock.pin(&entry.target, &entry.source).map(|pin| pin.cid);
            let named = entry.named_cid().map(Some);
            if let (Some(pinned), Some(named)) = (pinned, named)
                && pinned != named
            {
                let target = entry.target.as_str();
                let lock = self.lock_file.display();
                let message = format!("{lock}: the pin of {target:?} is not the CID of its source");
                return Err(CommandError::new(ExitKind::Config, message).hint(format!(
                    "somebody has edited the lock: restore it, or delete it with: rm {}",
                    quoted_path(&self.lock_file)
                )));
            }
        }
        Ok(())
    }

    /// Refuses a manifest of which the lock does not pin everything that holds here.
    pub(super) fn require_covered(
        &self,
        manifest: &Manifest,
        lock: Option<&Lock>,
    ) -> Result<(), CommandError> {
        let hint = format!("write the lock with: {}", self.command());
        let Some(lock) = lock else {
            let message = format!("there is no {}", self.lock_file.display());
            return Err(CommandError::new(ExitKind::Config, message).hint(hint));
        };
        let here = manifest.entries.iter().filter(|entry| entry.holds);
        let mut missing = here.filter(|entry| covering(lock, entry).is_none());
        let Some(first) = missing.next() else {
            return Ok(());
        };
        let others = match missing.count() {
            0 => String::new(),
            others => format!(", and {others} other targets"),
        };
        let message = format!(
            "{} does not pin {:?} as it stands here{others}",
            self.lock_file.display(),
            first.target.as_str()
        );
        let error = self.wrong_at(first, message);
        Err(CommandError::from(error).hint(hint))
    }

    /// Writes what is in place into the lock. What could not be had keeps its pin, and so does what
    /// holds on other platforms; what the manifest does not ask for any more goes.
    pub(super) fn write_lock<'a>(
        &self,
        manifest: &Manifest,
        pins: impl Iterator<Item = (&'a Entry, Pin)>,
    ) -> Result<(), CommandError> {
        self.try_write_lock(manifest, pins).map_err(|error| {
            let message = format!("the lock could not be written: {}", error.message);
            CommandError::new(error.kind, message).hint(format!(
                "mend that, and run: {}; what is in place is not fetched again",
                self.command()
            ))
        })
    }

    fn try_write_lock<'a>(
        &self,
        manifest: &Manifest,
        pins: impl Iterator<Item = (&'a Entry, Pin)>,
    ) -> Result<(), CommandError> {
        let text = self.new_lock(manifest, pins)?;
        let before = whole_file::read_small(&self.lock_file, MAX_BYTES);
        if before.is_ok_and(|before| before == text.as_bytes()) {
            return Ok(());
        }
        let written = whole_file::write_atomic(&self.lock_file, text.as_bytes(), Access::Umask);
        Ok(written?)
    }

    fn new_lock<'a>(
        &self,
        manifest: &Manifest,
        pins: impl Iterator<Item = (&'a Entry, Pin)>,
    ) -> Result<String, CommandError> {
        // Somebody else may have written it meanwhile.
        let mut lock = self.read_lock()?.unwrap_or_default();
        let wanted: HashSet<(&str, &str)> = manifest
            .entries
            .iter()
            .map(|entry| (entry.target.as_str(), entry.source.as_str()))
            .collect();
        lock.retain(|target, source| wanted.contains(&(target, source)));
        for (entry, pin) in pins {
            lock.set(&entry.target, &entry.source, pin);
        }
        Ok(lock.text())
    }

    /// Refuses a manifest that is not the one that was read any more.
    pub(super) fn require_same_manifest(&self) -> Result<(), CommandError> {
        let now = whole_file::read_small(&self.manifest_file, MAX_BYTES);
        if now.is_ok_and(|now| now == *self.read.borrow()) {
            return Ok(());
        }
        let message = "the manifest was changed meanwhile, and what it asked for before was done";
        Err(CommandError::new(ExitKind::Retry, message)
            .hint(format!("bring the rest in place with: {}", self.command())))
    }

    /// The command that brings this project in place, from wherever it is typed.
    pub(super) fn command(&self) -> String {
        format!("fetchd sync {}", quoted_path(&self.manifest_file))
    }
}

/// The pin of an entry, unless the manifest asks for another checksum by now.
pub(super) fn covering<'a>(lock: &'a Lock, entry: &Entry) -> Option<&'a Pin> {
    let pin = lock.pin(&entry.target, &entry.source)?;
    let is_same = entry.sha256.is_none() || entry.sha256 == pin.sha256;
    is_same.then_some(pin)
}

fn unreadable(what: &str, error: &DiskError) -> CommandError {
    let message = format!("cannot read the {what}: {}", chain(error));
    CommandError::new(ExitKind::Config, message)
}
