//! CIDs, hashes and sources against vectors that others made: multiformats, and the derived ones.

use bytes::Bytes;
use fetchd::content::cid::{self, CidError, Version};
use fetchd::content::hash::{HashError, HashPolicy, Hasher, VerifiedBlock};
use fetchd::content::source::{
    self, Root, Source, encode_segment, inline_domain, ipns_key, uninline_domain,
};
use serde_json::Value;

use crate::support;

fn json(rel: &str) -> Option<Value> {
    let text = std::fs::read_to_string(support::fixtures(rel)?).expect(rel);
    Some(serde_json::from_str(&text).expect(rel))
}

/// The cells of a CSV without its first row, quotes and blanks taken off.
fn csv(rel: &str) -> Option<Vec<Vec<String>>> {
    let text = std::fs::read_to_string(support::fixtures(rel)?).expect(rel);
    let cells = |row: &str| {
        row.split(',')
            .map(|c| c.trim().trim_matches('"').into())
            .collect()
    };
    Some(text.lines().skip(1).map(cells).collect())
}

fn rows<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().expect(key)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect(key)
}

fn number(value: &Value, key: &str) -> u64 {
    u64::from_str_radix(text(value, key).trim_start_matches("0x"), 16).expect(key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[test]
fn cids_to_accept() {
    let Some(vectors) = json("derived/cid-vectors.json") else {
        return;
    };
    for row in rows(&vectors, "valid") {
        let note = row.to_string();
        let parsed = cid::parse(text(row, "input")).expect(&note);
        assert_eq!(u64::from(parsed.version()), row["version"], "{note}");
        assert_eq!(parsed.codec(), number(row, "codec"), "{note}");
        assert_eq!(parsed.hash().code(), number(row, "mh"), "{note}");
        assert_eq!(parsed.hash().size(), row["digest_len"], "{note}");
        assert_eq!(hex(&parsed.to_bytes()), text(row, "binary_hex"), "{note}");
        let canonical = match (parsed.version(), parsed.codec()) {
            (Version::V0, _) => "v0",
            (_, cid::codec::LIBP2P_KEY) => "v1_base36",
            _ => "v1_base32",
        };
        assert_eq!(cid::text(&parsed), text(row, canonical), "{note}");
        assert_eq!(HashPolicy::default().check(&parsed), Ok(()), "{note}");
    }
}

#[test]
fn cids_to_refuse() {
    let Some(vectors) = json("derived/cid-vectors.json") else {
        return;
    };
    for row in rows(&vectors, "invalid") {
        let error = cid::parse(text(row, "input")).expect_err(&row.to_string());
        let note = text(row, "note");
        let is_as_noted = match error {
            CidError::Empty => note.contains("empty") || note.contains("prefix only"),
            CidError::V0Length { .. } => note.contains("short") || note.contains("long"),
            CidError::V0CaseLost => note.contains("lower-cased"),
            CidError::V0WithBase { .. } => note.contains("prefix"),
            CidError::BadEncoding { .. } => note.contains("illegal") || note.contains("truncated"),
            CidError::DigestCutShort { .. } => note.contains("truncated"),
            CidError::TrailingBytes(1) => note.contains("one trailing byte"),
            CidError::ReservedVersion(version) => note.contains(&format!("version {version}")),
            CidError::UnknownBase { .. } => {
                note.contains("unknown multibase") || note.contains("path")
            }
            CidError::DigestTooLong { len } => note.contains(&format!("{len} bytes")),
            _ => false,
        };
        assert!(is_as_noted, "{note}: {error}");
    }
}

/// None of these texts holds a CID, but each says how far it was decoded: to its first byte, which
/// is taken for a version.
#[test]
fn every_multibase_is_decoded() {
    for (file, first_byte) in [
        ("basic", b'y'),
        ("leading_zero", 0),
        ("two_leading_zeros", 0),
        ("case_insensitivity", b'h'),
    ] {
        let Some(rows) = csv(&format!("multibase/tests/{file}.csv")) else {
            return;
        };
        for row in rows {
            let expected = Err(CidError::UnknownVersion(first_byte.into()));
            assert_eq!(cid::parse(&row[1]), expected, "{file} {}", row[0]);
        }
    }
}

#[test]
fn multihash_vectors() {
    let Some(rows) = csv("multihash/tests/values/test_cases.csv") else {
        return;
    };
    for row in rows {
        // The input is the text itself, though it looks like hexadecimal.
        let (input, multihash) = (row[2].clone().into_bytes(), unhex(&row[3]));
        let mut hasher = Hasher::new(multihash[0].into()).expect(&row[0]);
        hasher.update(&input);
        let digest = &multihash[2..];
        assert!(hasher.finish().starts_with(digest), "{row:?}");

        let cid = cid::parse_bytes(&[&[1, 0x55][..], &multihash].concat()).expect(&row[0]);
        let is_long_enough = digest.len() >= 20;
        let verified = VerifiedBlock::check(cid, Bytes::from(input));
        assert_eq!(verified.is_ok(), is_long_enough, "{row:?}");
    }
}

#[test]
fn one_payload_under_many_hashes() {
    let Some(expected) = json("derived/expected.json") else {
        return;
    };
    let dag = &expected["dags/one-payload-many-hashes.car"];
    let payload = Bytes::from(unhex(text(dag, "payload_hex")));
    let lax = HashPolicy::with_weak(&["sha1", "truncated"]).expect("known names");
    for row in rows(dag, "roots_info") {
        let (name, allowed) = (text(row, "hash"), row["boxo_allows"] == true);
        let cid = cid::parse(text(row, "cid")).expect(name);
        assert_eq!(lax.check(&cid).is_ok(), allowed, "{name}");
        let verified = VerifiedBlock::check(cid, payload.clone());
        assert_eq!(verified.is_ok(), allowed, "{name}");
        assert!(
            VerifiedBlock::check(cid, payload.slice(1..)).is_err(),
            "{name}"
        );

        let strict = HashPolicy::default().check(&cid);
        match name {
            "sha1" => assert!(matches!(strict, Err(HashError::Refused { .. }))),
            "sha2-256-trunc-20" => assert!(matches!(strict, Err(HashError::Truncated { .. }))),
            _ => assert_eq!(strict.is_ok(), allowed, "{name}"),
        }
    }
}

#[test]
fn sources_to_accept() {
    let Some(vectors) = json("derived/input-vectors.json") else {
        return;
    };
    for row in rows(&vectors, "accept") {
        let note = row.to_string();
        let Ok(Source::Content(content)) = source::parse(text(row, "input")) else {
            panic!("{note}");
        };
        match &content.root {
            Root::Ipfs(cid) => {
                assert_eq!(
                    (text(row, "ns"), text(row, "root")),
                    ("ipfs", &*cid::text(cid))
                );
            }
            Root::Ipns(name) => assert_eq!((text(row, "ns"), text(row, "root")), ("ipns", &**name)),
        }
        if let (Some(canonical), Root::Ipns(name)) = (row["root_canonical"].as_str(), &content.root)
        {
            assert_eq!(cid::text(&ipns_key(name).expect(&note)), canonical);
        }
        assert_eq!(Value::from(content.path), row["segments"], "{note}");
        assert_eq!(Value::from(content.hint), row["gateway"], "{note}");
        assert_eq!(
            Value::from(content.filename),
            row["query"]["filename"],
            "{note}"
        );
    }
}

#[test]
fn sources_to_refuse() {
    let Some(vectors) = json("derived/input-vectors.json") else {
        return;
    };
    for row in rows(&vectors, "reject") {
        match source::parse(text(row, "input")) {
            // No content, but a download all the same.
            Ok(Source::Url(_)) => assert!(text(row, "why").starts_with("plain HTTP URL")),
            Ok(other) => panic!("{row}: {other:?}"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn inlined_domains_and_encoded_segments() {
    let Some(vectors) = json("derived/input-vectors.json") else {
        return;
    };
    for row in rows(&vectors, "dnslink_inline") {
        assert_eq!(
            inline_domain(text(row, "fqdn")).as_deref(),
            row["label"].as_str()
        );
        assert_eq!(uninline_domain(text(row, "label")), text(row, "fqdn"));
    }
    for row in rows(&vectors, "path_encoding") {
        assert_eq!(encode_segment(text(row, "segment")), text(row, "encoded"));
    }
}
