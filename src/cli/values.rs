//! How sizes, rates, durations and checksums are spelled, the same in flags, environment and file.
//!
//! Pure text in, checked value out, and back to the shortest spelling. Nothing overflows silently.
//!
//! Sizes have a parser of their own: `bytesize` reads `20M` as a decimal megabyte and lets numbers
//! that are too large saturate, while here `20M` is 20 × 2^20 as in curl and wget. Durations are
//! read by `jiff`.

use std::time::Duration;

use crate::content::importer::Profile;

use clap::builder::TypedValueParser;
use jiff::{Span, SpanRelativeTo};

/// Most connections that one invocation may open, so that a typing error does not become an attack.
pub const MAX_CONNECTIONS: u32 = 256;

/// Most downloads at once.
pub const MAX_JOBS: u32 = 64;

/// Digits after the point of a size that are still exact in the arithmetic used here.
const MAX_DECIMALS: usize = 15;

/// Binary prefixes, the n-th standing for 2^(10 n) or 10^(3 n).
const PREFIXES: &str = "kmgtpe";

/// Why a text is not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a number with a known unit.
    #[error("not a size like 500K, 20M, 20MB, 1.5GiB or a number of bytes")]
    Size,
    /// More than 2^64 - 1 bytes.
    #[error("larger than any size")]
    TooLarge,
    /// Zero where something must be left.
    #[error("must be more than zero")]
    Zero,
    /// Not a duration.
    #[error("not a duration like 90s, 5m, 250ms, 1h30m or a number of seconds")]
    Duration,
    /// A duration before now.
    #[error("a duration cannot be negative")]
    Negative,
    /// Not 64 hexadecimal digits.
    #[error("not a SHA-256: 64 hexadecimal digits are needed")]
    Sha256,
    /// Not a function that is known, or not its digest.
    #[error("not a checksum like sha256:HEX, sha512:HEX or blake3:HEX")]
    Checksum,
}

/// A size or rate that can be switched off; `None` when it is.
///
/// A type of its own because an optional flag that was given may still say "off".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub Option<u64>);

/// A size in bytes: `20M` = 20 × 2^20, `20MB` = 20 × 10^6, `20MiB`; a bare number is bytes.
///
/// Units ignore case; a fraction (`1.5G`) is rounded down to whole bytes.
pub fn size(text: &str) -> Result<u64, ValueError> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit_bytes(unit.trim_start()).ok_or(ValueError::Size)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty()
        || decimals.len() > MAX_DECIMALS
        || (number.contains('.') && decimals.is_empty())
    {
        return Err(ValueError::Size);
    }
    let whole: u64 = digits(whole)?;
    // At most 10^15 × 2^60 < 2^110, so the product fits.
    let scale = 10_u128.pow(decimals.len() as u32);
    let fraction = if decimals.is_empty() {
        0
    } else {
        u128::from(digits(decimals)?) * u128::from(unit) / scale
    };
    u64::try_from(u128::from(whole) * u128::from(unit) + fraction).map_err(|_| ValueError::TooLarge)
}

/// A decimal number; one that does not fit is too large, anything else is no size.
fn digits(text: &str) -> Result<u64, ValueError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::Size);
    }
    text.parse().map_err(|_| ValueError::TooLarge)
}

/// Bytes that a unit stands for.
fn unit_bytes(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    if unit.is_empty() || unit == "b" {
        return Some(1);
    }
    let prefix = unit.chars().next()?;
    let power = u32::try_from(PREFIXES.find(prefix)?).ok()? + 1;
    match &unit[prefix.len_utf8()..] {
        "" | "i" | "ib" => Some(1 << (10 * power)),
        "b" => Some(1000_u64.pow(power)),
        _ => None,
    }
}

/// A size that is more than zero.
pub fn positive_size(text: &str) -> Result<u64, ValueError> {
    match size(text)? {
        0 => Err(ValueError::Zero),
        bytes => Ok(bytes),
    }
}

/// A size, or `off`, `none` or 0 for no limit.
pub fn limit(text: &str) -> Result<Limit, ValueError> {
    if matches!(text.trim().to_ascii_lowercase().as_str(), "off" | "none") {
        return Ok(Limit(None));
    }
    Ok(Limit(Some(size(text)?).filter(|&bytes| bytes > 0)))
}

/// Bytes per second: a [`limit`] with an optional `/s`.
pub fn rate(text: &str) -> Result<Limit, ValueError> {
    let text = text.trim();
    limit(text.strip_suffix("/s").unwrap_or(text))
}

/// A duration: `90s`, `5m`, `250ms`, `1h30m`, `7d` (days have 24 hours); a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    let text = text.trim();
    let bare = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let span: Span = if bare {
        format!("{text}s").parse()
    } else {
        text.parse()
    }
    .map_err(|_| ValueError::Duration)?;
    if span.is_negative() {
        return Err(ValueError::Negative);
    }
    // Refuses months and years, whose length nobody can know.
    let signed = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| ValueError::Duration)?;
    Duration::try_from(signed).map_err(|_| ValueError::Duration)
}

/// A duration that is more than zero.
pub fn positive_duration(text: &str) -> Result<Duration, ValueError> {
    match duration(text)? {
        Duration::ZERO => Err(ValueError::Zero),
        time => Ok(time),
    }
}

/// A digest and its function, as `--checksum` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// The name of the function as it was typed, in lower case.
    pub name: &'static str,
    /// Function and digest.
    pub digest: crate::engine::Checksum,
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}:{}",
            self.name,
            crate::content::hash::hex(&self.digest.digest)
        )
    }
}

/// The functions of `--checksum`: name, multihash code, bytes of a digest.
const FUNCTIONS: [(&str, u64, usize); 3] = [
    ("sha256", 0x12, 32),
    ("sha512", 0x13, 64),
    ("blake3", 0x1e, 32),
];

/// A digest as `function:hex`.
pub fn checksum(text: &str) -> Result<Checksum, ValueError> {
    let (name, digest) = text.trim().split_once(':').ok_or(ValueError::Checksum)?;
    let function = FUNCTIONS
        .into_iter()
        .find(|known| known.0 == name.to_ascii_lowercase());
    let (name, code, len) = function.ok_or(ValueError::Checksum)?;
    let digits = digest.trim().as_bytes();
    if digits.len() != 2 * len {
        return Err(ValueError::Checksum);
    }
    let byte = |pair: &[u8]| Ok(hex_digit(pair[0])? << 4 | hex_digit(pair[1])?);
    let digest = digits
        .chunks_exact(2)
        .map(byte)
        .collect::<Result<_, ValueError>>();
    let digest = digest.map_err(|_| ValueError::Checksum)?;
    Ok(Checksum {
        name,
        digest: crate::engine::Checksum { code, digest },
    })
}

/// A header that is sent along; its value is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Header(pub (String, String));

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Header({}: …)", self.0.0)
    }
}

/// A header as curl takes it.
pub fn header(line: &str) -> Result<Header, crate::gateway::plain::HeaderError> {
    crate::gateway::plain::header(line).map(Header)
}

/// Reads a header as curl takes it. A parser of its own, since clap's message about a wrong value
/// shows the value, and this one is a secret.
#[derive(Debug, Clone, Copy)]
pub struct HeaderParser;

impl TypedValueParser for HeaderParser {
    type Value = Header;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Header, clap::Error> {
        let wrong = |why: String| {
            let message = format!("invalid value for '--header <NAME: VALUE>': {why}\n");
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).with_cmd(command)
        };
        let line = value.to_str();
        let line = line.ok_or_else(|| wrong("it is not valid UTF-8".to_owned()))?;
        header(line).map_err(|error| wrong(error.to_string()))
    }
}

/// A SHA-256 as 64 hexadecimal digits of either case.
pub fn sha256(text: &str) -> Result<[u8; 32], ValueError> {
    let text = text.trim().as_bytes();
    if text.len() != 64 {
        return Err(ValueError::Sha256);
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    Ok(digest)
}

fn hex_digit(digit: u8) -> Result<u8, ValueError> {
    // A hexadecimal digit is below 16.
    char::from(digit)
        .to_digit(16)
        .map(|value| value as u8)
        .ok_or(ValueError::Sha256)
}

/// The shortest exact spelling of a size, which [`size`] reads back.
pub fn size_text(bytes: u64) -> String {
    let units = PREFIXES.to_ascii_uppercase();
    let exact = (1_u32..=6)
        .zip(units.chars())
        .filter(|(power, _)| bytes > 0 && bytes.trailing_zeros() >= 10 * power);
    match exact.last() {
        Some((power, unit)) => format!("{}{unit}iB", bytes >> (10 * power)),
        None => bytes.to_string(),
    }
}

/// The exact spelling of a duration in the largest units, which [`duration`] reads back.
pub fn duration_text(time: Duration) -> String {
    let (seconds, nanos) = (time.as_secs(), u64::from(time.subsec_nanos()));
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (nanos / 1_000_000, "ms"),
        (nanos / 1_000 % 1_000, "us"),
        (nanos % 1_000, "ns"),
    ];
    let text: String = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// Reads the name of an importer profile.
///
/// # Errors
/// All names, if there is none like it.
pub fn profile(text: &str) -> Result<Profile, String> {
    Profile::named(text).ok_or_else(|| {
        let names: Vec<&str> = Profile::ALL.iter().map(Profile::name).collect();
        format!("there are the profiles {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let table = [
            ("0", 0),
            ("1000", 1000),
            ("12b", 12),
            ("1k", 1024),
            ("1kB", 1000),
            ("1KiB", 1024),
            ("20M", 20 << 20),
            ("20MB", 20_000_000),
            ("20MiB", 20 << 20),
            ("20 mib", 20 << 20),
            ("1.5G", 3 << 29),
            ("2T", 2 << 40),
            ("0.1k", 102),
            ("15EiB", 15 << 60),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in table {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "M",
            "-1",
            "+1",
            "1..2",
            "1.",
            ".5M",
            "20X",
            "20MX",
            "20Mé",
            "0x10",
            "1e3",
            "2 0",
            "1.0000000000000000",
        ] {
            assert_eq!(size(text), Err(ValueError::Size), "{text}");
        }
        for text in [
            "16EiB",
            "18446744073709551616",
            "99999999999999999999999",
            "17000PiB",
        ] {
            assert_eq!(size(text), Err(ValueError::TooLarge), "{text}");
        }
        assert_eq!(positive_size("0"), Err(ValueError::Zero));
    }

    #[test]
    fn rates_and_limits() {
        assert_eq!(rate("2M/s"), Ok(Limit(Some(2 << 20))));
        assert_eq!(rate("500K"), Ok(Limit(Some(500 << 10))));
        for off in ["off", "none", "OFF", "0"] {
            assert_eq!(rate(off), Ok(Limit(None)), "{off}");
        }
        assert_eq!(limit("2M/s"), Err(ValueError::Size));
        assert_eq!(rate("2M/h"), Err(ValueError::Size));
    }

    #[test]
    fn durations() {
        let table = [
            ("0", Duration::ZERO),
            ("5", Duration::from_secs(5)),
            ("1.5", Duration::from_millis(1500)),
            ("90s", Duration::from_secs(90)),
            ("5m", Duration::from_secs(300)),
            ("250ms", Duration::from_millis(250)),
            ("1h30m", Duration::from_secs(5400)),
            ("7d", Duration::from_secs(7 * 86_400)),
            ("2 weeks", Duration::from_secs(14 * 86_400)),
        ];
        for (text, time) in table {
            assert_eq!(duration(text), Ok(time), "{text}");
        }
        for text in [
            "",
            "s",
            "5x",
            "1 month",
            "2y",
            "1..5",
            "99999999999999999999",
            "tomorrow",
        ] {
            assert_eq!(duration(text), Err(ValueError::Duration), "{text}");
        }
        assert_eq!(duration("-5s"), Err(ValueError::Negative));
        assert_eq!(duration("5s ago"), Err(ValueError::Negative));
        assert_eq!(positive_duration("0ms"), Err(ValueError::Zero));
    }

    #[test]
    fn checksums_of_either_case() {
        let text = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        assert_eq!(
            sha256(text).map(|digest| digest[..9].to_vec()),
            Ok(vec![1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xab])
        );
        assert_eq!(sha256(&text[1..]), Err(ValueError::Sha256));
        assert_eq!(sha256(&text.replace('7', "g")), Err(ValueError::Sha256));
        assert_eq!(sha256(&"é".repeat(32)), Err(ValueError::Sha256));
    }

    #[test]
    fn spellings_read_back() {
        for bytes in [
            0,
            1,
            1000,
            1023,
            1024,
            1536,
            2 << 20,
            64 << 20,
            3 << 29,
            1 << 60,
            u64::MAX,
        ] {
            assert_eq!(size(&size_text(bytes)), Ok(bytes));
        }
        assert_eq!(
            (size_text(64 << 20), size_text(1536)),
            ("64MiB".to_owned(), "1536".to_owned())
        );
        for millis in [0, 1, 250, 1500, 90_000, 900_000, 604_800_000] {
            let time = Duration::from_millis(millis);
            assert_eq!(duration(&duration_text(time)), Ok(time));
        }
        assert_eq!(duration_text(Duration::from_secs(900)), "15m");
    }
}
