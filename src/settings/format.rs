//! How the value of a configuration key is spelled in the file, in the environment and in output.
//!
//! A [`Format`] names the spelling of one type of value. It knows no key and no source; whoever
//! asks adds those to the message.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::json;

use crate::cli::values;

/// A value as the file has it, before its format is applied.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// An array of strings.
    List(Vec<String>),
}

/// How one type of value is spelled.
pub(super) trait Format {
    /// What it becomes.
    type Value;

    /// Reads a variable of the environment.
    fn from_text(text: &str) -> Result<Self::Value, String>;

    /// Reads a value of the file, by default a string as in the environment.
    fn from_file(scalar: Scalar) -> Result<Self::Value, String> {
        match scalar {
            Scalar::Text(text) => Self::from_text(&text),
            _ => Err("expected a string".to_owned()),
        }
    }

    /// As the file spells it.
    fn toml(value: &Self::Value) -> String;

    /// As JSON output has it: sizes in bytes, durations in seconds, `null` for what is off.
    fn json(value: &Self::Value) -> serde_json::Value;
}

/// The value of a key in the file.
pub(super) struct InFile<F: Format>(pub(super) F::Value);

impl<'de, F: Format> Deserialize<'de> for InFile<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let scalar = deserializer.deserialize_any(ScalarVisitor)?;
        F::from_file(scalar).map(InFile).map_err(D::Error::custom)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a string, a number, true or false, or an array of strings")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Integer(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        let mut list = Vec::new();
        while let Some(text) = seq.next_element()? {
            list.push(text);
        }
        Ok(Scalar::List(list))
    }
}

/// A text in the quotes of TOML. A JSON string is a TOML basic string, but for DEL.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

/// Whole numbers from `MIN` to `MAX`.
pub(super) struct Count<const MIN: u32, const MAX: u32>;

impl<const MIN: u32, const MAX: u32> Count<MIN, MAX> {
    fn checked(number: Option<u32>) -> Result<u32, String> {
        number
            .filter(|number| (MIN..=MAX).contains(number))
            .ok_or_else(|| format!("expected a whole number from {MIN} to {MAX}"))
    }
}

impl<const MIN: u32, const MAX: u32> Format for Count<MIN, MAX> {
    type Value = u32;

    fn from_text(text: &str) -> Result<u32, String> {
        Self::checked(text.trim().parse().ok())
    }

    fn from_file(scalar: Scalar) -> Result<u32, String> {
        match scalar {
            Scalar::Integer(number) => Self::checked(u32::try_from(number).ok()),
            _ => Self::checked(None),
        }
    }

    fn toml(value: &u32) -> String {
        value.to_string()
    }

    fn json(value: &u32) -> serde_json::Value {
        json!(value)
    }
}

/// Numbers with a fraction, from `MIN` to `MAX`.
pub(super) struct Number<const MIN: u32, const MAX: u32>;

impl<const MIN: u32, const MAX: u32> Number<MIN, MAX> {
    fn checked(number: Option<f64>) -> Result<f64, String> {
        number
            .filter(|number| (f64::from(MIN)..=f64::from(MAX)).contains(number))
            .ok_or_else(|| format!("expected a number from {MIN} to {MAX}"))
    }
}

impl<const MIN: u32, const MAX: u32> Format for Number<MIN, MAX> {
    type Value = f64;

    fn from_text(text: &str) -> Result<f64, String> {
        Self::checked(text.trim().parse().ok())
    }

    fn from_file(scalar: Scalar) -> Result<f64, String> {
        match scalar {
            Scalar::Integer(number) => Self::checked(i32::try_from(number).ok().map(f64::from)),
            Scalar::Float(number) => Self::checked(Some(number)),
            _ => Self::checked(None),
        }
    }

    fn toml(value: &f64) -> String {
        format!("{value:?}")
    }

    fn json(value: &f64) -> serde_json::Value {
        json!(value)
    }
}

/// True or false.
pub(super) struct Switch;

impl Format for Switch {
    type Value = bool;

    fn from_text(text: &str) -> Result<bool, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        }
    }

    fn from_file(scalar: Scalar) -> Result<bool, String> {
        match scalar {
            Scalar::Bool(value) => Ok(value),
            _ => Err("expected true or false".to_owned()),
        }
    }

    fn toml(value: &bool) -> String {
        value.to_string()
    }

    fn json(value: &bool) -> serde_json::Value {
        json!(value)
    }
}

/// A number in the file where a unit could stand, as the environment would spell it.
fn unitless(scalar: Scalar, expected: &str) -> Result<String, String> {
    match scalar {
        Scalar::Text(text) => Ok(text),
        Scalar::Integer(number) => Ok(number.to_string()),
        Scalar::Float(number) => Ok(number.to_string()),
        Scalar::Bool(_) | Scalar::List(_) => Err(format!("expected {expected}")),
    }
}

/// A size in bytes, more than zero.
pub(super) struct Size;

impl Format for Size {
    type Value = u64;

    fn from_text(text: &str) -> Result<u64, String> {
        values::positive_size(text).map_err(|error| error.to_string())
    }

    fn from_file(scalar: Scalar) -> Result<u64, String> {
        Self::from_text(&unitless(scalar, "a size")?)
    }

    fn toml(value: &u64) -> String {
        quoted(&values::size_text(*value))
    }

    fn json(value: &u64) -> serde_json::Value {
        json!(value)
    }
}

/// A size or rate that may be off.
pub(super) struct Limit;

impl Format for Limit {
    type Value = Option<u64>;

    fn from_text(text: &str) -> Result<Option<u64>, String> {
        values::rate(text)
            .map(|limit| limit.0)
            .map_err(|error| error.to_string())
    }

    fn from_file(scalar: Scalar) -> Result<Option<u64>, String> {
        Self::from_text(&unitless(scalar, "a size, or \"off\"")?)
    }

    fn toml(value: &Option<u64>) -> String {
        quoted(&value.map_or_else(|| "off".to_owned(), values::size_text))
    }

    fn json(value: &Option<u64>) -> serde_json::Value {
        json!(value)
    }
}

/// A duration; `Timeout` below is one that is more than zero.
pub(super) struct Time;

impl Format for Time {
    type Value = Duration;

    fn from_text(text: &str) -> Result<Duration, String> {
        values::duration(text).map_err(|error| error.to_string())
    }

    fn from_file(scalar: Scalar) -> Result<Duration, String> {
        Self::from_text(&unitless(scalar, "a duration")?)
    }

    fn toml(value: &Duration) -> String {
        quoted(&values::duration_text(*value))
    }

    fn json(value: &Duration) -> serde_json::Value {
        json!(value.as_secs_f64())
    }
}

/// A duration of more than zero.
pub(super) struct Timeout;

impl Format for Timeout {
    type Value = Duration;

    fn from_text(text: &str) -> Result<Duration, String> {
        values::positive_duration(text).map_err(|error| error.to_string())
    }

    fn from_file(scalar: Scalar) -> Result<Duration, String> {
        Self::from_text(&unitless(scalar, "a duration")?)
    }

    fn toml(value: &Duration) -> String {
        Time::toml(value)
    }

    fn json(value: &Duration) -> serde_json::Value {
        Time::json(value)
    }
}

/// A directory; `.` is where the user is, and that is `None`. `~/` is expanded by whoever knows it.
pub(super) struct Directory;

impl Format for Directory {
    type Value = Option<PathBuf>;

    fn from_text(text: &str) -> Result<Option<PathBuf>, String> {
        match text {
            "" => Err("expected a directory".to_owned()),
            "." => Ok(None),
            path => Ok(Some(PathBuf::from(path))),
        }
    }

    fn toml(value: &Option<PathBuf>) -> String {
        quoted(
            &value
                .as_ref()
                .map_or_else(|| ".".into(), |path| path.to_string_lossy()),
        )
    }

    fn json(value: &Option<PathBuf>) -> serde_json::Value {
        json!(value.as_ref().map(|path| path.to_string_lossy()))
    }
}

/// A value with a fixed spelling of its own.
pub(super) trait Word: Sized {
    /// Reads it; the error says what was expected.
    fn parse(text: &str) -> Result<Self, String>;
    /// Its spelling.
    fn text(&self) -> &str;
}

/// One word.
pub(super) struct One<W>(PhantomData<W>);

impl<W: Word> Format for One<W> {
    type Value = W;

    fn from_text(text: &str) -> Result<W, String> {
        W::parse(text.trim())
    }

    fn toml(value: &W) -> String {
        quoted(value.text())
    }

    fn json(value: &W) -> serde_json::Value {
        json!(value.text())
    }
}

/// Words; in the environment separated by spaces.
pub(super) struct Many<W>(PhantomData<W>);

impl<W: Word> Format for Many<W> {
    type Value = Vec<W>;

    fn from_text(text: &str) -> Result<Vec<W>, String> {
        text.split_whitespace().map(W::parse).collect()
    }

    fn from_file(scalar: Scalar) -> Result<Vec<W>, String> {
        match scalar {
            Scalar::List(list) => list.iter().map(|text| W::parse(text)).collect(),
            _ => Err("expected an array of strings".to_owned()),
        }
    }

    fn toml(value: &Vec<W>) -> String {
        let words: Vec<String> = value.iter().map(|word| quoted(word.text())).collect();
        format!("[{}]", words.join(", "))
    }

    fn json(value: &Vec<W>) -> serde_json::Value {
        json!(value.iter().map(Word::text).collect::<Vec<_>>())
    }
}
