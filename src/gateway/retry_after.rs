//! HTTP dates, and the waits that servers ask for. Pure: the time is an argument.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;

/// The longest wait that is believed: whether it is too long to wait for, the caller decides.
pub const MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Where numbers of seconds stop to be waits and begin to be times since 1970.
const EPOCH: i64 = 1_000_000_000;

/// Reads `Retry-After`: seconds or an HTTP date (RFC 9110 §10.2.3), capped at [`MAX`]; a date in
/// the past is no wait.
pub fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // Digits alone that do not fit are a very long time.
        return Some(value.parse().map_or(MAX, Duration::from_secs).min(MAX));
    }
    let wait = http_date(value)?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO).min(MAX))
}

/// Reads when a limit on requests starts anew: seconds from now, seconds since 1970, or a
/// structured field that has the former as `t` or `reset` (`"default";r=0;t=30`,
/// `limit=10, remaining=0, reset=30`). Capped at [`MAX`].
pub fn reset(value: &str, now: Timestamp) -> Option<Duration> {
    let parts = value.split([';', ',']).map(str::trim);
    let named = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| matches!(*name, "t" | "reset"));
    let number = named.map_or(value, |(_, number)| number).trim();
    let seconds: i64 = number.parse().ok().filter(|&seconds| seconds >= 0)?;
    let wait = match seconds {
        ..EPOCH => Duration::from_secs(seconds.unsigned_abs()),
        _ => {
            let wait = Timestamp::from_second(seconds).ok()?.duration_since(now);
            Duration::try_from(wait).unwrap_or_default()
        }
    };
    Some(wait.min(MAX))
}

/// Reads an HTTP date in any of its three forms (RFC 9110 §5.6.7).
pub fn http_date(value: &str) -> Option<Timestamp> {
    static IMF: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    let value = value.trim();
    IMF.parse_timestamp(value).ok().or_else(|| {
        ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
            .into_iter()
            .find_map(|form| DateTime::strptime(form, value).ok())
            .and_then(|date| date.to_zoned(TimeZone::UTC).ok())
            .map(|date| date.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        let now: Timestamp = "2026-11-06T08:49:00Z".parse().unwrap();
        let table = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("86400", Some(86_400)),
            ("99999999999999999999999", Some(604_800)),
            ("Fri, 06 Nov 2026 08:49:37 GMT", Some(37)),
            ("Friday, 06-Nov-26 08:49:37 GMT", Some(37)),
            ("Fri Nov  6 08:49:37 2026", Some(37)),
            ("Fri, 06 Nov 2026 08:00:00 GMT", Some(0)),
            ("Fri, 06 Nov 2099 08:00:00 GMT", Some(604_800)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (text, seconds) in table {
            assert_eq!(
                parse(text, now),
                seconds.map(Duration::from_secs),
                "{text:?}"
            );
        }
    }

    #[test]
    fn limits_that_start_anew() {
        let now: Timestamp = "2026-11-06T08:49:00Z".parse().unwrap();
        let table = [
            ("30", Some(30)),
            ("1793954960", Some(20)),
            ("1000000000", Some(0)),
            ("\"default\";r=0;t=45", Some(45)),
            ("limit=10, remaining=0, reset=7", Some(7)),
            ("limit=10", None),
            ("-4", None),
            ("soon", None),
            ("", None),
        ];
        for (text, seconds) in table {
            assert_eq!(
                reset(text, now),
                seconds.map(Duration::from_secs),
                "{text:?}"
            );
        }
    }

    #[test]
    fn sunset_dates() {
        let closed = http_date("Mon, 21 Sep 2026 00:00:00 GMT").unwrap();
        assert_eq!(closed, "2026-09-21T00:00:00Z".parse().unwrap());
        assert_eq!(http_date("2026-09-21"), None);
    }
}
