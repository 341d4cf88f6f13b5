//! CARs, by hand: all that a gateway has to write.

use crate::support::pb::{self, Cid};

/// The header of a CAR, with its length.
pub fn car_header(roots: &[Cid]) -> Vec<u8> {
    // {"roots": [42(h'00' + cid)…], "version": 1} in dag-cbor, by hand: all that a CAR needs.
    let mut header = vec![0xa2, 0x65];
    header.extend_from_slice(b"roots");
    header.push(0x80 | u8::try_from(roots.len()).expect("few roots"));
    assert!(roots.len() < 24, "one-byte array head");
    for root in roots {
        let bytes = root.to_bytes();
        let len = u8::try_from(bytes.len() + 1).expect("short CID");
        header.extend_from_slice(&[0xd8, 0x2a]);
        // The shortest form of the length is the only valid one.
        match len {
            0..24 => header.push(0x40 | len),
            _ => header.extend_from_slice(&[0x58, len]),
        }
        header.push(0x00);
        header.extend_from_slice(&bytes);
    }
    header.push(0x67);
    header.extend_from_slice(b"version");
    header.push(0x01);
    let mut out = Vec::new();
    pb::put_varint(&mut out, header.len() as u64);
    out.extend_from_slice(&header);
    out
}

/// One section of a CAR, with its length.
pub fn car_section(cid: &Cid, block: &[u8]) -> Vec<u8> {
    let name = cid.to_bytes();
    let mut out = Vec::with_capacity(block.len() + name.len() + 10);
    pb::put_varint(&mut out, (name.len() + block.len()) as u64);
    out.extend_from_slice(&name);
    out.extend_from_slice(block);
    out
}
