//! The barest HTTP/1.1 client: what a gateway really sent, framing and all.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::gateway::Gateway;

/// Status line and headers, and the body as it came over the wire.
pub struct Reply {
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    fn read(bytes: &[u8]) -> Self {
        let blank = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, body) = bytes.split_at(blank.map_or(bytes.len(), |at| at + 4));
        Self {
            head: String::from_utf8_lossy(head).into_owned(),
            body: body.to_vec(),
        }
    }

    fn is_whole(&self) -> bool {
        match self.header("content-length").map(str::parse) {
            Some(Ok(length)) => self.body.len() >= length,
            _ => self.body == b"0\r\n\r\n" || self.body.ends_with(b"\r\n0\r\n\r\n"),
        }
    }

    pub fn status(&self) -> u16 {
        self.head
            .get(9..12)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The body without chunk framing; `None` if it has no proper end.
    pub fn unchunked(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut rest = self.body.as_slice();
        loop {
            let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
            let len = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
            rest = &rest[end + 2..];
            if len == 0 {
                return Some(out);
            }
            out.extend_from_slice(rest.get(..len)?);
            rest = rest.get(len + 2..)?;
        }
    }
}

/// One request on a connection of its own, read until the response is whole, the server ends it,
/// is silent for a second, or has sent more than any test needs.
pub fn ask(gateway: &Gateway, target: &str, headers: &str) -> Reply {
    const MOST: usize = 4 << 20;
    let mut stream = TcpStream::connect(gateway.address()).expect("a gateway");
    let patience = Duration::from_secs(1);
    stream.set_read_timeout(Some(patience)).expect("a socket");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").expect("a request");
    let mut bytes = Vec::new();
    let mut buffer = [0; 65536];
    let mut reply = Reply::read(&bytes);
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..n]);
        reply = Reply::read(&bytes);
        if reply.is_whole() || bytes.len() > MOST {
            break;
        }
    }
    reply
}
