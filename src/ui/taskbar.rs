//! Progress in the taskbar or tab of the terminal (`OSC 9 ; 4`, which ConEmu began).
//!
//! Other terminals take `OSC 9` for a message to the user, so it is sent only to those that are
//! known to mean progress by it, and never through a multiplexer, which may stand before another.

/// Takes the progress away.
const CLEAR: &str = "\x1b]9;4;0;\x1b\\";

/// What the terminal shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taskbar {
    is_known: bool,
    shown: Option<Shown>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Percent(u64),
    Unknown,
}

impl Taskbar {
    /// The one of the terminal that the environment of this process speaks of.
    pub fn of_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// The one that these variables speak of.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is = |name: &str, value: &str| variable(name).is_some_and(|found| found == value);
        let is_set = |name: &str| variable(name).is_some_and(|found| !found.is_empty());
        let term = variable("TERM").unwrap_or_default();
        let is_multiplexed = is_set("TMUX")
            || is_set("STY")
            || ["tmux", "screen", "dumb"]
                .iter()
                .any(|prefix| term.starts_with(prefix));
        let iterm_knows = is("TERM_PROGRAM", "iTerm.app")
            && variable("TERM_FEATURES").is_some_and(|features| features.contains('P'));
        let is_known = is_set("WT_SESSION")
            || is("ConEmuANSI", "ON")
            || is("TERM_PROGRAM", "WezTerm")
            || is("TERM_PROGRAM", "ghostty")
            || iterm_knows;
        Self {
            is_known: is_known && !is_multiplexed,
            shown: None,
        }
    }

    /// What to send so that it shows this, if it does not already; `None` is work of unknown size.
    pub fn show(&mut self, percent: Option<u64>) -> Option<String> {
        let shown = percent.map_or(Shown::Unknown, |percent| Shown::Percent(percent.min(100)));
        if !self.is_known || self.shown == Some(shown) {
            return None;
        }
        self.shown = Some(shown);
        Some(match shown {
            Shown::Percent(percent) => format!("\x1b]9;4;1;{percent}\x1b\\"),
            Shown::Unknown => "\x1b]9;4;3;\x1b\\".to_owned(),
        })
    }

    /// What to send so that it shows nothing, if it shows something.
    pub fn clear(&mut self) -> Option<&'static str> {
        self.shown.take().map(|_| CLEAR)
    }

    /// The same where nobody knows any more what it shows.
    pub fn abandon(&self) -> Option<&'static str> {
        self.is_known.then_some(CLEAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Taskbar {
        Taskbar::of(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn only_terminals_that_know_it_are_sent_anything() {
        let known: [&[(&str, &str)]; 5] = [
            &[("WT_SESSION", "0d1c"), ("TERM", "xterm-256color")],
            &[("ConEmuANSI", "ON")],
            &[("TERM_PROGRAM", "WezTerm")],
            &[("TERM_PROGRAM", "ghostty"), ("TERM", "xterm-ghostty")],
            &[
                ("TERM_PROGRAM", "iTerm.app"),
                ("TERM_FEATURES", "T3LrMSc7UUw9Ts3BFGsSyHNoSxFP"),
            ],
        ];
        for variables in known {
            assert!(of(variables).show(Some(1)).is_some(), "{variables:?}");
        }
        let unknown: [&[(&str, &str)]; 6] = [
            &[],
            &[("TERM", "xterm-256color")],
            &[("ConEmuANSI", "OFF")],
            &[("TERM_PROGRAM", "iTerm.app"), ("TERM_FEATURES", "T3")],
            &[("WT_SESSION", "0d1c"), ("TMUX", "/tmp/tmux-0/default,1,0")],
            &[("TERM_PROGRAM", "ghostty"), ("TERM", "screen-256color")],
        ];
        for variables in unknown {
            let mut taskbar = of(variables);
            assert_eq!(taskbar.show(Some(1)), None, "{variables:?}");
            assert_eq!(taskbar.clear(), None);
            assert_eq!(taskbar.abandon(), None);
        }
    }

    #[test]
    fn it_is_told_what_changes_and_cleared_once() {
        let mut taskbar = of(&[("TERM_PROGRAM", "ghostty")]);
        assert_eq!(taskbar.clear(), None, "nothing was shown");
        assert_eq!(taskbar.show(None).as_deref(), Some("\x1b]9;4;3;\x1b\\"));
        assert_eq!(
            taskbar.show(Some(45)).as_deref(),
            Some("\x1b]9;4;1;45\x1b\\")
        );
        assert_eq!(taskbar.show(Some(45)), None);
        assert_eq!(taskbar.clear(), Some("\x1b]9;4;0;\x1b\\"));
        assert_eq!(taskbar.clear(), None);
    }
}
