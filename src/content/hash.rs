//! Hash functions: which may be trusted, and whether bytes are what a CID names.
//!
//! Decides nothing about the meaning of bytes, and knows no file: callers feed pieces.
//!
//! Invariant: a [`VerifiedBlock`] exists only if its bytes have the hash that its CID names.
//! Policy is a question of its own ([`HashPolicy::check`]), to be asked of every link, since a
//! strong root may point at a weak child.

mod file;
mod function;
mod hasher;
mod policy;

use std::iter::once;

use bytes::Bytes;
use sha2::{Digest, Sha256};

pub use crate::content::hash::file::FileSha256;
pub use crate::content::hash::function::{BLAKE3, FunctionName, IDENTITY, SHA1, SHA2_256};
pub use crate::content::hash::hasher::Hasher;
pub use crate::content::hash::policy::{HashError, HashPolicy};

use crate::content::cid::{self, Cid, Multihash, codec};
use crate::content::hash::function::{DBL_SHA2_256, MIN_DIGEST};
use crate::content::hash::hasher::double_sha256;

/// Lower-case hexadecimal digits, as digests are shown everywhere.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the parts, one after the other, are the bytes with this hash. A truncated digest is
/// compared as a prefix; one too short or too long to be a digest, or of a function that fetchd
/// does not compute, matches nothing. Policy is not asked.
pub fn matches<'a>(hash: &Multihash, parts: impl IntoIterator<Item = &'a [u8]>) -> bool {
    match hash.code() {
        IDENTITY => is_concatenation(hash.digest(), parts),
        // The one that matters for speed: nothing here is allocated.
        SHA2_256 => agrees(hash, &sha256_of(parts).finalize()),
        DBL_SHA2_256 => agrees(hash, &double_sha256(sha256_of(parts))),
        code => Hasher::new(code).is_some_and(|mut hasher| {
            parts.into_iter().for_each(|part| hasher.update(part));
            agrees(hash, &hasher.finish())
        }),
    }
}

/// [`matches()`] for a block of `prefix`, file bytes and `suffix`, which takes the file bytes into the
/// sum of the whole file meanwhile: cheaper than one after the other. Where the block does not
/// match, `file` stays as it was.
pub fn matches_in_file<'a>(
    hash: &Multihash,
    [prefix, suffix]: [&[u8]; 2],
    parts: impl Iterator<Item = &'a [u8]> + Clone,
    file: &mut FileSha256,
) -> bool {
    if hash.code() != SHA2_256 {
        let bytes = parts.clone().map(|part| -> &[u8] { part });
        let is_match = matches(hash, once(prefix).chain(bytes).chain(once(suffix)));
        if is_match {
            parts.for_each(|part| file.update(part));
        }
        return is_match;
    }
    let (mut block, mut longer) = (FileSha256::new(), file.clone());
    block.update(prefix);
    parts.for_each(|part| block.update_both(&mut longer, part));
    block.update(suffix);
    let is_match = agrees(hash, &block.finish());
    if is_match {
        *file = longer;
    }
    is_match
}

/// The hashes of two blocks that have the same parts between their own prefix and suffix, made at
/// once: cheaper than one after the other.
pub fn sha256_of_both<'a>(
    wrappings: [[&[u8]; 2]; 2],
    parts: impl Iterator<Item = &'a [u8]>,
) -> [Multihash; 2] {
    let [[first, first_end], [second, second_end]] = wrappings;
    let [mut one, mut other] = [FileSha256::new(), FileSha256::new()];
    one.update(first);
    other.update(second);
    parts.for_each(|part| one.update_both(&mut other, part));
    one.update(first_end);
    other.update(second_end);
    [one, other].map(|sum| {
        let digest = sum.finish();
        Multihash::wrap(SHA2_256, &digest).expect("a multihash has room for 32 bytes")
    })
}

/// The SHA-256 of a file that is one raw block: its own link says it.
pub fn sha256_of_raw(cid: &Cid) -> Option<[u8; 32]> {
    let is_sum = cid.codec() == codec::RAW && cid.hash().code() == SHA2_256;
    cid.hash().digest().try_into().ok().filter(|_| is_sum)
}

fn sha256_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Sha256 {
    let mut hasher = Sha256::new();
    parts
        .into_iter()
        .for_each(|part| Digest::update(&mut hasher, part));
    hasher
}

fn agrees(hash: &Multihash, computed: &[u8]) -> bool {
    hash.digest().len() >= MIN_DIGEST && computed.starts_with(hash.digest())
}

fn is_concatenation<'a>(whole: &[u8], parts: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut rest = whole;
    for part in parts {
        match rest.strip_prefix(part) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.is_empty()
}

/// Bytes that do not have the hash that a CID names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes that are not those of {cid}")]
pub struct Mismatch {
    /// The CID in canonical text.
    pub cid: String,
    /// How many bytes there were.
    pub len: usize,
}

/// A block whose bytes have the hash that its CID names. There is no other way to make one than
/// the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBlock {
    cid: Cid,
    data: Bytes,
}

impl VerifiedBlock {
    /// The block that a CID holds itself, if it does.
    pub fn inlined(cid: &Cid) -> Option<Self> {
        let data = Bytes::copy_from_slice(cid::identity(cid)?);
        Self::check(*cid, data).ok()
    }

    /// A block that was kept somewhere; what does not prove right any more is as good as lost.
    pub fn kept(cid: &Cid, block: Option<Vec<u8>>) -> Option<Self> {
        Self::check(*cid, Bytes::from(block?)).ok()
    }

    /// Hashes `data` and compares it with what `cid` names.
    ///
    /// # Errors
    /// [`Mismatch`], also if fetchd does not compute the hash function.
    pub fn check(cid: Cid, data: Bytes) -> Result<Self, Mismatch> {
        if matches(cid.hash(), [&data[..]]) {
            return Ok(Self { cid, data });
        }
        Err(Mismatch {
            cid: cid::text(&cid),
            len: data.len(),
        })
    }

    /// What the block is called.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Its bytes.
    pub fn data(&self) -> &Bytes {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::hash::function::Function;
    use proptest::prelude::*;

    fn digest(code: u64, bytes: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(code).unwrap();
        hasher.update(bytes);
        hasher.finish()
    }

    fn raw(code: u64, digest: &[u8]) -> Cid {
        Cid::new_v1(cid::codec::RAW, Multihash::wrap(code, digest).unwrap())
    }

    #[test]
    fn every_function_has_a_hasher_and_a_check() {
        let known = (0..0x2000)
            .chain(0xb200..=0xb300)
            .filter(|&code| Function::of(code).is_some());
        let codes: Vec<u64> = known.collect();
        assert_eq!(codes.len(), 14 + 45 + 13);
        for code in codes {
            let full = digest(code, b"some bytes");
            let cid = raw(code, &full);
            assert!(VerifiedBlock::check(cid, Bytes::from_static(b"some bytes")).is_ok());
            assert!(VerifiedBlock::check(cid, Bytes::from_static(b"some byte")).is_err());
            assert_eq!(HashPolicy::default().check(&cid).is_ok(), code != SHA1);
        }
    }

    #[test]
    fn truncated_digests_are_prefixes() {
        let full = digest(SHA2_256, b"x");
        let is_of_x = |digest: &[u8]| matches(raw(SHA2_256, digest).hash(), [&b"x"[..]]);
        assert!(is_of_x(&full) && is_of_x(&full[..20]));
        assert!(!is_of_x(&full[..19]) && !is_of_x(&[]));
        assert!(!is_of_x(&[&full[..], &[0]].concat()));
        assert!(!matches(raw(0xd5, &full[..20]).hash(), [&b"x"[..]]));
    }

    #[test]
    fn identity_is_its_digest() {
        let hash = *raw(IDENTITY, b"abc").hash();
        assert!(matches(&hash, [&b"a"[..], b"", b"bc"]));
        assert!(!matches(&hash, [&b"ab"[..]]) && !matches(&hash, [&b"abcd"[..]]));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..99), 0..6),
            code in prop::sample::select(vec![SHA2_256, DBL_SHA2_256, BLAKE3, SHA1]),
        ) {
            let whole = parts.concat();
            let hash = Multihash::wrap(code, &digest(code, &whole)).unwrap();
            prop_assert!(matches(&hash, parts.iter().map(Vec::as_slice)));
            prop_assert!(!matches(&hash, [&whole[..], b"!"]));
        }

        #[test]
        fn a_file_grows_by_what_matches_alone(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..99), 0..6),
            ends in prop::array::uniform2(prop::collection::vec(any::<u8>(), 0..20)),
            before in prop::collection::vec(any::<u8>(), 0..99),
            code in prop::sample::select(vec![SHA2_256, BLAKE3]),
        ) {
            let whole = [&ends[0][..], &parts.concat(), &ends[1]].concat();
            let hash = Multihash::wrap(code, &digest(code, &whole)).unwrap();
            let mut file = FileSha256::new();
            file.update(&before);
            let grown = [before, parts.concat()].concat();
            let parts = parts.iter().map(Vec::as_slice);

            let longer = [&ends[0][..], &[&ends[1][..], b"!"].concat()];
            let saved = file.save();
            prop_assert!(!matches_in_file(&hash, longer, parts.clone(), &mut file));
            prop_assert_eq!(file.save(), saved);

            let ends = [&ends[0][..], &ends[1]];
            prop_assert!(matches_in_file(&hash, ends, parts, &mut file));
            prop_assert_eq!(file.position(), grown.len() as u64);
            prop_assert_eq!(&file.finish()[..], &Sha256::digest(grown)[..]);
        }
    }
}
