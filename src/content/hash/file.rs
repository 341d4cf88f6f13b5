//! The SHA-256 of a whole file, across interruptions.

use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256};

/// The SHA-256 of a whole file, whose state in the middle can be kept and taken up again.
#[derive(Clone, Default)]
pub struct FileSha256 {
    hasher: Sha256,
    position: u64,
}

/// First byte of a saved state. Another one for whatever changes the rest, such as another line
/// of the `sha2` crate.
const STATE_VERSION: u8 = 1;

/// Bytes that one step of SHA-256 takes.
const BLOCK: usize = 64;

/// A saved state ends with this many bytes of the SHA-256 of what precedes, since a damaged one
/// would give a wrong sum without any other sign.
const STATE_CHECK: usize = 8;

impl FileSha256 {
    /// Before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        Digest::update(&mut self.hasher, bytes);
        self.position += bytes.len() as u64;
    }

    /// Takes the same bytes into two sums, in two thirds of the time that one after the other
    /// takes. Each is a chain of steps that wait for one another; in turns of one block of the
    /// hash, a processor works on both chains at once.
    pub(super) fn update_both(&mut self, other: &mut Self, bytes: &[u8]) {
        let mine = self.fill_block(bytes);
        let theirs = other.fill_block(bytes);
        let (my_blocks, _) = mine.as_chunks::<BLOCK>();
        let (their_blocks, _) = theirs.as_chunks::<BLOCK>();
        for (my_block, their_block) in my_blocks.iter().zip(their_blocks) {
            Digest::update(&mut self.hasher, my_block);
            Digest::update(&mut other.hasher, their_block);
        }
        let turns = my_blocks.len().min(their_blocks.len()) * BLOCK;
        self.position += turns as u64;
        other.position += turns as u64;
        self.update(&mine[turns..]);
        other.update(&theirs[turns..]);
    }

    /// Takes as many bytes as complete a block that has begun; the rest comes back.
    fn fill_block<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let taken = (self.position % BLOCK as u64) as usize;
        let missing = (BLOCK - taken) % BLOCK;
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.update(head);
        rest
    }

    /// How many bytes were taken: the offset of the next one.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The state, for [`FileSha256::restore`].
    pub fn save(&self) -> Vec<u8> {
        let mut saved = vec![STATE_VERSION];
        saved.extend(self.position.to_le_bytes());
        saved.extend(self.hasher.serialize());
        let check = Sha256::digest(&saved);
        saved.extend(&check[..STATE_CHECK]);
        saved
    }

    /// The state that was saved; `None` if it is of another version or damaged.
    pub fn restore(saved: &[u8]) -> Option<Self> {
        let (body, check) = saved.split_at_checked(saved.len().checked_sub(STATE_CHECK)?)?;
        let (&version, rest) = body.split_first()?;
        if version != STATE_VERSION || !Sha256::digest(body).starts_with(check) {
            return None;
        }
        let (position, state) = rest.split_first_chunk()?;
        let state = SerializedState::<Sha256>::try_from(state).ok()?;
        let hasher = Sha256::deserialize(&state).ok()?;
        Some(Self {
            hasher,
            position: u64::from_le_bytes(*position),
        })
    }

    /// The SHA-256 of everything taken.
    pub fn finish(self) -> [u8; 32] {
        self.hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_state_of_another_version_is_not_taken_up() {
        let mut file = FileSha256::new();
        file.update(&[1; 100]);
        let mut saved = file.save();
        assert_eq!(FileSha256::restore(&saved).unwrap().position(), 100);
        saved[0] = STATE_VERSION + 1;
        assert!(FileSha256::restore(&saved).is_none());
        assert!(FileSha256::restore(&[]).is_none());
    }

    proptest! {
        #[test]
        fn two_sums_at_once_are_the_two_sums(
            heads in prop::array::uniform2(prop::collection::vec(any::<u8>(), 0..100)),
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5),
        ) {
            let [mut mine, mut theirs] = [FileSha256::new(), FileSha256::new()];
            mine.update(&heads[0]);
            theirs.update(&heads[1]);
            pieces.iter().for_each(|piece| mine.update_both(&mut theirs, piece));
            for (sum, head) in [mine, theirs].into_iter().zip(heads) {
                let whole = [head, pieces.concat()].concat();
                prop_assert_eq!(sum.position(), whole.len() as u64);
                prop_assert_eq!(&sum.finish()[..], &Sha256::digest(whole)[..]);
            }
        }

        #[test]
        fn a_file_sum_survives_any_pause(
            before in prop::collection::vec(any::<u8>(), 0..200),
            after in prop::collection::vec(any::<u8>(), 0..200),
            damage in any::<(prop::sample::Index, u8)>(),
        ) {
            let mut file = FileSha256::new();
            file.update(&before);
            let saved = file.save();
            let mut again = FileSha256::restore(&saved).unwrap();
            prop_assert_eq!(again.position(), before.len() as u64);
            again.update(&after);
            prop_assert_eq!(&again.finish()[..], &Sha256::digest([before, after].concat())[..]);

            let mut broken = saved.clone();
            broken[damage.0.index(saved.len())] ^= damage.1;
            prop_assert_eq!(FileSha256::restore(&broken).is_some(), broken == saved);
            prop_assert!(FileSha256::restore(&saved[..damage.0.index(saved.len())]).is_none());
        }
    }
}
