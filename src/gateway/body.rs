//! The body of an answer: pieces that arrive in time, as many bytes as were promised, no faster
//! than allowed.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::gateway::error::{Fault, GatewayError};
use crate::gateway::rate::RateLimit;

/// How long the end of a body may be late once every byte of it is here. What is late then is
/// only the end mark, and we can do without it.
const END_GRACE: Duration = Duration::from_secs(1);

/// How many bytes a body may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// This many, no more and no fewer.
    Exactly(u64),
    /// The caller's cap.
    AtMost(u64),
    /// Nobody knows; whoever reads it must have a limit of its own.
    Open,
}

/// A body whose headers have been checked. Dropping it closes the stream.
#[derive(Debug)]
pub struct Body {
    response: reqwest::Response,
    url: String,
    stall: Duration,
    rate: Option<Arc<RateLimit>>,
    extent: Extent,
    received: u64,
    /// Received, but not handed out for want of allowance.
    held: Bytes,
}

impl Body {
    pub(super) fn new(
        response: reqwest::Response,
        url: &str,
        stall: Duration,
        rate: Option<Arc<RateLimit>>,
        extent: Extent,
    ) -> Self {
        Self {
            response,
            url: url.to_owned(),
            stall,
            rate,
            extent,
            received: 0,
            held: Bytes::new(),
        }
    }

    /// The next bytes, never empty; `None` at the promised end. Cancel-safe only in that a
    /// cancelled body must be dropped.
    ///
    /// # Errors
    /// Whatever keeps the body from being what was promised; after an error it must be dropped.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, GatewayError> {
        if self.held.is_empty() {
            match self
                .receive()
                .await
                .map_err(|fault| GatewayError::new(&self.url, fault))?
            {
                Some(piece) => self.held = piece,
                None => return Ok(None),
            }
        }
        let Some(rate) = &self.rate else {
            return Ok(Some(std::mem::take(&mut self.held)));
        };
        // Small pieces, so that a slow rate is a steady trickle and not a surge now and then.
        let len = self
            .held
            .len()
            .min(usize::try_from(rate.burst()).unwrap_or(usize::MAX));
        rate.take(len as u64).await;
        Ok(Some(self.held.split_to(len)))
    }

    /// Body bytes that have come in so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The whole body in one piece.
    pub(super) async fn collect(mut self) -> Result<Bytes, GatewayError> {
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second);
        while let Some(more) = self.chunk().await? {
            whole.extend_from_slice(&more);
        }
        Ok(whole.freeze())
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, Fault> {
        match self.extent {
            Extent::Exactly(expected) if self.received == expected => self.end(expected).await,
            Extent::Exactly(expected) => match self.read(self.stall).await? {
                None => Err(Fault::Truncated {
                    expected,
                    received: self.received,
                }),
                Some(_) if self.received > expected => Err(Fault::TooLong { expected }),
                piece => Ok(piece),
            },
            Extent::AtMost(max) => match self.read(self.stall).await? {
                Some(_) if self.received > max => Err(Fault::TooLarge { max }),
                piece => Ok(piece),
            },
            Extent::Open => self.read(self.stall).await,
        }
    }

    /// Everything is here: what may follow is the end, and a broken end does no harm.
    async fn end(&mut self, expected: u64) -> Result<Option<Bytes>, Fault> {
        match self.read(END_GRACE.min(self.stall)).await {
            Ok(Some(_)) => Err(Fault::TooLong { expected }),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// The next non-empty piece from the connection.
    async fn read(&mut self, patience: Duration) -> Result<Option<Bytes>, Fault> {
        let received = self.received;
        loop {
            let piece = tokio::time::timeout(patience, self.response.chunk())
                .await
                .map_err(|_| Fault::Stalled {
                    stall: patience,
                    received,
                })?
                .map_err(|source| Fault::Broken {
                    received,
                    source: source.without_url(),
                })?;
            match piece {
                Some(piece) if piece.is_empty() => {}
                Some(piece) => {
                    self.received += piece.len() as u64;
                    return Ok(Some(piece));
                }
                None => return Ok(None),
            }
        }
    }
}
