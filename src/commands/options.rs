//! What a download was asked for with, as its record keeps it: so that `resume` goes on alike.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cli::values::Limit;
use crate::commands::error::CommandError;
use crate::content::hash::HashPolicy;
use crate::download::quoted;
use crate::engine;
use crate::exit::ExitKind;
use crate::gateway::backoff::Backoff;
use crate::settings::{Origin, Settings};

/// What may be fetched ahead of the next byte of a stream: less than may wait for its turn.
const STREAM_AHEAD: u64 = 16 << 20;

/// Stands for the providers that nobody named, in [`Recorded::lane`].
const CONFIGURED: &str = "the configured gateways";

/// Flags of `get` that a later `resume` must know.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recorded {
    /// `--gateway`, in order; empty: as configured.
    pub gateways: Vec<String>,
    /// Origins of gateway URLs that the user gave as sources: asked last.
    pub hints: Vec<String>,
    /// `--force`.
    pub force: bool,
    /// `--max-size` in bytes, 0 for `off`; `None`: as configured.
    pub max_size: Option<u64>,
    /// `--limit-rate` in bytes per second, 0 for `off`; `None`: as configured.
    pub limit_rate: Option<u64>,
    /// The URL, where a plain file is wanted.
    pub url: Option<String>,
    /// `--mirror`, in order.
    pub mirrors: Vec<String>,
    /// `--checksum`, as `function:hex`.
    pub checksum: Option<String>,
    /// How long the file is, as a lock says.
    pub size: Option<u64>,
    /// `--allow-unverified`.
    pub allow_unverified: bool,
    /// `--connections`; `None`: as configured.
    pub connections: Option<u32>,
    /// `--include`.
    pub include: Vec<String>,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--preserve`.
    pub preserve: bool,
    /// `--max-time` of an entry of the queue, in seconds for each try.
    pub max_time: Option<f64>,
    /// `--netrc`: not the logins, only that they are wanted.
    pub netrc: bool,
}

impl Recorded {
    /// A flag that is a number or `off`, as a record keeps it.
    pub fn limit(flag: Limit) -> u64 {
        flag.0.unwrap_or(0)
    }

    /// Bytes per second for this download; `None` for no limit.
    pub fn limit_rate(&self, configured: Option<u64>) -> Option<u64> {
        or_configured(self.limit_rate, configured)
    }

    /// How many bytes it may have; `None` for no limit.
    pub fn max_size(&self, configured: Option<u64>) -> Option<u64> {
        or_configured(self.max_size, configured)
    }

    /// How long each try of an entry of the queue may take; `None` for as long as it takes.
    pub fn max_time(&self) -> Option<Duration> {
        let seconds = self.max_time?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Whether the same of a directory is wanted, and in the same way.
    pub fn takes_the_same(&self, other: &Self) -> bool {
        self.include == other.include
            && self.exclude == other.exclude
            && self.preserve == other.preserve
    }

    /// The flags that say what is wanted, as they are typed after the source; without those that say
    /// how it is fetched.
    pub fn typed_of_what(&self) -> String {
        let globs = |flag, globs: &[String]| -> String {
            let typed = globs.iter().map(|glob| format!(" {flag} {}", quoted(glob)));
            typed.collect()
        };
        let set = |flag, is_set| if is_set { flag } else { "" };
        globs("--include", &self.include)
            + &globs("--exclude", &self.exclude)
            + set(" --preserve", self.preserve)
            + set(" --allow-unverified", self.allow_unverified)
    }

    /// Whom it asks: entries of the queue with the same lane can reach somebody, or not, together.
    pub fn lane(&self) -> String {
        let origin = |url: &String| {
            let parsed = url::Url::parse(url).ok();
            parsed.map_or_else(|| url.clone(), |url| url.origin().ascii_serialization())
        };
        let plain = self.url.iter().chain(&self.mirrors).map(origin);
        let asked = self.gateways.iter().chain(&self.hints).cloned();
        let mut names: Vec<String> = asked.chain(plain).collect();
        if self.gateways.is_empty() && self.url.is_none() {
            names.push(CONFIGURED.to_owned());
        }
        names.sort();
        names.dedup();
        names.join(" ")
    }

    /// The form in which the record keeps it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Recorded::to_json`] wrote; what a later version added is passed over.
    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// A limit that is recorded, where 0 stands for `off`, or else the configured one.
fn or_configured(recorded: Option<u64>, configured: Option<u64>) -> Option<u64> {
    recorded.map_or(configured, |limit| (limit > 0).then_some(limit))
}

/// What the engine needs, out of configuration and record.
///
/// # Errors
/// Code 78 if `allow_hash` names an unknown function.
pub fn engine(
    settings: &Settings,
    recorded: &Recorded,
    max_time: Option<Duration>,
) -> Result<engine::Options, CommandError> {
    let keys = &settings.keys;
    let hashes = HashPolicy::with_weak(&keys.allow_hash).map_err(|error| {
        CommandError::new(ExitKind::Config, format!("allow_hash: {error}"))
            .hint("mend the key allow_hash; see where it is set with: fetchd config show")
    })?;
    Ok(engine::Options {
        limits: engine::Limits {
            hashes,
            max_size: recorded.max_size(keys.max_size),
            max_block: keys.max_block_size,
            max_depth: keys.max_depth,
            max_entries: u64::from(keys.max_entries),
        },
        backoff: Backoff {
            max_retries: keys.max_retries,
            initial: keys.backoff_initial,
            multiplier: keys.backoff_multiplier as f32,
            max: keys.backoff_max,
        },
        max_wait: keys.max_wait,
        // Who is held back by a limit of ours is not slow.
        min_speed: keys
            .min_speed
            .filter(|_| recorded.limit_rate(keys.limit_rate).is_none()),
        max_time,
        stream_ahead: STREAM_AHEAD,
        max_resume_attempts: keys.max_resume_attempts,
        filter: engine::Filter::new(&recorded.include, &recorded.exclude),
        discovery: None,
        allow_unverified: recorded.allow_unverified,
        resume_threshold: keys.resume_threshold,
        max_source_switches: keys.max_source_switches,
        asks_others_later: false,
        preserve: recorded.preserve,
        connections: connections(settings, recorded),
        per_gateway: usize::try_from(keys.per_gateway.min(keys.connections)).unwrap_or(1),
        checkpoint_bytes: keys.checkpoint_bytes,
        checkpoint_interval: keys.checkpoint_interval,
        file_sha256: keys.file_sha256,
        history_limit: keys.history_limit,
    })
}

/// What the user chose holds to the letter; the default grows with the providers.
fn connections(settings: &Settings, recorded: &Recorded) -> engine::Connections {
    let configured = settings.keys.connections;
    let is_default = settings.keys.origin("connections") == Some(Origin::Default);
    let count = usize::try_from(recorded.connections.unwrap_or(configured)).unwrap_or(1);
    match recorded.connections {
        None if is_default => engine::Connections::AtLeast(count),
        _ => engine::Connections::AtMost(count),
    }
}

/// Largest block, in bytes.
pub fn max_block(settings: &Settings) -> u64 {
    settings.keys.max_block_size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_limit_wins_over_the_configuration() {
        let limits = |flag: Option<Limit>| {
            let recorded = Recorded {
                limit_rate: flag.map(Recorded::limit),
                max_size: flag.map(Recorded::limit),
                ..Recorded::default()
            };
            let read = Recorded::from_json(&recorded.to_json());
            (read.limit_rate(Some(7)), read.max_size(Some(7)))
        };
        assert_eq!(limits(None), (Some(7), Some(7)));
        assert_eq!(limits(Some(Limit(Some(3)))), (Some(3), Some(3)));
        assert_eq!(limits(Some(Limit(None))), (None, None), "off");
        let empty = Recorded::from_json("{}");
        assert_eq!((empty.limit_rate(None), empty.max_size(None)), (None, None));
    }
}
