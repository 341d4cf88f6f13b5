//! Values of the configuration that have a spelling of their own.

use std::fmt;

use clap::ValueEnum;
use url::Url;

use crate::cli::ProgressStyle;
use crate::content::hash::HashPolicy;
use crate::settings::format::Word;

/// When delegated routing is asked for providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// When the gateways have not got it.
    Fallback,
    /// From the beginning.
    Always,
    /// Never.
    Off,
}

impl Word for Discovery {
    fn parse(text: &str) -> Result<Self, String> {
        [Discovery::Fallback, Discovery::Always, Discovery::Off]
            .into_iter()
            .find(|discovery| discovery.text() == text)
            .ok_or_else(|| "expected \"fallback\", \"always\" or \"off\"".to_owned())
    }

    fn text(&self) -> &str {
        match self {
            Discovery::Fallback => "fallback",
            Discovery::Always => "always",
            Discovery::Off => "off",
        }
    }
}

/// How progress is shown, unless a flag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// As fits what standard error is.
    Auto,
    /// In this style.
    Always(ProgressStyle),
}

impl Word for Progress {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Progress::Auto);
        }
        ProgressStyle::from_str(text, false)
            .map(Progress::Always)
            .map_err(|_| "expected \"auto\", \"bar\", \"plain\", \"json\" or \"none\"".to_owned())
    }

    fn text(&self) -> &str {
        match self {
            Progress::Auto => "auto",
            Progress::Always(ProgressStyle::Bar) => "bar",
            Progress::Always(ProgressStyle::Plain) => "plain",
            Progress::Always(ProgressStyle::Json) => "json",
            Progress::Always(ProgressStyle::None) => "none",
        }
    }
}

/// How DNSLink names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dns {
    /// With the resolver of the system.
    System,
    /// With this DNS-over-HTTPS resolver.
    Https(BaseUrl),
}

impl Word for Dns {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "system" => Ok(Dns::System),
            url => BaseUrl::http(url)
                .map(Dns::Https)
                .map_err(|error| format!("expected \"system\" or a URL: {error}")),
        }
    }

    fn text(&self) -> &str {
        match self {
            Dns::System => "system",
            Dns::Https(url) => url.as_str(),
        }
    }
}

/// A base URL as it was given, without trailing slashes: http, https, or `file` for a CAR on disk.
///
/// It holds no user name, password, query or fragment, so that it can be printed and extended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseUrl(String);

/// Routing services to begin with, as of 2026-11.
const DEFAULT_ROUTERS: [&str; 1] = ["https://delegated-ipfs.dev"];

impl BaseUrl {
    /// A gateway: http, https or file.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // The text itself is not part of the message: it may hold a password.
        let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https" | "file") {
            return Err("not a URL that begins with http:// or https://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "a URL cannot hold a user name or a password; set a header instead".to_owned(),
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("a base URL has no query and no fragment".to_owned());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// A service: http or https.
    pub fn http(text: &str) -> Result<Self, String> {
        let url = Self::new(text)?;
        if url.is_file() {
            Err("not a URL that begins with http:// or https://".to_owned())
        } else {
            Ok(url)
        }
    }

    /// Whether it names a file on disk.
    pub fn is_file(&self) -> bool {
        self.0
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The routing services to begin with.
    pub(super) fn default_routers() -> Vec<Self> {
        DEFAULT_ROUTERS
            .iter()
            .map(|url| Self((*url).to_owned()))
            .collect()
    }
}

impl Word for BaseUrl {
    fn parse(text: &str) -> Result<Self, String> {
        Self::http(text)
    }

    fn text(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A weak hash that the user accepts knowingly: a name that [`HashPolicy::with_weak`] knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeakHash(String);

impl AsRef<str> for WeakHash {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Word for WeakHash {
    fn parse(text: &str) -> Result<Self, String> {
        HashPolicy::with_weak(&[text]).map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }

    fn text(&self) -> &str {
        &self.0
    }
}
