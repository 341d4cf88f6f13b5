use std::ops::Range;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    header: 1 << 20,
    block: 1024,
};

/// Version 1, raw, identity, no bytes.
const ROOT: [u8; 4] = [0x01, 0x55, 0x00, 0x00];

/// A CAR and where its sections are.
#[derive(Debug, Clone)]
struct Built {
    bytes: Vec<u8>,
    sections: Vec<Section>,
    /// Where it may be cut without being truncated.
    boundaries: Vec<usize>,
}

fn varint(value: usize) -> Vec<u8> {
    unsigned_varint::encode::usize(value, &mut unsigned_varint::encode::usize_buffer()).to_vec()
}

fn header_v1() -> Vec<u8> {
    let mut header = b"\xa2\x65roots\x81\xd8\x2a\x45\x00".to_vec();
    header.extend(ROOT);
    header.extend(b"\x67version\x01");
    [varint(header.len()), header].concat()
}

/// A raw CID of 36 bytes whose digest is `fill` throughout.
fn cid_of(fill: u8) -> Cid {
    let bytes = [&[0x01, 0x55, 0x12, 0x20], &[fill; 32][..]].concat();
    cid::parse_bytes(&bytes).unwrap()
}

/// A CAR of version 1 that starts at offset `base` of a file.
fn build_v1(blocks: &[Vec<u8>], base: u64) -> Built {
    let mut built = Built {
        bytes: header_v1(),
        sections: Vec::new(),
        boundaries: Vec::new(),
    };
    built.boundaries.push(built.bytes.len());
    for block in blocks {
        let cid = cid_of(block.len() as u8);
        let cid_bytes = cid.to_bytes();
        built.bytes.extend(varint(cid_bytes.len() + block.len()));
        built.bytes.extend(cid_bytes);
        built.sections.push(Section {
            cid,
            data: vec![Bytes::from(block.clone())],
            offset: base + built.bytes.len() as u64,
            len: block.len() as u64,
        });
        built.bytes.extend(block);
        built.boundaries.push(built.bytes.len());
    }
    built
}

/// A CAR of version 2 with `padding` before the data and an index of junk behind them.
fn build_v2(blocks: &[Vec<u8>], padding: usize) -> Built {
    let start = 51 + padding;
    let inner = build_v1(blocks, start as u64);
    let size = inner.bytes.len();
    let mut bytes = b"\x0a\xa1\x67version\x02".to_vec();
    bytes.extend([0; 16]);
    for number in [start, size, start + size] {
        bytes.extend((number as u64).to_le_bytes());
    }
    bytes.resize(start, 0xee);
    bytes.extend(inner.bytes);
    bytes.extend([0xff; 20]);
    Built {
        boundaries: (start + size..=bytes.len()).collect(),
        bytes,
        sections: inner.sections,
    }
}

/// Everything that comes out when the pieces go in one after the other.
fn parse(pieces: &[&[u8]]) -> (Vec<Section>, Result<(), CarError>) {
    let mut parser = CarParser::new(LIMITS);
    let mut sections = Vec::new();
    for piece in pieces {
        parser.push(Bytes::copy_from_slice(piece));
        loop {
            match parser.next() {
                Ok(Some(section)) => sections.push(joined(section)),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.next(), Err(error.clone()), "errors stay");
                    assert_eq!(parser.finish(), Err(error.clone()));
                    return (sections, Err(error));
                }
            }
        }
    }
    (sections, parser.finish())
}

/// The section with its block in one piece, to compare.
fn joined(section: Section) -> Section {
    let data = vec![section.contiguous()];
    Section { data, ..section }
}

/// `bytes` cut at these places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn error_of(bytes: &[u8]) -> CarError {
    parse(&[bytes]).1.unwrap_err()
}

/// A header of version 1 and `rest`.
fn with_header(rest: &[u8]) -> Vec<u8> {
    [header_v1(), rest.to_vec()].concat()
}

#[test]
fn header_and_blocks() {
    let built = build_v1(&[b"one".to_vec(), Vec::new()], 0);
    let mut parser = CarParser::new(LIMITS);
    parser.push(Bytes::from(built.bytes));
    let first = parser.next().unwrap().unwrap();
    assert_eq!((first.contiguous(), first.len), (Bytes::from("one"), 3));
    let second = parser.next().unwrap().unwrap();
    assert_eq!((second.data.len(), second.len), (0, 0));
    assert_eq!((parser.next(), parser.finish()), (Ok(None), Ok(())));
    assert_eq!(parser.header().unwrap().roots[0].to_bytes(), ROOT);
}

#[test]
fn blocks_are_slices_of_what_was_pushed() {
    let built = build_v1(&[vec![7; 1000]], 0);
    let mut bytes = built.bytes;
    bytes.resize(10_000, 0);
    let chunk = Bytes::from(bytes);
    let mut parser = CarParser::new(LIMITS);
    parser.push(chunk.clone());
    let section = parser.next().unwrap().unwrap();
    assert_eq!(section.data.len(), 1);
    assert_eq!(
        section.data[0].as_ptr(),
        chunk[section.offset as usize..].as_ptr()
    );
}

#[test]
fn roots_may_be_empty() {
    let (sections, end) = parse(&[b"\x11\xa2\x65roots\x80\x67version\x01"]);
    assert_eq!((sections.len(), end), (0, Ok(())));
}

#[test]
fn headers_have_two_keys_and_version_1() {
    let sized = |header: &[u8]| error_of(&[&varint(header.len()), header].concat());
    let malformed = CarError::Header("not a map of roots and version");
    for header in [
        &b""[..],
        b"\xa1\x67version\x01",
        b"\xa3\x61x\x01\x65roots\x80\x67version\x01",
        b"\xa2\x65roots\x80\x67version\x01\x00",
        b"\xa2\x65roots\x81\x01\x67version\x01",
        b"\xa2\x65roots\x80\x67version\x61\x31",
        b"\xa2\x65roots\x9b\x7f\xff\xff\xff\xff\xff\xff\xff\x67version\x01",
    ] {
        assert_eq!(sized(header), malformed, "{header:?}");
    }
    assert_eq!(
        sized(b"\xa2\x65roots\x80\x67version\x03"),
        CarError::Version(3)
    );
    let claimed = CarError::Header("version 2 with roots");
    assert_eq!(sized(b"\xa2\x65roots\x80\x67version\x02"), claimed);
    let large = CarError::HeaderTooLarge {
        len: LIMITS.header + 1,
        limit: LIMITS.header,
    };
    assert_eq!(error_of(&varint(LIMITS.header as usize + 1)), large);
}

#[test]
fn lengths_are_judged_before_the_data_come() {
    let at = header_v1().len() as u64;
    let empty = CarError::EmptySection { offset: at };
    assert_eq!(error_of(&with_header(&[0x00])), empty);
    let large = CarError::SectionTooLarge {
        offset: at,
        len: 1281,
        limit: 1280,
    };
    assert_eq!(error_of(&with_header(&varint(1281))), large);
    let malformed = CarError::Length { offset: at };
    assert_eq!(error_of(&with_header(&[0xff; 10])), malformed);
    assert_eq!(error_of(&with_header(&[0xa5, 0x00])), malformed);
}

#[test]
fn a_block_one_byte_too_large_is_refused() {
    let largest = build_v1(&[vec![1; 1024]], 0);
    assert_eq!(parse(&[&largest.bytes]), (largest.sections, Ok(())));
    let built = build_v1(&[vec![1; 1025]], 0);
    let too_large = CarError::SectionTooLarge {
        offset: header_v1().len() as u64,
        len: 1025,
        limit: 1024,
    };
    assert_eq!(error_of(&built.bytes), too_large);
}

#[test]
fn sections_start_with_a_cid() {
    let offset = header_v1().len() as u64 + 1;
    let error = error_of(&with_header(b"\x05\x01\x55\x12\x20\x00"));
    assert!(
        matches!(error, CarError::Cid { offset: at, .. } if at == offset),
        "{error}"
    );
    let error = error_of(&with_header(b"\x0a\n[Gateway "));
    assert!(matches!(error, CarError::Cid { .. }), "{error}");
}

#[test]
fn version_2_ranges_must_make_sense() {
    let whole = build_v2(&[b"one".to_vec()], 5).bytes;
    let changed = |field: usize, value: u64| {
        let mut bytes = whole.clone();
        bytes[field..field + 8].copy_from_slice(&value.to_le_bytes());
        error_of(&bytes)
    };
    let (start, size) = (27, 35);
    assert_eq!(
        changed(start, 50),
        CarError::Header("the data start inside the header")
    );
    assert_eq!(
        changed(size, u64::MAX),
        CarError::Header("the data end beyond 64 bits")
    );
    let error = changed(start, 1 << 60);
    assert!(
        matches!(
            error,
            CarError::Truncated {
                part: "the padding",
                ..
            }
        ),
        "{error}"
    );
    let cut = CarError::Header("the data end inside a section");
    assert_eq!(changed(size, 40), cut);
    let mut nested = [&whole[..51], &whole[..]].concat();
    nested[start..start + 8].copy_from_slice(&51u64.to_le_bytes());
    assert_eq!(
        error_of(&nested),
        CarError::Header("version 2 inside of version 2")
    );
}

fn blocks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8)
}

fn cars() -> impl Strategy<Value = Built> {
    (blocks(), prop::option::of(0usize..40)).prop_map(|(blocks, padding)| match padding {
        None => build_v1(&blocks, 0),
        Some(padding) => build_v2(&blocks, padding),
    })
}

fn cuts(count: Range<usize>) -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), count)
}

proptest! {
    #[test]
    fn pieces_make_no_difference(built in cars(), cuts in cuts(0..40)) {
        let (sections, end) = parse(&pieces(&built.bytes, &cuts));
        prop_assert_eq!(sections, built.sections);
        prop_assert_eq!(end, Ok(()));
    }

    #[test]
    fn single_bytes_make_no_difference(built in cars()) {
        let (sections, end) = parse(&built.bytes.chunks(1).collect::<Vec<_>>());
        prop_assert_eq!(sections, built.sections);
        prop_assert_eq!(end, Ok(()));
    }

    #[test]
    fn offsets_are_those_of_the_file(built in cars()) {
        for section in parse(&[&built.bytes]).0 {
            let (start, end) = (section.offset as usize, (section.offset + section.len) as usize);
            prop_assert_eq!(&section.contiguous()[..], &built.bytes[start..end]);
        }
    }

    /// A cut shows, except between two sections.
    #[test]
    fn cut_anywhere_is_truncated(built in cars(), cut: prop::sample::Index, cuts in cuts(0..4)) {
        let cut = cut.index(built.bytes.len());
        let (sections, end) = parse(&pieces(&built.bytes[..cut], &cuts));
        prop_assert!(built.sections.starts_with(&sections));
        match end {
            Ok(()) => prop_assert!(built.boundaries.contains(&cut)),
            Err(error) => {
                prop_assert!(matches!(error, CarError::Truncated { .. }), "{error}");
                prop_assert!(!built.boundaries.contains(&cut));
            }
        }
    }

    #[test]
    fn junk_never_panics(built in cars(), at: prop::sample::Index, junk in prop::collection::vec(any::<u8>(), 1..30), cuts in cuts(0..4)) {
        let mut bytes = built.bytes;
        let at = at.index(bytes.len());
        let end = (at + junk.len() / 2).min(bytes.len());
        bytes.splice(at..end, junk);
        let whole = parse(&[&bytes]);
        prop_assert_eq!(parse(&pieces(&bytes, &cuts)), whole);
    }
}
