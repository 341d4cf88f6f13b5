//! Blocks for unit tests, written by hand: short lengths only.

use bytes::Bytes;

use crate::content::cid::{self, Cid};
use crate::content::unixfs::hamt::Fanout;

/// The CIDs of links: version 1, identity, no bytes.
pub(in crate::content) const RAW_CID: [u8; 4] = [0x01, 0x55, 0x00, 0x00];
pub(in crate::content) const DAG_PB_CID: [u8; 4] = [0x01, 0x70, 0x00, 0x00];
pub(in crate::content) const DAG_CBOR_CID: [u8; 4] = [0x01, 0x71, 0x00, 0x00];

pub(in crate::content) fn cid(bytes: [u8; 4]) -> Cid {
    cid::parse_bytes(&bytes).unwrap()
}

/// A dag-pb block of these links and this UnixFS message.
pub(in crate::content) fn block(links: &[Vec<u8>], message: &[u8]) -> Bytes {
    let mut out = links.concat();
    out.extend([0x0a, message.len() as u8]);
    out.extend(message);
    out.into()
}

/// A link with these bytes behind its hash.
pub(in crate::content) fn link(cid: [u8; 4], rest: &[u8]) -> Vec<u8> {
    let len = 6 + rest.len();
    assert!(len < 128, "one byte of length");
    let mut out = vec![0x12, len as u8, 0x0a, 4];
    out.extend(cid);
    out.extend(rest);
    out
}

pub(in crate::content) fn named(cid: [u8; 4], name: &[u8]) -> Vec<u8> {
    link(cid, &[&[0x12, name.len() as u8], name].concat())
}

pub(in crate::content) fn directory(links: &[Vec<u8>]) -> Bytes {
    block(links, &[0x08, 0x01])
}

/// A shard of murmur3-x64-64 with what is in these buckets, each name without its prefix.
pub(in crate::content) fn shard(fanout: u16, slots: &[(u32, [u8; 4], &[u8])]) -> Bytes {
    let mut field = vec![0u8; usize::from(fanout) / 8];
    let buckets = Fanout::new(fanout.into()).unwrap();
    let mut links = Vec::new();
    for (bucket, cid, name) in slots {
        let last = field.len() - 1;
        field[last - *bucket as usize / 8] |= 1 << (bucket % 8);
        links.push(named(
            *cid,
            &[buckets.prefix(*bucket).as_bytes(), name].concat(),
        ));
    }
    let skipped = field.iter().take_while(|byte| **byte == 0).count();
    block(&links, &shard_message(0x22, fanout, &field[skipped..]))
}

pub(in crate::content) fn shard_message(hash: u8, fanout: u16, field: &[u8]) -> Vec<u8> {
    let width = [0x80 | (fanout & 0x7f) as u8, (fanout >> 7) as u8];
    let parts: [&[u8]; 5] = [
        &[0x08, 0x05, 0x12, field.len() as u8],
        field,
        &[0x28, hash],
        &[0x30],
        &width,
    ];
    parts.concat()
}
