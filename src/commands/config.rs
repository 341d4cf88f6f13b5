//! `fetchd config`: what is configured, where, and a file to begin with.
//!
//! Returns what is to be printed. Header values are never part of it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::cli::Global;
use crate::disk::DiskError;
use crate::disk::place::ensure_dir;
use crate::disk::whole_file::{Access, read_small, write_atomic};
use crate::exit::ExitKind;
use crate::settings::{self, Environment, GatewayEntry, Origin, Settings, SettingsError};

/// What stands for the value of a header.
const MASKED: &str = "***";

/// Width of what stands before an origin, but for long values.
const ORIGIN_COLUMN: usize = 38;

/// Why no configuration file was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is no place for one.
    #[error(transparent)]
    Place(#[from] SettingsError),
    /// There is one already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write the configuration file")]
    Disk(#[from] DiskError),
}

impl InitError {
    /// The exit code's kind.
    pub fn kind(&self) -> ExitKind {
        match self {
            InitError::Place(error) => error.kind(),
            InitError::Exists { .. } => ExitKind::Exists,
            InitError::Disk(error) if error.is_uncreatable() => ExitKind::Exists,
            InitError::Disk(_) => ExitKind::Disk,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            InitError::Place(error) => Some(error.hint()),
            InitError::Exists { .. } => Some("edit it, or move it away first".to_owned()),
            InitError::Disk(_) => None,
        }
    }
}

/// Each key, its value and where it comes from, as a valid configuration file.
pub fn show(settings: &Settings) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = match &settings.config_file {
        Some(path) => writeln!(text, "# configuration file: {}", path.display()),
        None => writeln!(text, "# configuration file: none"),
    };
    let _ = writeln!(text, "# state directory: {}", settings.state_dir.display());
    for entry in settings.keys.entries() {
        let line = format!("{} = {}", entry.key, entry.toml);
        let origin = match entry.origin {
            Origin::Environment => settings::variable(entry.key),
            origin => origin.name().to_owned(),
        };
        let _ = writeln!(text, "{line:<ORIGIN_COLUMN$}  # {origin}");
    }
    if settings.gateways.is_empty() {
        // An array of tables cannot be empty, and a plain array is as good.
        text.push_str("gateways = []\n");
    }
    for gateway in &settings.gateways {
        show_gateway(&mut text, gateway);
    }
    text
}

fn show_gateway(text: &mut String, gateway: &GatewayEntry) {
    let _ = writeln!(
        text,
        "\n{:<ORIGIN_COLUMN$}  # {}",
        "[[gateways]]",
        gateway.origin.name()
    );
    let _ = writeln!(text, "url = {}", settings::quoted(&gateway.url));
    if gateway.priority != 0 {
        let _ = writeln!(text, "priority = {}", gateway.priority);
    }
    if let Some(connections) = gateway.connections {
        let _ = writeln!(text, "connections = {connections}");
    }
    if !gateway.enabled {
        text.push_str("enabled = false\n");
    }
    if !gateway.headers.is_empty() {
        let headers: Vec<String> = gateway
            .headers
            .iter()
            .map(|(name, _)| format!("{} = \"{MASKED}\"", settings::quoted(name)))
            .collect();
        let _ = writeln!(text, "headers = {{ {} }}", headers.join(", "));
    }
}

/// The same as one JSON document.
pub fn show_json(settings: &Settings) -> Value {
    let keys: Map<String, Value> = settings
        .keys
        .entries()
        .into_iter()
        .map(|entry| {
            (
                entry.key.to_owned(),
                json!({ "value": entry.json, "origin": entry.origin.name() }),
            )
        })
        .collect();
    json!({
        "v": 1,
        "config_file": settings.config_file.as_deref().map(Path::to_string_lossy),
        "state_dir": settings.state_dir.to_string_lossy(),
        "settings": keys,
        "gateways": settings.gateways.iter().map(gateway_json).collect::<Vec<_>>(),
    })
}

fn gateway_json(gateway: &GatewayEntry) -> Value {
    let headers: Map<String, Value> = gateway
        .headers
        .iter()
        .map(|(name, _)| (name.clone(), Value::from(MASKED)))
        .collect();
    json!({
        "url": gateway.url,
        "priority": gateway.priority,
        "connections": gateway.connections,
        "headers": headers,
        "enabled": gateway.enabled,
        "origin": gateway.origin.name(),
    })
}

/// Where the configuration file is looked for, whether or not it is there.
pub fn path(global: &Global, environment: &Environment) -> Result<PathBuf, SettingsError> {
    settings::config_path(global, environment).map(|(path, _)| path)
}

/// The same as one JSON document.
pub fn path_json(path: &Path) -> Value {
    json!({ "v": 1, "path": path.to_string_lossy() })
}

/// Writes a configuration file in which every key is explained, where none is; returns its path.
pub fn init(global: &Global, environment: &Environment) -> Result<PathBuf, InitError> {
    let path = path(global, environment)?;
    // Only whether there is something matters: any content, and any other error, says so.
    match read_small(&path, 0) {
        Err(error) if error.is_missing() => {}
        _ => return Err(InitError::Exists { path }),
    }
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        ensure_dir(dir)?;
    }
    // People write the headers of gateways into it, so that only they may read it.
    write_atomic(&path, settings::template().as_bytes(), Access::Private)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn settings(directory: &Path, config: &str) -> Settings {
        let file = directory.join("config.toml");
        std::fs::write(&file, config).expect("a file in a fresh directory");
        let file = file.to_str().expect("temporary paths are text");
        let cli =
            Cli::try_parse_from(["fetchd", "--state-dir", "/state", "--config", file, "list"]);
        let environment =
            Environment::from_variables([("TOKEN", "secret"), ("FETCHD_MAX_DEPTH", "9")]);
        Settings::resolve(&cli.expect("valid flags"), &environment).expect("a valid configuration")
    }

    const CONFIG: &str =
        "connections = 3\n[[gateways]]\nurl = 'https://g.example/'\nheaders.X-Key = '${TOKEN}'\n";

    #[test]
    fn shows_values_origins_and_no_secret() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let settings = settings(directory.path(), CONFIG);
        assert_eq!(
            settings.gateways[0].headers,
            [("X-Key".to_owned(), "secret".to_owned())]
        );

        let text = show(&settings);
        assert!(
            text.contains("connections = 3                         # file\n"),
            "{text}"
        );
        assert!(
            text.contains("max_depth = 9                           # FETCHD_MAX_DEPTH\n"),
            "{text}"
        );
        assert!(
            text.contains("url = \"https://g.example\"\nheaders = { \"X-Key\" = \"***\" }\n"),
            "{text}"
        );

        let document = show_json(&settings);
        assert_eq!(
            document["settings"]["connections"],
            json!({ "value": 3, "origin": "file" })
        );
        assert_eq!(
            document["settings"]["limit_rate"],
            json!({ "value": null, "origin": "default" })
        );
        assert_eq!(document["settings"]["max_wait"]["value"], json!(900.0));
        assert_eq!(
            document["gateways"][0]["headers"],
            json!({ "X-Key": "***" })
        );
        assert!(!format!("{text}{document}{settings:?}").contains("secret"));
    }

    #[test]
    fn what_is_shown_is_a_valid_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for config in [CONFIG, "gateways = []", ""] {
            let first = settings(directory.path(), config);
            let second = settings(directory.path(), &show(&first));
            assert_eq!(first.gateways.len(), second.gateways.len());
            let values = |settings: &Settings| {
                settings
                    .keys
                    .entries()
                    .into_iter()
                    .map(|e| e.toml)
                    .collect::<Vec<_>>()
            };
            assert_eq!(values(&first), values(&second));
        }
    }

    #[test]
    fn init_writes_once() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("new/config.toml");
        let global = Global {
            config: Some(file.clone()),
            ..Global::default()
        };
        let environment = Environment::default();
        assert_eq!(init(&global, &environment).expect("an empty place"), file);
        assert_eq!(
            std::fs::read_to_string(&file).expect("just written"),
            settings::template()
        );
        let again = init(&global, &environment).expect_err("it is there now");
        assert_eq!(again.kind(), ExitKind::Exists);
    }
}
