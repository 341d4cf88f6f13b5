//! The bytes that were pushed and not yet parsed, in their pieces.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use unsigned_varint::decode;

/// Pieces smaller than this are joined, so that a source that drips costs no entry per byte.
const SMALL: usize = 4096;

/// Most bytes of a varint (multiformats unsigned-varint: 63 bits, far more than any length).
const MAX_VARINT: usize = 9;

/// Most bytes that [`ChunkQueue::peek`] gives.
const MAX_PEEK: usize = 256;

/// A number that is not a varint in its shortest form of at most 63 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MalformedVarint;

/// A queue of bytes that knows where in the stream it is.
#[derive(Debug, Default)]
pub(super) struct ChunkQueue {
    /// None is empty.
    chunks: VecDeque<Bytes>,
    /// Bytes of all chunks.
    len: usize,
    /// Bytes that have left the queue.
    offset: u64,
}

impl ChunkQueue {
    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where in the stream the first byte is.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds bytes at the end.
    pub(super) fn push(&mut self, mut chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.len += chunk.len();
        // Joined like carries in a binary counter: no byte is copied more than log2(SMALL) times.
        while let Some(last) = self
            .chunks
            .pop_back_if(|last| last.len() <= chunk.len() && last.len() + chunk.len() <= SMALL)
        {
            let mut joined = BytesMut::with_capacity(last.len() + chunk.len());
            joined.extend_from_slice(&last);
            joined.extend_from_slice(&chunk);
            chunk = joined.freeze();
        }
        self.chunks.push_back(chunk);
    }

    /// Drops everything; the place in the stream stays.
    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.len = 0;
    }

    /// Takes exactly `count` bytes as slices of what was pushed, or nothing if there are fewer.
    pub(super) fn take(&mut self, count: usize) -> Option<Vec<Bytes>> {
        if self.len < count {
            return None;
        }
        let mut taken = Vec::new();
        let mut missing = count;
        while missing > 0 {
            let piece = self.pop(missing)?;
            missing -= piece.len();
            taken.push(piece);
        }
        Some(taken)
    }

    /// Drops up to `count` bytes: as many as there are.
    pub(super) fn skip(&mut self, count: u64) {
        let mut missing = usize::try_from(count).unwrap_or(usize::MAX);
        while missing > 0
            && let Some(piece) = self.pop(missing)
        {
            missing -= piece.len();
        }
    }

    /// Takes up to `most` bytes of the first chunk.
    fn pop(&mut self, most: usize) -> Option<Bytes> {
        let first = self.chunks.front_mut()?;
        let piece = if first.len() > most {
            first.split_to(most)
        } else {
            self.chunks.pop_front()?
        };
        self.len -= piece.len();
        self.offset += piece.len() as u64;
        Some(piece)
    }

    /// Shows the first `count` bytes (fewer if there are not as many, or beyond [`MAX_PEEK`]).
    pub(super) fn peek<T>(&self, count: usize, read: impl FnOnce(&[u8]) -> T) -> T {
        let count = count.min(self.len).min(MAX_PEEK);
        if let Some(first) = self.chunks.front()
            && first.len() >= count
        {
            return read(&first[..count]);
        }
        let mut gathered = [0; MAX_PEEK];
        let bytes = self.chunks.iter().flatten().take(count);
        for (slot, byte) in gathered.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        read(&gathered[..count])
    }

    /// Takes a varint; `None` if it is not all there yet.
    pub(super) fn varint(&mut self) -> Result<Option<u64>, MalformedVarint> {
        let read = self.peek(MAX_VARINT, |bytes| {
            decode::u64(bytes).map(|(value, rest)| (value, bytes.len() - rest.len()))
        });
        match read {
            Ok((value, len)) => {
                self.skip(len as u64);
                Ok(Some(value))
            }
            Err(decode::Error::Insufficient) if self.len < MAX_VARINT => Ok(None),
            Err(_) => Err(MalformedVarint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queue(pieces: &[&[u8]]) -> ChunkQueue {
        let mut queue = ChunkQueue::default();
        for piece in pieces {
            queue.push(Bytes::copy_from_slice(piece));
        }
        queue
    }

    #[test]
    fn large_pieces_are_not_copied() {
        let chunk = Bytes::from(vec![7; 2 * SMALL]);
        let mut queue = queue(&[b"a"]);
        queue.push(chunk.clone());
        queue.skip(11);
        let taken = queue.take(100).unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].as_ptr(), chunk[10..].as_ptr());
        assert_eq!((queue.offset(), queue.len()), (111, 2 * SMALL - 110));
    }

    #[test]
    fn a_drip_makes_few_pieces() {
        let mut queue = ChunkQueue::default();
        for byte in 0..100_000u32 {
            queue.push(Bytes::copy_from_slice(&[byte as u8]));
        }
        assert!(queue.chunks.len() < 40, "{}", queue.chunks.len());
        let taken = queue.take(100_000).unwrap().concat();
        assert!(taken.iter().enumerate().all(|(at, &byte)| byte == at as u8));
    }

    #[test]
    fn varints_are_minimal_and_have_63_bits() {
        let mut max = [0xff; 9];
        max[8] = 0x7f;
        let most = u64::MAX >> 1;
        assert_eq!(queue(&[&max[..3], &max[3..]]).varint(), Ok(Some(most)));
        assert_eq!(queue(&[&[0xff; 9]]).varint(), Err(MalformedVarint));
        assert_eq!(queue(&[&[0xff; 8]]).varint(), Ok(None));
        assert_eq!(queue(&[&[0x80, 0x00]]).varint(), Err(MalformedVarint));
        assert_eq!(queue(&[]).varint(), Ok(None));
    }

    proptest! {
        #[test]
        fn gives_back_what_came_in(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20), cut in 0usize..400) {
            let all = pieces.concat();
            let mut queue = queue(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let peeked = queue.peek(cut, <[u8]>::to_vec);
            prop_assert_eq!(&peeked[..], &all[..cut.min(all.len()).min(MAX_PEEK)]);
            match queue.take(cut) {
                Some(taken) => prop_assert_eq!(taken.concat(), &all[..cut]),
                None => prop_assert!(cut > all.len()),
            }
            let left = queue.take(queue.len()).unwrap();
            prop_assert!(all.ends_with(&left.concat()));
            prop_assert_eq!(queue.offset(), all.len() as u64);
        }
    }
}
