//! The environment as a value: variables and the platform's directories, taken once.
//!
//! Everything that `settings` knows of the process comes through here, so that tests name it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use directories::{BaseDirs, ProjectDirs};

use crate::settings::error::SettingsError;

/// Variables and the directories that the platform has for programs.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// Where fetchd's configuration goes by default.
    pub config_dir: Option<PathBuf>,
    /// Where fetchd's state goes by default.
    pub state_dir: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let project = ProjectDirs::from("", "", "fetchd");
        let state = |dirs: &ProjectDirs| {
            dirs.state_dir()
                .unwrap_or_else(|| dirs.data_local_dir())
                .to_owned()
        };
        Self {
            variables: std::env::vars_os().collect(),
            home: BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()),
            config_dir: project.as_ref().map(|dirs| dirs.config_dir().to_owned()),
            state_dir: project.as_ref().map(state),
        }
    }

    /// An environment that holds these variables and knows no directories.
    pub fn from_variables<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            variables,
            ..Self::default()
        }
    }

    /// A variable that is set and not empty.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.variables
            .get(&OsString::from(name))
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    /// A variable that is set and not empty, as text.
    pub fn text(&self, name: &str) -> Result<Option<String>, SettingsError> {
        let value = self
            .variables
            .get(&OsString::from(name))
            .filter(|value| !value.is_empty());
        let text = value.map(|value| value.to_str().map(str::to_owned).ok_or("not valid UTF-8"));
        text.transpose().map_err(|reason| SettingsError::Variable {
            name: name.to_owned(),
            reason: reason.to_owned(),
        })
    }
}
