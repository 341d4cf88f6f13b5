//! The three requests that a gateway can answer: one block, a CAR, a range of plain bytes.

mod small;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use crate::content::cid::{self, Cid};
use crate::content::ranges::ByteRange;
use crate::gateway::body::{Body, Extent};
use crate::gateway::client::{Client, Traffic};
use crate::gateway::defaults;
use crate::gateway::error::{Fault, GatewayError};
use crate::gateway::rate::RateLimit;
use crate::gateway::redirect::{MAX_HOPS, RedirectFault, next_hop};
use crate::gateway::{resolver, response};

pub(super) const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car";
/// `version`, `order` and `dups` here and in the query: servers differ in which of them they read.
const CAR_ACCEPT: &str = "application/vnd.ipld.car;version=1;order=dfs;dups=n";
/// How long an error page may take to arrive: it only makes the message better.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(2);

/// A source of blocks and bytes behind one base URL. A clone is the same gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
    first_byte: Duration,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    /// As given, without trailing slashes.
    url: String,
    /// `url` up to and with `/ipfs/`.
    root: String,
    headers: HeaderMap,
    rate: Option<Arc<RateLimit>>,
    /// Whether the user named a host that is known to be closed, and wants it tried all the same.
    retired: bool,
    sunset: OnceLock<Timestamp>,
}

/// A block as it came: nothing is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The body.
    pub bytes: Bytes,
    /// What the server calls it; makes a failed proof easier to explain.
    pub content_type: Option<String>,
}

/// A request for a CAR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarRequest {
    /// The root of what is wanted.
    pub cid: Cid,
    /// How much of it.
    pub scope: Scope,
}

/// How much of a DAG a CAR is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The root block alone.
    Block,
    /// Everything below the root.
    All,
    /// The blocks of one file, or of one directory without its children.
    Entity {
        /// First byte and last byte, the latter included; `None` is the end of the file.
        range: Option<(u64, Option<u64>)>,
    },
}

/// One request.
pub(super) struct Ask<'a> {
    pub(super) url: &'a str,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) traffic: Traffic,
}

impl<'a> Ask<'a> {
    pub(super) fn get(url: &'a str, accept: &'static str, traffic: Traffic) -> Self {
        Self {
            url,
            method: Method::GET,
            headers: HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]),
            traffic,
        }
    }

    /// With one more header. Values are made here or were checked before; what is no header value
    /// all the same is not sent.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

impl Gateway {
    /// A gateway at `base`: `http` or `https`, a path prefix and credentials allowed, no query.
    /// `headers` are sent to this origin only. Sends nothing yet.
    ///
    /// # Errors
    /// [`Fault::BadUrl`] and [`Fault::BadHeader`].
    pub fn new(
        client: Client,
        base: &str,
        headers: Vec<(String, String)>,
        rate: Option<Arc<RateLimit>>,
    ) -> Result<Self, GatewayError> {
        let url = base.trim_end_matches('/').to_owned();
        let fail = |fault| GatewayError::new(&url, fault);
        let parsed = parse_base(&url).map_err(fail)?;
        let headers = parse_headers(headers).map_err(fail)?;
        let root = format!("{}/ipfs/", url.strip_suffix("/ipfs").unwrap_or(&url));
        let retired = parsed
            .host_str()
            .is_some_and(|host| defaults::retired(host).is_some());
        let first_byte = client.timeouts().first_byte;
        let inner = Inner {
            client,
            url,
            root,
            headers,
            rate,
            retired,
            sunset: OnceLock::new(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            first_byte,
        })
    }

    /// The same gateway with another patience for headers: recursive public ones need a minute.
    #[must_use]
    pub fn with_first_byte_timeout(self, first_byte: Duration) -> Self {
        Self { first_byte, ..self }
    }

    /// The base URL as given, without trailing slashes.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// The end that this gateway announced (`Sunset`), if it did so far.
    pub fn sunset(&self) -> Option<Timestamp> {
        self.inner.sunset.get().copied()
    }

    /// Where the plain bytes of a file are.
    pub(super) fn plain_url(&self, cid: &Cid) -> String {
        format!("{}{}", self.inner.root, cid::text(cid))
    }

    /// Where a block is.
    pub(super) fn block_url(&self, cid: &Cid) -> String {
        format!("{}{}?format=raw", self.inner.root, cid::text(cid))
    }

    /// One block, at most `max` bytes of it, whatever the server calls its type: the proof decides.
    ///
    /// # Errors
    /// Any [`Fault`]; [`Fault::TooLarge`] beyond `max`.
    pub async fn block(&self, cid: &Cid, max: u64) -> Result<Block, GatewayError> {
        let url = self.block_url(cid);
        let response = self.ask(Ask::get(&url, RAW, Traffic::Block)).await?;
        let response = self.expect(response, &[StatusCode::OK], &url).await?;
        let extent = response::check_block_length(response.headers(), max)
            .map_err(|fault| GatewayError::new(&url, fault))?;
        let content_type = response::media_type(response.headers());
        let bytes = self.body(response, &url, extent).collect().await?;
        Ok(Block {
            bytes,
            content_type,
        })
    }

    /// A CAR. Its bytes are neither parsed nor proved, and it may go on for ever: the reader must
    /// stop at a limit of its own.
    ///
    /// # Errors
    /// Any [`Fault`]; [`Fault::WrongType`] if the media type cannot be a CAR's.
    pub async fn car(&self, request: &CarRequest) -> Result<Body, GatewayError> {
        let url = car_url(&self.inner.root, request);
        let response = self.ask(Ask::get(&url, CAR_ACCEPT, Traffic::Bulk)).await?;
        let mut response = self.expect(response, &[StatusCode::OK], &url).await?;
        let media_type = response::media_type(response.headers());
        match media_type {
            Some(got) if !response::may_be_car(Some(&got)) => {
                let excerpt = response::excerpt(&beginning(&mut response).await);
                Err(GatewayError::new(
                    &url,
                    Fault::WrongType {
                        wanted: CAR,
                        got,
                        excerpt,
                    },
                ))
            }
            _ => Ok(self.body(response, &url, Extent::Open)),
        }
    }

    /// The bytes `range` of the file `cid`, which has `total` bytes. The body yields exactly
    /// `range.len()` bytes, or an error.
    ///
    /// # Errors
    /// Any [`Fault`]; [`Fault::RangeIgnored`] and [`Fault::WrongRange`] if the answer is not that
    /// range.
    pub async fn range(
        &self,
        cid: &Cid,
        range: ByteRange,
        total: u64,
    ) -> Result<Body, GatewayError> {
        let url = self.plain_url(cid);
        let ask = Ask::get(&url, "*/*", Traffic::Bulk).with(RANGE, &format!("bytes={range}"));
        let response = self.ask(ask).await?;
        let wanted = [StatusCode::PARTIAL_CONTENT, StatusCode::OK];
        let response = self.expect(response, &wanted, &url).await?;
        let extent = response::check_range(response.status(), response.headers(), range, total)
            .map_err(|fault| GatewayError::new(&url, fault))?;
        Ok(self.body(response, &url, extent))
    }

    pub(super) fn body(&self, response: Response, url: &str, extent: Extent) -> Body {
        Body::new(
            response,
            url,
            self.inner.client.timeouts().stall,
            self.inner.rate.clone(),
            extent,
        )
    }

    /// Refuses any status but `wanted`, and compressed bodies.
    pub(super) async fn expect(
        &self,
        mut response: Response,
        wanted: &[StatusCode],
        url: &str,
    ) -> Result<Response, GatewayError> {
        if let Some(date) = response::sunset(response.headers()) {
            self.inner.sunset.get_or_init(|| date);
        }
        let verdict = if wanted.contains(&response.status()) {
            response::check_identity(response.headers())
        } else {
            let body = beginning(&mut response).await;
            Err(response::refusal(
                response.status(),
                response.headers(),
                &body,
                Timestamp::now(),
            ))
        };
        verdict.map_err(|fault| GatewayError::new(url, fault))?;
        Ok(response)
    }

    /// Sends, follows redirects, waits for headers.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Response, GatewayError> {
        let patience = self.first_byte;
        tokio::time::timeout(patience, self.follow(&ask))
            .await
            .unwrap_or(Err(Fault::FirstByte(patience)))
            .map_err(|fault| GatewayError::new(ask.url, fault))
    }

    async fn follow(&self, ask: &Ask<'_>) -> Result<Response, Fault> {
        let mut url = Url::parse(ask.url).map_err(|error| Fault::BadUrl(error.to_string()))?;
        let mut at_home = true;
        for _ in 0..=MAX_HOPS {
            let response = self.send(&url, at_home, ask).await?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            if !self.inner.client.follows_redirects() {
                return Err(Fault::Redirect(RedirectFault::Discovered));
            }
            let location = response
                .headers()
                .get(LOCATION)
                // Many servers send a path as they have it on disk; `next_hop` encodes it.
                .and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
            let next = next_hop(&url, location).map_err(Fault::Redirect)?;
            self.refuse_retired(&next)?;
            at_home &= next.origin() == url.origin();
            url = next;
        }
        Err(Fault::Redirect(RedirectFault::TooMany))
    }

    /// One request. The gateway's own headers go to its own origin only.
    async fn send(&self, url: &Url, at_home: bool, ask: &Ask<'_>) -> Result<Response, Fault> {
        let client = self.inner.client.http(ask.traffic, url)?;
        let mut request = client.request(ask.method.clone(), url.clone());
        if at_home {
            request = request.headers(self.inner.headers.clone());
        }
        request
            .headers(ask.headers.clone())
            .send()
            .await
            .map_err(|error| send_fault(url, error))
    }

    /// Several old gateways only redirect to one that has closed.
    fn refuse_retired(&self, next: &Url) -> Result<(), Fault> {
        match next.host_str().and_then(defaults::retired) {
            Some(retired) if !self.inner.retired => Err(Fault::Retired {
                host: next.host_str().unwrap_or_default().to_owned(),
                since: retired.since,
                hint: retired.advice,
            }),
            _ => Ok(()),
        }
    }
}

fn car_url(root: &str, request: &CarRequest) -> String {
    let scope = match request.scope {
        Scope::Block => "dag-scope=block".to_owned(),
        Scope::All => "dag-scope=all".to_owned(),
        Scope::Entity { range: None } => "dag-scope=entity".to_owned(),
        // Some servers ignore entity-bytes without the scope that it implies.
        Scope::Entity {
            range: Some((from, to)),
        } => {
            let to = to.map_or("*".to_owned(), |to| to.to_string());
            format!("dag-scope=entity&entity-bytes={from}:{to}")
        }
    };
    format!(
        "{root}{}?format=car&{scope}&car-version=1&car-order=dfs&car-dups=n",
        cid::text(&request.cid)
    )
}

fn parse_base(url: &str) -> Result<Url, Fault> {
    let parsed = Url::parse(url).map_err(|error| Fault::BadUrl(error.to_string()))?;
    let problem = if !matches!(parsed.scheme(), "http" | "https") {
        "its scheme is neither http nor https"
    } else if parsed.query().is_some() || parsed.fragment().is_some() {
        "it has a query or a fragment"
    } else {
        return Ok(parsed);
    };
    Err(Fault::BadUrl(problem.to_owned()))
}

fn parse_headers(pairs: Vec<(String, String)>) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        match (HeaderName::try_from(&name), HeaderValue::try_from(value)) {
            (Ok(key), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.append(key, value);
            }
            _ => return Err(Fault::BadHeader(response::excerpt(name.as_bytes()))),
        }
    }
    Ok(headers)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn send_fault(url: &Url, error: reqwest::Error) -> Fault {
    let error = error.without_url();
    if resolver::is_private(&error) {
        Fault::Private(url.host_str().unwrap_or_default().to_owned())
    } else if error.is_dns() {
        Fault::Dns(error)
    } else if error.is_connect() {
        Fault::Connect(error)
    } else if error.is_builder() {
        Fault::Client(error)
    } else {
        Fault::Broken {
            received: 0,
            source: error,
        }
    }
}

/// The first few KiB of a body that only serves a message.
pub(super) async fn beginning(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(piece)) = response.chunk().await {
            let room = response::MAX_ERROR_BODY - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if body.len() == response::MAX_ERROR_BODY {
                break;
            }
        }
    };
    // A late error page is cut where it is.
    let _ = tokio::time::timeout(ERROR_BODY_PATIENCE, read).await;
    body
}
