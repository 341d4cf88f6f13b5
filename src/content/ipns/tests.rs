//! Records made and signed here, whole and broken in every way.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPublicKeyCompressedBin};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use proptest::prelude::*;
use sha2::Digest;

use super::*;

const CONTENT: &str = "/ipfs/bafkqaddwgevxmmraojswg33smq";
const NOW: &str = "2026-11-21T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Somebody with a key: writes records as Kubo does.
pub(crate) struct Owner {
    /// Type of the key and its bytes, as libp2p encodes them.
    key: Vec<u8>,
    sign: Sign,
}

/// What is in a record; change any of it to break one.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) value: Vec<u8>,
    pub(crate) eol: String,
    pub(crate) sequence: u64,
    pub(crate) ttl: Option<i64>,
    pub(crate) with_v1: bool,
    pub(crate) with_key: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            value: CONTENT.into(),
            eol: "2126-11-21T00:00:00.123456789Z".into(),
            sequence: 7,
            ttl: Some(300_000_000_000),
            with_v1: true,
            with_key: false,
        }
    }
}

impl Owner {
    pub(crate) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public = pair.public_key().as_ref().to_vec();
        Self::new(
            1,
            &public,
            Box::new(move |m| pair.sign(m).as_ref().to_vec()),
        )
    }

    fn rsa(size: KeySize) -> Self {
        let pair = rsa::KeyPair::generate(size).unwrap();
        let public = pair.public_key().as_der().unwrap().as_ref().to_vec();
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .unwrap();
            signature
        };
        Self::new(0, &public, Box::new(sign))
    }

    fn ecdsa(kind: u64, algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let public = if kind == 2 {
            let point: EcPublicKeyCompressedBin<'_> = pair.public_key().as_be_bytes().unwrap();
            point.as_ref().to_vec()
        } else {
            pair.public_key().as_der().unwrap().as_ref().to_vec()
        };
        let sign = move |message: &[u8]| {
            let signature = pair.sign(&SystemRandom::new(), message).unwrap();
            signature.as_ref().to_vec()
        };
        Self::new(kind, &public, Box::new(sign))
    }

    fn new(kind: u64, public: &[u8], sign: Sign) -> Self {
        let mut key = Vec::new();
        put_varint(&mut key, 1, kind);
        put_bytes(&mut key, 2, public);
        Self { key, sign }
    }

    pub(crate) fn name(&self) -> Cid {
        let mut bytes = vec![1, 0x72];
        if self.key.len() <= MAX_INLINE_KEY {
            bytes.extend([0x00, self.key.len() as u8]);
            bytes.extend(&self.key);
        } else {
            bytes.extend([0x12, 32]);
            bytes.extend(sha2::Sha256::digest(&self.key));
        }
        cid::parse_bytes(&bytes).unwrap()
    }

    pub(crate) fn record(&self, draft: &Draft) -> Vec<u8> {
        self.record_of(&data(draft), draft)
    }

    /// A record whose signed data are these bytes.
    fn record_of(&self, data: &[u8], draft: &Draft) -> Vec<u8> {
        let mut out = Vec::new();
        if draft.with_v1 {
            put_bytes(&mut out, 1, &draft.value);
            put_bytes(&mut out, 2, b"nobody looks at this one");
            put_varint(&mut out, 3, 0);
            put_bytes(&mut out, 4, draft.eol.as_bytes());
            put_varint(&mut out, 5, draft.sequence);
            put_varint(&mut out, 6, draft.ttl.unwrap_or(0) as u64);
        }
        if draft.with_key || self.key.len() > MAX_INLINE_KEY {
            put_bytes(&mut out, 7, &self.key);
        }
        put_bytes(&mut out, 8, &(self.sign)(&[SIGNED_PREFIX, data].concat()));
        put_bytes(&mut out, 9, data);
        out
    }

    fn verify(&self, record: &[u8]) -> Result<Record, IpnsError> {
        Record::verify(&self.name(), record, now())
    }
}

/// The data in dag-cbor, written by hand: maps sort their keys by length first.
fn data(draft: &Draft) -> Vec<u8> {
    let mut out = vec![if draft.ttl.is_some() { 0xa5 } else { 0xa4 }];
    if let Some(ttl) = draft.ttl {
        out.extend(b"\x63TTL");
        let (major, number) = if ttl < 0 { (0x20, !ttl) } else { (0, ttl) };
        put_cbor(&mut out, major, number as u64);
    }
    out.extend(b"\x65Value");
    put_cbor(&mut out, 0x40, draft.value.len() as u64);
    out.extend(&draft.value);
    out.extend(b"\x68Sequence");
    put_cbor(&mut out, 0, draft.sequence);
    out.extend(b"\x68Validity");
    put_cbor(&mut out, 0x40, draft.eol.len() as u64);
    out.extend(draft.eol.as_bytes());
    out.extend(b"\x6cValidityType\x00");
    out
}

fn put_cbor(out: &mut Vec<u8>, major: u8, number: u64) {
    match number {
        0..24 => out.push(major | number as u8),
        24..0x100 => out.extend([major | 24, number as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend((number as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend((number as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(number.to_be_bytes());
        }
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_varint(out: &mut Vec<u8>, field: u64, number: u64) {
    put_number(out, field << 3);
    put_number(out, number);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_number(out, field << 3 | 2);
    put_number(out, bytes.len() as u64);
    out.extend(bytes);
}

#[test]
fn keys_of_every_type() {
    let owners = [
        Owner::ed25519(),
        Owner::rsa(KeySize::Rsa2048),
        Owner::ecdsa(2, &ECDSA_P256K1_SHA256_ASN1_SIGNING),
        Owner::ecdsa(3, &ECDSA_P256_SHA256_ASN1_SIGNING),
    ];
    for (index, owner) in owners.iter().enumerate() {
        let bytes = owner.record(&Draft::default());
        let record = owner.verify(&bytes).unwrap();
        assert_eq!(record.target().unwrap().to_string(), CONTENT, "{index}");
        assert_eq!(record.sequence(), 7);
        assert_eq!(record.ttl(), Some(Duration::from_secs(300)));
        assert_eq!(record.eol().to_string(), "2126-11-21T00:00:00.123456789Z");
        assert_eq!(record.bytes(), bytes);

        // Any other name, and any changed bit of the signed data, is refused.
        let other = &owners[(index + 1) % owners.len()];
        assert!(
            Record::verify(&other.name(), &bytes, now()).is_err(),
            "{index}"
        );
        let at = bytes.len() - 1;
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(
            owner.verify(&changed),
            Err(IpnsError::BadSignature),
            "{index}"
        );
    }
}

#[test]
fn the_key_must_be_that_of_the_name() {
    let (owner, thief) = (Owner::ed25519(), Owner::ed25519());
    let with_key = Draft {
        with_key: true,
        ..Draft::default()
    };
    assert!(owner.verify(&owner.record(&with_key)).is_ok());
    let stolen = thief.record(&with_key);
    assert_eq!(owner.verify(&stolen), Err(IpnsError::ForeignKey));
    let stolen = thief.record(&Draft::default());
    assert_eq!(owner.verify(&stolen), Err(IpnsError::BadSignature));

    let (big, other) = (
        Owner::ecdsa(3, &ECDSA_P256_SHA256_ASN1_SIGNING),
        Owner::ecdsa(3, &ECDSA_P256_SHA256_ASN1_SIGNING),
    );
    let stolen = other.record(&Draft::default());
    assert_eq!(big.verify(&stolen), Err(IpnsError::ForeignKey));
    assert_eq!(
        big.verify(&owner.record(&Draft::default())),
        Err(IpnsError::NoKey)
    );
    // The hash of a short key is no name.
    let hash = [&[1, 0x72, 0x12, 32][..], &sha2::Sha256::digest(&owner.key)].concat();
    let hash = cid::parse_bytes(&hash).unwrap();
    assert_eq!(
        Record::verify(&hash, &owner.record(&with_key), now()),
        Err(IpnsError::ForeignKey)
    );
}

#[test]
fn keys_that_cannot_be_used() {
    let not_a_key = "is not encoded as a key";
    let not_its_type = "does not hold what its type says";
    let table: [(&[u8], &str); 8] = [
        (b"\x08\x01", not_a_key),
        (b"\x12\x01a", not_a_key),
        (b"\x08\x01\x08\x01\x12\x01a", not_a_key),
        (b"\x08\x01\x12\x01a\x18\x01", not_a_key),
        (b"\x08\x01\x12\x01a", not_its_type),
        (b"\x08\x02\x12\x01a", not_its_type),
        (b"\x08\x03\x12\x01a", not_its_type),
        (b"\x08\x04\x12\x01a", "is of an unknown type"),
    ];
    for (key, why) in table {
        let error = PublicKey::parse(key).unwrap_err();
        assert_eq!(error, IpnsError::BadKey(why), "{key:?}");
    }
    assert!(matches!(PublicKey::parse(b"\x08"), Err(IpnsError::Wire(_))));
}

#[test]
fn records_of_the_second_version_alone() {
    let owner = Owner::ed25519();
    for ttl in [None, Some(0), Some(i64::MAX)] {
        let draft = Draft {
            with_v1: false,
            ttl,
            ..Draft::default()
        };
        let record = owner.verify(&owner.record(&draft)).unwrap();
        assert_eq!(
            record.ttl(),
            ttl.map(|nanos| Duration::from_nanos(nanos as u64))
        );
    }
}

#[test]
fn what_the_signature_does_not_cover_must_agree() {
    let owner = Owner::ed25519();
    let signed = Draft::default();
    let other = |change: fn(&mut Draft)| {
        let mut draft = signed.clone();
        change(&mut draft);
        owner.verify(&owner.record_of(&data(&signed), &draft))
    };
    let contradiction = |field| Err(IpnsError::Contradiction(field));
    assert_eq!(
        other(|d| d.value = b"/ipfs/x".into()),
        contradiction("value")
    );
    assert_eq!(other(|d| d.eol.push('0')), contradiction("validity"));
    assert_eq!(other(|d| d.sequence = 8), contradiction("sequence"));
    assert_eq!(other(|d| d.ttl = Some(1)), contradiction("ttl"));
    // Old fields without a signed TTL to compare with.
    let no_ttl = Draft {
        ttl: None,
        ..Draft::default()
    };
    assert_eq!(owner.verify(&owner.record(&no_ttl)), contradiction("ttl"));
    // The value alone makes old readers believe it.
    let mut bytes = owner.record(&Draft {
        with_v1: false,
        ..Draft::default()
    });
    put_bytes(&mut bytes, 1, b"/ipfs/x");
    assert_eq!(owner.verify(&bytes), contradiction("value"));
}

#[test]
fn malformed_messages() {
    let owner = Owner::ed25519();
    let good = owner.record(&Draft::default());
    let and = |field, bytes: &[u8]| {
        let mut record = good.clone();
        put_bytes(&mut record, field, bytes);
        owner.verify(&record)
    };
    assert_eq!(and(9, b"again"), Err(IpnsError::Repeated(9)));
    assert!(and(10, b"of a later version").is_ok());
    assert_eq!(
        and(10, &[0; MAX_RECORD]),
        Err(IpnsError::TooLarge(good.len() + MAX_RECORD + 3))
    );
    assert!(matches!(
        owner.verify(&good[..good.len() - 1]),
        Err(IpnsError::Wire(_))
    ));
    assert!(matches!(
        owner.verify(b"\x0a\x00\x42"),
        Err(IpnsError::Wire(_))
    ));
    for empty in [&b""[..], b"\x42\x00\x4a\x00", b"\x42\x01a"] {
        assert_eq!(owner.verify(empty), Err(IpnsError::NoSignature));
    }
}

#[test]
fn signed_data_that_is_not_to_the_letter() {
    let owner = Owner::ed25519();
    let v2 = Draft {
        with_v1: false,
        ..Draft::default()
    };
    let refused = |bytes: &[u8]| match owner.verify(&owner.record_of(bytes, &v2)) {
        Err(IpnsError::Data(why)) => why,
        other => panic!("{other:?}"),
    };
    let good = data(&v2);
    let canonical = "is not canonical dag-cbor";
    assert_eq!(refused(&[&good[..], b"\x00"].concat()), canonical);
    assert_eq!(refused(&good[..good.len() - 1]), canonical);
    // A number longer than it need be, an endless map, a key twice.
    let swap = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|w| w == from).unwrap();
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    assert_eq!(
        refused(&swap(b"Sequence\x07", b"Sequence\x18\x07")),
        canonical
    );
    assert_eq!(refused(&[b"\xbf", &good[1..], b"\xff"].concat()), canonical);
    assert_eq!(
        refused(&swap(b"\xa5\x63TTL", b"\xa6\x63TTL\x01\x63TTL")),
        canonical
    );
    assert_eq!(refused(b"\x80"), "is not a map");
    assert_eq!(refused(b"\xa0"), "has no Validity in bytes");
    assert_eq!(
        refused(&swap(b"ValidityType\x00", b"ValidityType\x01")),
        "has a ValidityType other than EOL"
    );
    assert_eq!(
        refused(&swap(b"Sequence\x07", b"Sequence\x20")),
        "has no Sequence"
    );
    let with = |change: fn(&mut Draft)| {
        let mut draft = v2.clone();
        change(&mut draft);
        data(&draft)
    };
    assert_eq!(refused(&with(|d| d.ttl = Some(-1))), "has a negative TTL");
    for eol in [
        "",
        "soon",
        "2126-11-21",
        "2126-11-21 00:00:00Z",
        "2126-11-21T00:00:00",
        "2126-11-21T00:00:00Z[UTC]",
        "2126-13-21T00:00:00Z",
    ] {
        let bytes = data(&Draft {
            eol: eol.into(),
            ..v2.clone()
        });
        assert_eq!(refused(&bytes), "has a Validity that is no time", "{eol}");
    }
}

#[test]
fn a_record_ends() {
    let owner = Owner::ed25519();
    let ending = |eol: &str| {
        owner.verify(&owner.record(&Draft {
            eol: eol.into(),
            ..Draft::default()
        }))
    };
    assert!(ending(NOW).is_ok());
    assert!(ending("2026-11-21T01:00:01+01:00").is_ok());
    let before = "2026-11-20T23:59:59.999999999Z";
    assert_eq!(
        ending(before),
        Err(IpnsError::Expired(before.parse().unwrap()))
    );
}

#[test]
fn values() {
    let owner = Owner::ed25519();
    let target = |value: &[u8]| {
        let bytes = owner.record(&Draft {
            value: value.into(),
            ..Draft::default()
        });
        owner.verify(&bytes).unwrap().target()
    };
    let shown = |value: &[u8]| target(value).unwrap().to_string();
    let path = format!("{CONTENT}/a b/%20");
    assert_eq!(shown(path.as_bytes()), path);
    assert_eq!(shown(b"/ipns/docs.example/x"), "/ipns/docs.example/x");
    let binary = cid::parse("bafkqaddwgevxmmraojswg33smq").unwrap();
    assert_eq!(shown(&binary.to_bytes()), CONTENT);
    assert_eq!(target(b""), Err(TargetError::Empty));
    assert_eq!(target(b"https://example.net"), Err(TargetError::NotAPath));
    assert_eq!(target(b"/ipld/x"), Err(TargetError::NotAPath));
    assert_eq!(target(b"/ipfs/\xff"), Err(TargetError::NotAPath));
    assert!(matches!(target(b"/ipfs/x"), Err(TargetError::Malformed(_))));
}

#[test]
fn the_best_of_several() {
    let owner = Owner::ed25519();
    let record = |change: fn(&mut Draft)| {
        let mut draft = Draft::default();
        change(&mut draft);
        owner.verify(&owner.record(&draft)).unwrap()
    };
    let base = record(|_| ());
    let newer = record(|d| {
        d.sequence = 8;
        d.eol = "2027-01-01T00:00:00Z".into();
    });
    let longer = record(|d| d.eol = "2127-01-01T00:00:00Z".into());
    let other = record(|d| d.value = b"/ipfs/bafkqaaa".into());
    assert_eq!(newer.rank(&longer), Ordering::Greater);
    assert_eq!(longer.rank(&base), Ordering::Greater);
    assert_eq!(base.rank(&base), Ordering::Equal);
    assert_eq!(base.rank(&other), base.bytes().cmp(other.bytes()));
    assert_eq!(base.rank(&other), other.rank(&base).reverse());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in any::<usize>(), flip in any::<usize>()) {
        let owner = Owner::ed25519();
        prop_assert!(owner.verify(&bytes).is_err());
        prop_assert!(Data::parse(&bytes).is_err());
        let _ = (PublicKey::parse(&bytes), Entry::parse(&bytes));
        let mut record = owner.record(&Draft::default());
        let at = flip % record.len();
        record[at] ^= 1;
        if let Ok(read) = owner.verify(&record) {
            // Nothing but the old signature, which nobody looks at, may be changed.
            prop_assert_eq!(read.target().unwrap().to_string(), CONTENT);
        }
        record[at] ^= 1;
        record.truncate(cut % record.len());
        prop_assert!(owner.verify(&record).is_err());
    }
}

#[test]
fn other_keys_may_stand_in_the_map() {
    let owner = Owner::ed25519();
    let v2 = Draft {
        with_v1: false,
        ..Draft::default()
    };
    let mut map: BTreeMap<String, ipld_core::ipld::Ipld> =
        serde_ipld_dagcbor::from_slice(&data(&v2)).unwrap();
    map.insert("_mine".into(), ipld_core::ipld::Ipld::Bool(true));
    let bytes = serde_ipld_dagcbor::to_vec(&map).unwrap();
    assert!(owner.verify(&owner.record_of(&bytes, &v2)).is_ok());
}
