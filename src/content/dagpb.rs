//! dag-pb: the links and the data of one block.
//!
//! Judges the form alone; what names, sizes and data mean is for [`crate::content::unixfs`] and
//! for directories. As strict as the other implementations are, so that one block is read alike
//! everywhere. Nothing is copied: names are slices of the block, data is a place in it.
//!
//! Source: the DAG-PB specification of ipld; IPIP-0550 for the order of links and data.

use std::ops::Range;

use bytes::Bytes;

use crate::content::cid::{self, Cid, CidError};
use crate::content::wire::{Field, Reader, WireError};

/// A link of a node, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PbLink {
    /// What the link points to.
    pub cid: Cid,
    /// The name, any bytes; writers use the empty name where there is none.
    pub name: Option<Bytes>,
    /// The bytes of all blocks below, as the writer claims: an estimate, never a proof.
    pub tsize: Option<u64>,
}

/// A decoded block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PbNode {
    /// The links, in the order of the block.
    pub links: Vec<PbLink>,
    /// Where the data is in the block.
    pub data: Option<Range<usize>>,
}

/// Why a block is not dag-pb.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DagPbError {
    /// Not protobuf.
    #[error("malformed protobuf")]
    Wire(#[from] WireError),
    /// A field that dag-pb does not have.
    #[error("{message} has no field {field}")]
    UnknownField {
        /// The message: `PBNode` or `PBLink`.
        message: &'static str,
        /// The field number.
        field: u64,
    },
    /// Data occurs twice.
    #[error("the node has data twice")]
    DataTwice,
    /// Links before and after the data.
    #[error("the node has links before and after its data")]
    SplitLinks,
    /// Repeated fields of a link, or fields out of order.
    #[error("link {link} has field {field} twice or out of order")]
    LinkOrder {
        /// Index of the link.
        link: usize,
        /// The field number.
        field: u64,
    },
    /// A link that points nowhere.
    #[error("link {link} has no CID")]
    NoCid {
        /// Index of the link.
        link: usize,
    },
    /// A link whose hash is no CID.
    #[error("link {link} has a malformed CID")]
    Cid {
        /// Index of the link.
        link: usize,
        /// What is wrong with it.
        source: CidError,
    },
}

/// Decodes a block.
///
/// The number of links needs no limit of its own: each takes at least eight bytes of the block.
///
/// # Errors
/// [`DagPbError`] if the block is not strictly dag-pb.
pub fn decode(block: &Bytes) -> Result<PbNode, DagPbError> {
    let mut node = PbNode::default();
    let mut links_before_data = false;
    let mut reader = Reader::new(block);
    while let Some(field) = reader.field()? {
        match field.number {
            1 if node.data.is_some() => return Err(DagPbError::DataTwice),
            1 => {
                links_before_data = !node.links.is_empty();
                node.data = Some(field.bytes()?);
            }
            2 if links_before_data => return Err(DagPbError::SplitLinks),
            2 => {
                let link = decode_link(block, field.bytes()?, node.links.len())?;
                node.links.push(link);
            }
            number => return Err(unknown("PBNode", number)),
        }
    }
    Ok(node)
}

/// Decodes the link at `range` of `block`; `index` is for the error.
fn decode_link(block: &Bytes, range: Range<usize>, index: usize) -> Result<PbLink, DagPbError> {
    let mut reader = Reader::within(block, range);
    let (mut cid, mut name, mut tsize) = (None, None, None);
    let mut last = 0;
    while let Some(field) = reader.field()? {
        let Field { number, .. } = field;
        if !(1..=3).contains(&number) {
            return Err(unknown("PBLink", number));
        }
        if number <= last {
            return Err(DagPbError::LinkOrder {
                link: index,
                field: number,
            });
        }
        last = number;
        match number {
            1 => cid = Some(decode_cid(&block[field.bytes()?], index)?),
            2 => name = Some(block.slice(field.bytes()?)),
            _ => tsize = Some(field.varint()?),
        }
    }
    let cid = cid.ok_or(DagPbError::NoCid { link: index })?;
    Ok(PbLink { cid, name, tsize })
}

fn decode_cid(bytes: &[u8], link: usize) -> Result<Cid, DagPbError> {
    cid::parse_bytes(bytes).map_err(|source| DagPbError::Cid { link, source })
}

fn unknown(message: &'static str, field: u64) -> DagPbError {
    DagPbError::UnknownField { message, field }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The shortest CID: version 1, raw, identity, no bytes.
    const EMPTY: [u8; 4] = [0x01, 0x55, 0x00, 0x00];

    fn block(parts: &[&[u8]]) -> Bytes {
        Bytes::from(parts.concat())
    }

    /// A link to [`EMPTY`] with `rest` behind its hash.
    fn link(rest: &[u8]) -> Vec<u8> {
        let mut out = vec![0x12, 6 + rest.len() as u8, 0x0a, 4];
        out.extend(EMPTY);
        out.extend(rest);
        out
    }

    const DATA: &[u8] = &[0x0a, 0x02, 0x08, 0x01];

    #[test]
    fn reads_both_field_orders() {
        let named = link(&[0x12, 0x01, b'x', 0x18, 0x05]);
        for order in [[&named[..], DATA], [DATA, &named[..]]] {
            let block = block(&order);
            let node = decode(&block).unwrap();
            assert_eq!(&block[node.data.unwrap()], [0x08, 0x01]);
            assert_eq!(node.links.len(), 1);
            assert_eq!(node.links[0].cid.to_bytes(), EMPTY);
            assert_eq!(node.links[0].name.as_deref(), Some(&b"x"[..]));
            assert_eq!(node.links[0].tsize, Some(5));
        }
    }

    #[test]
    fn absent_is_not_empty() {
        assert_eq!(decode(&Bytes::new()), Ok(PbNode::default()));
        let node = decode(&block(&[&link(&[]), &link(&[0x12, 0x00]), &[0x0a, 0x00]])).unwrap();
        assert_eq!(node.links[0].name, None);
        assert_eq!(node.links[1].name, Some(Bytes::new()));
        assert_eq!(node.data.unwrap().len(), 0);
    }

    #[test]
    fn names_are_slices_of_the_block() {
        let block = block(&[&link(&[0x12, 0x02, 0xff, 0xfe])]);
        let name = decode(&block).unwrap().links[0].name.clone().unwrap();
        assert_eq!(name.as_ptr(), block[10..].as_ptr());
    }

    #[test]
    fn refuses_what_other_readers_refuse() {
        let plain = link(&[]);
        let refused = |parts: &[&[u8]]| decode(&block(parts)).unwrap_err();
        assert_eq!(refused(&[DATA, DATA]), DagPbError::DataTwice);
        assert_eq!(refused(&[&plain, DATA, &plain]), DagPbError::SplitLinks);
        assert_eq!(refused(&[&[0x1a, 0x00]]), unknown("PBNode", 3));
        assert_eq!(refused(&[&link(&[0x20, 0x01])]), unknown("PBLink", 4));
        assert_eq!(refused(&[&[0x12, 0x00]]), DagPbError::NoCid { link: 0 });
        let order = |field| DagPbError::LinkOrder { link: 1, field };
        let misplaced = link(&[0x18, 0x01, 0x12, 0x00]);
        assert_eq!(refused(&[&plain, &misplaced]), order(2));
        let repeated = link(&[0x12, 0x00, 0x12, 0x00]);
        assert_eq!(refused(&[&plain, &repeated]), order(2));
        let wire = |error| DagPbError::Wire(error);
        assert_eq!(refused(&[&[0x08, 0x01]]), wire(WireError::WrongType(1)));
        assert_eq!(refused(&[&[0x0a, 0x03, 0x00]]), wire(WireError::Truncated));
        let trailing = [0x12, 0x07, 0x0a, 0x05, 0x01, 0x55, 0x00, 0x00, 0x00];
        assert!(matches!(
            refused(&[&trailing]),
            DagPbError::Cid { link: 0, .. }
        ));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&Bytes::from(bytes));
        }

        /// Valid blocks with one byte changed: reaches deeper than noise does.
        #[test]
        fn never_panics_on_almost_valid(at in 0usize..40, byte: u8) {
            let mut bytes = [link(&[0x12, 0x01, b'x', 0x18, 0x05]), link(&[]), DATA.to_vec()].concat();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(node) = decode(&Bytes::from(bytes)) {
                prop_assert!(node.links.len() <= 4);
            }
        }
    }
}
