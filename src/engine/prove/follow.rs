//! The sum of the file whose bytes come in order: it grows in the pass that proves them.
//!
//! Only a help: where bytes come in another order, the thread that keeps the sums takes or reads
//! them itself.

use crate::content::hash::FileSha256;
use crate::engine::plan::EntryId;
use crate::engine::prove::{Job, Place, slices};

/// The SHA-256 of the first bytes of a file, all of them proved.
#[derive(Clone, Default)]
pub struct FileSum {
    /// The file.
    pub entry: EntryId,
    /// Up to where it has come.
    pub sha: FileSha256,
}

impl FileSum {
    /// Itself, if bytes for these places come next; where they begin a file, its sum begins anew.
    pub(super) fn follow(&mut self, places: &[Place]) -> Option<&mut Self> {
        if !places.iter().any(|place| self.is_at(place)) {
            let first = places.iter().find(|place| place.offset == 0)?;
            *self = Self {
                entry: first.entry,
                sha: FileSha256::default(),
            };
        }
        Some(self)
    }

    /// Its state once it has taken the bytes of this job, as often as they follow each other;
    /// `None` if it has not taken them.
    pub(super) fn after(&mut self, job: &Job) -> Option<Self> {
        let took = |sum: &Self, place: &Place| {
            place.entry == sum.entry && place.offset + job.len == sum.sha.position()
        };
        let has_taken = job.len > 0 && job.places.iter().any(|place| took(self, place));
        while has_taken && job.places.iter().any(|place| self.is_at(place)) {
            slices(&job.data).for_each(|part| self.sha.update(part));
        }
        has_taken.then(|| self.clone())
    }

    fn is_at(&self, place: &Place) -> bool {
        (place.entry, place.offset) == (self.entry, self.sha.position())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::content::cid::{Cid, Multihash, codec};
    use crate::engine::prove::Shape;

    fn places(places: &[(EntryId, u64)]) -> Vec<Place> {
        let path: Arc<str> = "".into();
        let place = |&(entry, offset)| Place {
            entry,
            path: path.clone(),
            offset,
        };
        places.iter().map(place).collect()
    }

    /// What a proof does with the bytes of a job; where the sum has come to.
    fn take(sum: &mut FileSum, data: &'static [u8], at: &[(EntryId, u64)]) -> Option<FileSum> {
        let hash = Multihash::wrap(0, &[]).unwrap();
        let job = Job {
            task: 0,
            cid: Cid::new_v1(codec::RAW, hash),
            shape: Shape::Proved,
            len: data.len() as u64,
            places: places(at),
            data: vec![Bytes::from_static(data)],
            read_at: None,
            permit: None,
        };
        let sum = sum.follow(&job.places)?;
        sum.sha.update(data);
        sum.after(&job)
    }

    fn sum_of(bytes: &[u8]) -> FileSha256 {
        let mut sha = FileSha256::new();
        sha.update(bytes);
        sha
    }

    #[test]
    fn a_sum_follows_a_file_from_its_first_byte_on() {
        let mut sum = FileSum::default();
        let mut came = |data, at: &[(EntryId, u64)]| {
            take(&mut sum, data, at).map(|sum| (sum.entry, sum.sha.save()))
        };
        let is = |entry: EntryId, bytes: &[u8]| Some((entry, sum_of(bytes).save()));

        assert_eq!(came(b"one", &[(3, 0)]), is(3, b"one"));
        assert_eq!(came(b"other", &[(4, 9)]), None);
        assert_eq!(came(b"two", &[(4, 9), (3, 3)]), is(3, b"onetwo"));
        assert_eq!(came(b"late", &[(3, 9)]), None);
        assert_eq!(came(b"new", &[(5, 0)]), is(5, b"new"));
        assert_eq!(came(b"0", &[(5, 3), (5, 4), (5, 6)]), is(5, b"new00"));
    }
}
