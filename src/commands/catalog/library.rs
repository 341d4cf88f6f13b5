//! The user's catalogue with all that it names: which entry a name means.
//!
//! Invariant: the user's own entries come first, then the catalogues from elsewhere in the order
//! in which the user names them; the first that has a name gives it its meaning.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::commands::error::CommandError;
use crate::disk::lock::LockFile;
use crate::disk::{place, whole_file};
use crate::download::{chain, quoted_path};
use crate::exit::ExitKind;
use crate::settings::catalog::{Catalog, CatalogEntry, MAX_BYTES, RemoteCatalog, USER};
use crate::settings::{Document, Settings};
use crate::store::{CatalogRow, Store};

/// How long other processes are waited for that change the catalogue, each in moments.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether they are done.
const LOOK: Duration = Duration::from_millis(20);

/// The user's catalogue on disk.
pub(super) struct CatalogFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) catalog: Catalog,
}

impl CatalogFile {
    /// Reads it; one that is not there is empty.
    pub(super) fn read(settings: &Settings) -> Result<Self, CommandError> {
        let path = place_of(settings)?;
        let bytes = match whole_file::read_small(&path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => Vec::new(),
            Err(error) => {
                let message = format!("cannot read the catalogue: {}", chain(&error));
                return Err(CommandError::new(ExitKind::Config, message)
                    .hint(format!("make it readable: {}", quoted_path(&path))));
            }
        };
        let document = Document {
            path: &path,
            bytes: &bytes,
        };
        let catalog = Catalog::parse(&document)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self {
            path,
            text,
            catalog,
        })
    }

    /// Reads it, and writes what `edit` makes of its text, if that is anything new. No other process
    /// changes it meanwhile.
    pub(super) fn change(
        settings: &Settings,
        edit: impl FnOnce(&Self) -> Result<Option<String>, CommandError>,
    ) -> Result<(), CommandError> {
        let path = place_of(settings)?;
        place::ensure_dir(path.parent().unwrap_or(Path::new(".")))?;
        let lock = lock(&path)?;
        let changed = Self::read(settings).and_then(|file| match edit(&file)? {
            Some(text) => Ok(whole_file::rewrite(&path, text.as_bytes())?),
            None => Ok(()),
        });
        if let Err(error) = lock.release() {
            tracing::warn!(%error, "cannot remove the lock of the catalogue");
        }
        changed
    }
}

fn place_of(settings: &Settings) -> Result<PathBuf, CommandError> {
    settings.catalog_file.clone().ok_or_else(|| {
        let message = "there is no place for the catalogue: no home directory is known";
        CommandError::new(ExitKind::Config, message)
            .hint("name a configuration file with --config: the catalogue lies beside it")
    })
}

/// Waits for other processes that change it.
fn lock(path: &Path) -> Result<LockFile, CommandError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let begun = Instant::now();
    loop {
        if let Some(lock) = LockFile::try_acquire(Path::new(&name))? {
            return Ok(lock);
        }
        if begun.elapsed() > PATIENCE {
            let message = format!("another process is changing {}", path.display());
            return Err(CommandError::new(ExitKind::Retry, message).hint("run it again in a while"));
        }
        std::thread::sleep(LOOK);
    }
}

/// A catalogue from elsewhere, and what is kept of it.
pub(super) struct Shelf {
    pub(super) remote: RemoteCatalog,
    pub(super) contents: Result<Contents, Unusable>,
}

/// What is kept of a catalogue.
pub(super) struct Contents {
    pub(super) kept: CatalogRow,
    pub(super) entries: Vec<CatalogEntry>,
}

/// Why a catalogue from elsewhere has no entries here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It was never fetched.
    Missing,
    /// What an earlier version kept is not understood: this is wrong with it.
    Damaged(String),
}

impl Shelf {
    /// Reads what is kept of a catalogue.
    pub(super) fn open(store: &Store, remote: &RemoteCatalog) -> Result<Self, CommandError> {
        let kept = store.catalog(&remote.source, remote.sha256).wait()?;
        let contents = match kept {
            None => Err(Unusable::Missing),
            Some(kept) => match entries(remote, kept.text.as_bytes()) {
                Ok(entries) => Ok(Contents { kept, entries }),
                Err(error) => Err(Unusable::Damaged(error.message)),
            },
        };
        Ok(Self {
            remote: remote.clone(),
            contents,
        })
    }

    /// Its entries; none if it has not been fetched.
    pub(super) fn entries(&self) -> &[CatalogEntry] {
        self.contents
            .as_ref()
            .map_or(&[], |contents| &contents.entries)
    }

    /// What a user should know, and do, if there is nothing to read.
    pub(super) fn trouble(&self) -> Option<String> {
        let name = &self.remote.name;
        let why = match self.contents.as_ref().err()? {
            Unusable::Missing => "has not been fetched yet",
            Unusable::Damaged(why) => &format!("cannot be read: {why}"),
        };
        Some(format!(
            "the catalogue {name} {why}; fetch it with: fetchd catalog update {name}"
        ))
    }
}

/// Reads a catalogue from elsewhere. Messages name it by its source.
pub(super) fn entries(
    remote: &RemoteCatalog,
    bytes: &[u8],
) -> Result<Vec<CatalogEntry>, CommandError> {
    let document = Document {
        path: Path::new(&remote.source),
        bytes,
    };
    Ok(Catalog::parse_remote(&document)?)
}

/// The user's catalogue, and those from elsewhere that it names.
pub(super) struct Library {
    pub(super) file: CatalogFile,
    pub(super) shelves: Vec<Shelf>,
}

/// An entry, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed<'a> {
    pub(super) entry: &'a CatalogEntry,
    /// [`USER`], or the name of a catalogue from elsewhere.
    pub(super) origin: &'a str,
    /// Whose entry its name means instead.
    pub(super) hidden_by: Option<&'a str>,
}

impl Library {
    /// Reads all of it; asks nobody. The store is wanted only where the user names catalogues from
    /// elsewhere.
    pub(super) fn open(
        settings: &Settings,
        store: impl FnOnce() -> Result<Store, CommandError>,
    ) -> Result<Self, CommandError> {
        let file = CatalogFile::read(settings)?;
        let shelves = match file.catalog.remotes.as_slice() {
            [] => Vec::new(),
            remotes => {
                let store = store()?;
                let shelves = remotes.iter().map(|remote| Shelf::open(&store, remote));
                shelves.collect::<Result<_, _>>()?
            }
        };
        Ok(Self { file, shelves })
    }

    /// Every entry, those first whose names mean them.
    pub(super) fn listed(&self) -> Vec<Listed<'_>> {
        let own = self.file.catalog.entries.iter().map(|entry| (USER, entry));
        let others = self.shelves.iter().flat_map(|shelf| {
            let name = shelf.remote.name.as_str();
            shelf.entries().iter().map(move |entry| (name, entry))
        });
        let mut meanings: HashMap<&str, &str> = HashMap::new();
        let listed = own.chain(others).map(|(origin, entry)| Listed {
            entry,
            origin,
            hidden_by: claim(&mut meanings, &entry.name, origin),
        });
        listed.collect()
    }

    /// The entry that a name means: `name`, or `catalogue/name`, with or without the `@`.
    pub(super) fn find(&self, text: &str) -> Result<Listed<'_>, CommandError> {
        let text = text.strip_prefix('@').unwrap_or(text);
        let listed = self.listed().into_iter();
        let found = match text.split_once('/') {
            Some((origin, name)) => listed
                .filter(|listed| listed.origin == origin)
                .find(|listed| listed.entry.name == name),
            None => listed
                .filter(|listed| listed.hidden_by.is_none())
                .find(|listed| listed.entry.name == text),
        };
        found.ok_or_else(|| self.unknown(text))
    }

    fn unknown(&self, name: &str) -> CommandError {
        let error = CommandError::usage(format!("no entry of the catalogue is called {name:?}"));
        if let Some(trouble) = self.shelves.iter().find_map(Shelf::trouble) {
            return error.hint(trouble);
        }
        let file = self.file.path.display();
        error.hint(format!(
            "see them all with: fetchd catalog list (they are in {file})"
        ))
    }
}

/// Gives the name a meaning, unless it has one: then whose that is.
fn claim<'a>(
    meanings: &mut HashMap<&'a str, &'a str>,
    name: &'a str,
    origin: &'a str,
) -> Option<&'a str> {
    match meanings.entry(name) {
        Entry::Occupied(there) => Some(there.get()),
        Entry::Vacant(place) => {
            place.insert(origin);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_the_catalogue_waits_for_who_does_so_already() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("catalog.toml");
        let first = lock(&path).expect("nobody else has it");
        std::thread::scope(|scope| {
            let second = scope.spawn(|| lock(&path).map(|_| ()));
            assert!(!second.is_finished());
            first.release().expect("a lock of ours");
            second.join().expect("no panic").expect("the lock");
        });
    }
}
