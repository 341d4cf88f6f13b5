//! What content is to be true to besides its CID: what a user or a lock says of it.
//!
//! A promise that a download was asked for with holds until it has ended: who asks for the same
//! content again, without it or with another one, does not take it back.

use crate::commands::options::Recorded;
use crate::download::Status;
use crate::store::{DownloadRow, NewDownload};

/// Begins a checksum that is recorded in a place of its own.
const SHA256: &str = "sha256:";

/// Checksums and length.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Demand {
    sha256: Option<[u8; 32]>,
    /// By another function, as [`Recorded::checksum`].
    checksum: Option<String>,
    /// In bytes.
    size: Option<u64>,
}

impl Demand {
    fn of(recorded: &Recorded, sha256: Option<[u8; 32]>) -> Self {
        let checksum = recorded.checksum.clone();
        Self {
            sha256,
            checksum: checksum.filter(|text| !text.starts_with(SHA256)),
            size: recorded.size,
        }
    }

    /// This, and of an `earlier` one what this does not speak of.
    fn and(self, earlier: Self) -> Self {
        // A lock has its size from the content with its checksum.
        let is_other =
            earlier.sha256.is_some() && self.sha256.is_some_and(|sum| Some(sum) != earlier.sha256);
        Self {
            sha256: self.sha256.or(earlier.sha256),
            checksum: self.checksum.or(earlier.checksum),
            size: self.size.or(earlier.size.filter(|_| !is_other)),
        }
    }
}

/// What is demanded of a download that is wanted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demanded {
    /// As [`NewDownload::options_json`].
    pub options_json: String,
    /// As [`NewDownload::expected_sha256`].
    pub sha256: Option<[u8; 32]>,
    /// Whether the record says less: whoever works on it already will not look at all of it.
    pub is_more: bool,
}

/// What is demanded of the content of the record `row` where a `new` one would be of the same.
pub fn of_both(row: &DownloadRow, new: &NewDownload) -> Demanded {
    let mut options = Recorded::from_json(&new.options_json);
    let before = Demand::of(&Recorded::from_json(&row.options_json), row.expected_sha256);
    let now = Demand::of(&options, new.expected_sha256);
    let demand = match row.status {
        // What failed begins anew.
        Status::Failed => now,
        _ => now.and(before.clone()),
    };
    let is_more = demand != before;
    options.checksum = demand.checksum;
    options.size = demand.size;
    Demanded {
        options_json: options.to_json(),
        sha256: demand.sha256,
        is_more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(sha256: Option<u8>, checksum: Option<&str>, size: Option<u64>) -> Demand {
        let recorded = Recorded {
            checksum: checksum.map(str::to_owned),
            size,
            ..Recorded::default()
        };
        Demand::of(&recorded, sha256.map(|byte| [byte; 32]))
    }

    #[test]
    fn what_is_not_said_again_holds() {
        let nothing = demand(None, None, None);
        let all = demand(Some(1), Some("sha512:00"), Some(5));
        assert_eq!(nothing.clone().and(all.clone()), all);
        assert_eq!(all.clone().and(nothing), all);
        let one = demand(None, Some("blake3:00"), None);
        let both = demand(Some(1), Some("blake3:00"), Some(5));
        assert_eq!(one.and(all), both);
    }

    #[test]
    fn another_checksum_is_of_content_of_another_size() {
        let locked = demand(Some(1), None, Some(5));
        assert_eq!(demand(Some(1), None, None).and(locked.clone()), locked);
        let other = demand(Some(2), None, None);
        assert_eq!(other.clone().and(locked), other);
        let sized = demand(None, None, Some(5));
        assert_eq!(other.and(sized), demand(Some(2), None, Some(5)));
    }

    #[test]
    fn a_sha256_has_its_own_place() {
        let typed = demand(Some(1), Some("sha256:01"), None);
        assert_eq!(typed, demand(Some(1), None, None));
    }
}
