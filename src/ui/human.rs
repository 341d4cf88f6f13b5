//! Numbers as people read them: sizes, rates, durations, percentages, points in time.
//!
//! Amounts are rounded down, so that nothing looks more complete than it is.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A size in binary units with at most one decimal: `512 B`, `1.5 GiB`, `470 MiB`; at most 8
/// columns.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // The last shift that leaves something: 10 for KiB up to 60 for EiB.
    let step = (bytes.ilog2() / 10).min(6);
    let shift = step * 10;
    let whole = bytes >> shift;
    // Below 2^60, so ten times as much still fits.
    let tenth = ((bytes - (whole << shift)) * 10) >> shift;
    let unit = UNITS[step as usize - 1];
    if whole >= 100 || tenth == 0 {
        format!("{whole} {unit}")
    } else {
        format!("{whole}.{tenth} {unit}")
    }
}

/// A rate: `12.3 MiB/s`.
pub fn rate(bytes_per_second: f64) -> String {
    // `as` saturates, and makes 0 of what is not a number.
    format!("{}/s", size(bytes_per_second as u64))
}

/// A duration in its two largest units: `250ms`, `4.2s`, `42s`, `3m12s`, `1h05m`, `2d03h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.subsec_millis()),
        1..10 if duration.subsec_millis() >= 100 => {
            format!("{seconds}.{}s", duration.subsec_millis() / 100)
        }
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// How much of `total` is there, in whole percent; 100 only when all of it is.
pub fn percent(bytes: u64, total: u64) -> u64 {
    if bytes >= total {
        return 100;
    }
    // `bytes < total`, so the quotient is below 100 and the cast loses nothing.
    (u128::from(bytes) * 100 / u128::from(total)) as u64
}

/// A point in time, shown as RFC 3339 in UTC with milliseconds where they are not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(jiff::Timestamp);

impl From<jiff::Timestamp> for Time {
    fn from(time: jiff::Timestamp) -> Self {
        Self(time)
    }
}

impl Time {
    /// From milliseconds since 1970; what lies outside the calendar becomes its first or last day.
    pub fn from_unix_millis(millis: i64) -> Self {
        let edge = if millis < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        };
        Self(jiff::Timestamp::from_millisecond(millis).unwrap_or(edge))
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        Self(jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_millisecond() == 0 {
            write!(f, "{:.0}", self.0)
        } else {
            write!(f, "{:.3}", self.0)
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down() {
        let sizes = [
            0,
            1023,
            1024,
            1536,
            102_399,
            492_830_720,
            (1 << 30) - 1,
            1 << 30,
            u64::MAX,
        ];
        assert_eq!(
            sizes.map(size),
            [
                "0 B", "1023 B", "1 KiB", "1.5 KiB", "99.9 KiB", "470 MiB", "1023 MiB", "1 GiB",
                "15.9 EiB"
            ]
        );
        assert_eq!(
            [f64::NAN, -1.0, 12_897_485.0].map(rate),
            ["0 B/s", "0 B/s", "12.3 MiB/s"]
        );
    }

    #[test]
    fn durations_have_two_units() {
        let millis = [0, 250, 1000, 4250, 42_900, 192_000, 3_900_000, 183_600_000];
        assert_eq!(
            millis.map(|ms| duration(Duration::from_millis(ms))),
            [
                "0ms", "250ms", "1s", "4.2s", "42s", "3m12s", "1h05m", "2d03h"
            ]
        );
    }

    #[test]
    fn hundred_percent_means_all() {
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
        assert_eq!([percent(0, 0), percent(0, 7), percent(7, 7)], [100, 0, 100]);
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(
            Time::from_unix_millis(1_700_000_000_000).to_string(),
            "2023-11-14T22:13:20Z"
        );
        assert_eq!(
            Time::from_unix_millis(1_700_000_000_042).to_string(),
            "2023-11-14T22:13:20.042Z"
        );
        assert_eq!(
            Time::from_unix_millis(i64::MAX).to_string(),
            "9999-12-30T22:00:00.999Z"
        );
        assert_eq!(
            Time::from(SystemTime::UNIX_EPOCH).to_string(),
            "1970-01-01T00:00:00Z"
        );
    }
}
