//! The headers of a CAR: a small map in DAG-CBOR, and 40 fixed bytes in version 2.

use serde::Deserialize;

use crate::content::car::CarError;
use crate::content::cid::Cid;

/// Length of the header of version 2, which follows the pragma.
pub(super) const V2_LEN: usize = 40;

/// What stands in place of a header of version 1 where a CAR is of version 2: `{version: 2}`.
const V2_PRAGMA: &[u8] = b"\xa1\x67version\x02";

/// The header of the sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarHeader {
    /// What the writer calls its roots: none, one or more, rarely what was asked for. Servers are
    /// free to write anything here.
    pub roots: Vec<Cid>,
}

/// What a CAR starts with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Preamble {
    V1(CarHeader),
    V2Pragma,
}

/// Where a CAR of version 2 has its sections, from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DataRange {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The header of version 1 as it is written: exactly these two keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    roots: Vec<Cid>,
    version: u64,
}

/// Decodes the header, without the length before it.
pub(super) fn decode(bytes: &[u8]) -> Result<Preamble, CarError> {
    if bytes == V2_PRAGMA {
        return Ok(Preamble::V2Pragma);
    }
    let fields: Fields = serde_ipld_dagcbor::from_slice(bytes)
        .map_err(|_| CarError::Header("not a map of roots and version"))?;
    match fields.version {
        1 => Ok(Preamble::V1(CarHeader {
            roots: fields.roots,
        })),
        2 => Err(CarError::Header("version 2 with roots")),
        version => Err(CarError::Version(version)),
    }
}

/// Decodes the header of version 2, which ends at offset `end`.
pub(super) fn decode_v2(bytes: &[u8], end: u64) -> Result<DataRange, CarError> {
    let number = |at: usize| {
        let (_, tail) = bytes.split_at_checked(at)?;
        tail.first_chunk().copied().map(u64::from_le_bytes)
    };
    // 16 bytes of characteristics, then data offset, data size and index offset.
    let (start, size) = number(16)
        .zip(number(24))
        .ok_or(CarError::Header("version 2 header cut short"))?;
    if start < end {
        return Err(CarError::Header("the data start inside the header"));
    }
    let end = start
        .checked_add(size)
        .ok_or(CarError::Header("the data end beyond 64 bits"))?;
    Ok(DataRange { start, end })
}
