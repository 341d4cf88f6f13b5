//! The entries of a manifest.

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
