//! Sets of byte ranges: which bytes of a file are proved.
//!
//! Invariant: the ranges of a [`RangeSet`] are non-empty, sorted, disjoint and not adjacent, so
//! that equal sets are equal values and the encoding is canonical.

use std::collections::BTreeMap;
use std::fmt;

/// A non-empty half-open range of byte offsets, `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// A range from `start` up to, not including, `end`; `None` if it would be empty.
    pub fn new(start: u64, end: u64) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// First offset.
    pub fn start(self) -> u64 {
        self.start
    }

    /// One past the last offset.
    pub fn end(self) -> u64 {
        self.end
    }

    /// Number of bytes, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub fn len(self) -> u64 {
        self.end - self.start
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end - 1)
    }
}

/// A set of byte offsets, kept as maximal ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// start → end of each maximal range.
    ranges: BTreeMap<u64, u64>,
}

/// A stored range set that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed range set")]
pub struct MalformedRanges;

impl RangeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `start..end`; an empty range adds nothing.
    pub fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        // A range that begins before us and touches us, then those that begin inside us.
        if let Some((&s, &e)) = self.ranges.range(..=start).next_back()
            && e >= start
        {
            start = s;
            end = end.max(e);
        }
        while let Some((&s, &e)) = self.ranges.range(start..=end).next() {
            end = end.max(e);
            self.ranges.remove(&s);
        }
        self.ranges.insert(start, end);
    }

    /// Removes `start..end`.
    pub fn remove(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        if let Some((&s, &e)) = self.ranges.range(..start).next_back()
            && e > start
        {
            self.ranges.insert(s, start);
            if e > end {
                self.ranges.insert(end, e);
            }
        }
        while let Some((&s, &e)) = self.ranges.range(start..end).next() {
            self.ranges.remove(&s);
            if e > end {
                self.ranges.insert(end, e);
            }
        }
    }

    /// Whether every byte of `start..end` is in the set.
    pub fn contains(&self, start: u64, end: u64) -> bool {
        start >= end
            || self
                .ranges
                .range(..=start)
                .next_back()
                .is_some_and(|(_, &e)| e >= end)
    }

    /// The end of the range that covers `offset`, or `offset` itself where none does.
    pub fn covered_until(&self, offset: u64) -> u64 {
        self.ranges
            .range(..=offset)
            .next_back()
            .map_or(offset, |(_, &end)| end.max(offset))
    }

    /// Number of bytes in the set.
    pub fn total(&self) -> u64 {
        self.ranges.iter().map(|(s, e)| e - s).sum()
    }

    /// Whether no byte is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The maximal ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = ByteRange> + '_ {
        self.ranges
            .iter()
            .map(|(&start, &end)| ByteRange { start, end })
    }

    /// Canonical bytes for the store: for each range the gap before it and its length, as
    /// unsigned varints.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut buffer = unsigned_varint::encode::u64_buffer();
        let mut at = 0;
        for range in self.iter() {
            out.extend_from_slice(unsigned_varint::encode::u64(range.start - at, &mut buffer));
            out.extend_from_slice(unsigned_varint::encode::u64(range.len(), &mut buffer));
            at = range.end;
        }
        out
    }

    /// Reads what [`RangeSet::encode`] wrote.
    ///
    /// # Errors
    /// [`MalformedRanges`] for anything that `encode` does not produce.
    pub fn decode(encoded: &[u8]) -> Result<Self, MalformedRanges> {
        let mut set = Self::new();
        let mut bytes = encoded;
        let mut at = 0u64;
        while !bytes.is_empty() {
            let (gap, rest) = unsigned_varint::decode::u64(bytes).map_err(|_| MalformedRanges)?;
            let (len, rest) = unsigned_varint::decode::u64(rest).map_err(|_| MalformedRanges)?;
            let start = at.checked_add(gap).ok_or(MalformedRanges)?;
            let end = start.checked_add(len).ok_or(MalformedRanges)?;
            if len == 0 || (gap == 0 && at != 0) {
                return Err(MalformedRanges);
            }
            set.ranges.insert(start, end);
            at = end;
            bytes = rest;
        }
        // Varints can be written in more than one way; only one of them is canonical.
        if set.encode() == encoded {
            Ok(set)
        } else {
            Err(MalformedRanges)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn merges_neighbours_and_leaves_gaps() {
        let mut set = RangeSet::new();
        set.insert(10, 20);
        set.insert(30, 40);
        set.insert(20, 30);
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [ByteRange { start: 10, end: 40 }]
        );
        set.remove(15, 17);
        assert_eq!(
            [10, 15, 17, 40].map(|at| set.covered_until(at)),
            [15, 15, 40, 40]
        );
        assert!(set.contains(17, 40) && !set.contains(16, 40));
        assert_eq!(set.total(), 28);
    }

    proptest! {
        /// Against the obvious model: one boolean per byte.
        #[test]
        fn agrees_with_a_bitmap(ops in prop::collection::vec((any::<bool>(), 0u64..64, 0u64..64), 0..24)) {
            let mut set = RangeSet::new();
            let mut model = [false; 64];
            for (add, a, b) in ops {
                let (start, end) = (a.min(b), a.max(b));
                if add { set.insert(start, end) } else { set.remove(start, end) }
                model[start as usize..end as usize].fill(add);
            }
            for (at, &bit) in model.iter().enumerate() {
                prop_assert_eq!(set.contains(at as u64, at as u64 + 1), bit);
            }
            prop_assert_eq!(set.total(), model.iter().filter(|&&bit| bit).count() as u64);
            prop_assert_eq!(RangeSet::decode(&set.encode()), Ok(set));
        }

        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(set) = RangeSet::decode(&bytes) {
                prop_assert_eq!(set.encode(), bytes);
            }
        }
    }
}
