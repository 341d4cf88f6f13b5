//! Plain files at any URL: mirrors, object stores, release pages.
//!
//! Nothing that such a server says about a file is believed further than lengths and ranges can be
//! checked; names that it suggests are not even read. What may be joined to bytes of an earlier
//! answer, a strong [`Validator`] says, compared here too: some servers ignore `If-Range`.

mod header;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use reqwest::header::{ACCEPT_RANGES, HeaderMap, IF_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use crate::content::cid::Cid;
use crate::content::ranges::ByteRange;
use crate::gateway::body::{Body, Extent};
use crate::gateway::client::{Client, Traffic};
use crate::gateway::error::{self, Fault, GatewayError, without_credentials};
use crate::gateway::netrc::Login;
pub use crate::gateway::plain::header::{HeaderError, header};
use crate::gateway::rate::RateLimit;
use crate::gateway::request::{Ask, Gateway};
use crate::gateway::response;
use crate::gateway::validator::Validator;

/// One file at one URL. A clone is the same file.
#[derive(Clone)]
pub struct Plain {
    /// Asked as gateways are: same connections, redirects, limits and patience.
    inner: Gateway,
    /// With the login, if there is one.
    url: Url,
}

/// What is known of a file before its bytes are fetched. A hint, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its length in bytes.
    pub total: Option<u64>,
    /// Tells this version from others.
    pub validator: Option<Validator>,
    /// Whether the server honours `Range`, where it says so.
    pub honours_range: Option<bool>,
    /// Whether it is a page for people, as the index of a directory is.
    pub is_page: bool,
}

/// Bytes of a file, from where they begin to the end of the file.
#[derive(Debug)]
pub struct Bytes {
    /// The bytes. Without a `total` they may go on for ever: the reader must stop at a limit of
    /// its own, and cannot tell a broken-off end from the end.
    pub body: Body,
    /// The length of the whole file, if the server says it.
    pub total: Option<u64>,
    /// Tells this version from others.
    pub validator: Option<Validator>,
}

/// What a server makes of the wish to go on at an offset.
#[derive(Debug)]
pub enum Reply {
    /// The bytes from the offset on, of the same file.
    Rest(Bytes),
    /// The whole file: `Range` was ignored, or the file is another one by now.
    Whole(Bytes),
    /// Nothing is at the offset (416): the file ends before it, or at it.
    Past {
        /// The length of the file, if the server says it.
        total: Option<u64>,
    },
    /// A part of another file than the one that was begun; its bytes must not be joined.
    Changed,
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").field("url", &self.url()).finish()
    }
}

impl Plain {
    /// The file at `url`: `http` or `https`, a query allowed. `headers` are sent to the origin of
    /// `url` only, never along a redirect to another one. Sends nothing yet.
    ///
    /// # Errors
    /// [`Fault::BadUrl`] and [`Fault::BadHeader`].
    pub fn new(
        client: Client,
        url: &str,
        headers: Vec<(String, String)>,
        rate: Option<Arc<RateLimit>>,
    ) -> Result<Self, GatewayError> {
        let fail = |reason: String| GatewayError::new(url, Fault::BadUrl(reason));
        let mut parsed = Url::parse(url).map_err(|error| fail(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(fail("its scheme is neither http nor https".to_owned()));
        }
        parsed.set_fragment(None);
        let origin = parsed.origin().ascii_serialization();
        Ok(Self {
            inner: Gateway::new(client, &origin, headers, rate)?,
            url: parsed,
        })
    }

    /// The plain bytes of `cid` behind a path gateway; `None` if its base URL bears no path.
    pub fn behind(gateway: &Gateway, cid: &Cid) -> Option<Self> {
        Some(Self {
            url: Url::parse(&gateway.plain_url(cid)).ok()?,
            inner: gateway.clone(),
        })
    }

    /// The same file with a login (`--netrc`), unless the URL holds one itself.
    #[must_use]
    pub fn with_login(mut self, login: &Login) -> Self {
        if self.url.username().is_empty() && self.url.password().is_none() {
            // These fail only for URLs without a host, and http URLs have one.
            let _ = self.url.set_username(&login.user);
            let _ = self.url.set_password(Some(&login.password));
        }
        self
    }

    /// The URL, without credentials.
    pub fn url(&self) -> String {
        without_credentials(self.url.as_str())
    }

    /// The base URL of the server that has it.
    pub fn server(&self) -> &str {
        self.inner.url()
    }

    /// Looks at the file without fetching it: HEAD, or its first byte where HEAD is refused, as
    /// object stores do for signed URLs.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub async fn look(&self) -> Result<Facts, GatewayError> {
        let mut ask = Ask::get(self.url.as_str(), "*/*", Traffic::Bulk);
        ask.method = Method::HEAD;
        let response = self.inner.ask(ask).await?;
        if refuses_head(response.status()) {
            return self.look_by_range().await;
        }
        let response = self.expect(response, &[StatusCode::OK]).await?;
        let headers = response.headers();
        Ok(Facts {
            total: response::content_length(headers),
            validator: Validator::of(headers),
            honours_range: accepts_ranges(headers),
            is_page: is_page(headers),
        })
    }

    /// The same by its first byte.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub async fn look_by_range(&self) -> Result<Facts, GatewayError> {
        let ask = self.ask().with(RANGE, "bytes=0-0");
        let response = self.inner.ask(ask).await?;
        let statuses = [
            StatusCode::OK,
            StatusCode::PARTIAL_CONTENT,
            StatusCode::RANGE_NOT_SATISFIABLE,
        ];
        let response = self.expect(response, &statuses).await?;
        let headers = response.headers();
        let is_part = response.status() != StatusCode::OK;
        Ok(Facts {
            total: if is_part {
                response::range_total(headers)
            } else {
                response::content_length(headers)
            },
            validator: Validator::of(headers),
            honours_range: Some(is_part),
            is_page: is_page(headers),
        })
    }

    /// The whole file.
    ///
    /// # Errors
    /// Any [`Fault`].
    pub async fn whole(&self) -> Result<Bytes, GatewayError> {
        let response = self.inner.ask(self.ask()).await?;
        let response = self.expect(response, &[StatusCode::OK]).await?;
        Ok(self.whole_of(response))
    }

    /// The file from `offset` on, where its first bytes are here already; `validator` is that of
    /// the answer that brought them, and `total` the length of the file, as far as they are known.
    ///
    /// # Errors
    /// Any [`Fault`]; [`Fault::WrongRange`] where a part of other bytes is sent.
    pub async fn rest(
        &self,
        offset: u64,
        total: Option<u64>,
        validator: Option<&Validator>,
    ) -> Result<Reply, GatewayError> {
        let mut ask = self.ask().with(RANGE, &format!("bytes={offset}-"));
        if let Some(validator) = validator {
            ask = ask.with(IF_RANGE, &validator.if_range());
        }
        let response = self.inner.ask(ask).await?;
        match response.status() {
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(Reply::Past {
                total: response::range_total(response.headers()),
            }),
            StatusCode::PRECONDITION_FAILED => Ok(Reply::Changed),
            StatusCode::PARTIAL_CONTENT => {
                let response = self
                    .expect(response, &[StatusCode::PARTIAL_CONTENT])
                    .await?;
                self.rest_of(response, offset, total, validator)
            }
            _ => {
                let response = self.expect(response, &[StatusCode::OK]).await?;
                Ok(Reply::Whole(self.whole_of(response)))
            }
        }
    }

    /// The bytes `range` of the file, which has `total` bytes, for a proof of their own. The body
    /// yields exactly `range.len()` bytes, or an error.
    ///
    /// # Errors
    /// Any [`Fault`]; [`Fault::RangeIgnored`] and [`Fault::WrongRange`] if the answer is not that
    /// range.
    pub async fn range(&self, range: ByteRange, total: u64) -> Result<Body, GatewayError> {
        let ask = self.ask().with(RANGE, &format!("bytes={range}"));
        let response = self.inner.ask(ask).await?;
        let wanted = [StatusCode::PARTIAL_CONTENT, StatusCode::OK];
        let response = self.expect(response, &wanted).await?;
        let extent = response::check_range(response.status(), response.headers(), range, total)
            .map_err(|fault| self.fault(fault))?;
        Ok(self.inner.body(response, self.url.as_str(), extent))
    }

    fn ask(&self) -> Ask<'_> {
        Ask::get(self.url.as_str(), "*/*", Traffic::Bulk)
    }

    async fn expect(
        &self,
        response: Response,
        wanted: &[StatusCode],
    ) -> Result<Response, GatewayError> {
        let url = self.url.as_str();
        self.inner.expect(response, wanted, url).await
    }

    fn fault(&self, fault: Fault) -> GatewayError {
        GatewayError::new(self.url.as_str(), fault)
    }

    fn whole_of(&self, response: Response) -> Bytes {
        let total = response::content_length(response.headers());
        self.bytes(response, total, total)
    }

    fn rest_of(
        &self,
        response: Response,
        offset: u64,
        total: Option<u64>,
        validator: Option<&Validator>,
    ) -> Result<Reply, GatewayError> {
        let headers = response.headers();
        let stated = response::check_rest(headers, offset).map_err(|fault| self.fault(fault))?;
        let end = offset.saturating_add(stated.len);
        let is_other_size = total.is_some_and(|total| match stated.total {
            Some(stated) => stated != total,
            None => end > total,
        });
        let is_other = validator.is_some_and(|validator| !validator.is_met(headers));
        if is_other_size || is_other {
            return Ok(Reply::Changed);
        }
        Ok(Reply::Rest(self.bytes(
            response,
            stated.total,
            Some(stated.len),
        )))
    }

    /// A body of `len` bytes, or of nobody knows how many.
    fn bytes(&self, response: Response, total: Option<u64>, len: Option<u64>) -> Bytes {
        let validator = Validator::of(response.headers());
        let extent = len.map_or(Extent::Open, Extent::Exactly);
        Bytes {
            body: self.inner.body(response, self.url.as_str(), extent),
            total,
            validator,
        }
    }
}

/// Statuses by which servers refuse HEAD where they would answer GET.
fn refuses_head(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 403 | 404 | 405 | 501)
}

fn is_page(headers: &HeaderMap) -> bool {
    let media_type = response::media_type(headers);
    media_type.is_some_and(|media_type| error::is_page(&media_type))
}

fn accepts_ranges(headers: &HeaderMap) -> Option<bool> {
    let value = headers.get(ACCEPT_RANGES)?.to_str().ok()?;
    match value.trim().to_ascii_lowercase().as_str() {
        "bytes" => Some(true),
        "none" => Some(false),
        _ => None,
    }
}
