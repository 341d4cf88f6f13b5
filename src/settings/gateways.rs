//! The gateways of a configuration: which, in which order, with which headers.
//!
//! Knows nothing of what a gateway can do or how it fares. Header values are secrets: they appear
//! in no debug output and in no message.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use url::Url;

use crate::gateway::defaults::GATEWAYS;
use crate::settings::environment::Environment;
use crate::settings::error::SettingsError;
use crate::settings::keys::Origin;
use crate::settings::words::BaseUrl;

/// Most gateways that a file may list: each is a connection pool and a row of the store.
const MAX_GATEWAYS: usize = 1000;

/// A provider as the configuration has it.
#[derive(Clone, PartialEq, Eq)]
pub struct GatewayEntry {
    /// Base URL as given, without a trailing slash; for `--gateway` it may be the path of a CAR.
    pub url: String,
    /// Greater is asked earlier; equal ones in the order of the list.
    pub priority: i32,
    /// Connections to it, if other than `per_gateway`.
    pub connections: Option<u32>,
    /// Headers that go with every request, variables replaced.
    pub headers: Vec<(String, String)>,
    /// Whether to ask it at all.
    pub enabled: bool,
    /// Who names it.
    pub origin: Origin,
}

impl fmt::Debug for GatewayEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("GatewayEntry")
            .field("url", &self.url)
            .field("priority", &self.priority)
            .field("connections", &self.connections)
            .field("headers", &names)
            .field("enabled", &self.enabled)
            .field("origin", &self.origin)
            .finish()
    }
}

impl GatewayEntry {
    /// A gateway without wishes.
    pub fn plain(url: String, origin: Origin) -> Self {
        Self {
            url,
            priority: 0,
            connections: None,
            headers: Vec::new(),
            enabled: true,
            origin,
        }
    }

    /// Whether it is on this machine: skipped in silence when nothing listens.
    pub fn is_local(&self) -> bool {
        let host = Url::parse(&self.url).ok();
        match host.as_ref().and_then(Url::host) {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

/// One `[[gateways]]` table of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GatewayTable {
    #[serde(deserialize_with = "base_url")]
    url: BaseUrl,
    #[serde(default)]
    priority: i32,
    connections: Option<NonZeroU32>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "enabled")]
    enabled: bool,
}

fn base_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BaseUrl, D::Error> {
    BaseUrl::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn enabled() -> bool {
    true
}

/// The gateways in the order in which they are to be asked: what curl shares, then those of the
/// strongest layer that names any.
pub(super) fn resolve(
    environment: &Environment,
    file: Option<Vec<GatewayTable>>,
    shared: Option<BaseUrl>,
) -> Result<Vec<GatewayEntry>, SettingsError> {
    let mut gateways = match (from_variable(environment)?, file) {
        (Some(list), _) => list,
        (None, Some(tables)) => from_tables(environment, tables)?,
        (None, None) => GATEWAYS
            .iter()
            .map(|known| GatewayEntry::plain(known.url.to_owned(), Origin::Default))
            .collect(),
    };
    // Stable, so that equal ones keep their order.
    gateways.sort_by_key(|gateway| std::cmp::Reverse(gateway.priority));
    if let Some(url) = shared {
        put_first(&mut gateways, url.as_str());
    }
    Ok(gateways)
}

/// Moves a gateway to the front with what is configured for it, or adds it there.
fn put_first(gateways: &mut Vec<GatewayEntry>, url: &str) {
    let entry = match gateways.iter().position(|gateway| gateway.url == url) {
        Some(index) => gateways.remove(index),
        None => GatewayEntry::plain(url.to_owned(), Origin::Environment),
    };
    gateways.insert(0, entry);
}

/// `FETCHD_GATEWAYS`: URLs separated by spaces.
fn from_variable(environment: &Environment) -> Result<Option<Vec<GatewayEntry>>, SettingsError> {
    const NAME: &str = "FETCHD_GATEWAYS";
    let Some(text) = environment.text(NAME)? else {
        return Ok(None);
    };
    let mut list: Vec<GatewayEntry> = Vec::new();
    for word in text.split_whitespace() {
        let url = BaseUrl::new(word).map_err(|reason| SettingsError::Variable {
            name: NAME.to_owned(),
            reason,
        })?;
        if list.iter().all(|known| known.url != url.as_str()) {
            list.push(GatewayEntry::plain(
                url.as_str().to_owned(),
                Origin::Environment,
            ));
        }
    }
    Ok(Some(list))
}

fn from_tables(
    environment: &Environment,
    tables: Vec<GatewayTable>,
) -> Result<Vec<GatewayEntry>, SettingsError> {
    let mut list: Vec<GatewayEntry> = Vec::new();
    for table in tables {
        let entry = from_table(environment, table)?;
        let wrong = if list.iter().any(|known| known.url == entry.url) {
            Some(format!("{} is listed twice", entry.url))
        } else if list.len() >= MAX_GATEWAYS {
            Some(format!("more than {MAX_GATEWAYS} are listed"))
        } else {
            None
        };
        if let Some(reason) = wrong {
            return Err(SettingsError::Gateway {
                origin: "the configuration file".to_owned(),
                reason,
            });
        }
        list.push(entry);
    }
    Ok(list)
}

fn from_table(
    environment: &Environment,
    table: GatewayTable,
) -> Result<GatewayEntry, SettingsError> {
    let mut headers = Vec::new();
    for (name, value) in table.headers {
        let value = header(environment, &name, &value).map_err(|reason| SettingsError::Header {
            gateway: table.url.as_str().to_owned(),
            header: name.clone(),
            reason,
        })?;
        headers.push((name, value));
    }
    Ok(GatewayEntry {
        url: table.url.as_str().to_owned(),
        priority: table.priority,
        connections: table.connections.map(NonZeroU32::get),
        headers,
        enabled: table.enabled,
        origin: Origin::File,
    })
}

/// A header that can be sent, variables replaced. The reason for a refusal never holds the value.
pub(super) fn header(environment: &Environment, name: &str, value: &str) -> Result<String, String> {
    HeaderName::try_from(name).map_err(|_| "not the name of a header".to_owned())?;
    let value = expand(value, |variable| match environment.text(variable) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(format!("environment variable {variable} is not set")),
        Err(_) => Err(format!(
            "environment variable {variable} is not valid UTF-8"
        )),
    })?;
    HeaderValue::try_from(value.as_str())
        .map_err(|_| "the value cannot be sent in a header".to_owned())?;
    Ok(value)
}

/// Replaces each `${NAME}`, once: what a variable holds is not looked at again.
fn expand(text: &str, lookup: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, tail) = after.split_once('}').ok_or("a \"${\" without its \"}\"")?;
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err("what stands in \"${…}\" is not the name of a variable".to_owned());
        }
        expanded.push_str(before);
        expanded.push_str(&lookup(name)?);
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_once() {
        let lookup = |name: &str| {
            if name == "A" {
                Ok("${B}".to_owned())
            } else {
                Err(format!("no {name}"))
            }
        };
        assert_eq!(expand("x${A}y$A$", lookup), Ok("x${B}y$A$".to_owned()));
        assert_eq!(expand("${C}", lookup), Err("no C".to_owned()));
        assert!(expand("${A", lookup).is_err());
        assert!(expand("${}", lookup).is_err());
        assert!(expand("${A B}", lookup).is_err());
    }

    #[test]
    fn loopback_is_local() {
        let local = |url: &str| GatewayEntry::plain(url.to_owned(), Origin::File).is_local();
        assert!(
            [
                "http://127.0.0.1:8080",
                "http://[::1]:1",
                "http://localhost"
            ]
            .into_iter()
            .all(local)
        );
        assert!(
            !["https://ipfs.example", "x.car", "http://localhost.example"]
                .into_iter()
                .any(local)
        );
    }
}
