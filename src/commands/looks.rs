//! How words and progress look: what flags, environment and terminal come to.
//!
//! Pure but for [`Terminal::of_process`]. The variables are those that other programs read:
//! `NO_COLOR` (no-color.org), `CLICOLOR` and `CLICOLOR_FORCE` (bixense.com/clicolors), `TERM`, `CI`.

use std::io::IsTerminal;

use crate::cli::{ColorWhen, ProgressStyle};
use crate::settings::Progress;
use crate::ui::ProgressMode;

/// What standard error leads to, and what its user has said of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terminal {
    is_terminal: bool,
    /// It cannot move its cursor.
    is_dumb: bool,
    is_ci: bool,
    color: Wish,
}

/// What the environment wishes of colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Wish {
    #[default]
    Nothing,
    Never,
    Always,
}

impl Terminal {
    /// The one of this process.
    pub fn of_process() -> Self {
        let variable = |name: &str| {
            let value = std::env::var_os(name)?;
            Some(value.to_string_lossy().into_owned())
        };
        Self::of(std::io::stderr().is_terminal(), variable)
    }

    fn of(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let said = |name: &str| variable(name).filter(|value| !value.is_empty());
        let color = match (said("NO_COLOR"), said("CLICOLOR_FORCE"), said("CLICOLOR")) {
            (Some(_), _, _) => Wish::Never,
            (None, Some(force), _) if force != "0" => Wish::Always,
            (None, _, Some(color)) if color == "0" => Wish::Never,
            _ => Wish::Nothing,
        };
        Self {
            is_terminal,
            is_dumb: said("TERM").is_some_and(|term| term == "dumb"),
            is_ci: said("CI").is_some(),
            color,
        }
    }
}

/// How progress is shown. Where bars cannot be drawn, lines take their place.
pub fn progress(wanted: Progress, terminal: &Terminal) -> ProgressMode {
    let can_draw = terminal.is_terminal && !terminal.is_dumb;
    match wanted {
        Progress::Always(ProgressStyle::Bar) if can_draw => ProgressMode::Bar,
        Progress::Auto if can_draw && !terminal.is_ci => ProgressMode::Bar,
        Progress::Always(ProgressStyle::Json) => ProgressMode::Json,
        Progress::Always(ProgressStyle::None) => ProgressMode::None,
        Progress::Auto | Progress::Always(ProgressStyle::Bar | ProgressStyle::Plain) => {
            ProgressMode::Plain
        }
    }
}

/// Whether words to people may be coloured.
pub fn wants_color(when: ColorWhen, terminal: &Terminal) -> bool {
    match (when, terminal.color) {
        (ColorWhen::Always, _) | (ColorWhen::Auto, Wish::Always) => true,
        (ColorWhen::Never, _) | (ColorWhen::Auto, Wish::Never) => false,
        (ColorWhen::Auto, Wish::Nothing) => terminal.is_terminal && !terminal.is_dumb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(variables: &[(&str, &str)]) -> Terminal {
        Terminal::of(true, |name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colours_are_what_flag_then_environment_then_terminal_say() {
        let auto = |variables: &[(&str, &str)]| wants_color(ColorWhen::Auto, &terminal(variables));
        assert!(auto(&[]) && auto(&[("TERM", "xterm")]));
        assert!(auto(&[("NO_COLOR", "")]), "empty is unset");
        assert!(!auto(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
        assert!(!auto(&[("CLICOLOR", "0")]) && auto(&[("CLICOLOR", "1")]));
        assert!(!auto(&[("TERM", "dumb")]) && auto(&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")]));
        let pipe = |name| Terminal::of(false, move |it| (it == name).then(|| "1".to_owned()));
        assert!(!wants_color(ColorWhen::Auto, &pipe("CLICOLOR")));
        assert!(wants_color(ColorWhen::Auto, &pipe("CLICOLOR_FORCE")));
        assert!(wants_color(
            ColorWhen::Always,
            &terminal(&[("NO_COLOR", "1")])
        ));
        assert!(!wants_color(ColorWhen::Never, &pipe("CLICOLOR_FORCE")));
    }

    #[test]
    fn bars_are_drawn_where_they_can_be() {
        let auto = |variables: &[(&str, &str)]| progress(Progress::Auto, &terminal(variables));
        assert_eq!(auto(&[]), ProgressMode::Bar);
        assert_eq!(auto(&[("CI", "true")]), ProgressMode::Plain);
        assert_eq!(auto(&[("CI", "")]), ProgressMode::Bar, "empty is unset");
        assert_eq!(auto(&[("TERM", "dumb")]), ProgressMode::Plain);
        let bar = Progress::Always(ProgressStyle::Bar);
        assert_eq!(
            progress(bar, &terminal(&[("CI", "true")])),
            ProgressMode::Bar
        );
        assert_eq!(progress(bar, &Terminal::default()), ProgressMode::Plain);
        let none = Progress::Always(ProgressStyle::None);
        assert_eq!(progress(none, &terminal(&[])), ProgressMode::None);
    }
}
