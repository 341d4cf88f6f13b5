//! HTTP/1.1 by hand on the raw socket, since no server library can misbehave in all these ways.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::answer::Answer;
use super::fault::{Delivery, Then, stranger};
use super::{Kind, Request, Shared};
use crate::support::dag::car_section;

/// The most bytes that a request head may have.
const HEAD_LIMIT: usize = 64 * 1024;

/// Payload of one write.
const PIECE: usize = 64 * 1024;

/// Serves one connection until it ends.
pub(super) async fn serve(stream: TcpStream, connection: usize, shared: std::sync::Arc<Shared>) {
    let mut inbox = Vec::new();
    while let Ok(Some(head)) = read_head(&stream, &mut inbox).await {
        let Some(request) = parse_head(&head, connection) else {
            return;
        };
        let (answer, delivery) = shared.plan(&request);
        let mut wire = Wire {
            stream: &stream,
            shared: &shared,
            log: shared.record(request.clone(), answer.status),
        };
        match wire
            .deliver(&answer, &delivery, request.method == "HEAD")
            .await
        {
            Ok(true) => {}
            // Reset: dropping the socket now sends RST, as nothing lingers.
            Ok(false) | Err(_) => return,
        }
    }
}

/// The bytes of the next request up to its blank line; `None` at the end of the connection.
async fn read_head(stream: &TcpStream, inbox: &mut Vec<u8>) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = inbox.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = inbox.drain(..end + 4).collect();
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if inbox.len() > HEAD_LIMIT {
            return Ok(None);
        }
        stream.readable().await?;
        let mut buffer = [0; 4096];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(n) => inbox.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn parse_head(head: &str, connection: usize) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?, first.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let get = |name: &str| {
        headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    let mut request = Request {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        kind: Kind::Plain,
        range: get("range"),
        if_range: get("if-range"),
        user_agent: get("user-agent"),
        accept: get("accept"),
        accept_encoding: get("accept-encoding"),
        headers: headers.clone(),
        connection,
        status: 0,
        sent: 0,
    };
    request.kind = request.classify();
    Some(request)
}

struct Wire<'a> {
    stream: &'a TcpStream,
    shared: &'a Shared,
    /// Where the log keeps this request.
    log: usize,
}

impl Wire<'_> {
    /// Sends an answer as the delivery says; whether the connection goes on.
    async fn deliver(
        &mut self,
        answer: &Answer,
        delivery: &Delivery,
        head_only: bool,
    ) -> io::Result<bool> {
        let body = answer.body.to_bytes();
        if delivery.mute {
            return self.end(delivery.then, answer, &body).await;
        }
        self.write(head(answer, body.len()).as_bytes()).await?;
        if head_only {
            return Ok(true);
        }
        let stop = usize::try_from(delivery.stop_after.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let before = body.slice(..body.len().min(stop));
        self.payload(&before, answer.chunked, delivery.drip).await?;
        // A body that ends before the stop is not spoilt, unless it is to have no end.
        let stops = stop < body.len() || matches!(delivery.then, Then::Zeros | Then::Blocks);
        if stops && !self.end(delivery.then, answer, &body).await? {
            return Ok(false);
        }
        self.payload(&body.slice(before.len()..), answer.chunked, delivery.drip)
            .await?;
        if answer.chunked {
            self.write(b"0\r\n\r\n").await?;
        }
        Ok(true)
    }

    /// What happens at the stop; whether the rest of the body follows.
    async fn end(&mut self, then: Then, answer: &Answer, body: &Bytes) -> io::Result<bool> {
        match then {
            Then::Finish => Ok(true),
            Then::Close => Ok(false),
            Then::Reset => {
                self.stream.set_zero_linger()?;
                Ok(false)
            }
            Then::Stall => self.peer_closed().await.map(|()| false),
            Then::Hold => {
                let released = self.shared.park();
                tokio::select! {
                    () = released => Ok(true),
                    closed = self.peer_closed() => closed.map(|()| false),
                }
            }
            Then::Zeros => loop {
                self.payload(&Bytes::from_static(&[0; PIECE]), true, None)
                    .await?;
            },
            Then::Blocks => {
                debug_assert!(
                    answer.chunked && !body.is_empty(),
                    "an endless CAR starts as a CAR"
                );
                for n in 0.. {
                    let (cid, block) = stranger(n);
                    self.payload(&car_section(&cid, &block).into(), true, None)
                        .await?;
                }
                Ok(false)
            }
        }
    }

    /// Bytes of the body, counted.
    async fn payload(
        &mut self,
        bytes: &Bytes,
        chunked: bool,
        drip: Option<(usize, Duration)>,
    ) -> io::Result<()> {
        let piece = drip.map_or(PIECE, |(piece, _)| piece);
        for part in bytes.chunks(piece) {
            if let Some((_, pause)) = drip {
                tokio::time::sleep(pause).await;
            }
            if chunked {
                self.write(format!("{:x}\r\n", part.len()).as_bytes())
                    .await?;
            }
            let mut rest = part;
            while !rest.is_empty() {
                self.stream.writable().await?;
                // Counted under the lock, so that nobody has received what is not counted yet.
                match self
                    .shared
                    .counted(self.log, || self.stream.try_write(rest))
                {
                    Ok(n) => rest = &rest[n..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            if chunked {
                self.write(b"\r\n").await?;
            }
        }
        Ok(())
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the client gives up.
    async fn peer_closed(&self) -> io::Result<()> {
        let mut buffer = [0; 1024];
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }
}

fn head(answer: &Answer, length: usize) -> String {
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if answer.chunked {
        head.push_str("Transfer-Encoding: chunked\r\n\r\n");
    } else {
        head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    }
    head
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        404 => "Not Found",
        410 => "Gone",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Scripted",
    }
}
