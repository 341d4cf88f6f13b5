//! The protobuf message that an IPNS record is. Nothing in it is proved.

use std::ops::Range;

use crate::content::ipns::IpnsError;
use crate::content::wire::Reader;

/// The fields of a record, as they stand there.
#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    pub(super) value: Option<&'a [u8]>,
    pub(super) signature_v1: Option<&'a [u8]>,
    pub(super) validity_type: Option<u64>,
    pub(super) validity: Option<&'a [u8]>,
    pub(super) sequence: Option<u64>,
    pub(super) ttl: Option<u64>,
    pub(super) public_key: Option<&'a [u8]>,
    pub(super) signature_v2: Option<&'a [u8]>,
    pub(super) data: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    /// Reads the message; fields that are not known are passed over, empty ones count as absent.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, IpnsError> {
        let mut entry = Self::default();
        let mut seen = 0u16;
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            let number = field.number;
            if !(1..=9).contains(&number) {
                continue;
            }
            if seen & (1 << number) != 0 {
                return Err(IpnsError::Repeated(number));
            }
            seen |= 1 << number;
            match number {
                3 => entry.validity_type = Some(field.varint()?),
                5 => entry.sequence = Some(field.varint()?),
                6 => entry.ttl = Some(field.varint()?),
                _ => entry.set_bytes(number, message, field.bytes()?),
            }
        }
        Ok(entry)
    }

    fn set_bytes(&mut self, number: u64, message: &'a [u8], range: Range<usize>) {
        let bytes = Some(&message[range]).filter(|bytes| !bytes.is_empty());
        match number {
            1 => self.value = bytes,
            2 => self.signature_v1 = bytes,
            4 => self.validity = bytes,
            7 => self.public_key = bytes,
            8 => self.signature_v2 = bytes,
            _ => self.data = bytes,
        }
    }

    /// Whether a reader of the first version would believe this record.
    pub(super) fn speaks_to_old_readers(&self) -> bool {
        self.signature_v1.is_some() || self.value.is_some()
    }
}
