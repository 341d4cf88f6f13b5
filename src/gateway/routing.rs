//! Delegated routing (HTTP routing V1): services that know where things are: IPNS records, and who
//! has content.
//!
//! Nothing that a router says is proved here, and the addresses that it names are chosen by
//! strangers: see [`providers`].

pub mod providers;
mod record;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::content::cid::{self, Cid};
use crate::content::ipns::MAX_RECORD;
use crate::gateway::client::Client;
use crate::gateway::error::{Advice, Fault, GatewayError};
use crate::gateway::ipns::{self, RECORD};
use crate::gateway::request::Gateway;

/// A service of delegated routing behind one base URL.
#[derive(Debug, Clone)]
pub struct Router {
    /// It is asked as gateways are: same connections, redirects, limits and patience.
    inner: Gateway,
}

impl Router {
    /// A router at `base`, with or without `/routing/v1`. Sends nothing yet.
    ///
    /// # Errors
    /// [`crate::gateway::error::Fault::BadUrl`].
    pub fn new(client: Client, base: &str) -> Result<Self, GatewayError> {
        Ok(Self {
            inner: Gateway::new(client, base, Vec::new(), None)?,
        })
    }

    /// The base URL as given, without trailing slashes.
    pub fn url(&self) -> &str {
        self.inner.url()
    }

    /// The record of `name`, a CID with the codec `libp2p-key`, at most [`MAX_RECORD`] bytes of it
    /// (`GET /routing/v1/ipns/{name}`, IPIP-0379).
    ///
    /// # Errors
    /// Any [`crate::gateway::error::Fault`]; another media type means that there is no record.
    pub async fn ipns_record(&self, name: &Cid) -> Result<Bytes, GatewayError> {
        let url = self.endpoint("ipns", &cid::text(name));
        self.inner.small(&url, RECORD, MAX_RECORD as u64).await
    }

    fn endpoint(&self, what: &str, name: &str) -> String {
        let base = self.url().strip_suffix("/routing/v1");
        format!("{}/routing/v1/{what}/{name}", base.unwrap_or(self.url()))
    }
}

/// What a failed request for a record means. A router that has none may say so in words, as a
/// success (Kubo).
pub fn record_advice(error: &GatewayError) -> Advice {
    match (&error.fault, ipns::record_advice(error)) {
        (Fault::WrongType { .. }, Advice::Unsupported) => Advice::Absent,
        (_, advice) => advice,
    }
}
