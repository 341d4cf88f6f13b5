//! Somebody with an Ed25519 key who signs where a name points, as Kubo does since version 0.13.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use fetchd::content::cid;

use super::pb::put_bytes;

/// What a signature covers before the data.
const SIGNED_PREFIX: &[u8] = b"ipns-signature:";

/// The owner of a name.
pub struct Owner {
    pair: Ed25519KeyPair,
}

impl Owner {
    pub fn new() -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        Self { pair }
    }

    /// The name: the key itself, in base36.
    pub fn name(&self) -> String {
        let public = self.pair.public_key().as_ref();
        let key = [&[8, 1, 18, 32], public].concat();
        let bytes = [&[1, 0x72, 0, 36], &key[..]].concat();
        cid::text(&cid::parse_bytes(&bytes).expect("a name"))
    }

    /// The signed record that the name points to `value`, until the year 2126.
    pub fn record(&self, value: &str, sequence: u8) -> Vec<u8> {
        let data = data(value, sequence);
        let signature = self.pair.sign(&[SIGNED_PREFIX, &data].concat());
        let mut record = Vec::new();
        put_bytes(&mut record, 8, signature.as_ref());
        put_bytes(&mut record, 9, &data);
        record
    }
}

/// The data in dag-cbor: a map with its keys sorted by length first.
fn data(value: &str, sequence: u8) -> Vec<u8> {
    assert!(sequence < 24, "one byte");
    let bytes = |text: &str| {
        let len = u8::try_from(text.len()).expect("a short text");
        let head: &[u8] = match len {
            0..24 => &[0x40 | len],
            24.. => &[0x58, len],
        };
        [head, text.as_bytes()].concat()
    };
    [
        b"\xa5\x63TTL\x00\x65Value".to_vec(),
        bytes(value),
        b"\x68Sequence".to_vec(),
        vec![sequence],
        b"\x68Validity".to_vec(),
        bytes("2126-11-21T00:00:00Z"),
        b"\x6cValidityType\x00".to_vec(),
    ]
    .concat()
}
