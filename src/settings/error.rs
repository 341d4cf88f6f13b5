//! What can be wrong with the configuration.

use std::path::PathBuf;

use crate::disk::DiskError;
use crate::download::quoted_path;
use crate::exit::ExitKind;
use crate::settings::document::DocumentError;
use crate::settings::keys::Origin;

/// Why there is no configuration. No message holds a header value.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: DiskError,
    },
    /// The file was named, but is not there.
    #[error("the configuration file {} ({}) does not exist", path.display(), named_by(*origin))]
    Missing {
        /// The file.
        path: PathBuf,
        /// Who named it.
        origin: Origin,
    },
    /// The file is not what it should be.
    #[error(transparent)]
    File(#[from] DocumentError),
    /// A known variable has a wrong value.
    #[error("environment variable {name}: {reason}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// A header of a gateway cannot be sent.
    #[error("header {header:?} of gateway {gateway}: {reason}")]
    Header {
        /// Base URL of the gateway.
        gateway: String,
        /// Name of the header.
        header: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A `--gateway` or a line that curl shares is no gateway.
    #[error("gateway from {origin}: {reason}")]
    Gateway {
        /// The flag or the file that names it.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system names no home directory.
    #[error("there is no place for the {what}: no home directory is known")]
    NoPlace {
        /// What needs a place.
        what: &'static str,
        /// The flag that names one.
        flag: &'static str,
    },
}

fn named_by(origin: Origin) -> &'static str {
    if origin == Origin::Flag {
        "--config"
    } else {
        "FETCHD_CONFIG"
    }
}

impl SettingsError {
    /// The exit code's kind: a wrong flag is usage, all else configuration.
    pub fn kind(&self) -> ExitKind {
        match self {
            SettingsError::Gateway { origin, .. } if origin.starts_with("--") => ExitKind::Usage,
            _ => ExitKind::Config,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        let explained = "what may stand there is told by: fetchd --config NEW.toml config init";
        match self {
            SettingsError::Missing { path, .. } => format!(
                "write one with: fetchd --config {} config init",
                quoted_path(path)
            ),
            SettingsError::File(_) => format!("mend that line; {explained}"),
            SettingsError::Unreadable { .. } => {
                "make it readable, or name another file with --config".to_owned()
            }
            SettingsError::Header { .. } => {
                "mend the header in the configuration file, or set its variable".to_owned()
            }
            SettingsError::Gateway { origin, .. } => match self.kind() {
                ExitKind::Usage => {
                    "give the URL of a gateway, or the path of a CAR file".to_owned()
                }
                _ => format!("mend it in {origin}; {explained}"),
            },
            SettingsError::Variable { name, .. } => format!("correct it, or: unset {name}"),
            SettingsError::NoPlace { flag, .. } => format!("name one with {flag}"),
        }
    }
}
