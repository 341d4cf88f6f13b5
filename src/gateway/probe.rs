//! Finding out, by a few cheap requests, what a gateway can do, how fast, and what is wrong with it.
//!
//! Asks for content that is in its own CID, so that no gateway has to look for it: the empty block
//! that gateways are probed with (trustless gateway specification, "Dedicated Probe Paths"), and a
//! short text. A gateway that passes speaks the protocol; whether it has anything is another
//! question. HEAD of a CAR is never sent: it makes some servers walk the whole DAG.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap};
use url::Url;

use crate::content::car::{CarParser, Limits};
use crate::content::cid::{Cid, Multihash};
use crate::content::hash::VerifiedBlock;
use crate::content::ranges::ByteRange;
use crate::gateway::body::Body;
use crate::gateway::capability::{Capabilities, Known};
use crate::gateway::client::Traffic;
use crate::gateway::error::{Advice, Fault, GatewayError};
use crate::gateway::plain::Plain;
use crate::gateway::request::{Ask, CarRequest, Gateway, RAW, Scope};
use crate::gateway::{response, retry_after};

/// The most of a block that is read.
const MAX_BLOCK: u64 = 2 << 20;
/// The most of a CAR of one block that is read.
const MAX_CAR: u64 = MAX_BLOCK + (64 << 10);
/// What the CID of the text holds, for the probe of `Range`.
const TEXT: &[u8] = b"is there anybody out there?";
/// The codec of plain bytes, and the hash that is none.
const RAW_CODEC: u64 = 0x55;
const IDENTITY: u64 = 0x00;
/// Clocks further apart than this are worth a word: certificates and waits are judged by them.
const MAX_SKEW: Duration = Duration::from_secs(60);

/// What a gateway made of the probe.
#[derive(Debug)]
pub struct Report {
    /// What it can and cannot do, as far as it showed.
    pub capabilities: Capabilities,
    /// The least time from a request to its headers; that of the first one holds the connection.
    pub latency: Option<Duration>,
    /// Requests sent.
    pub requests: u64,
    /// Bytes received in bodies.
    pub bytes: u64,
    /// Everything that failed, in the order of asking. What a gateway merely does not serve is
    /// among it.
    pub failures: Vec<GatewayError>,
    /// What is strange but no failure, one lowercase fragment each.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether it can be used for anything.
    pub fn works(&self) -> bool {
        let can = &self.capabilities;
        [can.raw, can.car, can.range].contains(&Known::Yes)
    }
}

/// Asks `gateway` three times at most, fewer if it refuses. With `block`, the CID of a small block
/// that it should have, that is asked for instead.
pub async fn probe(gateway: &Gateway, block: Option<&Cid>) -> Report {
    let mut probe = Probe {
        gateway,
        report: Report {
            capabilities: Capabilities::default(),
            latency: None,
            requests: 0,
            bytes: 0,
            failures: Vec::new(),
            notes: Vec::new(),
        },
    };
    let cid = block.copied().unwrap_or_else(|| inline(b""));
    let raw = probe.raw(&cid).await;
    if probe.is_refused() {
        return probe.report;
    }
    probe.car(&cid).await;
    if probe.is_refused() {
        return probe.report;
    }
    match (block, raw) {
        (None, _) => probe.range(&inline(TEXT), TEXT).await,
        // Only of a raw block are the plain bytes known.
        (Some(cid), Some(bytes)) if cid.codec() == RAW_CODEC => probe.range(cid, &bytes).await,
        (Some(cid), _) => probe.first_byte(cid).await,
    }
    probe.report
}

/// The CID that is its own content.
fn inline(bytes: &[u8]) -> Cid {
    let hash = Multihash::wrap(IDENTITY, bytes).expect("short enough for a multihash");
    Cid::new_v1(RAW_CODEC, hash)
}

struct Probe<'a> {
    gateway: &'a Gateway,
    report: Report,
}

impl Probe<'_> {
    async fn raw(&mut self, cid: &Cid) -> Option<Bytes> {
        let began = Instant::now();
        let result = self.block(cid, began).await;
        let (known, bytes) = self.judge(result);
        self.report.capabilities.raw = known;
        bytes
    }

    async fn block(&mut self, cid: &Cid, began: Instant) -> Result<Bytes, GatewayError> {
        let url = self.gateway.block_url(cid);
        self.report.requests += 1;
        let response = self
            .gateway
            .ask(Ask::get(&url, RAW, Traffic::Block))
            .await?;
        self.arrived(began);
        self.remark(response.headers(), response.url());
        let response = self
            .gateway
            .expect(response, &[StatusCode::OK], &url)
            .await?;
        let fault = |fault| GatewayError::new(&url, fault);
        let media_type = response::media_type(response.headers());
        let extent = response::check_block_length(response.headers(), MAX_BLOCK).map_err(fault)?;
        let bytes = self.gateway.body(response, &url, extent).collect().await?;
        self.report.bytes += bytes.len() as u64;
        if VerifiedBlock::check(*cid, bytes.clone()).is_ok() {
            return Ok(bytes);
        }
        Err(fault(Fault::WrongType {
            wanted: RAW,
            got: media_type.unwrap_or_else(|| "other bytes".to_owned()),
            excerpt: response::excerpt(&bytes),
        }))
    }

    async fn car(&mut self, cid: &Cid) {
        let began = Instant::now();
        let request = CarRequest {
            cid: *cid,
            scope: Scope::Block,
        };
        self.report.requests += 1;
        let result = match self.gateway.car(&request).await {
            Ok(body) => {
                self.arrived(began);
                self.header(body).await
            }
            Err(error) => Err(error),
        };
        self.report.capabilities.car = self.judge(result).0;
    }

    /// Whether a body is a CAR, up to its end. It need not hold a block: the content is in the CID.
    async fn header(&mut self, mut body: Body) -> Result<(), GatewayError> {
        let mut parser = CarParser::new(Limits {
            header: 64 << 10,
            block: MAX_BLOCK,
        });
        let malformed = GatewayError::new(self.gateway.url(), Fault::Malformed("CAR"));
        while let Some(piece) = body.chunk().await? {
            self.report.bytes += piece.len() as u64;
            if body.received() > MAX_CAR {
                let fault = Fault::TooLarge { max: MAX_CAR };
                return Err(GatewayError::new(self.gateway.url(), fault));
            }
            parser.push(piece);
            loop {
                match parser.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return Err(malformed),
                }
            }
        }
        parser.finish().map_err(|_| malformed)
    }

    /// Asks for all bytes but the first and the last.
    async fn range(&mut self, cid: &Cid, bytes: &[u8]) {
        let total = bytes.len() as u64;
        let Some(range) = ByteRange::new(1, total.saturating_sub(1)) else {
            return;
        };
        let began = Instant::now();
        self.report.requests += 1;
        let result = match self.gateway.range(cid, range, total).await {
            Ok(body) => {
                self.arrived(began);
                body.collect().await
            }
            Err(error) => Err(error),
        };
        self.report.capabilities.range = match self.judge(result) {
            (Known::Yes, Some(got)) => {
                self.report.bytes += got.len() as u64;
                self.compare(&got, &bytes[1..bytes.len() - 1])
            }
            (known, _) => known,
        };
    }

    /// Asks for the first byte of a file of which nothing is known: whether the server honours
    /// `Range`, its status and its headers say. What it sends is proved when it is fetched.
    async fn first_byte(&mut self, cid: &Cid) {
        let Some(file) = Plain::behind(self.gateway, cid) else {
            return;
        };
        let began = Instant::now();
        self.report.requests += 1;
        let (known, facts) = match file.look_by_range().await {
            Ok(facts) if facts.is_page => return,
            result => {
                self.arrived(began);
                self.judge(result)
            }
        };
        let honours_range = facts.and_then(|facts| facts.honours_range);
        self.report.capabilities.range = match (known, honours_range) {
            (Known::Yes, Some(true)) => Known::Yes,
            (Known::Yes, _) => {
                let note = "sends plain files as a whole only".to_owned();
                self.report.notes.push(note);
                Known::No
            }
            (known, _) => known,
        };
    }

    fn compare(&mut self, got: &[u8], wanted: &[u8]) -> Known {
        if got == wanted {
            return Known::Yes;
        }
        self.report
            .notes
            .push("sends other bytes than those of the range that was asked for".to_owned());
        Known::No
    }

    /// What a result says of a capability; a failure is kept.
    fn judge<T>(&mut self, result: Result<T, GatewayError>) -> (Known, Option<T>) {
        match result {
            Ok(value) => (Known::Yes, Some(value)),
            Err(error) => {
                let known = match error.advice() {
                    Advice::Unsupported => Known::No,
                    _ => Known::Unknown,
                };
                self.report.failures.push(error);
                (known, None)
            }
        }
    }

    /// Whether asking on would be of no use, or against its wish.
    fn is_refused(&self) -> bool {
        self.report.failures.last().is_some_and(|error| {
            !matches!(
                error.advice(),
                Advice::Unsupported | Advice::Absent | Advice::Never | Advice::Elsewhere
            )
        })
    }

    fn arrived(&mut self, began: Instant) {
        let took = began.elapsed();
        let least = self.report.latency.map_or(took, |least| least.min(took));
        self.report.latency = Some(least);
    }

    /// What the first answer says beside its body.
    fn remark(&mut self, headers: &HeaderMap, url: &Url) {
        let now = Timestamp::now();
        let home = Url::parse(self.gateway.url()).ok();
        if home.is_some_and(|home| home.origin() != url.origin()) {
            let origin = url.origin().ascii_serialization();
            self.report.notes.push(format!("redirects to {origin}"));
        }
        if let Some(date) = response::sunset(headers).filter(|&date| date > now) {
            let day = date.strftime("%Y-%m-%d");
            self.report
                .notes
                .push(format!("announces its end for {day}"));
        }
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let skew = date
            .and_then(retry_after::http_date)
            .map(|date| date.duration_since(now));
        self.report.notes.extend(skew.and_then(skew_note));
    }
}

/// What a difference of the clocks is worth saying.
fn skew_note(skew: SignedDuration) -> Option<String> {
    if skew.unsigned_abs() <= MAX_SKEW {
        return None;
    }
    let direction = if skew.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    let minutes = skew.unsigned_abs().as_secs() / 60;
    Some(match minutes {
        0..=119 => format!("its clock is {minutes} min {direction} ours"),
        _ => format!("its clock is {} h {direction} ours", minutes / 60),
    })
}
