//! The table of configuration keys: name, type, spelling, default and meaning, each said once.
//!
//! From it come the reader of the file, the reader of the environment, the layering, what
//! `config show` prints and what `config init` writes. `gateways` alone lives elsewhere, since it
//! is a list of tables.

use std::time::Duration;

use serde::Deserialize;

use crate::cli::values::{MAX_CONNECTIONS, MAX_JOBS};
use crate::settings::environment::Environment;
use crate::settings::error::SettingsError;
use crate::settings::format::{
    Count, Directory, Format, InFile, Limit, Many, Number, One, Size, Switch, Time, Timeout,
};
use crate::settings::gateways::GatewayTable;
use crate::settings::words::{BaseUrl, Discovery, Dns, Progress, WeakHash};

/// Where a value comes from, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Built in.
    Default,
    /// The configuration file.
    File,
    /// A variable of the environment.
    Environment,
    /// A flag of this invocation.
    Flag,
}

impl Origin {
    /// The stable name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::Environment => "env",
            Origin::Flag => "flag",
        }
    }
}

/// One key with its value, ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Name of the key.
    pub key: &'static str,
    /// Lines that explain it.
    pub about: &'static [&'static str],
    /// The value as the file spells it.
    pub toml: String,
    /// The value as JSON output has it.
    pub json: serde_json::Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// Variable that stands for a key.
pub fn variable(key: &str) -> String {
    format!("FETCHD_{}", key.to_ascii_uppercase())
}

macro_rules! keys {
    ($($(#[doc = $about:literal])+ $key:ident: $type:ty as $format:ty = $default:expr;)+) => {
        /// The values of all keys, each from the strongest layer that has it.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Keys {
            $($(#[doc = $about])+ pub $key: $type,)+
            origins: Vec<Origin>,
        }

        /// What one source says: only the keys that it has.
        #[derive(Default)]
        pub(super) struct Layer {
            $(pub(super) $key: Option<$type>,)+
        }

        /// The configuration file.
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct File {
            pub(super) gateways: Option<Vec<GatewayTable>>,
            $($key: Option<InFile<$format>>,)+
        }

        impl File {
            /// Its keys; the gateways stay.
            pub(super) fn layer(&mut self) -> Layer {
                Layer { $($key: self.$key.take().map(|value| value.0),)+ }
            }
        }

        impl Layer {
            /// The keys that variables set.
            pub(super) fn from_environment(environment: &Environment) -> Result<Self, SettingsError> {
                Ok(Self { $($key: variable_value::<$format>(environment, stringify!($key))?,)+ })
            }
        }

        impl Keys {
            /// Layers the sources, the strongest first in the arguments.
            pub(super) fn layered(flags: Layer, environment: Layer, file: Layer) -> Self {
                let mut origins = Vec::new();
                Self {
                    $($key: {
                        let layers = [
                            (Origin::Flag, flags.$key),
                            (Origin::Environment, environment.$key),
                            (Origin::File, file.$key),
                        ];
                        let given = layers.into_iter().find_map(|(origin, value)| Some((origin, value?)));
                        let (origin, value) = given.unwrap_or_else(|| (Origin::Default, $default));
                        origins.push(origin);
                        value
                    },)+
                    origins,
                }
            }

            /// Every key in the order of the manual.
            pub fn entries(&self) -> Vec<Entry> {
                let entries = [$(Entry {
                    key: stringify!($key),
                    about: &[$($about),+],
                    toml: <$format as Format>::toml(&self.$key),
                    json: <$format as Format>::json(&self.$key),
                    origin: Origin::Default,
                }),+];
                entries.into_iter().zip(&self.origins).map(|(entry, &origin)| Entry { origin, ..entry }).collect()
            }
        }
    };
}

/// The value of a key's variable; an empty one counts as unset, as shells make it easy to leave one behind.
fn variable_value<F: Format>(
    environment: &Environment,
    key: &str,
) -> Result<Option<F::Value>, SettingsError> {
    let name = variable(key);
    let Some(text) = environment.text(&name)? else {
        return Ok(None);
    };
    F::from_text(&text)
        .map(Some)
        .map_err(|reason| SettingsError::Variable { name, reason })
}

impl Default for Keys {
    fn default() -> Self {
        Self::layered(Layer::default(), Layer::default(), Layer::default())
    }
}

impl Keys {
    /// Where the value of a key comes from.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        self.entries()
            .into_iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.origin)
    }
}

keys! {
    /// When to ask delegated routing for further providers: "fallback" (when the gateways have
    /// it not), "always" or "off".
    discovery: Discovery as One<Discovery> = Discovery::Fallback;
    /// Base URLs of delegated routing.
    routers: Vec<BaseUrl> as Many<BaseUrl> = BaseUrl::default_routers();
    /// How DNSLink names are looked up: "system", or the URL of a DNS-over-HTTPS resolver.
    dns: Dns as One<Dns> = Dns::System;
    /// Where downloads go without --dir; "." is the current directory.
    download_dir: Option<std::path::PathBuf> as Directory = None;
    /// Connections of one invocation; unless this is set, one for each provider where there are
    /// more of them, up to 16.
    connections: u32 as Count<1, MAX_CONNECTIONS> = 8;
    /// Downloads at once, for run and resume.
    jobs: u32 as Count<1, MAX_JOBS> = 3;
    /// Connections to one gateway.
    per_gateway: u32 as Count<1, MAX_CONNECTIONS> = 4;
    /// Most bytes per second, all connections together; "off" for no limit.
    limit_rate: Option<u64> as Limit = None;
    /// A provider that stays below so many bytes per second is left for another; "off" for no limit.
    min_speed: Option<u64> as Limit = None;
    /// How long a connection may take to stand.
    connect_timeout: Duration as Timeout = Duration::from_secs(5);
    /// How long a gateway may take to the first byte. Unless this is set, the built-in public
    /// gateways have 60 s, since they first have to find the content.
    first_byte_timeout: Duration as Timeout = Duration::from_secs(30);
    /// How long a stream may stand still.
    stall_timeout: Duration as Timeout = Duration::from_secs(30);
    /// Longest wait that a gateway may ask for; a longer one ends the download for now.
    max_wait: Duration as Time = Duration::from_secs(15 * 60);
    /// Tries per provider and window, beyond the first; any progress gives them back.
    max_retries: u32 as Count<0, 1000> = 3;
    /// Wait before the first retry.
    backoff_initial: Duration as Time = Duration::from_secs(1);
    /// What the wait is multiplied by from one retry to the next.
    backoff_multiplier: f64 as Number<1, 100> = 2.0;
    /// Longest wait between retries.
    backoff_max: Duration as Time = Duration::from_secs(60);
    /// Tries that brought no new byte before a download fails.
    max_resume_attempts: u32 as Count<1, 1_000_000> = 3;
    /// Part of a file from which on a broken, not yet provable stream is resumed without a
    /// validator, instead of begun again.
    resume_threshold: f64 as Number<0, 1> = 0.5;
    /// How often a download whose hash was wrong may begin again with another source.
    max_source_switches: u32 as Count<0, 1000> = 2;
    /// Proved bytes after which a checkpoint is due.
    checkpoint_bytes: u64 as Size = 64 << 20;
    /// Time after which a checkpoint is due.
    checkpoint_interval: Duration as Timeout = Duration::from_secs(2);
    /// Whether the SHA-256 of each whole file is computed while it arrives.
    file_sha256: bool as Switch = true;
    /// How long ended downloads are remembered.
    retention: Duration as Time = Duration::from_secs(7 * 24 * 60 * 60);
    /// Attempts remembered of each download.
    history_limit: u32 as Count<0, 1_000_000> = 100;
    /// Largest content to accept; "off" for no limit.
    max_size: Option<u64> as Limit = None;
    /// Most entries of a directory tree.
    max_entries: u32 as Count<1, { u32::MAX }> = 1_000_000;
    /// Deepest nesting of a directory tree.
    max_depth: u32 as Count<1, 10_000> = 128;
    /// Largest block to accept.
    max_block_size: u64 as Size = 2 << 20;
    /// Weak hashes to accept knowingly: "sha1", "truncated".
    allow_hash: Vec<WeakHash> as Many<WeakHash> = Vec::new();
    /// How progress is shown: "bar", "plain" (a line now and then, for screen readers and logs),
    /// "json", "none", or "auto": bars on a terminal, else plain.
    progress: Progress as One<Progress> = Progress::Auto;
}
