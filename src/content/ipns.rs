//! IPNS records: what the owner of a key signed about where its name points.
//!
//! Source: the IPNS record specification, "Record Verification". Pure: the time is an argument, and
//! nothing is looked up. It does not follow a value that is a name again; `content::names` does.
//!
//! Invariant: a [`Record`] exists only if its signature was made with the key that the name
//! stands for, and only while it was valid at the time it was checked for.

mod data;
mod entry;
mod key;
#[cfg(test)]
pub(crate) mod tests;

use std::cmp::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use crate::content::cid::{self, Cid, Multihash};
use crate::content::ipns::data::Data;
use crate::content::ipns::entry::Entry;
use crate::content::ipns::key::PublicKey;
use crate::content::names::{Target, TargetError};
use crate::content::wire::WireError;

/// The largest record that the specification allows.
pub const MAX_RECORD: usize = 10 << 10;

/// What is signed in front of the data.
const SIGNED_PREFIX: &[u8] = b"ipns-signature:";

/// A key whose encoding is no longer than this is the name itself; of a longer one the name is the
/// hash.
const MAX_INLINE_KEY: usize = 42;

/// Why bytes are not a record to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpnsError {
    /// Larger than [`MAX_RECORD`].
    #[error("the record has {0} bytes, and {MAX_RECORD} are allowed")]
    TooLarge(usize),
    /// Not a protobuf message.
    #[error("the record is not a protobuf message")]
    Wire(#[from] WireError),
    /// A field of the message is there twice.
    #[error("field {0} of the record is there twice")]
    Repeated(u64),
    /// Only a signature of the first version, which proves too little.
    #[error("the record has no version 2 signature")]
    NoSignature,
    /// The name is a hash, and the record does not bring the key.
    #[error("neither the name nor the record holds the public key")]
    NoKey,
    /// The key in the record is another one than the name stands for.
    #[error("the public key in the record is not that of the name")]
    ForeignKey,
    /// A key that cannot be used.
    #[error("the public key {0}")]
    BadKey(&'static str),
    /// Signed with another key, or changed since.
    #[error("the signature is not of this record and this name")]
    BadSignature,
    /// The signed part is not what the specification says.
    #[error("the signed data {0}")]
    Data(&'static str),
    /// The unsigned fields that old readers believe differ from the signed ones.
    #[error("the unsigned field {0} contradicts the signed data")]
    Contradiction(&'static str),
    /// Past its end.
    #[error("the record expired at {0}")]
    Expired(Timestamp),
}

/// A record that was proved to be the owner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    data: Data,
    bytes: Vec<u8>,
}

impl Record {
    /// Proves that `bytes` are a record of `name`, a CID with the codec `libp2p-key`, and valid
    /// at `now`.
    ///
    /// # Errors
    /// Whatever is wrong first, in the order of the specification.
    pub fn verify(name: &Cid, bytes: &[u8], now: Timestamp) -> Result<Self, IpnsError> {
        if bytes.len() > MAX_RECORD {
            return Err(IpnsError::TooLarge(bytes.len()));
        }
        let entry = Entry::parse(bytes)?;
        let (Some(signature), Some(signed)) = (entry.signature_v2, entry.data) else {
            return Err(IpnsError::NoSignature);
        };
        let key = PublicKey::parse(key_of(name, entry.public_key)?)?;
        key.verify(&[SIGNED_PREFIX, signed].concat(), signature)?;
        let data = Data::parse(signed)?;
        if entry.speaks_to_old_readers() {
            data.check_unsigned(&entry)?;
        }
        if data.eol < now {
            return Err(IpnsError::Expired(data.eol));
        }
        Ok(Self {
            data,
            bytes: bytes.to_vec(),
        })
    }

    /// Which of two records of one name to believe: the one with the higher sequence, then the
    /// later end, then the larger bytes, so that everybody picks the same.
    pub fn rank(&self, other: &Self) -> Ordering {
        let key = |record: &Self| (record.data.sequence, record.data.eol);
        key(self)
            .cmp(&key(other))
            .then_with(|| self.bytes.cmp(&other.bytes))
    }

    /// How often the owner has changed the value.
    pub fn sequence(&self) -> u64 {
        self.data.sequence
    }

    /// When the record ends.
    pub fn eol(&self) -> Timestamp {
        self.data.eol
    }

    /// How long the owner lets a record be kept without looking for a newer one; a hint.
    pub fn ttl(&self) -> Option<Duration> {
        self.data.ttl
    }

    /// The record verbatim.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the name points: a content path, or, in old records, a CID in its binary form.
    ///
    /// # Errors
    /// [`TargetError::Empty`] if nowhere; else what is wrong with the value, which the owner
    /// signed all the same.
    pub fn target(&self) -> Result<Target, TargetError> {
        let value = &self.data.value;
        match value.first() {
            None => Err(TargetError::Empty),
            Some(b'/') => Target::parse_bytes(value),
            Some(_) => cid::parse_bytes(value)
                .map(Target::of)
                .map_err(|_| TargetError::NotAPath),
        }
    }
}

/// The encoded public key of `name`: it is the name, or it is in the record and the name is its
/// hash.
fn key_of<'a>(name: &'a Cid, in_record: Option<&'a [u8]>) -> Result<&'a [u8], IpnsError> {
    if let Some(in_name) = cid::identity(name) {
        return match in_record {
            Some(key) if key != in_name => Err(IpnsError::ForeignKey),
            _ => Ok(in_name),
        };
    }
    let key = in_record.ok_or(IpnsError::NoKey)?;
    if is_hash_of(name.hash(), key) {
        Ok(key)
    } else {
        Err(IpnsError::ForeignKey)
    }
}

fn is_hash_of(hash: &Multihash, key: &[u8]) -> bool {
    use sha2::Digest;
    const SHA2_256: u64 = 0x12;
    // A short key has one name only, and that is not its hash.
    key.len() > MAX_INLINE_KEY
        && hash.code() == SHA2_256
        && hash.digest() == sha2::Sha256::digest(key).as_slice()
}
