//! The links of a block, whatever it means: dag-pb, dag-cbor and dag-json.
//!
//! Knows nothing of files and directories. A codec that is none of these has no links here: its
//! blocks end a DAG. Invariant: links come in the order in which the block has them, that of every
//! walk that writes a CAR.
//!
//! Source: the specifications of these codecs at ipld.io.

use bytes::Bytes;
use ipld_core::serde::ExtractLinks;

use crate::content::cid::{Cid, MAX_DIGEST, codec};
use crate::content::dagpb::{self, DagPbError};

/// A block that is not of the codec that its CID names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinksError {
    /// Not dag-pb.
    #[error(transparent)]
    DagPb(#[from] DagPbError),
    /// Not dag-cbor.
    #[error("not dag-cbor: {0}")]
    DagCbor(String),
    /// Not dag-json.
    #[error("not dag-json: {0}")]
    DagJson(String),
}

/// Whether blocks of this codec hold data with links, and no UnixFS.
pub fn is_data(codec: u64) -> bool {
    matches!(codec, codec::DAG_CBOR | codec::DAG_JSON)
}

/// What a block links to, one that it links to twice, twice.
///
/// # Errors
/// [`LinksError`] for a malformed block, or one nested too deeply to be read.
pub fn of(codec: u64, block: &Bytes) -> Result<Vec<Cid>, LinksError> {
    type Links = ExtractLinks<MAX_DIGEST>;
    match codec {
        codec::DAG_PB => {
            let node = dagpb::decode(block)?;
            Ok(node.links.into_iter().map(|link| link.cid).collect())
        }
        codec::DAG_CBOR => serde_ipld_dagcbor::from_slice::<Links>(block)
            .map(Links::into_vec)
            .map_err(|error| LinksError::DagCbor(error.to_string())),
        codec::DAG_JSON => serde_ipld_dagjson::from_slice::<Links>(block)
            .map(Links::into_vec)
            .map_err(|error| LinksError::DagJson(error.to_string())),
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::cid;
    use proptest::prelude::*;

    const LEAF: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    const NODE: &str = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua";

    /// A dag-cbor link.
    fn link(text: &str) -> Vec<u8> {
        let cid = cid::parse(text).unwrap().to_bytes();
        let head = [0xd8, 0x2a, 0x58, cid.len() as u8 + 1, 0];
        [&head[..], &cid].concat()
    }

    fn texts(codec: u64, block: Vec<u8>) -> Vec<String> {
        let links = of(codec, &block.into()).unwrap();
        links.iter().map(cid::text).collect()
    }

    #[test]
    fn links_come_in_the_order_of_the_block() {
        // {"b": NODE, "aa": [LEAF, "text", NODE]}: dag-cbor sorts keys by length.
        let parts = [
            &[0xa2, 0x61, b'b'][..],
            &link(NODE),
            &[0x62, b'a', b'a', 0x83],
            &link(LEAF),
            &[0x64, b't', b'e', b'x', b't'],
            &link(NODE),
        ];
        assert_eq!(texts(codec::DAG_CBOR, parts.concat()), [NODE, LEAF, NODE]);
        let json = format!(
            r#"{{"b":{{"/":"{NODE}"}},"aa":[{{"/":"{LEAF}"}},{{"/":{{"bytes":"AAAA"}}}},"{LEAF}"]}}"#
        );
        assert_eq!(texts(codec::DAG_JSON, json.into_bytes()), [NODE, LEAF]);
        assert!(texts(codec::RAW, link(LEAF)).is_empty());
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let cut = |mut block: Vec<u8>| {
            block.pop();
            block
        };
        let behind = [link(LEAF), vec![0]].concat();
        let deep = vec![0x81; 100_000];
        for block in [
            cut(link(LEAF)),
            behind,
            deep,
            vec![0xff],
            vec![0xd8, 0x2a, 0x01],
        ] {
            let found = of(codec::DAG_CBOR, &block.into());
            assert!(matches!(found, Err(LinksError::DagCbor(_))), "{found:?}");
        }
        let deep = "[".repeat(100_000);
        for block in [r#"{"/":"no cid"}"#, "{", "", "1 2", &deep] {
            let found = of(codec::DAG_JSON, &block.to_owned().into());
            assert!(
                matches!(found, Err(LinksError::DagJson(_))),
                "{block:.20}: {found:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn never_panics(
            codec in prop::sample::select(&[codec::DAG_CBOR, codec::DAG_JSON, codec::DAG_PB][..]),
            bytes in prop::collection::vec(any::<u8>(), 0..128),
        ) {
            let _ = of(codec, &bytes.into());
        }
    }
}
