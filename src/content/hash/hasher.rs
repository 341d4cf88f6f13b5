//! Digests of any known function, computed piece by piece.

use blake2::digest::block_api::{Buffer, UpdateCore, VariableOutputCore};
use blake2::{Blake2bVarCore, Blake2sVarCore};
use sha2::digest::{Digest, DynDigest, ExtendableOutput, Update, XofReader};
use sha2::{Sha256, Sha512};
use sha3::Shake256;

use crate::content::hash::function::{
    BLAKE3, DBL_SHA2_256, KECCAK_224, KECCAK_256, KECCAK_384, KECCAK_512, SHA1, SHA2_256, SHA2_512,
    SHA3_224, SHA3_256, SHA3_384, SHA3_512, SHAKE_256, SHAKE_256_LEN, blake2_size,
};

/// A hash computed piece by piece.
pub struct Hasher(State);

enum State {
    Plain(Box<dyn DynDigest + Send>),
    DoubleSha256(Sha256),
    Shake256(Box<Shake256>),
    Blake3(Box<blake3::Hasher>),
    Blake2b(Box<Blake2<Blake2bVarCore>>),
    Blake2s(Box<Blake2<Blake2sVarCore>>),
}

impl Hasher {
    /// A hasher for a multihash code; `None` if fetchd does not compute it, or for identity,
    /// which computes nothing.
    pub fn new(code: u64) -> Option<Self> {
        Some(Self(match code {
            SHA1 => State::Plain(Box::new(sha1::Sha1::new())),
            SHA2_256 => State::Plain(Box::new(Sha256::new())),
            SHA2_512 => State::Plain(Box::new(Sha512::new())),
            SHA3_512 => State::Plain(Box::new(sha3::Sha3_512::new())),
            SHA3_384 => State::Plain(Box::new(sha3::Sha3_384::new())),
            SHA3_256 => State::Plain(Box::new(sha3::Sha3_256::new())),
            SHA3_224 => State::Plain(Box::new(sha3::Sha3_224::new())),
            KECCAK_224 => State::Plain(Box::new(sha3::Keccak224::new())),
            KECCAK_256 => State::Plain(Box::new(sha3::Keccak256::new())),
            KECCAK_384 => State::Plain(Box::new(sha3::Keccak384::new())),
            KECCAK_512 => State::Plain(Box::new(sha3::Keccak512::new())),
            SHAKE_256 => State::Shake256(Box::default()),
            BLAKE3 => State::Blake3(Box::default()),
            DBL_SHA2_256 => State::DoubleSha256(Sha256::new()),
            _ => match blake2_size(code)? {
                ("blake2b", len) => State::Blake2b(Box::new(Blake2::new(len)?)),
                (_, len) => State::Blake2s(Box::new(Blake2::new(len)?)),
            },
        }))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Plain(hasher) => hasher.update(bytes),
            State::DoubleSha256(hasher) => Digest::update(hasher, bytes),
            State::Shake256(hasher) => hasher.update(bytes),
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
            State::Blake2b(hasher) => hasher.update(bytes),
            State::Blake2s(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of everything taken, in full length.
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            State::Plain(hasher) => hasher.finalize().into_vec(),
            State::DoubleSha256(hasher) => double_sha256(hasher).to_vec(),
            State::Shake256(hasher) => {
                let mut digest = vec![0; SHAKE_256_LEN];
                hasher.finalize_xof().read(&mut digest);
                digest
            }
            State::Blake3(hasher) => hasher.finalize().as_bytes().to_vec(),
            State::Blake2b(hasher) => hasher.finish(),
            State::Blake2s(hasher) => hasher.finish(),
        }
    }
}

pub(super) fn double_sha256(first: Sha256) -> [u8; 32] {
    Sha256::digest(first.finalize()).into()
}

/// BLAKE2 with the digest size chosen at run time. The size is a parameter of the function, so a
/// shorter digest is not a prefix of a longer one.
struct Blake2<C: VariableOutputCore> {
    core: C,
    buffer: Buffer<C>,
    len: usize,
}

impl<C: VariableOutputCore + UpdateCore> Blake2<C> {
    fn new(len: usize) -> Option<Self> {
        let core = C::new(len).ok()?;
        Some(Self {
            core,
            buffer: Buffer::<C>::default(),
            len,
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        self.buffer
            .digest_blocks(bytes, |blocks| self.core.update_blocks(blocks));
    }

    fn finish(mut self) -> Vec<u8> {
        let mut digest = Default::default();
        self.core
            .finalize_variable_core(&mut self.buffer, &mut digest);
        digest[..self.len].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::hash::function::{BLAKE2B, BLAKE2S, Function, FunctionName, IDENTITY};
    use proptest::prelude::*;

    /// Published digests of `abc`, or how they begin.
    const OF_ABC: [(u64, &str); 16] = [
        (SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            SHA2_256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            SHA2_512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a",
        ),
        (
            SHA3_224,
            "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf",
        ),
        (
            SHA3_256,
            "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
        ),
        (
            SHA3_384,
            "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b2",
        ),
        (
            SHA3_512,
            "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e",
        ),
        (
            KECCAK_256,
            "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
        ),
        (
            SHAKE_256,
            "483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739",
        ),
        (
            BLAKE3,
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
        ),
        (
            DBL_SHA2_256,
            "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358",
        ),
        (BLAKE2B + 20, "384264f676f39536840523f284921cdc68b6846b"),
        (
            BLAKE2B + 32,
            "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319",
        ),
        (
            BLAKE2B + 64,
            "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1",
        ),
        (BLAKE2S + 20, "5ae3b99be29b01834c3b508521ede60438f8de17"),
        (
            BLAKE2S + 32,
            "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
        ),
    ];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn digest(code: u64, bytes: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(code).unwrap();
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn computes_published_digests() {
        for (code, expected) in OF_ABC {
            let computed = digest(code, b"abc");
            assert!(
                hex(&computed).starts_with(expected),
                "{}",
                FunctionName(code)
            );
            assert_eq!(computed.len(), Function::of(code).unwrap().len);
        }
    }

    #[test]
    fn what_is_not_computed() {
        assert!(Hasher::new(IDENTITY).is_none());
        assert!(Hasher::new(BLAKE2B + 19).is_none() && Hasher::new(BLAKE2S + 33).is_none());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
            which in 0..OF_ABC.len(),
        ) {
            let code = OF_ABC[which].0;
            let mut hasher = Hasher::new(code).unwrap();
            parts.iter().for_each(|part| hasher.update(part));
            prop_assert_eq!(hasher.finish(), digest(code, &parts.concat()));
        }
    }
}
