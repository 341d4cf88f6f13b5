//! Reading the protobuf wire format, strictly: what dag-pb and UnixFS have in common.
//!
//! Gives fields one by one with the place of their bytes; what a field means is the caller's
//! business. Invariant: no input panics, and nothing is allocated.

use std::ops::Range;

/// Most bytes that a 64-bit varint can take.
const MAX_VARINT: usize = 10;

/// Highest field number that protobuf allows.
const MAX_FIELD: u64 = (1 << 29) - 1;

/// Why bytes are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The message ends inside a field.
    #[error("the message ends inside a field")]
    Truncated,
    /// A varint of more than ten bytes or more than 64 bits.
    #[error("a varint is longer than 64 bits")]
    VarintOverflow,
    /// Field number 0 or beyond 2^29 - 1.
    #[error("{0} is not a field number")]
    FieldNumber(u64),
    /// Groups, and codes that have no meaning.
    #[error("field {field} has wire type {wire_type}")]
    WireType {
        /// Field number.
        field: u64,
        /// The three bits of the tag.
        wire_type: u8,
    },
    /// A known field holds another kind of value.
    #[error("field {0} has the wrong wire type")]
    WrongType(u64),
}

/// One field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) value: Value,
}

/// A value as the wire has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Varint(u64),
    Fixed64,
    /// Where the bytes are in the message that was given to [`Reader::new`].
    Bytes(Range<usize>),
    Fixed32(u32),
}

impl Field {
    /// The value as a number.
    pub(super) fn varint(self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(WireError::WrongType(self.number)),
        }
    }

    /// The value as the place of bytes.
    pub(super) fn bytes(self) -> Result<Range<usize>, WireError> {
        match self.value {
            Value::Bytes(range) => Ok(range),
            _ => Err(WireError::WrongType(self.number)),
        }
    }

    /// The value as four bytes, little endian.
    pub(super) fn fixed32(self) -> Result<u32, WireError> {
        match self.value {
            Value::Fixed32(value) => Ok(value),
            _ => Err(WireError::WrongType(self.number)),
        }
    }
}

/// Reads the part `at..end` of a message front to back.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads all of `message`.
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    /// Reads one embedded message; places stay relative to `message`.
    ///
    /// `range` must come from a field of the same message.
    pub(super) fn within(message: &'a [u8], range: Range<usize>) -> Self {
        Self {
            message: &message[..range.end],
            at: range.start,
        }
    }

    /// Whether everything was read.
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.message.len()
    }

    /// The next field, or `None` at the end.
    pub(super) fn field(&mut self) -> Result<Option<Field>, WireError> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > MAX_FIELD {
            return Err(WireError::FieldNumber(number));
        }
        let value = match (tag & 7) as u8 {
            0 => Value::Varint(self.varint()?),
            1 => self.array::<8>().map(|_| Value::Fixed64)?,
            2 => Value::Bytes(self.delimited()?),
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            wire_type => {
                return Err(WireError::WireType {
                    field: number,
                    wire_type,
                });
            }
        };
        Ok(Some(Field { number, value }))
    }

    /// A varint; protobuf does not ask for the shortest form.
    pub(super) fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for index in 0..MAX_VARINT {
            let [byte] = self.array()?;
            // The tenth byte has room for the 64th bit only.
            if index == MAX_VARINT - 1 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::VarintOverflow)
    }

    fn delimited(&mut self) -> Result<Range<usize>, WireError> {
        let len = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
        let start = self.at;
        let end = start
            .checked_add(len)
            .filter(|&end| end <= self.message.len())
            .ok_or(WireError::Truncated)?;
        self.at = end;
        Ok(start..end)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let bytes = self.message[self.at..]
            .first_chunk::<N>()
            .ok_or(WireError::Truncated)?;
        self.at += N;
        Ok(*bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(message: &[u8]) -> Result<Vec<Field>, WireError> {
        let mut reader = Reader::new(message);
        std::iter::from_fn(|| reader.field().transpose()).collect()
    }

    #[test]
    fn reads_every_wire_type() {
        let message = [
            0x08, 0x96, 0x01, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x1a, 0x02, 0xaa, 0xbb, 0x25, 1, 0, 0,
            0,
        ];
        let read: Vec<_> = fields(&message)
            .unwrap()
            .into_iter()
            .map(|field| (field.number, field.value))
            .collect();
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Fixed64),
            (3, Value::Bytes(14..16)),
            (4, Value::Fixed32(1)),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn embedded_messages_end_where_they_end() {
        let message = [0x0a, 0x02, 0x08, 0x07, 0x10, 0x01];
        let outer = fields(&message).unwrap();
        let mut inner = Reader::within(&message, outer[0].clone().bytes().unwrap());
        assert_eq!(inner.field().unwrap().unwrap().varint(), Ok(7));
        assert_eq!(inner.field(), Ok(None));
    }

    #[test]
    fn varints_have_64_bits_and_need_not_be_minimal() {
        let read = |bytes: &[u8]| Reader::new(bytes).varint();
        assert_eq!(read(&[0x80, 0x80, 0x00]), Ok(0));
        let mut max = [0xff; 10];
        max[9] = 0x01;
        assert_eq!(read(&max), Ok(u64::MAX));
        max[9] = 0x02;
        assert_eq!(read(&max), Err(WireError::VarintOverflow));
        assert_eq!(read(&[0xff; 11]), Err(WireError::VarintOverflow));
        assert_eq!(read(&[0x80]), Err(WireError::Truncated));
        assert_eq!(read(&[]), Err(WireError::Truncated));
    }

    #[test]
    fn refuses_what_protobuf_has_not() {
        let group = WireError::WireType {
            field: 1,
            wire_type: 3,
        };
        assert_eq!(fields(&[0x0b]), Err(group));
        assert_eq!(fields(&[0x00, 0x00]), Err(WireError::FieldNumber(0)));
        assert_eq!(fields(&[0x0a, 0x02, 0x00]), Err(WireError::Truncated));
        let mut huge = vec![0x0a];
        huge.extend([0xff; 9]);
        huge.push(0x01);
        assert_eq!(fields(&huge), Err(WireError::Truncated));
        assert_eq!(
            fields(&[0x08, 0x01]).unwrap()[0].clone().bytes(),
            Err(WireError::WrongType(1))
        );
    }

    proptest! {
        #[test]
        fn never_panics_and_stays_inside(message in prop::collection::vec(any::<u8>(), 0..64)) {
            for field in fields(&message).unwrap_or_default() {
                if let Value::Bytes(range) = field.value {
                    prop_assert!(range.end <= message.len());
                }
            }
        }
    }
}
