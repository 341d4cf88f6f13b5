//! Where the bytes of a file are cut into chunks.
//!
//! Looks at bytes, holds none. Cuts lie where Kubo's chunkers put them, whatever pieces the bytes
//! come in.

mod buzhash;
mod rabin;

use crate::content::importer::chunker::buzhash::Buzhash;
use crate::content::importer::chunker::rabin::Rabin;

/// How a file is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunker {
    /// Chunks of this many bytes, the last one shorter (`size-…`).
    Size(usize),
    /// Where a Rabin fingerprint of the last 16 bytes says so (`rabin-min-avg-max`), in bytes.
    Rabin {
        /// Fewest, but of the last chunk; at least 16.
        min: usize,
        /// About the middle.
        avg: usize,
        /// Most.
        max: usize,
    },
    /// Where a rolling hash of the last 32 bytes says so, from 128 KiB to 512 KiB (`buzhash`).
    Buzhash,
}

impl Chunker {
    /// Most bytes of a chunk: those of a block that every node will send (the bitswap
    /// specification).
    pub const MAX: usize = 2 << 20;

    /// Whether all chunks have bytes, and none too many.
    pub(super) fn is_sound(self) -> bool {
        match self {
            Chunker::Size(size) => (1..=Self::MAX).contains(&size),
            Chunker::Rabin { min, avg, max } => {
                (rabin::WINDOW..avg).contains(&min) && (avg + 1..=Self::MAX).contains(&max)
            }
            Chunker::Buzhash => true,
        }
    }
}

/// A chunker at work.
#[derive(Debug)]
pub(super) enum Cutter {
    Size { size: usize, taken: usize },
    Rabin(Rabin),
    Buzhash(Buzhash),
}

impl Cutter {
    pub(super) fn new(chunker: Chunker) -> Self {
        match chunker {
            Chunker::Size(size) => Cutter::Size { size, taken: 0 },
            Chunker::Rabin { min, avg, max } => Cutter::Rabin(Rabin::new(min, avg, max)),
            Chunker::Buzhash => Cutter::Buzhash(Buzhash::default()),
        }
    }

    /// How many of these bytes belong to the chunk, if it ends among them. The bytes behind are
    /// to be given again.
    pub(super) fn cut(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Cutter::Size { size, taken } => {
                let room = *size - *taken;
                let ends = bytes.len() >= room;
                *taken = if ends { 0 } else { *taken + bytes.len() };
                ends.then_some(room)
            }
            Cutter::Rabin(rabin) => rabin.cut(bytes),
            Cutter::Buzhash(buzhash) => buzhash.cut(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lengths of the chunks of `bytes` that come in these pieces.
    fn lengths(chunker: Chunker, pieces: impl Iterator<Item = Vec<u8>>) -> Vec<usize> {
        let mut cutter = Cutter::new(chunker);
        let mut found = vec![0];
        for piece in pieces {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let taken = cutter.cut(rest);
                *found.last_mut().unwrap() += taken.unwrap_or(rest.len());
                rest = &rest[taken.unwrap_or(rest.len())..];
                if taken.is_some() {
                    found.push(0);
                }
            }
        }
        found
    }

    fn noise(len: usize, mut state: u64) -> Vec<u8> {
        let mut step = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(|_| step()).collect()
    }

    #[test]
    fn chunks_keep_to_their_bounds() {
        let bytes = noise(3_000_000, 1);
        let found = lengths(Chunker::Buzhash, [bytes.clone()].into_iter());
        let bounds = (128 << 10)..=(512 << 10);
        assert!(found.len() > 8, "{found:?}");
        assert!(
            found[..found.len() - 1]
                .iter()
                .all(|len| bounds.contains(len))
        );
        let rabin = Chunker::Rabin {
            min: 1000,
            avg: 4096,
            max: 8000,
        };
        let found = lengths(rabin, [bytes].into_iter());
        assert!(found.len() > 400, "{}", found.len());
        assert!(
            found[..found.len() - 1]
                .iter()
                .all(|len| (1000..=8000).contains(len))
        );
    }

    /// The hash of a window of equal bytes is all zeros or all ones.
    #[test]
    fn equal_bytes_are_cut_at_the_shortest_or_the_longest() {
        let found = |byte: u8| lengths(Chunker::Buzhash, [vec![byte; 1 << 20]].into_iter());
        assert_eq!(found(0), [[128 << 10; 8].as_slice(), &[0]].concat());
        assert_eq!(found(1), [512 << 10, 512 << 10, 0]);
    }

    #[test]
    fn settings_that_would_cut_nothing_or_too_much() {
        let rabin = |min, avg, max| Chunker::Rabin { min, avg, max }.is_sound();
        assert!(rabin(16, 17, 18) && rabin(100, 1000, Chunker::MAX));
        assert!(!rabin(15, 17, 18) && !rabin(17, 17, 18) && !rabin(16, 18, 18));
        assert!(!rabin(16, 18, Chunker::MAX + 1));
        let size = |size| Chunker::Size(size).is_sound();
        assert!(size(1) && size(Chunker::MAX) && !size(0) && !size(Chunker::MAX + 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn pieces_do_not_matter(seed: u64, size in 1usize..70_000) {
            let bytes = noise(600_000, seed);
            let rabin = Chunker::Rabin { min: 16, avg: 1024, max: 4096 };
            for chunker in [Chunker::Size(5000), rabin, Chunker::Buzhash] {
                let whole = lengths(chunker, [bytes.clone()].into_iter());
                let pieces = lengths(chunker, bytes.chunks(size).map(<[u8]>::to_vec));
                prop_assert_eq!(whole, pieces);
            }
        }
    }
}
