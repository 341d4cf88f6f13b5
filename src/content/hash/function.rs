//! The hash functions that fetchd computes: codes of the multicodec table, names, digest sizes.

use std::fmt;

/// Code of the identity function: the digest is the block.
pub const IDENTITY: u64 = 0x00;
/// Code of SHA-1, weak.
pub const SHA1: u64 = 0x11;
/// Code of SHA-256, the default of every importer.
pub const SHA2_256: u64 = 0x12;
pub(super) const SHA2_512: u64 = 0x13;
pub(super) const SHA3_512: u64 = 0x14;
pub(super) const SHA3_384: u64 = 0x15;
pub(super) const SHA3_256: u64 = 0x16;
pub(super) const SHA3_224: u64 = 0x17;
pub(super) const SHAKE_256: u64 = 0x19;
pub(super) const KECCAK_224: u64 = 0x1a;
pub(super) const KECCAK_256: u64 = 0x1b;
pub(super) const KECCAK_384: u64 = 0x1c;
pub(super) const KECCAK_512: u64 = 0x1d;
/// Code of BLAKE3.
pub const BLAKE3: u64 = 0x1e;
pub(super) const DBL_SHA2_256: u64 = 0x56;
/// blake2b-N is `BLAKE2B + N / 8`, N from 8 to 512; blake2s-N likewise, N from 8 to 256.
pub(super) const BLAKE2B: u64 = 0xb200;
pub(super) const BLAKE2S: u64 = 0xb240;

/// Fewest bytes of a digest that prove anything (boxo's `verifcid`).
pub(super) const MIN_DIGEST: usize = 20;

/// Output of SHAKE-256, which has no natural size: that of its multihash.
pub(super) const SHAKE_256_LEN: usize = 64;

/// Whether a function needs the user's consent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    Strong,
    Weak,
}

/// A hash function that fetchd can compute.
pub(super) struct Function {
    pub(super) name: String,
    /// Bytes of a digest that is not truncated.
    pub(super) len: usize,
    pub(super) strength: Strength,
}

impl Function {
    pub(super) fn of(code: u64) -> Option<Self> {
        let (name, len) = match code {
            SHA1 => ("sha1", 20),
            SHA2_256 => ("sha2-256", 32),
            SHA2_512 => ("sha2-512", 64),
            SHA3_512 => ("sha3-512", 64),
            SHA3_384 => ("sha3-384", 48),
            SHA3_256 => ("sha3-256", 32),
            SHA3_224 => ("sha3-224", 28),
            SHAKE_256 => ("shake-256", SHAKE_256_LEN),
            KECCAK_224 => ("keccak-224", 28),
            KECCAK_256 => ("keccak-256", 32),
            KECCAK_384 => ("keccak-384", 48),
            KECCAK_512 => ("keccak-512", 64),
            BLAKE3 => ("blake3", 32),
            DBL_SHA2_256 => ("dbl-sha2-256", 32),
            _ => return Self::blake2(code),
        };
        let strength = if code == SHA1 {
            Strength::Weak
        } else {
            Strength::Strong
        };
        Some(Self {
            name: name.into(),
            len,
            strength,
        })
    }

    fn blake2(code: u64) -> Option<Self> {
        let (family, len) = blake2_size(code)?;
        let name = format!("{family}-{}", len * 8);
        Some(Self {
            name,
            len,
            strength: Strength::Strong,
        })
    }
}

/// Family and digest size of a BLAKE2 code. Shorter digests than [`MIN_DIGEST`] exist and are not
/// accepted under any name.
pub(super) fn blake2_size(code: u64) -> Option<(&'static str, usize)> {
    let (family, base, max) = if code > BLAKE2S {
        ("blake2s", BLAKE2S, 32)
    } else {
        ("blake2b", BLAKE2B, 64)
    };
    let len = usize::try_from(code.checked_sub(base)?).ok()?;
    (MIN_DIGEST..=max).contains(&len).then_some((family, len))
}

/// The name of a function, also of well-known ones that are refused, for messages.
fn name_of(code: u64) -> Option<String> {
    let refused = match code {
        IDENTITY => "identity",
        0x20 => "sha2-384",
        0x22 => "murmur3-x64-64",
        0xd4 => "md4",
        0xd5 => "md5",
        0x1012 => "sha2-256-trunc254-padded",
        0x1013 => "sha2-224",
        _ => return Function::of(code).map(|function| function.name),
    };
    Some(refused.into())
}

/// A hash function in a message: `sha1 (0x11)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionName(
    /// The multihash code.
    pub u64,
);

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match name_of(self.0) {
            Some(name) => write!(f, "{name} ({:#x})", self.0),
            None => write!(f, "number {:#x}", self.0),
        }
    }
}
