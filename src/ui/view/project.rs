//! What the user keeps in files: the catalogue, and the entries of a manifest.

use serde::Serialize;

/// An entry of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryView {
    /// What is typed behind the `@`.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// Size in bytes.
    pub size: Option<u64>,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: Option<String>,
    /// What it is, in the user's words.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Least memory that using it takes, in bytes.
    pub memory: Option<u64>,
    /// Its licence.
    pub licence: Option<String>,
    /// Anything else.
    pub note: Option<String>,
}

/// The document of `catalog list`.
#[derive(Debug, Serialize)]
pub struct CatalogView<'a> {
    /// In the order of the file.
    pub entries: &'a [EntryView],
}

/// The document of `catalog show` and `catalog add`.
#[derive(Debug, Serialize)]
pub struct EntryShown<'a> {
    /// The entry.
    pub entry: &'a EntryView,
}

/// The document of `catalog remove`.
#[derive(Debug, Serialize)]
pub struct RemovedView<'a> {
    /// Names.
    pub removed: &'a [String],
}

/// The document of `catalog recommend`.
#[derive(Debug, Serialize)]
pub struct RecommendedView<'a> {
    /// `null` if nothing fits.
    pub recommended: Option<&'a EntryView>,
    /// Bytes of memory to fit into.
    pub memory: u64,
    /// Why this one, or none.
    pub reason: &'a str,
}

/// What became of an entry of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It was in place already.
    Kept,
    /// It is new.
    Fetched,
    /// It had changed on disk, or was gone, and is as it was.
    Repaired,
    /// The manifest asks for something else there than before.
    Replaced,
    /// It is not in place.
    Failed,
}

impl Fate {
    /// Every fate, in the order of a summary.
    pub const ALL: [Fate; 5] = [
        Fate::Fetched,
        Fate::Repaired,
        Fate::Replaced,
        Fate::Kept,
        Fate::Failed,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Fate::Kept => "kept",
            Fate::Fetched => "fetched",
            Fate::Repaired => "repaired",
            Fate::Replaced => "replaced",
            Fate::Failed => "failed",
        }
    }
}

/// An entry of a manifest, in the table of `sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncedView {
    /// What became of it.
    pub fate: Fate,
    /// Where it goes, as the manifest has it.
    pub target: String,
    /// Bytes, of what is in place.
    pub size: Option<u64>,
    /// Why, where there is more to say.
    pub note: Option<String>,
}
