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
