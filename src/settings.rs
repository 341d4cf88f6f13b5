//! Flags, environment and file, resolved into one configuration.
//!
//! Flags win over the environment, the environment over the file, the file over the defaults.
//! Everything is checked here and once: whoever holds [`Settings`] holds values that make sense.
//! Reads the configuration file and the one that curl shares; creates and changes nothing.

pub mod catalog;
mod document;
mod environment;
mod error;
mod format;
mod gateways;
mod keys;
pub mod manifest;
mod proxy;
mod template;
mod words;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::settings::document::{Document, DocumentError};
pub use crate::settings::environment::Environment;
pub use crate::settings::error::SettingsError;
pub(crate) use crate::settings::format::quoted;
pub use crate::settings::gateways::GatewayEntry;
pub use crate::settings::keys::{Entry, Keys, Origin, variable};
pub use crate::settings::proxy::check_proxies;
pub use crate::settings::template::template;
pub use crate::settings::words::{BaseUrl, Discovery, Dns, Progress, WeakHash};

use crate::cli::{Cli, Command, Global};
use crate::disk::whole_file::read_small;
use crate::settings::keys::{File, Layer};

/// Largest configuration file that is read: hundreds of gateways fit, a mistaken path does not.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Largest file of curl's that is read: one URL.
const MAX_SHARED_BYTES: u64 = 4 << 10;

/// How long a public gateway, which first has to find the content, may take to the first byte.
const PUBLIC_FIRST_BYTE: Duration = Duration::from_secs(60);

/// The resolved configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Every key but the gateways.
    pub keys: Keys,
    /// Providers in the order to ask them, disabled ones too.
    pub gateways: Vec<GatewayEntry>,
    /// The directory of the database and the locks; it need not exist yet.
    pub state_dir: PathBuf,
    /// The user's catalogue, in the directory of the configuration; it need not exist.
    pub catalog_file: Option<PathBuf>,
    /// The configuration file, if there is one.
    pub config_file: Option<PathBuf>,
}

impl Settings {
    /// Resolves what this invocation is told from all sides.
    pub fn resolve(cli: &Cli, environment: &Environment) -> Result<Self, SettingsError> {
        let (config_file, mut file) = read_file(&cli.global, environment)?;
        let mut keys = Keys::layered(
            flag_layer(cli),
            Layer::from_environment(environment)?,
            file.layer(),
        );
        if keys.origin("download_dir") != Some(Origin::Flag) {
            keys.download_dir = keys.download_dir.map(|path| at_home(path, environment));
        }
        Ok(Self {
            gateways: gateways::resolve(
                environment,
                file.gateways,
                shared_with_curl(environment)?,
            )?,
            keys,
            state_dir: state_dir(&cli.global, environment)?,
            catalog_file: config_path(&cli.global, environment)
                .ok()
                .map(|(path, _)| path.with_file_name("catalog.toml")),
            config_file,
        })
    }

    /// The providers of one download: those that `--gateway` names, else those of the
    /// configuration, disabled ones too, since the user may have enabled them elsewhere. A named
    /// one that is configured too keeps its headers and connections.
    pub fn providers(&self, flags: &[String]) -> Result<Vec<GatewayEntry>, SettingsError> {
        if flags.is_empty() {
            return Ok(self.gateways.clone());
        }
        flags.iter().map(|flag| self.named(flag)).collect()
    }

    fn named(&self, flag: &str) -> Result<GatewayEntry, SettingsError> {
        let url = if flag.contains("://") {
            let wrong = |reason| SettingsError::Gateway {
                origin: "--gateway".to_owned(),
                reason,
            };
            BaseUrl::new(flag).map_err(wrong)?.as_str().to_owned()
        } else {
            flag.to_owned()
        };
        let configured = self
            .gateways
            .iter()
            .find(|gateway| gateway.url == url)
            .cloned();
        let entry = configured.unwrap_or_else(|| GatewayEntry::plain(url, Origin::Flag));
        Ok(GatewayEntry {
            enabled: true,
            origin: Origin::Flag,
            ..entry
        })
    }

    /// How long this gateway may take to the first byte: as configured, but 60 s for the built-in
    /// public ones when nothing is.
    pub fn first_byte_timeout(&self, gateway: &GatewayEntry) -> Duration {
        let configured = self.keys.origin("first_byte_timeout") != Some(Origin::Default);
        let public = gateway.origin == Origin::Default && !gateway.is_local();
        if public && !configured {
            PUBLIC_FIRST_BYTE
        } else {
            self.keys.first_byte_timeout
        }
    }
}

/// Where the configuration file is looked for, and who says so. Works whatever the file holds.
pub fn config_path(
    global: &Global,
    environment: &Environment,
) -> Result<(PathBuf, Origin), SettingsError> {
    if let Some(path) = &global.config {
        return Ok((path.clone(), Origin::Flag));
    }
    if let Some(path) = environment.path("FETCHD_CONFIG") {
        return Ok((path, Origin::Environment));
    }
    let missing = SettingsError::NoPlace {
        what: "configuration file",
        flag: "--config",
    };
    let dir = environment.config_dir.as_ref().ok_or(missing)?;
    Ok((dir.join("config.toml"), Origin::Default))
}

/// The directory of the database and the locks.
fn state_dir(global: &Global, environment: &Environment) -> Result<PathBuf, SettingsError> {
    let missing = SettingsError::NoPlace {
        what: "state directory",
        flag: "--state-dir",
    };
    let named = global
        .state_dir
        .clone()
        .or_else(|| environment.path("FETCHD_STATE_DIR"));
    named
        .or_else(|| environment.state_dir.clone())
        .ok_or(missing)
}

/// Reads the file. Without a home directory, or with nothing at the default place, it is empty.
fn read_file(
    global: &Global,
    environment: &Environment,
) -> Result<(Option<PathBuf>, File), SettingsError> {
    let (path, origin) = match config_path(global, environment) {
        Ok(found) => found,
        Err(SettingsError::NoPlace { .. }) => return Ok((None, File::default())),
        Err(error) => return Err(error),
    };
    match read_small(&path, MAX_CONFIG_BYTES) {
        Ok(bytes) => {
            let file = parse_file(&path, &bytes)?;
            Ok((Some(path), file))
        }
        Err(error) if error.is_missing() && origin == Origin::Default => {
            Ok((None, File::default()))
        }
        Err(error) if error.is_missing() => Err(SettingsError::Missing { path, origin }),
        Err(source) => Err(SettingsError::Unreadable { path, source }),
    }
}

fn parse_file(path: &Path, bytes: &[u8]) -> Result<File, SettingsError> {
    Ok(Document { path, bytes }.parse()?)
}

/// What the flags of this invocation say about keys.
fn flag_layer(cli: &Cli) -> Layer {
    let everywhere = Layer {
        progress: cli.global.progress.map(Progress::Always),
        ..Layer::default()
    };
    match &cli.command {
        Command::Get(get) => Layer {
            download_dir: get.dir.clone().map(Some),
            connections: get.connections,
            limit_rate: get.limit_rate.map(|limit| limit.0),
            max_size: get.max_size.map(|limit| limit.0),
            ..everywhere
        },
        _ => everywhere,
    }
}

/// A path of the configuration, where no shell expands `~/`.
fn at_home(path: PathBuf, environment: &Environment) -> PathBuf {
    match (path.strip_prefix("~"), &environment.home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

/// The gateway that curl would use for `ipfs://`: `IPFS_GATEWAY`, else the first line of the file
/// `gateway` in `IPFS_PATH` or `~/.ipfs`, where a running Kubo writes it. See curl, `src/tool_ipfs.c`.
fn shared_with_curl(environment: &Environment) -> Result<Option<BaseUrl>, SettingsError> {
    const NAME: &str = "IPFS_GATEWAY";
    if let Some(text) = environment.text(NAME)? {
        let wrong = |reason| SettingsError::Variable {
            name: NAME.to_owned(),
            reason,
        };
        return BaseUrl::http(&text).map(Some).map_err(wrong);
    }
    let default = environment.home.as_ref().map(|home| home.join(".ipfs"));
    let Some(dir) = environment.path("IPFS_PATH").or(default) else {
        return Ok(None);
    };
    let path = dir.join("gateway");
    // It is not ours: what cannot be read is as good as absent, as for curl.
    let Ok(bytes) = read_small(&path, MAX_SHARED_BYTES) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let Some(line) = text
        .lines()
        .next()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    else {
        return Ok(None);
    };
    let wrong = |reason| SettingsError::Gateway {
        origin: path.display().to_string(),
        reason,
    };
    BaseUrl::http(line).map(Some).map_err(wrong)
}
