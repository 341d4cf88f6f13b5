//! IPNS records that others made, each with the verdict of two other implementations.

use fetchd::content::cid::{self, Cid};
use fetchd::content::ipns::{IpnsError, Record};
use fetchd::content::source::ipns_key;
use jiff::Timestamp;
use serde_json::Value;

use crate::support;

#[test]
fn every_record_gets_its_verdict() {
    let Some(path) = support::fixtures("ipns-expected.json") else {
        return;
    };
    let text = std::fs::read_to_string(path).expect("readable");
    let expected: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("JSON");
    let now: Timestamp = "2026-11-21T00:00:00Z".parse().expect("a time");
    assert!(!expected.is_empty());
    for (file, row) in &expected {
        let path = support::fixtures(file).expect("each record is there");
        let bytes = std::fs::read(path).expect("readable");
        let key = ipns_key(row["name"].as_str().expect("name")).expect(file);
        assert_eq!(cid::text(&key), row["base36"], "{file}");
        let verdict = Record::verify(&key, &bytes, now);
        assert_eq!(verdict.is_ok(), row["valid"] == true, "{file}: {verdict:?}");
        match verdict {
            Ok(record) => agrees(file, &key, &record, &row["data"]),
            Err(error) => is_for_the_right_reason(file, &error, row),
        }
        // The names of all others are refused.
        for other in expected
            .values()
            .filter(|other| other["base36"] != row["base36"])
        {
            let other = ipns_key(other["name"].as_str().expect("name")).expect(file);
            assert!(Record::verify(&other, &bytes, now).is_err(), "{file}");
        }
    }
}

fn agrees(file: &str, key: &Cid, record: &Record, data: &Value) {
    let target = record.target().expect(file);
    assert_eq!(target.to_string(), data["Value"], "{file}");
    assert_eq!(record.sequence(), data["Sequence"], "{file}");
    let ttl = record.ttl().expect(file);
    assert_eq!(
        Some(ttl.as_nanos()),
        data["TTL"].as_u64().map(u128::from),
        "{file}"
    );
    let eol: Timestamp = data["Validity"].as_str().expect(file).parse().expect(file);
    assert_eq!(record.eol(), eol, "{file}");
    let late = eol.checked_add(jiff::SignedDuration::from_secs(1));
    let late = late.expect("far from the end of time");
    let verdict = Record::verify(key, record.bytes(), late);
    assert_eq!(verdict, Err(IpnsError::Expired(eol)), "{file}");
}

fn is_for_the_right_reason(file: &str, error: &IpnsError, row: &Value) {
    let expected = match (&row["sigV2"], &row["pbEqualsCbor"]) {
        (Value::Null, _) => IpnsError::NoSignature,
        (Value::Bool(false), _) => IpnsError::BadSignature,
        (_, Value::Bool(false)) => IpnsError::Contradiction("value"),
        _ => panic!("{file}: {error}"),
    };
    assert_eq!(*error, expected, "{file}");
}
