//! Catalogues and their entries.

use serde::Serialize;

use crate::ui::human::Time;
use crate::ui::view::ErrorView;

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
    /// Whose it is: `user`, or the name of a catalogue from elsewhere.
    pub origin: String,
    /// Whose entry the name means instead.
    pub hidden_by: Option<String>,
}

/// The document of `catalog list`.
#[derive(Debug, Serialize)]
pub struct CatalogView<'a> {
    /// The user's own first, in the order of the file.
    pub entries: &'a [EntryView],
    /// Catalogues from elsewhere, in the order of the file.
    pub catalogs: &'a [RemoteView],
}

/// A catalogue from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemoteView {
    /// What it is called here.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// The SHA-256 that is demanded of it, lower-case hexadecimal.
    pub sha256: Option<String>,
    /// Anything else.
    pub note: Option<String>,
    /// Whether its entries are here.
    pub state: RemoteState,
    /// How many entries it has.
    pub entries: Option<usize>,
    /// The root that it was resolved to.
    pub cid: Option<String>,
    /// The path below that root.
    pub content_path: Option<String>,
    /// Sequence number of the signed record that led there.
    pub sequence: Option<u64>,
    /// When it was fetched, or found unchanged.
    pub fetched_at: Option<Time>,
}

/// What is here of a catalogue from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RemoteState {
    /// All of it.
    Ok,
    /// It was never fetched.
    Missing,
    /// It cannot be read any more.
    Damaged,
}

/// The document of `catalog show` for a catalogue from elsewhere.
#[derive(Debug, Serialize)]
pub struct RemoteShown<'a> {
    /// It.
    pub catalog: &'a RemoteView,
}

/// A catalogue from elsewhere that was to be fetched.
#[derive(Debug, Serialize)]
pub struct UpdatedView {
    /// As it is now.
    #[serde(flatten)]
    pub catalog: RemoteView,
    /// Whether it is another than before.
    pub changed: bool,
    /// Why it could not be had.
    pub error: Option<ErrorView>,
}

/// The document of `catalog update`, and of `catalog add --catalog`.
#[derive(Debug, Serialize)]
pub struct UpdatesView<'a> {
    /// In the order of the file.
    pub catalogs: &'a [UpdatedView],
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
