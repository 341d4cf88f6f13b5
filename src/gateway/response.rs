//! Judging an answer by its status and headers, before its body is read. Pure.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER,
};

use crate::content::ranges::ByteRange;
use crate::gateway::body::Extent;
use crate::gateway::error::Fault;
use crate::gateway::retry_after;

/// The most of an error page that is read.
pub(super) const MAX_ERROR_BODY: usize = 4 << 10;
/// The most of it that is shown, in characters.
const MAX_EXCERPT: usize = 120;

/// Headers in which servers say when their limit on requests starts anew: those of the drafts of
/// "RateLimit header fields for HTTP", and what was there before them.
const RESETS: [&str; 4] = [
    "ratelimit-reset",
    "ratelimit",
    "x-ratelimit-reset",
    "x-rate-limit-reset",
];

/// What an answer with another status than the wanted one means.
pub(super) fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Fault {
    Fault::Status {
        status,
        excerpt: excerpt(body),
        retry_after: wanted_wait(status, headers, now),
        retired: sunset(headers).is_some_and(|date| date <= now),
    }
}

/// The wait that a server asks for: by `Retry-After`, else, where its limit on requests is spent, by
/// when it says that this starts anew. (Many say that in every answer.) Times are by the server's
/// own clock, where it tells what that says (RFC 9110 §6.6.1).
fn wanted_wait(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let now = text(headers, DATE.as_str())
        .and_then(retry_after::http_date)
        .unwrap_or(now);
    let is_spent = status == StatusCode::TOO_MANY_REQUESTS;
    let by_reset = |name| retry_after::reset(text(headers, name)?, now);
    text(headers, RETRY_AFTER.as_str())
        .and_then(|value| retry_after::parse(value, now))
        .or_else(|| RESETS.into_iter().filter(|_| is_spent).find_map(by_reset))
}

/// The date at which the server says that it ends (RFC 8594).
pub(super) fn sunset(headers: &HeaderMap) -> Option<Timestamp> {
    text(headers, "sunset").and_then(retry_after::http_date)
}

/// Refuses compressed bodies: we asked for identity, and lengths and offsets would be of another
/// representation.
pub(super) fn check_identity(headers: &HeaderMap) -> Result<(), Fault> {
    for value in headers.get_all(CONTENT_ENCODING) {
        let encoding = String::from_utf8_lossy(value.as_bytes());
        if !matches!(
            encoding.trim().to_ascii_lowercase().as_str(),
            "" | "identity"
        ) {
            return Err(Fault::Encoded(excerpt(encoding.as_bytes())));
        }
    }
    Ok(())
}

/// The media type: lower case, without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = text(headers, CONTENT_TYPE.as_str())?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    (!essence.is_empty()).then(|| excerpt(essence.to_ascii_lowercase().as_bytes()))
}

/// Whether a body of this media type may be a CAR. Plain file servers know no better than
/// `octet-stream`, or nothing.
pub(super) fn may_be_car(media_type: Option<&str>) -> bool {
    matches!(
        media_type,
        None | Some(
            "application/vnd.ipld.car" | "application/octet-stream" | "binary/octet-stream"
        )
    )
}

/// Refuses a block that announces more than `max` bytes.
pub(super) fn check_block_length(headers: &HeaderMap, max: u64) -> Result<Extent, Fault> {
    match content_length(headers) {
        Some(length) if length > max => Err(Fault::TooLarge { max }),
        _ => Ok(Extent::AtMost(max)),
    }
}

/// Checks that an answer carries exactly `range` of a file of `total` bytes: 206 with that very
/// `Content-Range`, or 200 where the range is the whole file.
pub(super) fn check_range(
    status: StatusCode,
    headers: &HeaderMap,
    range: ByteRange,
    total: u64,
) -> Result<Extent, Fault> {
    let whole = range.start() == 0 && range.end() == total;
    if status == StatusCode::OK && !whole {
        return Err(Fault::RangeIgnored);
    }
    if status == StatusCode::PARTIAL_CONTENT {
        check_content_range(text(headers, CONTENT_RANGE.as_str()), range, total)?;
    }
    match content_length(headers) {
        Some(announced) if announced != range.len() => Err(Fault::WrongLength {
            expected: range.len(),
            announced,
        }),
        _ => Ok(Extent::Exactly(range.len())),
    }
}

fn check_content_range(got: Option<&str>, range: ByteRange, total: u64) -> Result<(), Fault> {
    let parsed = got.and_then(ContentRange::parse);
    let right = parsed.is_some_and(|parsed| {
        parsed.first == range.start()
            && parsed.last == range.end() - 1
            && parsed.total.is_none_or(|t| t == total)
    });
    if right {
        return Ok(());
    }
    Err(Fault::WrongRange {
        wanted: format!("bytes {range}/{total}"),
        got: got.map(|value| excerpt(value.as_bytes())),
        other_file: parsed
            .and_then(|parsed| parsed.total)
            .is_some_and(|t| t != total),
    })
}

/// What an answer to a request for everything from an offset on announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rest {
    /// Bytes of the body.
    pub(super) len: u64,
    /// Length of the whole file.
    pub(super) total: Option<u64>,
}

/// Checks that an answer 206 begins at `offset` and has the length that it says. A server may send
/// less than the whole rest (RFC 9110 §15.3.7): what follows is asked for next.
pub(super) fn check_rest(headers: &HeaderMap, offset: u64) -> Result<Rest, Fault> {
    let got = text(headers, CONTENT_RANGE.as_str());
    let parsed = got.and_then(ContentRange::parse);
    let parsed = parsed.filter(|parsed| parsed.first == offset);
    let Some(parsed) = parsed else {
        return Err(Fault::WrongRange {
            wanted: format!("bytes {offset}-"),
            got: got.map(|value| excerpt(value.as_bytes())),
            other_file: false,
        });
    };
    let len = parsed.last.saturating_sub(parsed.first).saturating_add(1);
    match content_length(headers) {
        Some(announced) if announced != len => Err(Fault::WrongLength {
            expected: len,
            announced,
        }),
        _ => Ok(Rest {
            len,
            total: parsed.total,
        }),
    }
}

/// The length of the whole file by `Content-Range`, also that of an answer 416.
pub(super) fn range_total(headers: &HeaderMap) -> Option<u64> {
    let value = text(headers, CONTENT_RANGE.as_str())?;
    match value.trim().split_once(' ')? {
        (unit, rest) if unit.eq_ignore_ascii_case("bytes") => rest
            .strip_prefix("*/")
            .map_or_else(|| ContentRange::parse(value)?.total, digits),
        _ => None,
    }
}

/// `Content-Range` of a single part (RFC 9110 §14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    total: Option<u64>,
}

impl ContentRange {
    fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.trim().split_once(' ')?;
        let (range, total) = rest.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let parsed = Self {
            first: digits(first)?,
            last: digits(last)?,
            total: if total == "*" {
                None
            } else {
                Some(digits(total)?)
            },
        };
        let fits =
            parsed.first <= parsed.last && parsed.total.is_none_or(|total| parsed.last < total);
        (unit.eq_ignore_ascii_case("bytes") && fits).then_some(parsed)
    }
}

/// `u64::from_str` would take a sign too.
fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// `Content-Length`, where it is a number.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    digits(text(headers, CONTENT_LENGTH.as_str())?.trim())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The beginning of a text from outside as one line that no terminal will act on: white space
/// collapsed, control and direction characters escaped, cut at 120 characters. Of a page in HTML
/// the title, or else its text.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_ERROR_BODY)]);
    let text = match text.trim_start().starts_with('<') {
        true => text_of_page(&text),
        false => text.into_owned(),
    };
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = String::new();
    for (count, c) in words.chars().enumerate() {
        if count == MAX_EXCERPT {
            line.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
    }
    line
}

/// The title of a page, or what stands between its tags.
fn text_of_page(page: &str) -> String {
    // Only ASCII changes, so all offsets stay.
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|at| {
        let start = at + lower[at..].find('>')? + 1;
        let end = start + lower[start..].find("</title")?;
        Some(page[start..end].trim()).filter(|title| !title.is_empty())
    });
    if let Some(title) = title {
        return title.to_owned();
    }
    let parts = page
        .split('<')
        .map(|part| part.split_once('>').map_or("", |(_, text)| text));
    parts.collect::<Vec<_>>().join(" ")
}

/// Characters that hide or reorder the text around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn content_range_is_read_strictly() {
        let good = |first, last, total| Some(ContentRange { first, last, total });
        let table = [
            ("bytes 100-199/1000", good(100, 199, Some(1000))),
            ("Bytes 0-0/1", good(0, 0, Some(1))),
            ("bytes 0-9/*", good(0, 9, None)),
            ("bytes 100-200/200", None),
            ("bytes 9-8/100", None),
            ("bytes */100", None),
            ("bytes 0-9", None),
            ("bytes=0-9/10", None),
            ("items 0-9/10", None),
            ("bytes -1-9/10", None),
            ("bytes +1-9/10", None),
            ("bytes 0-9/", None),
            ("bytes 0-9/ten", None),
            ("bytes 0-99999999999999999999/*", None),
            ("", None),
        ];
        for (value, expected) in table {
            assert_eq!(ContentRange::parse(value), expected, "{value:?}");
        }
    }

    #[test]
    fn a_range_must_be_answered_exactly() {
        let range = ByteRange::new(100, 200).unwrap();
        let check = |status: u16, pairs: &[(&'static str, &str)]| {
            check_range(
                StatusCode::from_u16(status).unwrap(),
                &headers(pairs),
                range,
                1000,
            )
        };
        let exact = Extent::Exactly(100);
        assert_eq!(
            check(
                206,
                &[
                    ("content-range", "bytes 100-199/1000"),
                    ("content-length", "100")
                ]
            )
            .unwrap(),
            exact
        );
        assert_eq!(
            check(206, &[("content-range", "bytes 100-199/*")]).unwrap(),
            exact
        );
        assert!(matches!(
            check(200, &[("content-length", "1000")]),
            Err(Fault::RangeIgnored)
        ));
        assert!(matches!(
            check(206, &[]),
            Err(Fault::WrongRange {
                got: None,
                other_file: false,
                ..
            })
        ));
        assert!(matches!(
            check(206, &[("content-range", "bytes 100-198/1000")]),
            Err(Fault::WrongRange {
                other_file: false,
                ..
            })
        ));
        assert!(matches!(
            check(206, &[("content-range", "bytes 100-199/2000")]),
            Err(Fault::WrongRange {
                other_file: true,
                ..
            })
        ));
        assert!(matches!(
            check(
                206,
                &[
                    ("content-range", "bytes 100-199/1000"),
                    ("content-length", "99")
                ]
            ),
            Err(Fault::WrongLength {
                expected: 100,
                announced: 99
            })
        ));
    }

    #[test]
    fn the_whole_file_may_come_with_200() {
        let range = ByteRange::new(0, 10).unwrap();
        let check = |pairs: &[(&'static str, &str)]| {
            check_range(StatusCode::OK, &headers(pairs), range, 10)
        };
        assert!(check(&[("content-length", "10")]).is_ok() && check(&[]).is_ok());
        assert!(matches!(
            check(&[("content-length", "11")]),
            Err(Fault::WrongLength { .. })
        ));
    }

    #[test]
    fn the_rest_begins_where_it_was_asked_for() {
        let check = |range: &str| check_rest(&headers(&[("content-range", range)]), 4);
        let rest = |len, total| Rest { len, total };
        assert_eq!(check("bytes 4-9/10").unwrap(), rest(6, Some(10)));
        assert_eq!(check("bytes 4-9/*").unwrap(), rest(6, None));
        assert_eq!(check("bytes 4-8/10").unwrap(), rest(5, Some(10)));
        for wrong in ["bytes 3-9/10", "bytes 5-9/10", "bytes */10", ""] {
            assert!(
                matches!(check(wrong), Err(Fault::WrongRange { .. })),
                "{wrong}"
            );
        }
        let short = [("content-range", "bytes 4-9/10"), ("content-length", "5")];
        assert!(matches!(
            check_rest(&headers(&short), 4),
            Err(Fault::WrongLength {
                expected: 6,
                announced: 5
            })
        ));
        let total = |range: &str| range_total(&headers(&[("content-range", range)]));
        assert_eq!(
            (total("bytes */7"), total("bytes 0-0/9")),
            (Some(7), Some(9))
        );
        assert_eq!(
            (total("bytes */*"), total("items */7"), total("")),
            (None, None, None)
        );
    }

    #[test]
    fn only_identity_passes() {
        assert!(check_identity(&headers(&[])).is_ok());
        assert!(check_identity(&headers(&[("content-encoding", "Identity")])).is_ok());
        assert!(
            matches!(check_identity(&headers(&[("content-encoding", "gzip")])), Err(Fault::Encoded(e)) if e == "gzip")
        );
    }

    #[test]
    fn media_types() {
        let essence = |value: &str| media_type(&headers(&[("content-type", value)]));
        assert_eq!(
            essence("Application/VND.ipld.car; version=1").as_deref(),
            Some("application/vnd.ipld.car")
        );
        assert_eq!(essence(""), None);
        assert!(may_be_car(None) && may_be_car(Some("application/octet-stream")));
        for other in [
            "text/html",
            "text/plain",
            "application/json",
            "application/vnd.ipld.raw",
            "video/mp4",
        ] {
            assert!(!may_be_car(Some(other)), "{other}");
        }
    }

    #[test]
    fn a_reached_sunset_retires_and_a_coming_one_does_not() {
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let refused = |date: &str| {
            let headers = headers(&[("sunset", date), ("retry-after", "900")]);
            refusal(StatusCode::TOO_MANY_REQUESTS, &headers, b"closed\n", now)
        };
        let nine_hundred = Some(Duration::from_secs(900));
        assert!(matches!(
            refused("Mon, 21 Sep 2026 00:00:00 GMT"),
            Fault::Status { retired: true, retry_after, ref excerpt, .. } if retry_after == nine_hundred && excerpt == "closed"
        ));
        assert!(matches!(
            refused("Mon, 21 Sep 2099 00:00:00 GMT"),
            Fault::Status { retired: false, .. }
        ));
        assert!(matches!(
            refused("soon"),
            Fault::Status { retired: false, .. }
        ));
    }

    #[test]
    fn a_wait_is_by_the_clock_of_the_server_and_for_a_limit_that_is_spent() {
        let now: Timestamp = "2026-11-06T08:51:00Z".parse().unwrap();
        let wait = |code, pairs: &[(&'static str, &'static str)]| match refusal(
            code,
            &headers(pairs),
            b"",
            now,
        ) {
            Fault::Status { retry_after, .. } => retry_after,
            _ => None,
        };
        let minute = Some(Duration::from_secs(60));
        // Its clock is two minutes behind ours.
        let date = ("date", "Fri, 06 Nov 2026 08:49:00 GMT");
        let until = ("retry-after", "Fri, 06 Nov 2026 08:50:00 GMT");
        assert_eq!(
            wait(StatusCode::SERVICE_UNAVAILABLE, &[date, until]),
            minute
        );
        let reset = ("ratelimit", "\"api\";r=4998;t=60");
        assert_eq!(wait(StatusCode::TOO_MANY_REQUESTS, &[reset]), minute);
        for code in [StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT] {
            assert_eq!(wait(code, &[reset]), None);
        }
    }

    #[test]
    fn excerpts_are_one_harmless_line() {
        assert_eq!(excerpt(b"  not \r\n found\t"), "not found");
        assert_eq!(excerpt(b"\x1b[31mred"), "\\u{1b}[31mred");
        assert_eq!(excerpt("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(excerpt(&[b'x'; 9000]).chars().count(), MAX_EXCERPT + 1);
        assert_eq!(excerpt(&[0xff]), "\u{fffd}");
        let page = b"<!DOCTYPE html><html><head><TITLE>502 Bad\nGateway</TITLE></head><body>x";
        assert_eq!(excerpt(page), "502 Bad Gateway");
        assert_eq!(excerpt(b"<html><h1>No</h1><p>entry</p></html>"), "No entry");
        assert_eq!(
            excerpt(b"<Error><Code>NoSuchKey</Code></Error>"),
            "NoSuchKey"
        );
        assert_eq!(excerpt(b"<unclosed"), "");
    }
}
