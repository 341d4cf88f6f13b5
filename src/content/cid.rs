//! Content identifiers: text and bytes to a [`Cid`] and back, with an error that says what is
//! wrong.
//!
//! Judges only the form. Whether a hash function may be trusted is [`crate::content::hash`]'s
//! business, what a path or URL around a CID means is [`crate::content::source`]'s.
//!
//! Invariant: every accepted byte string is what [`Cid::to_bytes`] writes again, so that equal
//! CIDs have equal bytes.

use unsigned_varint::decode as varint;

pub use ::cid::{Version, multibase::Base};

/// A CID. Its digest may have up to [`MAX_DIGEST`] bytes, since identity CIDs carry that much.
pub type Cid = ::cid::CidGeneric<MAX_DIGEST>;

/// The hash function, digest length and digest of a block: its identity.
pub type Multihash = ::cid::multihash::Multihash<MAX_DIGEST>;

/// Most bytes that a digest may have (IPIP-0512).
pub const MAX_DIGEST: usize = 128;

/// Most bytes that a CID may have: version, codec, hash code, digest length, digest.
pub const MAX_BYTES: usize = 1 + MAX_VARINT + MAX_VARINT + 2 + MAX_DIGEST;

/// Most bytes of text worth decoding: the longest CID in base2. Bounds the quadratic bases too.
const MAX_TEXT: usize = 1 + 8 * MAX_BYTES;

/// Most bytes of a varint (multiformats unsigned-varint: 63 bits).
const MAX_VARINT: usize = 9;

/// Length of a version 0 CID in bytes and in base58.
const V0_BYTES: usize = 34;
const V0_TEXT: usize = 46;

const SHA2_256: u8 = 0x12;
const SHA2_256_LEN: u8 = 0x20;

/// Codes of content types, from the multicodec table.
pub mod codec {
    /// Bytes of a file or leaf.
    pub const RAW: u64 = 0x55;
    /// MerkleDAG protobuf: UnixFS.
    pub const DAG_PB: u64 = 0x70;
    /// DAG-CBOR.
    pub const DAG_CBOR: u64 = 0x71;
    /// DAG-JSON.
    pub const DAG_JSON: u64 = 0x0129;
    /// Plain CBOR, no links.
    pub const CBOR: u64 = 0x51;
    /// Plain JSON, no links.
    pub const JSON: u64 = 0x0200;
    /// Public key of an IPNS name; never content.
    pub const LIBP2P_KEY: u64 = 0x72;
    /// A CAR as one block.
    pub const CAR: u64 = 0x0202;

    /// The name of a codec in the multicodec table, if it is one that is met in practice.
    pub fn name(code: u64) -> Option<&'static str> {
        Some(match code {
            RAW => "raw",
            DAG_PB => "dag-pb",
            DAG_CBOR => "dag-cbor",
            DAG_JSON => "dag-json",
            CBOR => "cbor",
            JSON => "json",
            LIBP2P_KEY => "libp2p-key",
            CAR => "car",
            0x78 => "git-raw",
            0x85 => "dag-jose",
            0x86 => "dag-cose",
            0x0300 => "ipns-record",
            _ => return None,
        })
    }
}

/// Why something is not a CID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidError {
    /// No text or no bytes.
    #[error("the CID is empty")]
    Empty,
    /// More than any CID can have.
    #[error("{len} bytes of text are too long for a CID (at most {MAX_TEXT})")]
    TextTooLong {
        /// Bytes of text.
        len: usize,
    },
    /// The first character names no multibase encoding.
    #[error(
        "{prefix:?} is not a known multibase prefix (a CID begins with \"Qm\", \"b\", \"k\", \"z\" or \"f\")"
    )]
    UnknownBase {
        /// The first character.
        prefix: char,
    },
    /// A character that the named encoding does not have, or a malformed end.
    #[error("not valid {base:?}: {}", bad_encoding(*.v0))]
    BadEncoding {
        /// The encoding.
        base: Base,
        /// Whether this was taken for a version 0 CID.
        v0: bool,
    },
    /// "Qm…" of the wrong length.
    #[error("a version 0 CID (\"Qm…\") has {V0_TEXT} characters, this has {len}")]
    V0Length {
        /// Characters of text.
        len: usize,
    },
    /// 46 base58 characters that hold something else.
    #[error("\"Qm…\" that is not a version 0 CID")]
    V0Content,
    /// A version 0 CID whose upper and lower case was lost.
    #[error(
        "a version 0 CID (\"Qm…\") that was changed to one case cannot be repaired; use the version 1 form (\"bafy…\") of it"
    )]
    V0CaseLost,
    /// A version 0 CID or a bare multihash behind a multibase prefix.
    #[error(
        "a bare multihash behind the multibase prefix {prefix:?} is not a CID (a version 0 CID is written without prefix)"
    )]
    V0WithBase {
        /// The prefix.
        prefix: char,
    },
    /// Versions 2 and 3 are reserved.
    #[error("CID version {0} is reserved")]
    ReservedVersion(u64),
    /// Neither version 0 nor 1.
    #[error("{0} is not a CID version")]
    UnknownVersion(u64),
    /// A varint that is not in its shortest form.
    #[error("the {field} of the CID is not in its shortest form")]
    VarintNotMinimal {
        /// Which number.
        field: &'static str,
    },
    /// A varint of more than nine bytes.
    #[error("the {field} of the CID is too large a number")]
    VarintTooLong {
        /// Which number.
        field: &'static str,
    },
    /// A digest longer than [`MAX_DIGEST`].
    #[error("a digest of {len} bytes is too long (at most {MAX_DIGEST})")]
    DigestTooLong {
        /// Announced bytes.
        len: u64,
    },
    /// The input ends before the digest does.
    #[error("the CID is cut short: a digest of {announced} bytes is announced, {present} follow")]
    DigestCutShort {
        /// Announced bytes.
        announced: usize,
        /// Bytes that are there.
        present: usize,
    },
    /// The input ends before the digest begins; of [`read`] also: within the digest.
    #[error("the CID is cut short")]
    Incomplete,
    /// Bytes behind the digest.
    #[error("{0} bytes too many behind the digest of the CID")]
    TrailingBytes(usize),
}

fn bad_encoding(v0: bool) -> &'static str {
    if v0 {
        "a version 0 CID (\"Qm…\") has no 0, O, I and l, and its upper and lower case matter"
    } else {
        "a wrong character, or cut short"
    }
}

/// Parses the text of a CID in any multibase, without anything around it.
///
/// # Errors
/// A [`CidError`] that names the first thing wrong.
pub fn parse(text: &str) -> Result<Cid, CidError> {
    let prefix = text.chars().next().ok_or(CidError::Empty)?;
    if text.len() > MAX_TEXT {
        return Err(CidError::TextTooLong { len: text.len() });
    }
    if text.starts_with("Qm") {
        return parse_v0(text);
    }
    if text.len() == V0_TEXT && text.as_bytes()[..2].eq_ignore_ascii_case(b"qm") {
        return Err(CidError::V0CaseLost);
    }
    let base = base_of(prefix)?;
    let bytes = base
        .decode(&text[prefix.len_utf8()..])
        .map_err(|_| CidError::BadEncoding { base, v0: false })?;
    if bytes.first() == Some(&SHA2_256) {
        return Err(CidError::V0WithBase { prefix });
    }
    parse_bytes(&bytes)
}

fn parse_v0(text: &str) -> Result<Cid, CidError> {
    let len = text.chars().count();
    if len != V0_TEXT {
        return Err(CidError::V0Length { len });
    }
    let bytes = Base::Base58Btc
        .decode(text)
        .map_err(|_| CidError::BadEncoding {
            base: Base::Base58Btc,
            v0: true,
        })?;
    match (bytes.len(), parse_bytes(&bytes)) {
        (V0_BYTES, Ok(cid)) if cid.version() == Version::V0 => Ok(cid),
        _ => Err(CidError::V0Content),
    }
}

/// The encoding behind a multibase prefix. NUL ("identity") is bytes, not text, and refused.
fn base_of(prefix: char) -> Result<Base, CidError> {
    match Base::from_code(prefix) {
        Ok(Base::Identity) | Err(_) => Err(CidError::UnknownBase { prefix }),
        Ok(base) => Ok(base),
    }
}

/// Parses bytes that are a CID from the first to the last.
///
/// # Errors
/// A [`CidError`] that names the first thing wrong.
pub fn parse_bytes(bytes: &[u8]) -> Result<Cid, CidError> {
    if bytes.is_empty() {
        return Err(CidError::Empty);
    }
    let layout = Layout::of(bytes)?;
    let (announced, present) = (layout.digest_len, bytes.len() - layout.digest_at);
    if present < announced {
        return Err(CidError::DigestCutShort { announced, present });
    }
    if present > announced {
        return Err(CidError::TrailingBytes(present - announced));
    }
    Ok(layout.cid(&bytes[layout.digest_at..]))
}

/// Reads the CID at the start of a byte stream and says how many bytes it has.
///
/// # Errors
/// [`CidError::Incomplete`] if what is there may be the start of a CID, which never happens with
/// [`MAX_BYTES`] or more; otherwise what is wrong.
pub fn read(bytes: &[u8]) -> Result<(Cid, usize), CidError> {
    let layout = Layout::of(bytes)?;
    let end = layout.digest_at + layout.digest_len;
    let digest = bytes
        .get(layout.digest_at..end)
        .ok_or(CidError::Incomplete)?;
    Ok((layout.cid(digest), end))
}

/// Everything of a CID but its digest, and where that sits.
struct Layout {
    version: Version,
    codec: u64,
    hash: u64,
    digest_at: usize,
    digest_len: usize,
}

impl Layout {
    fn of(bytes: &[u8]) -> Result<Self, CidError> {
        match bytes {
            [] | [SHA2_256] => Err(CidError::Incomplete),
            [SHA2_256, SHA2_256_LEN, ..] => Ok(Self {
                version: Version::V0,
                codec: codec::DAG_PB,
                hash: SHA2_256.into(),
                digest_at: 2,
                digest_len: SHA2_256_LEN.into(),
            }),
            _ => Self::of_v1(bytes),
        }
    }

    fn of_v1(bytes: &[u8]) -> Result<Self, CidError> {
        let (version, rest) = number(bytes, "version")?;
        match version {
            1 => {}
            2 | 3 => return Err(CidError::ReservedVersion(version)),
            other => return Err(CidError::UnknownVersion(other)),
        }
        let (codec, rest) = number(rest, "codec")?;
        let (hash, rest) = number(rest, "hash function")?;
        let (len, rest) = number(rest, "digest length")?;
        let digest_len = usize::try_from(len)
            .ok()
            .filter(|&len| len <= MAX_DIGEST)
            .ok_or(CidError::DigestTooLong { len })?;
        let digest_at = bytes.len() - rest.len();
        Ok(Self {
            version: Version::V1,
            codec,
            hash,
            digest_at,
            digest_len,
        })
    }

    fn cid(&self, digest: &[u8]) -> Cid {
        let hash = Multihash::wrap(self.hash, digest).expect("at most MAX_DIGEST bytes");
        Cid::new(self.version, self.codec, hash).expect("version 0 is dag-pb and sha2-256")
    }
}

/// A varint in the strict form of multiformats: shortest form, at most nine bytes.
fn number<'a>(bytes: &'a [u8], field: &'static str) -> Result<(u64, &'a [u8]), CidError> {
    match varint::u64(&bytes[..bytes.len().min(MAX_VARINT)]) {
        Ok((value, rest)) => {
            let used = bytes.len().min(MAX_VARINT) - rest.len();
            Ok((value, &bytes[used..]))
        }
        Err(varint::Error::NotMinimal) => Err(CidError::VarintNotMinimal { field }),
        Err(varint::Error::Insufficient) if bytes.len() < MAX_VARINT => Err(CidError::Incomplete),
        Err(_) => Err(CidError::VarintTooLong { field }),
    }
}

/// Whether two CIDs name the same block, be it in two versions.
pub fn is_same(one: &Cid, other: &Cid) -> bool {
    one.codec() == other.codec() && one.hash() == other.hash()
}

/// The canonical text: version 0 in base58, version 1 in lower-case base32, but keys of IPNS
/// names in base36.
pub fn text(cid: &Cid) -> String {
    if cid.version() == Version::V1 && cid.codec() == codec::LIBP2P_KEY {
        return ::cid::multibase::encode(Base::Base36Lower, cid.to_bytes());
    }
    cid.to_string()
}

/// The bytes that an identity CID carries in itself: its block.
pub fn identity(cid: &Cid) -> Option<&[u8]> {
    (cid.hash().code() == 0).then(|| cid.hash().digest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V0: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
    const V1: &str = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am";

    fn error(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn reads_both_versions() {
        let v0 = parse(V0).unwrap();
        assert_eq!(
            (v0.version(), v0.codec(), text(&v0)),
            (Version::V0, codec::DAG_PB, V0.into())
        );
        let v1 = parse(V1).unwrap();
        assert_eq!(
            (v1.version(), v1.codec(), text(&v1)),
            (Version::V1, codec::RAW, V1.into())
        );
        assert_eq!(identity(&v1), None);
        assert_eq!(
            identity(&parse("bafyaabakaieac").unwrap()),
            Some(&[0x0a, 2, 8, 1][..])
        );
    }

    #[test]
    fn keys_are_written_in_base36() {
        let key =
            parse("bafzaajaiaejcbhltvusd6q2t7tm3lmke4vu4lieeerm25eihikbh3ncjntnm6t6o").unwrap();
        assert_eq!(
            text(&key),
            "k51qzi5uqu5dk3v4rmjber23h16xnr23bsggmqqil9z2gduiis5se8dht36dam"
        );
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(parse(""), Err(CidError::Empty));
        assert_eq!(parse("b"), Err(CidError::Empty));
        assert_eq!(parse(&V0.to_lowercase()), Err(CidError::V0CaseLost));
        assert_eq!(parse(&V0[..45]), Err(CidError::V0Length { len: 45 }));
        assert_eq!(
            parse(&format!("z{V0}")),
            Err(CidError::V0WithBase { prefix: 'z' })
        );
        assert_eq!(parse(&format!("{V1}aa")), Err(CidError::TrailingBytes(1)));
        assert_eq!(
            parse("\u{1b}[2J"),
            Err(CidError::UnknownBase { prefix: '\u{1b}' })
        );
        assert!(error("\u{1b}[2J").contains("'\\u{1b}'"));
        assert_eq!(
            parse("\0\u{1}\u{55}\0\0"),
            Err(CidError::UnknownBase { prefix: '\0' })
        );
        assert_eq!(
            error("bafkrei-hdw"),
            "not valid Base32Lower: a wrong character, or cut short"
        );
        assert!(error(&V0.replace('5', "0")).contains("version 0"));
        assert!(matches!(
            parse(&"b".repeat(MAX_TEXT + 1)),
            Err(CidError::TextTooLong { .. })
        ));
    }

    #[test]
    fn refuses_sloppy_numbers() {
        let not_minimal = CidError::VarintNotMinimal { field: "codec" };
        assert_eq!(parse_bytes(&[1, 0xd5, 0, 0, 0]), Err(not_minimal));
        let mut long = vec![1];
        long.extend([0xff; 9]);
        let too_long = CidError::VarintTooLong { field: "codec" };
        assert_eq!(read(&long), Err(too_long));
        assert_eq!(read(&long[..9]), Err(CidError::Incomplete));
        assert_eq!(
            parse_bytes(&[2, 0x55, 0, 0]),
            Err(CidError::ReservedVersion(2))
        );
        assert_eq!(
            parse_bytes(&[0, 0x55, 0, 0]),
            Err(CidError::UnknownVersion(0))
        );
        assert_eq!(read(&[0x12, 0x21]), Err(CidError::UnknownVersion(0x12)));
        assert_eq!(
            read(&[1, 0x55, 0, 0x81, 1]),
            Err(CidError::DigestTooLong { len: 129 })
        );
    }

    fn any_cid() -> impl Strategy<Value = Cid> {
        let v0 = prop::array::uniform32(any::<u8>())
            .prop_map(|digest| Cid::new_v0(Multihash::wrap(0x12, &digest).unwrap()).unwrap());
        let digest = prop::collection::vec(any::<u8>(), 0..=MAX_DIGEST);
        let v1 = (0..1u64 << 63, 0..1u64 << 63, digest).prop_map(|(codec, code, digest)| {
            Cid::new_v1(codec, Multihash::wrap(code, &digest).unwrap())
        });
        prop_oneof![1 => v0, 3 => v1]
    }

    proptest! {
        #[test]
        fn round_trips(cid in any_cid()) {
            let bytes = cid.to_bytes();
            prop_assert!(bytes.len() <= MAX_BYTES);
            prop_assert_eq!(parse_bytes(&bytes), Ok(cid));
            prop_assert_eq!(parse(&text(&cid)), Ok(cid));
        }

        #[test]
        fn a_prefix_of_a_stream(cid in any_cid(), tail in prop::collection::vec(any::<u8>(), 0..8)) {
            let mut bytes = cid.to_bytes();
            let len = bytes.len();
            for cut in 0..len {
                prop_assert_eq!(read(&bytes[..cut]), Err(CidError::Incomplete));
                prop_assert!(parse_bytes(&bytes[..cut]).is_err());
            }
            bytes.extend(&tail);
            prop_assert_eq!(read(&bytes), Ok((cid, len)));
        }

        #[test]
        fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            match read(&bytes) {
                Ok((cid, len)) => prop_assert_eq!(cid.to_bytes(), &bytes[..len]),
                Err(CidError::Incomplete) => prop_assert!(bytes.len() < MAX_BYTES),
                Err(_) => {}
            }
        }

        #[test]
        fn text_never_panics(text in "[0-9bBcCvVtThkKRZzmMuUfFQ🚀].{0,60}") {
            let _ = parse(&text);
        }
    }
}
