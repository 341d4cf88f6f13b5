//! What tells one version of a file at a URL from another: a strong validator (RFC 9110 §8.8).
//! Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, ETAG, HeaderMap, LAST_MODIFIED};

use crate::gateway::retry_after::http_date;

/// Longest entity tag that is kept: longer ones are no validators.
const MAX_ETAG: usize = 1 << 10;

/// A file that changed less than this before it was sent may change again within the same second,
/// and keep its date (RFC 9110 §8.8.2.2).
const SETTLED: Duration = Duration::from_secs(60);

/// A validator that two different files at one URL never share. Weak ones are not kept: bytes of
/// two versions joined would be a third file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Validator {
    /// A strong entity tag, with its quotes.
    Etag(String),
    /// A date of modification, long enough before the date of the answer.
    Modified(Timestamp),
}

impl Validator {
    /// The validator that an answer carries, the entity tag before the date.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name)?.to_str().ok();
        if let Some(etag) = text(ETAG).and_then(strong_etag) {
            return Some(etag);
        }
        let modified = text(LAST_MODIFIED).and_then(http_date)?;
        let sent = text(DATE).and_then(http_date)?;
        let settled = SignedDuration::try_from(SETTLED).ok()?;
        (sent.duration_since(modified) >= settled).then_some(Self::Modified(modified))
    }

    /// Whether an answer to a request for a part is of the same file, as far as it tells. An
    /// answer 206 has to carry the entity tag if the whole file's does, but not the date
    /// (RFC 9110 §15.3.7).
    pub(super) fn is_met(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name)?.to_str().ok();
        match self {
            Self::Etag(etag) => text(ETAG).is_some_and(|got| got.trim() == etag),
            Self::Modified(date) => {
                text(LAST_MODIFIED).is_none_or(|got| http_date(got) == Some(*date))
            }
        }
    }

    /// The value of `If-Range` (RFC 9110 §13.1.5).
    pub(super) fn if_range(&self) -> String {
        match self {
            Self::Etag(etag) => etag.clone(),
            Self::Modified(date) => date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        }
    }

    /// One line of text for the store.
    pub fn encode(&self) -> String {
        match self {
            Self::Etag(etag) => format!("etag {etag}"),
            Self::Modified(date) => format!("modified {date}"),
        }
    }

    /// Reads what [`Validator::encode`] wrote; `None` for anything else.
    pub fn decode(text: &str) -> Option<Self> {
        match text.split_once(' ')? {
            ("etag", etag) => strong_etag(etag),
            ("modified", date) => Some(Self::Modified(date.parse().ok()?)),
            _ => None,
        }
    }
}

/// A quoted tag that is not weak and can be sent back as it is.
fn strong_etag(text: &str) -> Option<Validator> {
    let etag = text.trim();
    let inner = etag.strip_prefix('"')?.strip_suffix('"')?;
    let is_legal = |b: u8| b == 0x21 || (0x23..=0x7e).contains(&b);
    let is_tag = etag.len() <= MAX_ETAG && inner.bytes().all(is_legal);
    is_tag.then(|| Validator::Etag(etag.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        };
        pairs.iter().map(pair).collect()
    }

    fn of(pairs: &[(&'static str, &str)]) -> Option<Validator> {
        Validator::of(&headers(pairs))
    }

    const OLD: &str = "Fri, 06 Nov 2026 08:48:00 GMT";
    const NOW: &str = "Fri, 06 Nov 2026 08:49:37 GMT";

    #[test]
    fn only_strong_validators_are_kept() {
        let etag = Some(Validator::Etag("\"v1\"".into()));
        assert_eq!(
            of(&[("etag", "\"v1\""), ("last-modified", OLD), ("date", NOW)]),
            etag
        );
        let date = Some(Validator::Modified("2026-11-06T08:48:00Z".parse().unwrap()));
        assert_eq!(
            of(&[("etag", "W/\"v1\""), ("last-modified", OLD), ("date", NOW)]),
            date
        );
        for weak in [
            &[("etag", "W/\"v1\"")][..],
            &[("etag", "v1")],
            &[("etag", "\"")],
            &[("etag", "\"a b\"")],
            &[("etag", "\"a\"b\"")],
            &[("last-modified", OLD)],
            &[("last-modified", NOW), ("date", NOW)],
            &[("last-modified", NOW), ("date", OLD)],
            &[("last-modified", "yesterday"), ("date", NOW)],
        ] {
            assert_eq!(of(weak), None, "{weak:?}");
        }
        let long = format!("\"{}\"", "x".repeat(MAX_ETAG));
        assert_eq!(of(&[("etag", &long)]), None);
    }

    #[test]
    fn a_part_is_of_the_same_file_or_not() {
        let etag = Validator::Etag("\"v1\"".into());
        assert!(etag.is_met(&headers(&[("etag", "\"v1\"")])));
        for other in [&[("etag", "\"v2\"")][..], &[("etag", "W/\"v1\"")], &[]] {
            assert!(!etag.is_met(&headers(other)), "{other:?}");
        }
        let date = Validator::Modified("2026-11-06T08:48:00Z".parse().unwrap());
        assert!(date.is_met(&headers(&[])) && date.is_met(&headers(&[("last-modified", OLD)])));
        assert!(!date.is_met(&headers(&[("last-modified", NOW)])));
        assert_eq!(date.if_range(), OLD);
        assert_eq!(etag.if_range(), "\"v1\"");
    }

    #[test]
    fn the_store_gives_back_what_it_got() {
        for validator in [
            Validator::Etag("\"a b".replace(' ', ":") + "\""),
            Validator::Modified("2026-11-06T08:48:00Z".parse().unwrap()),
        ] {
            assert_eq!(Validator::decode(&validator.encode()), Some(validator));
        }
        for odd in ["", "etag", "etag W/\"x\"", "modified then", "sha256 00"] {
            assert_eq!(Validator::decode(odd), None, "{odd}");
        }
    }
}
