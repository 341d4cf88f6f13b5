//! The signed part of an IPNS record: a map in dag-cbor.

use std::collections::BTreeMap;
use std::time::Duration;

use ipld_core::ipld::Ipld;
use jiff::Timestamp;

use crate::content::ipns::IpnsError;
use crate::content::ipns::entry::Entry;

/// The kind of validity that says "until then", the only one there is.
const EOL: i128 = 0;

/// What the owner signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) value: Vec<u8>,
    pub(super) eol: Timestamp,
    pub(super) sequence: u64,
    pub(super) ttl: Option<Duration>,
    /// The end as it is written.
    validity: Vec<u8>,
}

impl Data {
    /// Reads the map. Keys of others may stand beside ours; the encoding must be the canonical
    /// one, so that no two readers see different maps.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, IpnsError> {
        let mut map = canonical_map(bytes)?;
        let validity = bytes_of(&mut map, "Validity", "has no Validity in bytes")?;
        if integer(&map, "ValidityType") != Some(EOL) {
            return Err(IpnsError::Data("has a ValidityType other than EOL"));
        }
        let sequence = integer(&map, "Sequence")
            .and_then(|sequence| u64::try_from(sequence).ok())
            .ok_or(IpnsError::Data("has no Sequence"))?;
        let ttl = match map.get("TTL") {
            None => None,
            Some(Ipld::Integer(nanos)) => Some(
                u64::try_from(*nanos)
                    .map(Duration::from_nanos)
                    .map_err(|_| IpnsError::Data("has a negative TTL"))?,
            ),
            Some(_) => return Err(IpnsError::Data("has a TTL that is no number")),
        };
        Ok(Self {
            value: bytes_of(&mut map, "Value", "has no Value in bytes")?,
            eol: eol(&validity).ok_or(IpnsError::Data("has a Validity that is no time"))?,
            sequence,
            ttl,
            validity,
        })
    }

    /// Compares with the fields outside the signature.
    pub(super) fn check_unsigned(&self, entry: &Entry<'_>) -> Result<(), IpnsError> {
        let ttl = self.ttl.map(|ttl| ttl.as_nanos());
        let same = [
            ("value", entry.value.unwrap_or_default() == self.value),
            (
                "validity",
                entry.validity.unwrap_or_default() == self.validity,
            ),
            ("validityType", entry.validity_type.unwrap_or(0) == 0),
            ("sequence", entry.sequence.unwrap_or(0) == self.sequence),
            // The signed data must have one too: it is not optional where old fields are.
            ("ttl", ttl == Some(entry.ttl.unwrap_or(0).into())),
        ];
        match same.iter().find(|(_, is_same)| !is_same) {
            Some((name, _)) => Err(IpnsError::Contradiction(name)),
            None => Ok(()),
        }
    }
}

fn canonical_map(bytes: &[u8]) -> Result<BTreeMap<String, Ipld>, IpnsError> {
    let malformed = IpnsError::Data("is not canonical dag-cbor");
    let node: Ipld = serde_ipld_dagcbor::from_slice(bytes).map_err(|_| malformed.clone())?;
    // Repeated keys, another order, and numbers longer than they need be do not come back alike.
    if !serde_ipld_dagcbor::to_vec(&node).is_ok_and(|again| again == bytes) {
        return Err(malformed);
    }
    match node {
        Ipld::Map(map) => Ok(map),
        _ => Err(IpnsError::Data("is not a map")),
    }
}

fn bytes_of(
    map: &mut BTreeMap<String, Ipld>,
    key: &str,
    missing: &'static str,
) -> Result<Vec<u8>, IpnsError> {
    match map.remove(key) {
        Some(Ipld::Bytes(bytes)) => Ok(bytes),
        _ => Err(IpnsError::Data(missing)),
    }
}

fn integer(map: &BTreeMap<String, Ipld>, key: &str) -> Option<i128> {
    match map.get(key) {
        Some(Ipld::Integer(number)) => Some(*number),
        _ => None,
    }
}

/// A time as RFC 3339 writes it: with a `T` and an offset, and nothing behind.
fn eol(validity: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(validity).ok()?;
    let is_plain = text.as_bytes().get(10) == Some(&b'T')
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"-+:.TZ".contains(&b));
    text.parse().ok().filter(|_| is_plain)
}
