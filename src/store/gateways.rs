//! The table `gateways`: which providers there are, and what experience says of them.

mod pace;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Row, named_params};

use crate::gateway::capability::Capabilities;
use crate::gateway::pace::Pace;
use crate::store::sql::{self, int, micros};
use crate::store::thread::Durability;
use crate::store::{Reply, Store};

/// How long "it cannot" is believed: servers are updated, and a bad day passes. "It can" is
/// believed until it fails, which is noticed at once.
pub const NO_LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Weight of the newest sample in an average: about the last ten count.
const EWMA_WEIGHT: f64 = 0.2;

/// Who named a gateway; a later one outranks an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Delegated routing, or a hint in a source.
    Discovered,
    /// The built-in list.
    Default,
    /// The configuration.
    Config,
    /// `fetchd gateways add`.
    User,
}

impl Origin {
    const ALL: [Origin; 4] = [
        Origin::Discovered,
        Origin::Default,
        Origin::Config,
        Origin::User,
    ];

    /// The stable name in the store and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::Discovered => "discovered",
            Origin::Default => "default",
            Origin::Config => "config",
            Origin::User => "user",
        }
    }

    /// The origin with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.name() == name)
    }
}

/// A gateway and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayRow {
    /// Base URL as given, without a trailing slash.
    pub url: String,
    /// Who named it.
    pub origin: Origin,
    /// What the user said with `enable` and `disable`; `None`: nothing.
    pub enabled: Option<bool>,
    /// What it can do, as it was learnt; [`GatewayRow::capabilities`] says what is still believed.
    pub learnt: Vec<Learnt>,
    /// Requests sent.
    pub requests: u64,
    /// Answers that failed.
    pub errors: u64,
    /// Answers that failed, or did not prove right, since the last success.
    pub errors_in_row: u32,
    /// Blocks or leaves whose proof failed.
    pub rejected: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Average time to the first byte, in seconds.
    pub latency: Option<f64>,
    /// Average speed, in bytes per second.
    pub throughput: Option<f64>,
    /// Not to be asked before this; [`GatewayRow::rests_until`] says whether that counts.
    pub cool_until: Option<Timestamp>,
    /// When that was recorded.
    pub cooled_at: Option<Timestamp>,
    /// Since when it serves programs no more.
    pub retired_since: Option<Timestamp>,
    /// Why it is retired.
    pub retired_reason: Option<String>,
    /// The last error, with causes.
    pub last_error: Option<String>,
    /// The least time between two requests that it puts up with, and when that was learnt.
    pub pace: Option<(Pace, Timestamp)>,
    /// When it was last asked.
    pub last_used: Option<Timestamp>,
}

/// One thing that a gateway can, or cannot, do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learnt {
    /// The name that the gateway module gives it.
    pub name: String,
    /// Whether it can.
    pub is_yes: bool,
    /// Since when that is known.
    pub at: Timestamp,
}

impl Learnt {
    /// Whether it is still believed; see [`NO_LASTS`].
    fn is_believed(&self, now: Timestamp) -> bool {
        // What a clock wrote that has been set back since would be believed for too long.
        self.is_yes || (SignedDuration::ZERO..NO_LASTS).contains(&now.duration_since(self.at))
    }

    fn word(&self) -> String {
        format!("{}={}", self.name, value(self.is_yes))
    }
}

fn value(is_yes: bool) -> &'static str {
    if is_yes { "yes" } else { "no" }
}

impl GatewayRow {
    /// What it can do, without what was learnt too long ago.
    pub fn capabilities(&self, now: Timestamp) -> Capabilities {
        let believed = self.learnt.iter().filter(|learnt| learnt.is_believed(now));
        let words: Vec<String> = believed.map(Learnt::word).collect();
        Capabilities::decode(&words.join(" "))
    }

    /// Until when it is not to be asked, if it rests at `now`. What was recorded by a clock that has
    /// been set back since counts for nothing: it would keep the gateway resting until that time
    /// comes round again.
    pub fn rests_until(&self, now: Timestamp) -> Option<Timestamp> {
        let counts = self.cooled_at.is_some_and(|since| since <= now);
        self.cool_until.filter(|&until| counts && until > now)
    }

    /// A gateway of which nothing is known yet.
    pub fn fresh(url: &str, origin: Origin) -> Self {
        Self {
            url: url.to_owned(),
            origin,
            enabled: None,
            learnt: Vec::new(),
            requests: 0,
            errors: 0,
            errors_in_row: 0,
            rejected: 0,
            bytes: 0,
            latency: None,
            throughput: None,
            cool_until: None,
            cooled_at: None,
            retired_since: None,
            retired_reason: None,
            last_error: None,
            pace: None,
            last_used: None,
        }
    }
}

/// What one request, or several together, said about a gateway.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observation {
    /// Requests sent.
    pub requests: u64,
    /// Answers that failed.
    pub errors: u64,
    /// Blocks or leaves whose proof failed.
    pub rejected: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Time to the first byte.
    pub latency: Option<Duration>,
    /// Speed of the body, in bytes per second.
    pub throughput: Option<f64>,
    /// The error, with causes.
    pub error: Option<String>,
    /// What it is known to be able to do by now: the text that the gateway module makes of it.
    pub capabilities: Option<String>,
}

impl Store {
    /// Makes a gateway known. Known already, it keeps its health and the higher of both origins.
    pub fn upsert_gateway(&self, url: &str, origin: Origin) -> Reply<()> {
        let url = url.to_owned();
        self.write(Durability::Process, move |tx| Ok(upsert(tx, &url, origin)?))
    }

    /// All known gateways, highest origin first, then by URL.
    pub fn gateways(&self) -> Reply<Vec<GatewayRow>> {
        self.read(move |tx| {
            let mut rows = sql::all(tx, "SELECT * FROM gateways ORDER BY url", [], read)?;
            for row in &mut rows {
                row.learnt = read_learnt(tx, &row.url)?;
            }
            rows.sort_by_key(|row| std::cmp::Reverse(row.origin));
            Ok(rows)
        })
    }

    /// A gateway by its URL.
    pub fn gateway(&self, url: &str) -> Reply<Option<GatewayRow>> {
        let url = url.to_owned();
        self.read(move |tx| Ok(find(tx, &url)?))
    }

    /// Forgets a gateway; whether it was known.
    pub fn remove_gateway(&self, url: &str) -> Reply<bool> {
        let url = url.to_owned();
        self.write(Durability::Process, move |tx| {
            Ok(sql::execute(tx, "DELETE FROM gateways WHERE url = ?1", [url])? == 1)
        })
    }

    /// What the user says with `enable` and `disable`; `None` takes it back. Whether the gateway
    /// is known.
    pub fn set_gateway_enabled(&self, url: &str, enabled: Option<bool>) -> Reply<bool> {
        let url = url.to_owned();
        self.write(Durability::Process, move |tx| {
            let statement = "UPDATE gateways SET enabled = ?2 WHERE url = ?1";
            Ok(sql::execute(tx, statement, (url, enabled))? == 1)
        })
    }

    /// Forgets all health and every `enable` and `disable`; of the gateways only those that the
    /// user added stay known.
    pub fn reset_gateways(&self) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            let statement = "DELETE FROM gateways RETURNING url, origin";
            let known = sql::all(tx, statement, [], |row| {
                Ok((row.get("url")?, read_origin(row)?))
            })?;
            let added = known
                .into_iter()
                .filter(|(_, origin)| *origin == Origin::User);
            for (url, origin) in added {
                let url: String = url;
                upsert(tx, &url, origin)?;
            }
            Ok(())
        })
    }

    /// As [`Store::reset_gateways`], for one gateway; whether it was known.
    pub fn reset_gateway(&self, url: &str) -> Reply<bool> {
        let url = url.to_owned();
        self.write(Durability::Process, move |tx| {
            let statement = "DELETE FROM gateways WHERE url = ?1 RETURNING origin";
            let known = sql::first(tx, statement, [&url], read_origin)?;
            if known == Some(Origin::User) {
                upsert(tx, &url, Origin::User)?;
            }
            Ok(known.is_some())
        })
    }

    /// Adds experience with a gateway, which becomes known as discovered if it was not.
    pub fn observe(&self, url: &str, seen: Observation, now: Timestamp) -> Reply<()> {
        let url = url.to_owned();
        self.write(Durability::Process, move |tx| {
            upsert(tx, &url, Origin::Discovered)?;
            if let Some(before) = find(tx, &url)? {
                if let Some(words) = &seen.capabilities {
                    write_learnt(tx, &url, &learn_words(&before.learnt, words, now))?;
                }
                write_health(tx, &learn(before, seen, now))?;
            }
            Ok(())
        })
    }

    /// Records that a gateway serves programs no more since `since`.
    pub fn retire(&self, url: &str, since: Timestamp, reason: &str) -> Reply<()> {
        let (url, reason) = (url.to_owned(), reason.to_owned());
        self.write(Durability::Process, move |tx| {
            upsert(tx, &url, Origin::Discovered)?;
            let statement =
                "UPDATE gateways SET retired_since = ?2, retired_reason = ?3 WHERE url = ?1";
            sql::execute(tx, statement, (url, micros(since), reason))?;
            Ok(())
        })
    }

    /// Records at `now` that a gateway is not to be asked before `until`.
    pub fn cool_down(&self, url: &str, until: Timestamp, now: Timestamp) -> Reply<()> {
        let url = url.to_owned();
        self.write(Durability::Process, move |tx| {
            upsert(tx, &url, Origin::Discovered)?;
            let statement = "UPDATE gateways SET cool_until = ?2, cooled_at = ?3 WHERE url = ?1";
            sql::execute(tx, statement, (url, micros(until), micros(now)))?;
            Ok(())
        })
    }
}

/// What is known of a gateway after `seen`.
fn learn(before: GatewayRow, seen: Observation, now: Timestamp) -> GatewayRow {
    let failures = seen.errors.saturating_add(seen.rejected);
    let succeeded = seen.requests > failures;
    let failures = u32::try_from(failures).unwrap_or(u32::MAX);
    let latency = seen.latency.map(|latency| latency.as_secs_f64());
    GatewayRow {
        requests: before.requests.saturating_add(seen.requests),
        errors: before.errors.saturating_add(seen.errors),
        errors_in_row: if succeeded {
            0
        } else {
            before.errors_in_row.saturating_add(failures)
        },
        rejected: before.rejected.saturating_add(seen.rejected),
        bytes: before.bytes.saturating_add(seen.bytes),
        latency: ewma(before.latency, latency),
        throughput: ewma(before.throughput, seen.throughput),
        last_error: seen.error.or(before.last_error),
        last_used: Some(now),
        ..before
    }
}

/// The exponentially weighted average after a sample. A sample that is no finite number is none.
fn ewma(average: Option<f64>, sample: Option<f64>) -> Option<f64> {
    match (average, sample.filter(|sample| sample.is_finite())) {
        (Some(average), Some(sample)) => Some(average + EWMA_WEIGHT * (sample - average)),
        (average, sample) => sample.or(average),
    }
}

/// What is known after an owner of the gateway said all that it knows by now. What it was told
/// itself keeps its time; what was not believed any more, and is said again, was learnt anew.
fn learn_words(before: &[Learnt], words: &str, now: Timestamp) -> Vec<Learnt> {
    let old = |name: &str, is_yes: bool| {
        let same = |learnt: &&Learnt| learnt.name == name && learnt.is_yes == is_yes;
        before
            .iter()
            .find(same)
            .filter(|learnt| learnt.is_believed(now))
    };
    let learnt = words.split_ascii_whitespace().filter_map(|word| {
        let (name, text) = word.split_once('=')?;
        let is_yes = [true, false]
            .into_iter()
            .find(|&is_yes| value(is_yes) == text)?;
        Some(Learnt {
            name: name.to_owned(),
            is_yes,
            at: old(name, is_yes).map_or(now, |old| old.at),
        })
    });
    learnt.collect()
}

fn write_learnt(tx: &Connection, url: &str, learnt: &[Learnt]) -> rusqlite::Result<()> {
    let statement = "DELETE FROM gateway_capabilities WHERE url = ?1";
    sql::execute(tx, statement, [url])?;
    for one in learnt {
        let statement = "INSERT OR REPLACE INTO gateway_capabilities (url, name, value, learnt_at)
                         VALUES (?1, ?2, ?3, ?4)";
        let row = (url, &one.name, value(one.is_yes), micros(one.at));
        sql::execute(tx, statement, row)?;
    }
    Ok(())
}

fn read_learnt(tx: &Connection, url: &str) -> rusqlite::Result<Vec<Learnt>> {
    let statement = "SELECT * FROM gateway_capabilities WHERE url = ?1 ORDER BY name";
    sql::all(tx, statement, [url], |row| {
        Ok(Learnt {
            name: row.get("name")?,
            is_yes: row.get::<_, String>("value")? == value(true),
            at: sql::time(row, "learnt_at")?,
        })
    })
}

fn find(tx: &Connection, url: &str) -> rusqlite::Result<Option<GatewayRow>> {
    let row = sql::first(tx, "SELECT * FROM gateways WHERE url = ?1", [url], read)?;
    row.map(|mut row| {
        row.learnt = read_learnt(tx, url)?;
        Ok(row)
    })
    .transpose()
}

fn upsert(tx: &Connection, url: &str, origin: Origin) -> rusqlite::Result<()> {
    let known = sql::first(
        tx,
        "SELECT origin FROM gateways WHERE url = ?1",
        [url],
        read_origin,
    )?;
    if known.is_some_and(|known| known >= origin) {
        return Ok(());
    }
    let statement = "INSERT INTO gateways (url, origin) VALUES (?1, ?2)
                     ON CONFLICT (url) DO UPDATE SET origin = excluded.origin";
    sql::execute(tx, statement, (url, origin.name()))?;
    Ok(())
}

fn write_health(tx: &Connection, row: &GatewayRow) -> rusqlite::Result<()> {
    sql::execute(
        tx,
        "UPDATE gateways SET requests = :requests, errors = :errors, errors_in_row = :errors_in_row,
                rejected = :rejected, bytes = :bytes, latency = :latency, throughput = :throughput,
                last_error = :last_error, last_used_at = :last_used
         WHERE url = :url",
        named_params! {
            ":url": row.url,
            ":requests": int(row.requests),
            ":errors": int(row.errors),
            ":errors_in_row": row.errors_in_row,
            ":rejected": int(row.rejected),
            ":bytes": int(row.bytes),
            ":latency": row.latency,
            ":throughput": row.throughput,
            ":last_error": row.last_error,
            ":last_used": row.last_used.map(micros),
        },
    )?;
    Ok(())
}

fn read_origin(row: &Row<'_>) -> rusqlite::Result<Origin> {
    sql::required(sql::parsed(row, "origin", Origin::from_name)?, "origin")
}

fn read(row: &Row<'_>) -> rusqlite::Result<GatewayRow> {
    Ok(GatewayRow {
        url: row.get("url")?,
        origin: read_origin(row)?,
        enabled: row.get("enabled")?,
        learnt: Vec::new(),
        requests: sql::size(row, "requests")?,
        errors: sql::size(row, "errors")?,
        errors_in_row: row.get("errors_in_row")?,
        rejected: sql::size(row, "rejected")?,
        bytes: sql::size(row, "bytes")?,
        latency: row.get("latency")?,
        throughput: row.get("throughput")?,
        cool_until: sql::optional_time(row, "cool_until")?,
        cooled_at: sql::optional_time(row, "cooled_at")?,
        retired_since: sql::optional_time(row, "retired_since")?,
        retired_reason: row.get("retired_reason")?,
        last_error: row.get("last_error")?,
        pace: pace::read(row)?,
        last_used: sql::optional_time(row, "last_used_at")?,
    })
}
