//! What a command that prints events says when it fails before it has begun to.
//!
//! Scripts read until `done`. Once events are printed, whoever prints them ends them: an error
//! that reaches the caller of a command means that none were.

use std::time::Instant;

use crate::cli::{Cli, Command};
use crate::commands::error::CommandError;
use crate::commands::transfer::told;
use crate::download::quoted;
use crate::ui::json;
use crate::ui::out::{Closed, Out};

/// The stream of events that a command is to print.
pub struct Unbegun {
    /// What the command line named: each is told of once.
    sources: Vec<String>,
}

impl Unbegun {
    /// The stream of this command; `None` if it prints no events.
    pub fn of(cli: &Cli) -> Option<Self> {
        let sources = match &cli.command {
            Command::Get(get) => get.sources.clone(),
            Command::Resume(resume) => resume.ids.clone(),
            Command::Watch(watch) => watch.ids.clone(),
            Command::Run(_) | Command::Sync(_) => Vec::new(),
            _ => return None,
        };
        cli.global.json.then_some(Self { sources })
    }

    /// Tells of the error as the ending of each source, and ends the stream.
    ///
    /// # Errors
    /// Nobody reads it.
    pub fn end(&self, error: &CommandError) -> Result<(), Closed> {
        let mut out = Out::stdout();
        for source in &self.sources {
            let event = match &error.argument {
                Some(wrong) if wrong != source => told::refused(source, &spoilt(error, wrong)),
                _ => told::refused(source, error),
            };
            if let Some(line) = json::event(&event, None, Instant::now()) {
                out.line(&line)?;
            }
        }
        let failed = self.sources.len() as u64;
        out.line(&json::done(error.kind.code(), 0, failed))
    }
}

/// What is said of a source that was named together with one that is wrong.
fn spoilt(error: &CommandError, wrong: &str) -> CommandError {
    let wrong = quoted(wrong);
    CommandError::new(error.kind, "not begun").hint(format!("leave {wrong} out, and run it again"))
}
