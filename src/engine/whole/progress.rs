//! How far a whole file has come that proves itself only at its end, and what a break means for
//! it. Pure.

use serde::{Deserialize, Serialize};

use crate::gateway::validator::Validator;

/// What a checkpoint remembers of a file that is fetched as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// Bytes from the beginning that are written and synced.
    pub position: u64,
    /// Bytes of the whole file, as its source says.
    pub total: Option<u64>,
    /// Where they came from.
    pub url: String,
    /// Which version of the file they are of, encoded.
    pub validator: Option<String>,
    /// The boot of the machine in which this was recorded: within it, what was written later is
    /// still there.
    pub boot: Option<String>,
    /// Sources that were given up because the file of them was not the right one.
    pub switches: u32,
}

impl Saved {
    /// The form in which the record keeps it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Saved::to_json`] wrote.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// How many of the `len` bytes of the part are to be gone on from: in the same boot all of
    /// them, since a killed process loses nothing that it wrote; after a power cut those that were
    /// synced. What is longer than the whole file was made so by somebody else.
    pub fn believed(&self, len: u64, boot: Option<&str>) -> u64 {
        let most = match boot.is_some() && self.boot.as_deref() == boot {
            true => self.total.unwrap_or(u64::MAX),
            false => self.position,
        };
        len.min(most)
    }
}

/// What is here of the file, and where it came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes from the beginning that are here.
    pub position: u64,
    /// Bytes of the whole file, as its source says.
    pub total: Option<u64>,
    /// Which version of the file they are of.
    pub validator: Option<Validator>,
}

impl Progress {
    /// Whether a stream that broke off is to be gone on with, rather than begun again. Only a
    /// strong validator says that the rest will belong to the same bytes; without one, going on
    /// is a bet that pays when at least `threshold` of the file is here, since the sum at the end
    /// decides anyway.
    pub fn is_worth_keeping(&self, threshold: f64) -> bool {
        let share = self
            .total
            .map(|total| self.position as f64 / total.max(1) as f64);
        self.validator.is_some() || share.is_some_and(|share| share >= threshold)
    }

    /// Whether every byte that the source announced is here.
    pub fn is_whole(&self) -> bool {
        self.total == Some(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_after_a_break() {
        let at = |position, total, etag: Option<&str>| Progress {
            position,
            total,
            validator: etag.and_then(Validator::decode),
        };
        assert!(!at(49, Some(100), None).is_worth_keeping(0.5));
        assert!(at(50, Some(100), None).is_worth_keeping(0.5));
        assert!(at(1, Some(100), Some("etag \"a\"")).is_worth_keeping(0.5));
        assert!(!at(99, None, None).is_worth_keeping(0.5), "of how many?");
        assert!(at(0, Some(0), None).is_whole());
        assert!(!at(1, None, None).is_whole());
    }

    #[test]
    fn a_power_cut_takes_back_what_was_not_synced() {
        let saved = Saved {
            position: 10,
            boot: Some("one".to_owned()),
            ..Saved::default()
        };
        assert_eq!(saved.believed(25, Some("one")), 25);
        assert_eq!(saved.believed(25, Some("two")), 10);
        assert_eq!(saved.believed(5, Some("two")), 5);
        assert_eq!(saved.believed(25, None), 10, "who knows");
        assert_eq!(Saved::from_json(&saved.to_json()), Some(saved));
    }

    #[test]
    fn what_is_longer_than_the_whole_file_is_not_believed() {
        let saved = Saved {
            total: Some(30),
            boot: Some("one".to_owned()),
            ..Saved::default()
        };
        assert_eq!(saved.believed(1 << 40, Some("one")), 30);
    }
}
