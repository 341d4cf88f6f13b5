//! The title of the terminal's window or tab: how far the work is, for whoever looks elsewhere.
//!
//! A title that was there before must come back, so it is sent only to terminals that are known to
//! keep titles on a stack (`CSI 22 ; 2 t` and `CSI 23 ; 2 t`, xterm's control sequences). No
//! colour, so `NO_COLOR` says nothing of it. Invariant: what was pushed is popped once.

/// Puts the title that is there on the stack.
const PUSH: &str = "\x1b[22;2t";
/// Takes it from there.
const POP: &str = "\x1b[23;2t";

/// First version of VTE, the widget of many terminals, that keeps titles: 0.54, as it spells it.
const VTE_KEEPS_TITLES: u32 = 5400;

/// What the title is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    is_known: bool,
    shown: Option<String>,
}

impl Title {
    /// The one of the terminal that the environment of this process speaks of.
    pub fn of_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// The one that these variables speak of. A multiplexer speaks for itself, whatever it runs in.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let said = |name: &str| variable(name).filter(|value| !value.is_empty());
        let term = said("TERM").unwrap_or_default();
        let terms = ["xterm-kitty", "alacritty", "foot"];
        let keeps_titles = || {
            let vte = said("VTE_VERSION").and_then(|version| version.parse::<u32>().ok());
            said("XTERM_VERSION").is_some()
                || said("TERM_PROGRAM").is_some_and(|program| program == "iTerm.app")
                || vte.is_some_and(|version| version >= VTE_KEEPS_TITLES)
                || terms.iter().any(|known| term.starts_with(known))
        };
        let is_known = match (said("STY"), said("TMUX")) {
            _ if term == "dumb" => false,
            (Some(_), _) => false,
            (None, Some(_)) => true,
            (None, None) => !term.starts_with("screen") && keeps_titles(),
        };
        Self {
            is_known,
            shown: None,
        }
    }

    /// What to send so that it is this, if it is not already. Nothing in `text` is special to a
    /// terminal.
    pub fn show(&mut self, text: &str) -> Option<String> {
        if !self.is_known || self.shown.as_deref() == Some(text) {
            return None;
        }
        let push = if self.shown.is_none() { PUSH } else { "" };
        self.shown = Some(text.to_owned());
        Some(format!("{push}\x1b]2;{text}\x1b\\"))
    }

    /// What to send so that it is what it was before, if it is another.
    pub fn clear(&mut self) -> Option<&'static str> {
        self.shown.take().map(|_| POP)
    }

    /// The same for one that somebody else has shown.
    pub fn abandon(&self) -> Option<&'static str> {
        self.is_known.then_some(POP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Title {
        Title::of(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn only_terminals_that_give_the_old_one_back_get_a_new_one() {
        let known: [&[(&str, &str)]; 7] = [
            &[("XTERM_VERSION", "XTerm(390)"), ("TERM", "xterm-256color")],
            &[("VTE_VERSION", "7600"), ("TERM", "xterm-256color")],
            &[("TERM_PROGRAM", "iTerm.app")],
            &[("TERM", "xterm-kitty")],
            &[("TERM", "alacritty")],
            &[("TERM", "foot-direct")],
            &[
                ("TMUX", "/tmp/tmux-0/default,1,0"),
                ("TERM", "screen-256color"),
            ],
        ];
        for variables in known {
            assert!(of(variables).show("1%").is_some(), "{variables:?}");
        }
        let unknown: [&[(&str, &str)]; 7] = [
            &[],
            &[("TERM", "xterm-256color")],
            &[("TERM", "dumb"), ("TMUX", "/tmp/tmux-0/default,1,0")],
            &[("VTE_VERSION", "5202")],
            &[("TERM_PROGRAM", "Apple_Terminal")],
            &[("STY", "1.pts-0"), ("TMUX", "/tmp/tmux-0/default,1,0")],
            &[("VTE_VERSION", "7600"), ("TERM", "screen-256color")],
        ];
        for variables in unknown {
            let mut title = of(variables);
            assert_eq!(title.show("1%"), None, "{variables:?}");
            assert_eq!((title.clear(), title.abandon()), (None, None));
        }
    }

    #[test]
    fn the_old_one_is_kept_once_and_given_back_once() {
        let mut title = of(&[("TERM", "alacritty")]);
        assert_eq!(title.clear(), None, "nothing was shown");
        for _ in 0..2 {
            let first = title.show("1% a");
            assert_eq!(first.as_deref(), Some("\x1b[22;2t\x1b]2;1% a\x1b\\"));
            assert_eq!(title.show("1% a"), None);
            assert_eq!(title.show("2% a").as_deref(), Some("\x1b]2;2% a\x1b\\"));
            assert_eq!(title.clear(), Some("\x1b[23;2t"));
            assert_eq!(title.clear(), None);
        }
    }
}
