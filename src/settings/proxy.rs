//! Whether requests can go through the proxies that the environment names. The HTTP library takes
//! what it does not understand for no proxy at all; who names one does not want requests to go
//! without it. Not responsible for their use.

use http::Uri;

use crate::settings::environment::Environment;
use crate::settings::error::SettingsError;

/// The variables, in both spellings that are in use.
const VARIABLES: [&str; 6] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
];

/// What the HTTP library can speak to a proxy.
const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// Demands that every proxy that is named can be used.
///
/// # Errors
/// [`SettingsError::Variable`] for the first that cannot; it shows nothing of the value, which may
/// hold a password.
pub fn check_proxies(environment: &Environment) -> Result<(), SettingsError> {
    for name in VARIABLES {
        let value = environment.text(name)?;
        if let Some(reason) = value.as_deref().and_then(problem) {
            return Err(SettingsError::Variable {
                name: name.to_owned(),
                reason,
            });
        }
    }
    Ok(())
}

/// What is wrong with the address of a proxy, with or without a scheme.
fn problem(value: &str) -> Option<String> {
    let Some(uri) = value.parse::<Uri>().ok().filter(|uri| uri.host().is_some()) else {
        let reason = "not the address of a proxy, like `http://host:3128`; \
                      write special characters of a login as `%XX`";
        return Some(reason.to_owned());
    };
    let scheme = uri.scheme_str().unwrap_or("http");
    (!SCHEMES.contains(&scheme)).then(|| {
        let known = SCHEMES.join(", ");
        format!("`{scheme}` is no kind of proxy that can be used; known are {known}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_that_can_be_used() {
        for value in [
            "",
            "proxy.lan",
            "proxy.lan:3128",
            "me:pw@proxy.lan:3128",
            "http://10.0.0.1:3128/",
            "https://[::1]:3128",
            "socks5h://me:p%20w@proxy.lan:1080",
        ] {
            for name in VARIABLES {
                let environment = Environment::from_variables([(name, value)]);
                assert!(check_proxies(&environment).is_ok(), "{name}={value}");
            }
        }
    }

    #[test]
    fn proxies_that_cannot_be_used_are_named_without_their_password() {
        for value in [
            "socks://me:secret@proxy.lan:1080",
            "sock5://me:secret@proxy.lan:1080",
            "http://me:secret word@proxy.lan",
            "http://",
            "/secret",
        ] {
            let environment = Environment::from_variables([("https_proxy", value)]);
            let error = check_proxies(&environment).unwrap_err().to_string();
            assert!(error.contains("https_proxy"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
