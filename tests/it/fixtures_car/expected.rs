//! What the `expected.json` files of the fixtures say.

use std::fs;
use std::path::PathBuf;

use fetchd::content::cid::{self, Cid};
use serde_json::Value;

use crate::support::fixtures;

/// A JSON file and the folder it is in.
pub fn json(rel: &str) -> Option<(PathBuf, Value)> {
    let path = fixtures(rel)?;
    let value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    Some((path.parent().unwrap().to_owned(), value))
}

/// The CARs that an `expected.json` names below `prefix`: name, bytes and what is expected.
///
/// None only if there are no fixtures at all: a test that reads nothing must not look like one
/// that passed.
pub fn cars(rel: &str, prefix: &str) -> Vec<(String, Vec<u8>, Value)> {
    let Some((folder, Value::Object(all))) = json(rel) else {
        return Vec::new();
    };
    let wanted = all.into_iter().filter(|(name, _)| name.starts_with(prefix));
    let cars: Vec<_> = wanted
        .map(|(name, expected)| {
            let bytes =
                fs::read(folder.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, bytes, expected)
        })
        .collect();
    assert!(!cars.is_empty(), "{rel} names nothing below {prefix:?}");
    cars
}

pub fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

pub fn parse(text: &Value) -> Cid {
    cid::parse(text.as_str().unwrap()).unwrap()
}
