//! Who has content: `GET /routing/v1/providers/{cid}` (HTTP routing V1, IPIP-0337; filters by
//! IPIP-0484).
//!
//! What comes back are addresses that anybody may have announced. Only HTTPS servers of the public
//! internet pass (see [`crate::gateway::address`]), few of them, and they are to be asked through
//! [`Client::discovered`](crate::gateway::client::Client::discovered) alone.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;

use crate::content::cid::{self, Cid};
use crate::gateway::address::Reach;
use crate::gateway::body::{Body, Extent};
use crate::gateway::client::Traffic;
use crate::gateway::error::{Advice, Fault, GatewayError};
use crate::gateway::request::{Ask, beginning};
use crate::gateway::response;
use crate::gateway::routing::Router;
use crate::gateway::routing::record::{PROTOCOL, Sieve};

/// The most of an answer that is read: four times what boxo reads, some ten thousand providers.
const MAX_BODY: u64 = 4 << 20;
const LINES: &str = "application/x-ndjson";
const JSON: &str = "application/json";
/// The one that streams is preferred.
const ACCEPT: &str = "application/x-ndjson, application/json;q=0.9";

/// An HTTP server that is said to have what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Base URL of a trustless gateway, without a trailing slash.
    pub url: String,
    /// Who it says it is; not proved, and one harmless line.
    pub peer: Option<String>,
}

/// Providers as they come in.
#[derive(Debug)]
pub struct Providers {
    found: VecDeque<Provider>,
    sieve: Sieve,
    /// The rest of the answer, while lines may follow.
    lines: Option<Lines>,
}

impl Router {
    /// Asks who has `cid`. The first provider may be there long before the last.
    ///
    /// # Errors
    /// Any [`Fault`], but not for status 404: it means none.
    pub async fn providers(&self, cid: &Cid, reach: Reach) -> Result<Providers, GatewayError> {
        let mut providers = Providers {
            found: VecDeque::new(),
            sieve: Sieve::new(reach),
            lines: None,
        };
        // What an identity CID names is in the CID.
        if cid::identity(cid).is_some() {
            return Ok(providers);
        }
        let url = self.endpoint("providers", &query(cid, reach));
        let response = self
            .inner
            .ask(Ask::get(&url, ACCEPT, Traffic::Block))
            .await?;
        let response = match self.inner.expect(response, &[StatusCode::OK], &url).await {
            Err(error) if error.advice() == Advice::Absent => return Ok(providers),
            done => done?,
        };
        let media_type = response::media_type(response.headers());
        if media_type.as_deref() == Some(LINES) {
            let body = self.inner.body(response, &url, Extent::AtMost(MAX_BODY));
            providers.lines = Some(Lines::new(body));
            return Ok(providers);
        }
        let fault = |fault| GatewayError::new(&url, fault);
        let body = self.document(response, media_type, &url).await?;
        providers.found = providers.sieve.document(&body).map_err(fault)?.into();
        Ok(providers)
    }

    async fn document(
        &self,
        mut response: reqwest::Response,
        media_type: Option<String>,
        url: &str,
    ) -> Result<Bytes, GatewayError> {
        if media_type.as_deref() != Some(JSON) {
            let fault = Fault::WrongType {
                wanted: JSON,
                got: media_type.unwrap_or_else(|| "no media type".to_owned()),
                excerpt: response::excerpt(&beginning(&mut response).await),
            };
            return Err(GatewayError::new(url, fault));
        }
        let extent = response::check_block_length(response.headers(), MAX_BODY)
            .map_err(|fault| GatewayError::new(url, fault))?;
        self.inner.body(response, url, extent).collect().await
    }
}

/// The CID in one spelling and the filters in one order, so that caches on the way can help.
fn query(cid: &Cid, reach: Reach) -> String {
    let addresses = match reach {
        Reach::Public => "https,tls",
        Reach::Any => "http,https,tls",
    };
    let cid = Cid::new_v1(cid.codec(), *cid.hash());
    format!(
        "{}?filter-addrs={addresses}&filter-protocols={PROTOCOL}",
        cid::text(&cid)
    )
}

impl Providers {
    /// The next provider, each base URL once; `None` after the last that is taken.
    ///
    /// # Errors
    /// Whatever keeps the answer from going on; what was found before stays found.
    pub async fn next(&mut self) -> Result<Option<Provider>, GatewayError> {
        loop {
            if let Some(provider) = self.found.pop_front() {
                return Ok(Some(provider));
            }
            let Some(lines) = &mut self.lines else {
                return Ok(None);
            };
            let line = match lines.next().await {
                Ok(line) if !self.sieve.is_full() => line,
                Ok(_) => None,
                Err(error) => {
                    self.lines = None;
                    return Err(error);
                }
            };
            match line {
                Some(line) => self.found = self.sieve.line(&line).into(),
                None => self.lines = None,
            }
        }
    }
}

/// A body in lines. The last one needs no line feed.
#[derive(Debug)]
struct Lines {
    body: Body,
    /// Bounded by [`MAX_BODY`], as the body is.
    held: BytesMut,
    /// Bytes of `held` that hold no line feed.
    searched: usize,
}

impl Lines {
    fn new(body: Body) -> Self {
        Self {
            body,
            held: BytesMut::new(),
            searched: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, GatewayError> {
        loop {
            let found = self.held[self.searched..].iter().position(|&b| b == b'\n');
            if let Some(at) = found {
                let line = self.held.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.held.len();
            match self.body.chunk().await? {
                Some(piece) => self.held.extend_from_slice(&piece),
                None if self.held.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(self.held.split().freeze()));
                }
            }
        }
    }
}
