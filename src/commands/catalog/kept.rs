//! What is kept of catalogues from elsewhere, in the state directory: so that their names work
//! without a network.
//!
//! Invariant: text that is read here has the SHA-256 that it had when it was proved and kept, and
//! was kept for this source and this pin. Another pin is another file.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::commands::error::CommandError;
use crate::content::hash::{FileSha256, hex};
use crate::disk::install::remove;
use crate::disk::whole_file::{self, Access};
use crate::disk::{DiskError, private};
use crate::settings::Settings;
use crate::settings::catalog::{MAX_REMOTE_BYTES, RemoteCatalog};

/// The directory, in the state directory.
const DIRECTORY: &str = "catalogs";
/// Largest file of ours: JSON may take six characters for one.
const MAX_FILE: u64 = MAX_REMOTE_BYTES * 6 + (64 << 10);
/// Hexadecimal digits of a file's name: enough that no two pins share one.
const NAME_DIGITS: usize = 32;

/// A catalogue as it was fetched and proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Version of this form.
    v: u32,
    /// As the user's catalogue names it.
    pub(super) source: String,
    /// The root that it was resolved to; `None` for a plain file.
    pub(super) cid: Option<String>,
    /// The path below that root, without leading slash.
    pub(super) content_path: String,
    /// Of the signed record that led there, if a key names it.
    pub(super) sequence: Option<u64>,
    /// When it was fetched, or was found to be still the same: microseconds since 1970 UTC.
    fetched_at: i64,
    /// Of the text, lower-case hexadecimal.
    sha256: String,
    /// The catalogue.
    pub(super) text: String,
}

/// Why there is nothing to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lacking {
    /// It was never fetched.
    Missing,
    /// What was kept is not what was proved.
    Damaged,
}

impl Kept {
    pub(super) fn new(remote: &RemoteCatalog, text: String) -> Self {
        Self {
            v: 1,
            source: remote.source.clone(),
            cid: None,
            content_path: String::new(),
            sequence: None,
            fetched_at: Timestamp::now().as_microsecond(),
            sha256: sum(&text),
            text,
        }
    }

    /// When it was fetched, or was found to be still the same.
    pub(super) fn fetched(&self) -> Option<Timestamp> {
        Timestamp::from_microsecond(self.fetched_at).ok()
    }

    fn is_sound(&self, remote: &RemoteCatalog) -> bool {
        let pin = remote.sha256.map(|sum| hex(&sum));
        self.v == 1
            && self.source == remote.source
            && self.sha256 == sum(&self.text)
            && pin.is_none_or(|pin| pin == self.sha256)
    }
}

fn sum(text: &str) -> String {
    let mut hasher = FileSha256::new();
    hasher.update(text.as_bytes());
    hex(&hasher.finish())
}

/// What is kept of a catalogue.
///
/// # Errors
/// The file is there and cannot be read.
pub(super) fn read(
    settings: &Settings,
    remote: &RemoteCatalog,
) -> Result<Result<Kept, Lacking>, CommandError> {
    let bytes = match whole_file::read_small(&file(settings, remote), MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(Err(Lacking::Missing)),
        Err(DiskError::TooLarge { .. }) => return Ok(Err(Lacking::Damaged)),
        Err(error) => return Err(error.into()),
    };
    let kept = serde_json::from_slice::<Kept>(&bytes).ok();
    Ok(kept
        .filter(|kept| kept.is_sound(remote))
        .ok_or(Lacking::Damaged))
}

/// Keeps it, in place of what was kept before.
pub(super) fn write(
    settings: &Settings,
    remote: &RemoteCatalog,
    kept: &Kept,
) -> Result<(), CommandError> {
    directory(settings)?;
    let json = serde_json::to_vec(kept).unwrap_or_default();
    Ok(whole_file::write_atomic(
        &file(settings, remote),
        &json,
        Access::Private,
    )?)
}

/// Forgets it.
pub(super) fn forget(settings: &Settings, remote: &RemoteCatalog) -> Result<(), CommandError> {
    Ok(remove(&file(settings, remote))?)
}

/// Whether both are the same under two names.
pub(super) fn is_shared(one: &RemoteCatalog, other: &RemoteCatalog) -> bool {
    (&one.source, one.sha256) == (&other.source, other.sha256)
}

/// Where it is fetched to before it is read and kept: a name that says what it is, should the
/// download fail and stay in the records.
pub(super) fn arrival(
    settings: &Settings,
    remote: &RemoteCatalog,
) -> Result<PathBuf, CommandError> {
    let directory = directory(settings)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let plain = |c: char| if is_plain(c) { c } else { '_' };
    let mut name: String = remote.name.chars().map(plain).collect();
    let key = file_name(remote);
    name.push_str(&format!("-{}.toml", &key[..8]));
    Ok(directory.join(name))
}

fn directory(settings: &Settings) -> Result<PathBuf, DiskError> {
    let directory = settings.state_dir.join(DIRECTORY);
    private::create_private_dir(&settings.state_dir)?;
    private::create_private_dir(&directory)?;
    Ok(directory)
}

fn file(settings: &Settings, remote: &RemoteCatalog) -> PathBuf {
    let directory = settings.state_dir.join(DIRECTORY);
    directory.join(file_name(remote)).with_extension("json")
}

/// Of source and pin: another one is another file.
fn file_name(remote: &RemoteCatalog) -> String {
    let pin = remote.sha256.map(|sum| hex(&sum)).unwrap_or_default();
    let mut name = sum(&format!("{}\n{pin}", remote.source));
    name.truncate(NAME_DIGITS);
    name
}
