//! Rebuilding a leaf block around file bytes, so that plain bytes from anywhere can be proved.
//!
//! Knows the forms in which importers wrap the bytes of a leaf. Copies nothing: the wrapping is
//! hashed before and after the bytes. What does not rebuild is not wrong, only unknown: it has to
//! be fetched as a block.

use std::iter;

use unsigned_varint::encode;

use crate::content::cid::{Cid, codec};
use crate::content::hash::{self, FileSha256};

/// A way to wrap the bytes of a leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum LeafForm {
    /// The bytes are the block.
    Raw,
    /// dag-pb around UnixFS of type File, as balanced importers write it.
    DagPbFile,
    /// dag-pb around UnixFS of type Raw, as trickle and very old importers write it.
    DagPbRaw,
}

impl LeafForm {
    /// What stands before and after `len` file bytes in a block of this form.
    ///
    /// For dag-pb: a node of nothing but data, in that type, data and size; no data field where
    /// there are no bytes.
    pub fn wrapping(self, len: u64) -> (Vec<u8>, Vec<u8>) {
        let kind = match self {
            LeafForm::Raw => return (Vec::new(), Vec::new()),
            LeafForm::DagPbFile => 2,
            LeafForm::DagPbRaw => 0,
        };
        let mut before = vec![0x08, kind];
        if len > 0 {
            before.push(0x12);
            push_varint(&mut before, len);
        }
        let mut suffix = vec![0x18];
        push_varint(&mut suffix, len);
        let message = (before.len() + suffix.len()) as u64;
        let mut prefix = vec![0x0a];
        // Saturated lengths rebuild nothing, and no block has them.
        push_varint(&mut prefix, message.saturating_add(len));
        prefix.append(&mut before);
        (prefix, suffix)
    }
}

fn push_varint(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(encode::u64(value, &mut encode::u64_buffer()));
}

/// The forms that a leaf of this codec may have, likeliest first.
pub fn forms(codec: u64) -> &'static [LeafForm] {
    match codec {
        codec::RAW => &[LeafForm::Raw],
        codec::DAG_PB => &[LeafForm::DagPbFile, LeafForm::DagPbRaw],
        // The block of a foreign codec is saved as it is.
        _ => &[LeafForm::Raw],
    }
}

/// How much larger than its `len` file bytes the block of a dag-pb leaf is, in either form.
///
/// A link whose Tsize says otherwise leads to a leaf that will not rebuild.
pub fn canonical_overhead(len: u64) -> u64 {
    let (prefix, suffix) = LeafForm::DagPbFile.wrapping(len);
    (prefix.len() + suffix.len()) as u64
}

/// Whether a link with this Tsize can lead to a dag-pb leaf of `len` file bytes that rebuilds.
pub fn is_canonical(len: u64, tsize: Option<u64>) -> bool {
    tsize.is_some() && tsize == len.checked_add(canonical_overhead(len))
}

/// Whether this is one of the usual blocks of a file without bytes: raw, dag-pb in either form,
/// and its old form, whatever the CID version.
pub fn is_known_empty(cid: &Cid) -> bool {
    let forms = [LeafForm::Raw, LeafForm::DagPbFile, LeafForm::DagPbRaw];
    let is_form = |form: &LeafForm| {
        let (prefix, suffix) = form.wrapping(0);
        hash::matches(cid.hash(), [&prefix[..], &suffix])
    };
    forms.iter().any(is_form) || hash::matches(cid.hash(), [&[0x0a, 2, 8, 2][..]])
}

/// The file bytes of a dag-pb leaf whose block has this many; `None` if no usual one has.
pub fn len_of_canonical(block: u64) -> Option<u64> {
    // Three bytes that never go, and at most three lengths of ten bytes each.
    (3..=40).find_map(|overhead| {
        let len = block.checked_sub(overhead)?;
        (canonical_overhead(len) == overhead).then_some(len)
    })
}

/// The form in which these file bytes, `len` in all `parts`, have the hash of `cid`.
///
/// `Some` is a proof of the bytes.
pub fn rebuild<'a>(
    cid: &Cid,
    len: u64,
    parts: impl IntoIterator<Item = &'a [u8]> + Clone,
) -> Option<LeafForm> {
    forms(cid.codec()).iter().copied().find(|form| {
        let (prefix, suffix) = form.wrapping(len);
        let block = iter::once(&prefix[..])
            .chain(parts.clone().into_iter().map(|part| -> &[u8] { part }))
            .chain(iter::once(&suffix[..]));
        hash::matches(cid.hash(), block)
    })
}

/// [`rebuild`], which takes the bytes into the sum of the whole file meanwhile: cheaper than one
/// after the other. Without a proof, `file` stays as it was.
pub fn rebuild_in_file<'a>(
    cid: &Cid,
    len: u64,
    parts: impl Iterator<Item = &'a [u8]> + Clone,
    file: &mut FileSha256,
) -> Option<LeafForm> {
    forms(cid.codec()).iter().copied().find(|form| {
        let (prefix, suffix) = form.wrapping(len);
        hash::matches_in_file(cid.hash(), [&prefix, &suffix], parts.clone(), file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::cid;
    use proptest::prelude::*;

    #[test]
    fn hello_world_as_every_importer_makes_it() {
        let found = |cid: &str, len, parts: &[&[u8]]| {
            rebuild(&cid::parse(cid).unwrap(), len, parts.iter().copied())
        };
        let classic = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD";
        let parts: &[&[u8]] = &[b"hello", b"", b" world"];
        assert_eq!(found(classic, 11, parts), Some(LeafForm::DagPbFile));
        let raw = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
        assert_eq!(found(raw, 11, parts), Some(LeafForm::Raw));
        assert_eq!(found(raw, 11, &[b"hello World"]), None);
        assert_eq!(
            found(classic, 12, parts),
            None,
            "a wrong length proves nothing"
        );
    }

    #[test]
    fn empty_leaves_have_no_data_field() {
        let (prefix, suffix) = LeafForm::DagPbFile.wrapping(0);
        assert_eq!(
            (&prefix[..], &suffix[..]),
            (&[0x0a, 4, 8, 2][..], &[0x18, 0][..])
        );
    }

    #[test]
    fn overhead_is_what_the_reference_sizes_have() {
        let cases = [(0, 6), (1, 8), (121, 8), (262_144, 14), (1_048_576, 14)];
        for (len, overhead) in cases {
            assert_eq!(canonical_overhead(len), overhead, "{len}");
            assert_eq!(len_of_canonical(len + overhead), Some(len));
        }
        assert_eq!(len_of_canonical(5), None);
        assert_eq!(len_of_canonical(7), None);
    }

    #[test]
    fn only_dag_pb_wraps_its_bytes() {
        assert_eq!(forms(codec::RAW), [LeafForm::Raw]);
        assert_eq!(
            forms(codec::DAG_PB),
            [LeafForm::DagPbFile, LeafForm::DagPbRaw]
        );
        assert_eq!(forms(codec::DAG_CBOR), [LeafForm::Raw]);
    }

    proptest! {
        /// The decoder of blocks agrees on what the wrapping means.
        #[test]
        fn wrapped_bytes_read_as_a_leaf(bytes in prop::collection::vec(any::<u8>(), 0..300), raw: bool) {
            use crate::content::unixfs::{self, Node};
            let form = if raw { LeafForm::DagPbRaw } else { LeafForm::DagPbFile };
            let (prefix, suffix) = form.wrapping(bytes.len() as u64);
            let block = [&prefix[..], &bytes, &suffix].concat();
            prop_assert_eq!((block.len() - bytes.len()) as u64, canonical_overhead(bytes.len() as u64));
            let block = bytes::Bytes::from(block);
            let Ok(Node::File(leaf)) = unixfs::node(codec::DAG_PB, &block) else {
                return Err(TestCaseError::fail("not a file"));
            };
            prop_assert_eq!(&block[leaf.inline], &bytes[..]);
        }

        #[test]
        fn any_length_can_be_wrapped(len: u64) {
            for form in [LeafForm::Raw, LeafForm::DagPbFile, LeafForm::DagPbRaw] {
                let _ = form.wrapping(len);
            }
        }
    }
}
