//! Logins by host, as curl and ftp keep them in `~/.netrc`. Pure.
//!
//! Values are secrets: they appear in no debug output and in no message.

use std::fmt;

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user; may be empty.
    pub user: String,
    /// The password; may be empty.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login { .. }")
    }
}

/// A file of logins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Netrc {
    /// In the order of the file; no host is the entry `default`.
    entries: Vec<(Option<String>, Login)>,
}

/// A file that is no netrc. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct NetrcError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl Netrc {
    /// Reads a file: `machine`, `default`, `login`, `password`, `account` and `macdef` with words
    /// between white space, quoted as curl has it; `#` begins a comment at the start of a word.
    ///
    /// # Errors
    /// [`NetrcError`] with the line.
    pub fn parse(text: &str) -> Result<Self, NetrcError> {
        let mut netrc = Self::default();
        let mut words = Words { text, line: 1 };
        while let Some(word) = words.next()? {
            match word.as_str() {
                "machine" => {
                    let host = words.value("a machine without a name")?;
                    netrc.begin(Some(host.to_ascii_lowercase()));
                }
                "default" => netrc.begin(None),
                "login" => {
                    let user = words.value("a login without a name")?;
                    netrc.entry(&words)?.user = user;
                }
                "password" => {
                    let password = words.value("a password without a value")?;
                    netrc.entry(&words)?.password = password;
                }
                "account" => {
                    words.value("an account without a name")?;
                }
                "macdef" => words.skip_macro(),
                _ => return Err(words.error("a word that is no key of a netrc file")),
            }
        }
        Ok(netrc)
    }

    /// The login for a host, without its port: the first entry of its name, else `default`.
    pub fn login(&self, host: &str) -> Option<&Login> {
        let host = host.to_ascii_lowercase();
        let named = self
            .entries
            .iter()
            .find(|(name, _)| name.as_ref() == Some(&host));
        let found = named.or_else(|| self.entries.iter().find(|(name, _)| name.is_none()));
        found.map(|(_, login)| login)
    }

    fn begin(&mut self, host: Option<String>) {
        let login = Login {
            user: String::new(),
            password: String::new(),
        };
        self.entries.push((host, login));
    }

    fn entry(&mut self, words: &Words<'_>) -> Result<&mut Login, NetrcError> {
        let last = self.entries.last_mut().map(|(_, login)| login);
        last.ok_or_else(|| words.error("a login before any machine"))
    }
}

struct Words<'a> {
    text: &'a str,
    line: usize,
}

impl Words<'_> {
    fn error(&self, what: &'static str) -> NetrcError {
        NetrcError {
            line: self.line,
            what,
        }
    }

    fn value(&mut self, missing: &'static str) -> Result<String, NetrcError> {
        let error = self.error(missing);
        self.next()?.ok_or(error)
    }

    fn next(&mut self) -> Result<Option<String>, NetrcError> {
        loop {
            let trimmed = self.text.trim_start();
            self.advance(self.text.len() - trimmed.len());
            if !self.text.starts_with('#') {
                break;
            }
            self.advance(self.text.find('\n').unwrap_or(self.text.len()));
        }
        if self.text.is_empty() {
            return Ok(None);
        }
        if let Some(rest) = self.text.strip_prefix('"') {
            let (word, len) = quoted(rest).ok_or_else(|| self.error("a quote that never ends"))?;
            self.advance(1 + len);
            return Ok(Some(word));
        }
        let len = self
            .text
            .find(char::is_whitespace)
            .unwrap_or(self.text.len());
        let word = self.text[..len].to_owned();
        self.advance(len);
        Ok(Some(word))
    }

    /// A macro ends with an empty line.
    fn skip_macro(&mut self) {
        let lines = self.text.split_inclusive('\n');
        let is_within = |(n, line): &(usize, &str)| *n == 0 || !line.trim().is_empty();
        let within = lines.enumerate().take_while(is_within);
        let len = within.map(|(_, line)| line.len()).sum();
        self.advance(len);
    }

    fn advance(&mut self, len: usize) {
        let (before, after) = self.text.split_at(len);
        self.line += before.matches('\n').count();
        self.text = after;
    }
}

/// A word up to its closing quote, and the bytes that it takes with it.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((word, at + 1)),
            '\\' => word.push(match chars.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            }),
            other => word.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn login(user: &str, password: &str) -> Login {
        Login {
            user: user.into(),
            password: password.into(),
        }
    }

    #[test]
    fn logins_by_host() {
        let text = "# mine\nmachine A.example login me password p#1\n\
                    macdef init\r\ncd /pub\r\nmachine no\r\n\r\n\
                    machine b.example\n  login \"my self\"\n  account x password \"a\\\"b\\\\\"\n\
                    machine a.example login later\n\
                    default login anonymous password user@site\n";
        let netrc = Netrc::parse(text).unwrap();
        assert_eq!(netrc.login("a.EXAMPLE"), Some(&login("me", "p#1")));
        assert_eq!(netrc.login("b.example"), Some(&login("my self", "a\"b\\")));
        assert_eq!(netrc.login("no"), Some(&login("anonymous", "user@site")));
        assert_eq!(Netrc::parse("").unwrap().login("a.example"), None);
        assert!(!format!("{netrc:?}").contains("p#1"));
    }

    #[test]
    fn what_is_no_netrc_is_refused_by_line() {
        let table = [
            ("machine", 1),
            ("\nlogin me", 2),
            ("machine a\nlogin", 2),
            ("machine a login me\npasswort secret", 2),
            ("machine a password \"secret", 1),
        ];
        for (text, line) in table {
            let error = Netrc::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "((machine|login|password|macdef|default|#|\"|\\\\|\n| |é){0,3}\\PC{0,3}){0,20}") {
            let _ = Netrc::parse(&text);
        }
    }
}
