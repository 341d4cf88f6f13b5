//! Name servers, asked over UDP, and over TCP where an answer does not fit.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::gateway::dnslink::DnsError;
use crate::gateway::dnslink::message::{self, Answer, MAX_UDP, Reply};

/// Name servers that say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Servers {
    /// In the order to ask.
    pub(super) addresses: Vec<SocketAddr>,
    /// For one answer.
    pub(super) patience: Duration,
    /// How often the whole list is gone through.
    pub(super) attempts: u32,
}

/// One question to one server.
struct Question<'a> {
    server: SocketAddr,
    id: u16,
    name: &'a str,
    bytes: &'a [u8],
}

impl Servers {
    /// The first answer that says something; the last failure if there is none.
    pub(super) async fn exchange(&self, name: &str) -> Result<Answer, DnsError> {
        let mut last = DnsError::NoServers;
        for _ in 0..self.attempts {
            for &server in &self.addresses {
                let id = random_id();
                let Some(bytes) = message::query(id, name) else {
                    return Ok(Answer::Nothing);
                };
                let question = Question {
                    server,
                    id,
                    name,
                    bytes: &bytes,
                };
                match question.ask(self.patience).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }
}

impl Question<'_> {
    async fn ask(&self, patience: Duration) -> Result<Answer, DnsError> {
        let mut reply = self.timed(patience, self.over_udp()).await?;
        if reply.is_truncated {
            reply = self.timed(patience, self.over_tcp()).await?;
        }
        reply.answer.map_err(|code| DnsError::Failed {
            server: self.server.to_string(),
            name: self.name.to_owned(),
            code,
        })
    }

    async fn timed(
        &self,
        patience: Duration,
        exchange: impl Future<Output = std::io::Result<Option<Reply>>>,
    ) -> Result<Reply, DnsError> {
        let server = self.server;
        tokio::time::timeout(patience, exchange)
            .await
            .map_err(|_| DnsError::Silent { server })?
            .map_err(|source| DnsError::Io { server, source })?
            .ok_or_else(|| DnsError::Malformed {
                server: server.to_string(),
            })
    }

    /// What does not answer our question may be forged, and is passed over until the time is up.
    async fn over_udp(&self) -> std::io::Result<Option<Reply>> {
        let any: SocketAddr = match self.server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        // A connected socket takes answers from that server only.
        socket.connect(self.server).await?;
        socket.send(self.bytes).await?;
        let mut buffer = [0; MAX_UDP as usize];
        loop {
            let len = socket.recv(&mut buffer).await?;
            let reply = message::read(&buffer[..len], self.id, self.name);
            if reply.is_some() {
                return Ok(reply);
            }
        }
    }

    /// Messages over TCP follow their length in two bytes (RFC 1035, 4.2.2).
    async fn over_tcp(&self) -> std::io::Result<Option<Reply>> {
        let mut stream = TcpStream::connect(self.server).await?;
        let len = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX);
        stream
            .write_all(&[&len.to_be_bytes(), self.bytes].concat())
            .await?;
        let mut reply = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut reply).await?;
        let reply = message::read(&reply, self.id, self.name);
        // There is no longer way to ask for what did not fit into this one.
        Ok(reply.filter(|reply| !reply.is_truncated))
    }
}

/// Nobody must be able to guess it. The system's randomness does not fail; without any, the port
/// of the socket is still random.
fn random_id() -> u16 {
    let mut id = [0; 2];
    let _ = aws_lc_rs::rand::fill(&mut id);
    u16::from_be_bytes(id)
}
