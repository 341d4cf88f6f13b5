//! What `--header` and `--netrc` send along: to the source and its mirrors, and to nobody else.
//!
//! Invariant: it is never stored, and no message holds a value.

use std::sync::{Arc, OnceLock};

use url::Url;

use crate::commands::error::CommandError;
use crate::content::cid::Base;
use crate::disk::whole_file;
use crate::download::chain;
use crate::exit::ExitKind;
use crate::gateway::netrc::{Login, Netrc};

/// Longest `~/.netrc` that is read.
const MAX_NETRC: u64 = 1 << 20;
/// What helps where `~/.netrc` cannot be used.
const NO_LOGINS: &str = "mend that file, or fetch without --netrc";
/// The header that a login is sent in, in lower case.
const AUTHORIZATION: &str = "authorization";

/// Headers and logins of one invocation.
#[derive(Clone, Default)]
pub struct Secrets {
    /// `--header`, in order; the names in lower case.
    pub headers: Vec<(String, String)>,
    /// Those of `~/.netrc`, read when one is first wanted.
    logins: Arc<OnceLock<Netrc>>,
}

impl Secrets {
    /// The login for the host of a URL, by `~/.netrc`.
    ///
    /// # Errors
    /// Code 78 for a file that cannot be used.
    pub fn login(&self, url: &str) -> Result<Option<&Login>, CommandError> {
        let parsed = Url::parse(url).ok();
        let Some(host) = parsed.as_ref().and_then(Url::host_str) else {
            return Ok(None);
        };
        if self.logins.get().is_none() {
            let read = read_logins()?;
            self.logins.get_or_init(|| read);
        }
        Ok(self.logins.get().and_then(|logins| logins.login(host)))
    }

    /// What a gateway gets whose URL was given as the source: the `configured` headers, those of
    /// the command line in place of what they name too, and the login, if one is wanted and no
    /// header is one.
    ///
    /// # Errors
    /// As [`Secrets::login`].
    pub fn for_gateway(
        &self,
        url: &str,
        configured: &[(String, String)],
        is_login_wanted: bool,
    ) -> Result<Vec<(String, String)>, CommandError> {
        let is_given = |name: &str| {
            let mut given = self.headers.iter();
            given.any(|(own, _)| own.eq_ignore_ascii_case(name))
        };
        let kept = configured.iter().filter(|(name, _)| !is_given(name));
        let mut headers: Vec<_> = kept.chain(&self.headers).cloned().collect();
        let mut names = headers.iter().map(|(name, _)| name);
        let has_login = names.any(|name| name.eq_ignore_ascii_case(AUTHORIZATION));
        if is_login_wanted
            && !has_login
            && let Some(login) = self.login(url)?
        {
            headers.push((AUTHORIZATION.to_owned(), basic(login)));
        }
        Ok(headers)
    }
}

/// A login as Basic authentication has it (RFC 7617).
fn basic(login: &Login) -> String {
    let pair = format!("{}:{}", login.user, login.password);
    format!("Basic {}", Base::Base64Pad.encode(pair))
}

/// The logins of `~/.netrc`; none if there is no such file.
fn read_logins() -> Result<Netrc, CommandError> {
    let Some(home) = directories::BaseDirs::new() else {
        return Ok(Netrc::default());
    };
    let path = home.home_dir().join(".netrc");
    let bytes = match whole_file::read_small(&path, MAX_NETRC) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(Netrc::default()),
        Err(error) => {
            let message = format!("cannot read the logins: {}", chain(&error));
            return Err(CommandError::new(ExitKind::Config, message).hint(NO_LOGINS));
        }
    };
    Netrc::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        CommandError::new(ExitKind::Config, message).hint(NO_LOGINS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        headers.iter().map(owned).collect()
    }

    fn secrets(headers: &[(&str, &str)], netrc: &str) -> Secrets {
        let logins = OnceLock::from(Netrc::parse(netrc).expect("a netrc file"));
        Secrets {
            headers: pairs(headers),
            logins: Arc::new(logins),
        }
    }

    #[test]
    fn what_is_typed_stands_before_what_is_configured() {
        let typed = secrets(&[("authorization", "typed"), ("x-own", "1")], "");
        let configured = pairs(&[("Authorization", "configured"), ("X-Other", "2")]);
        let sent = typed.for_gateway("https://gw.example", &configured, true);
        let expected = [("X-Other", "2"), ("authorization", "typed"), ("x-own", "1")];
        assert_eq!(sent.expect("headers"), pairs(&expected));
    }

    #[test]
    fn a_login_is_sent_only_where_it_is_wanted_and_no_other_is() {
        let netrc = "machine gw.example login user password pass";
        let sent = |headers, url, is_wanted| {
            let sent = secrets(headers, netrc).for_gateway(url, &[], is_wanted);
            sent.expect("headers")
        };
        let login = pairs(&[(AUTHORIZATION, "Basic dXNlcjpwYXNz")]);
        assert_eq!(sent(&[], "https://gw.example:8443", true), login);
        assert_eq!(sent(&[], "https://gw.example", false), []);
        assert_eq!(sent(&[], "https://other.example", true), []);
        let token = [(AUTHORIZATION, "Bearer token")];
        assert_eq!(sent(&token, "https://gw.example", true), pairs(&token));
    }
}
