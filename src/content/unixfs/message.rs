//! The UnixFS message: the protobuf in the data of a dag-pb block.
//!
//! Judges the form of the fields alone; what they mean together is for the kinds of nodes.
//!
//! Source: the UnixFS specification of ipfs/specs.

use std::ops::Range;

use crate::content::unixfs::UnixFsError;
use crate::content::wire::{Field, Reader, Value};

/// The permission bits of a mode; the rest is not for us.
const MODE_BITS: u32 = 0o7777;

/// The type field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bytes of a file, as old and trickle importers mark their leaves; read like `File`.
    Raw,
    /// A directory in one block.
    Directory,
    /// A file, or an inner node or a leaf of one.
    File,
    /// A wrapper that nothing writes any more.
    Metadata,
    /// A symbolic link.
    Symlink,
    /// A directory, or a part of one, that is sharded by the hashes of its names.
    HamtShard,
}

impl Kind {
    fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            0 => Kind::Raw,
            1 => Kind::Directory,
            2 => Kind::File,
            3 => Kind::Metadata,
            4 => Kind::Symlink,
            5 => Kind::HamtShard,
            _ => return None,
        })
    }
}

/// A time of last modification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mtime {
    /// Seconds since 1970-01-01 UTC, negative before.
    pub seconds: i64,
    /// Nanoseconds after that, below 1,000,000,000.
    pub nanos: u32,
}

/// A message, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixFs {
    /// What the block is.
    pub kind: Kind,
    /// Where the data is in the message: file bytes, the target of a symlink, the bit field of a
    /// shard.
    pub data: Option<Range<usize>>,
    /// Bytes of the file at and below this node, as the writer claims.
    pub filesize: Option<u64>,
    /// Bytes of the file below each link.
    pub blocksizes: Vec<u64>,
    /// Multihash code of the function that shards names.
    pub hash_type: Option<u64>,
    /// Width of a shard.
    pub fanout: Option<u64>,
    /// Mode bits as written.
    pub mode: Option<u32>,
    /// Time of last modification.
    pub mtime: Option<Mtime>,
}

impl UnixFs {
    /// The mode without what is not for us: file type bits and beyond.
    pub(super) fn permissions(&self) -> Option<u32> {
        self.mode.map(|mode| mode & MODE_BITS)
    }
}

/// Decodes a UnixFS message: the data of a dag-pb block.
///
/// Unknown fields are skipped, as protobuf has it.
///
/// # Errors
/// [`UnixFsError`] if a field is malformed or the type is missing.
pub fn decode(message: &[u8]) -> Result<UnixFs, UnixFsError> {
    let mut fields = Fields::default();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        fields.take(message, field)?;
    }
    let kind = fields.kind.ok_or(UnixFsError::NoType)?;
    Ok(UnixFs {
        kind: Kind::from_code(kind).ok_or(UnixFsError::UnknownType(kind))?,
        data: fields.data,
        filesize: fields.filesize,
        blocksizes: fields.blocksizes,
        hash_type: fields.hash_type,
        fanout: fields.fanout,
        mode: fields.mode,
        mtime: fields.mtime,
    })
}

/// A message while it is read: in protobuf the type may come last.
#[derive(Default)]
struct Fields {
    kind: Option<u64>,
    data: Option<Range<usize>>,
    filesize: Option<u64>,
    blocksizes: Vec<u64>,
    hash_type: Option<u64>,
    fanout: Option<u64>,
    mode: Option<u32>,
    mtime: Option<Mtime>,
}

impl Fields {
    fn take(&mut self, message: &[u8], field: Field) -> Result<(), UnixFsError> {
        let number = field.number;
        match number {
            1 => once(number, &mut self.kind, field.varint()?),
            2 => once(number, &mut self.data, field.bytes()?),
            3 => once(number, &mut self.filesize, field.varint()?),
            4 => self.take_blocksizes(message, field),
            5 => once(number, &mut self.hash_type, field.varint()?),
            6 => once(number, &mut self.fanout, field.varint()?),
            7 => {
                let mode = u32::try_from(field.varint()?);
                let mode = mode.map_err(|_| UnixFsError::OutOfRange(number))?;
                once(number, &mut self.mode, mode)
            }
            8 => {
                let mtime = decode_mtime(message, field.bytes()?)?;
                once(number, &mut self.mtime, mtime)
            }
            _ => Ok(()),
        }
    }

    /// One size, or many in the packed form.
    fn take_blocksizes(&mut self, message: &[u8], field: Field) -> Result<(), UnixFsError> {
        if let Value::Bytes(range) = field.value {
            let mut packed = Reader::within(message, range);
            while !packed.is_empty() {
                self.blocksizes.push(packed.varint()?);
            }
        } else {
            self.blocksizes.push(field.varint()?);
        }
        Ok(())
    }
}

fn once<T>(number: u64, slot: &mut Option<T>, value: T) -> Result<(), UnixFsError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(UnixFsError::Repeated(number)),
    }
}

fn decode_mtime(message: &[u8], range: Range<usize>) -> Result<Mtime, UnixFsError> {
    let (mut seconds, mut nanos) = (None, None);
    let mut reader = Reader::within(message, range);
    while let Some(field) = reader.field()? {
        match field.number {
            // An int64 is written as the varint of its two's complement.
            1 => once(1, &mut seconds, field.varint()?.cast_signed())?,
            2 => once(2, &mut nanos, field.fixed32()?)?,
            _ => {}
        }
    }
    if nanos.is_some_and(|nanos| !(1..=999_999_999).contains(&nanos)) {
        return Err(UnixFsError::Mtime);
    }
    Ok(Mtime {
        seconds: seconds.ok_or(UnixFsError::Mtime)?,
        nanos: nanos.unwrap_or(0),
    })
}
