//! A name server on 127.0.0.1 that says what a test tells it to: over UDP, over TCP, and as
//! RFC 8484 has it but without TLS, which adds nothing within one machine.
//!
//! Its codec is its own, so that product and tests cannot share a mistake.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

use cid::multibase::Base;

const TXT: u16 = 16;
const CNAME: u16 = 5;

/// One record.
#[derive(Debug, Clone)]
pub enum Rr {
    /// The strings of one TXT record.
    Txt(Vec<String>),
    /// Another name.
    Cname(String),
}

/// What the server does when asked for a name.
#[derive(Debug, Clone)]
pub enum Act {
    /// Gives the records of the name, and those of its aliases behind them.
    Answer(Vec<Rr>),
    /// Gives the records of the name alone, even if it is an alias.
    Alone(Vec<Rr>),
    /// Answers with this response code and nothing else.
    Code(u8),
    /// The same without repeating the question.
    Bare(u8),
    /// Over UDP: says that the answer did not fit. Over TCP: gives these records.
    TooLong(Vec<Rr>),
    /// Says that the answer did not fit, however it is asked.
    NeverFits,
    /// Says nothing.
    Silence,
    /// First forged answers (wrong number, wrong question, a query, junk), then these records.
    AfterForgeries(Vec<Rr>),
    /// Over HTTP: this status, media type and body.
    Http(u16, &'static str, &'static str),
}

/// The server; it serves until the process ends.
#[derive(Debug)]
pub struct DnsServer {
    /// Where it listens for UDP and TCP.
    pub address: SocketAddr,
    /// The URL of its DNS over HTTP.
    pub url: String,
    queries: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug, Clone)]
struct Zone {
    acts: Arc<HashMap<String, Act>>,
    queries: Arc<Mutex<Vec<String>>>,
}

/// A question as it was asked.
struct Query {
    id: u16,
    flags: u16,
    name: String,
    kind: u16,
    class: u16,
    /// The question section.
    section: Vec<u8>,
}

pub fn txt(text: &str) -> Rr {
    Rr::Txt(vec![text.to_owned()])
}

impl DnsServer {
    /// A server that knows these names; any other does not exist.
    pub fn start(acts: &[(&str, Act)]) -> Self {
        let zone = Zone {
            acts: Arc::new(
                acts.iter()
                    .map(|(name, act)| ((*name).to_owned(), act.clone()))
                    .collect(),
            ),
            queries: Arc::default(),
        };
        let (udp, tcp) = same_port();
        let http = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            address: udp.local_addr().expect("bound"),
            url: format!("http://{}/dns-query", http.local_addr().expect("bound")),
            queries: Arc::clone(&zone.queries),
        };
        let (zone_udp, zone_tcp) = (zone.clone(), zone.clone());
        std::thread::spawn(move || zone_udp.serve_udp(&udp));
        std::thread::spawn(move || each(&tcp, |stream| zone_tcp.serve_tcp(stream)));
        std::thread::spawn(move || each(&http, |stream| zone.serve_http(stream)));
        server
    }

    /// What was asked so far, as `transport name`.
    pub fn queries(&self) -> Vec<String> {
        self.queries.lock().expect("no panic").clone()
    }
}

fn same_port() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("bound")) {
            return (udp, tcp);
        }
    }
}

/// A client that goes away in the middle is none of our business.
fn each(listener: &TcpListener, serve: impl Fn(TcpStream) -> Option<()>) {
    for stream in listener.incoming() {
        let _ = stream.ok().and_then(&serve);
    }
}

impl Zone {
    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let query = Query::parse(&buffer[..len]).expect("a proper query");
            for reply in self.replies("udp", &query) {
                socket.send_to(&reply, from).expect("sent");
            }
        }
    }

    fn serve_tcp(&self, mut stream: TcpStream) -> Option<()> {
        let mut len = [0; 2];
        stream.read_exact(&mut len).ok()?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut bytes).ok()?;
        for reply in self.replies("tcp", &Query::parse(&bytes)?) {
            let len = u16::try_from(reply.len()).expect("a message");
            stream.write_all(&len.to_be_bytes()).ok()?;
            stream.write_all(&reply).ok()?;
        }
        Some(())
    }

    fn serve_http(&self, mut stream: TcpStream) -> Option<()> {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            request.push(byte[0]);
        }
        let request = String::from_utf8(request).expect("text");
        let line = request.lines().next().expect("a request line");
        let dns = line
            .strip_prefix("GET /dns-query?dns=")
            .and_then(|rest| rest.strip_suffix(" HTTP/1.1"))
            .unwrap_or_else(|| panic!("{line}"));
        assert!(
            request
                .to_ascii_lowercase()
                .contains("\r\naccept: application/dns-message\r\n")
        );
        let query = Query::parse(&Base::Base64Url.decode(dns).expect("base64url"))?;
        assert_eq!(query.id, 0, "caches could not share the answer");
        let (status, media_type, body) = match self.acts.get(&query.name) {
            Some(Act::Http(status, media_type, body)) => {
                (*status, *media_type, body.as_bytes().to_vec())
            }
            _ => {
                let body = self.replies("http", &query).pop().unwrap_or_default();
                (200, "application/dns-message", body)
            }
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&body).ok()
    }

    fn replies(&self, transport: &str, query: &Query) -> Vec<Vec<u8>> {
        assert_eq!((query.kind, query.class), (TXT, 1), "TXT, IN");
        assert_eq!(query.flags & 0x8100, 0x0100, "a query, recursion desired");
        self.queries
            .lock()
            .expect("no panic")
            .push(format!("{transport} {}", query.name));
        let is_udp = transport == "udp";
        match self.acts.get(&query.name) {
            None => vec![query.reply(3, false, &[])],
            Some(Act::Answer(records)) => {
                vec![query.reply(0, false, &self.with_aliases(&query.name, records))]
            }
            Some(Act::Alone(records)) => vec![query.reply(0, false, &owned(&query.name, records))],
            Some(Act::Code(code)) => vec![query.reply(*code, false, &[])],
            Some(Act::Bare(code)) => {
                let mut reply = query.reply(*code, false, &[]);
                reply.truncate(12);
                reply[5] = 0;
                vec![reply]
            }
            Some(Act::TooLong(_)) if is_udp => vec![query.reply(0, true, &[])],
            Some(Act::TooLong(records)) => {
                vec![query.reply(0, false, &owned(&query.name, records))]
            }
            Some(Act::NeverFits) => vec![query.reply(0, true, &[])],
            Some(Act::Silence | Act::Http(..)) => Vec::new(),
            Some(Act::AfterForgeries(records)) => query.forgeries(records),
        }
    }

    fn with_aliases(&self, name: &str, records: &[Rr]) -> Vec<(String, Rr)> {
        let mut all = owned(name, records);
        for record in records {
            if let Rr::Cname(target) = record
                && let Some(Act::Answer(more)) = self.acts.get(target)
            {
                all.extend(self.with_aliases(target, more));
            }
        }
        all
    }
}

fn owned(name: &str, records: &[Rr]) -> Vec<(String, Rr)> {
    records
        .iter()
        .map(|record| (name.to_owned(), record.clone()))
        .collect()
}

impl Query {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        assert_eq!(word(4)?, 1, "one question");
        let (mut labels, mut at) = (Vec::new(), 12);
        loop {
            let len = usize::from(*bytes.get(at)?);
            if len == 0 {
                break;
            }
            let label = bytes.get(at + 1..at + 1 + len)?;
            labels.push(String::from_utf8(label.to_vec()).ok()?);
            at += 1 + len;
        }
        Some(Self {
            id: word(0)?,
            flags: word(2)?,
            name: labels.join("."),
            kind: word(at + 1)?,
            class: word(at + 3)?,
            section: bytes[12..at + 5].to_vec(),
        })
    }

    fn reply(&self, code: u8, is_truncated: bool, records: &[(String, Rr)]) -> Vec<u8> {
        let flags = 0x8180 | u16::from(is_truncated) << 9 | u16::from(code);
        let count = u16::try_from(records.len()).expect("few");
        let mut out = Vec::new();
        for word in [self.id, flags, 1, count, 0, 0] {
            out.extend(word.to_be_bytes());
        }
        out.extend(&self.section);
        for (name, record) in records {
            put_record(&mut out, name, record);
        }
        out
    }

    fn forgeries(&self, records: &[Rr]) -> Vec<Vec<u8>> {
        let evil = owned(&self.name, &[txt("dnslink=/ipfs/bafkqaaa")]);
        let mut wrong_id = self.reply(0, false, &evil);
        wrong_id[0] ^= 1;
        let mut other_question = self.reply(0, false, &evil);
        other_question[13] ^= 0x20 | 1;
        let mut no_reply = self.reply(0, false, &evil);
        no_reply[2] &= 0x7f;
        vec![
            wrong_id,
            other_question,
            no_reply,
            b"junk".to_vec(),
            self.reply(0, false, &owned(&self.name, records)),
        ]
    }
}

fn put_record(out: &mut Vec<u8>, name: &str, record: &Rr) {
    let (kind, data) = match record {
        Rr::Txt(strings) => {
            let mut data = Vec::new();
            for string in strings {
                data.push(u8::try_from(string.len()).expect("a short string"));
                data.extend(string.as_bytes());
            }
            (TXT, data)
        }
        Rr::Cname(target) => (CNAME, wire_name(target)),
    };
    out.extend(wire_name(name));
    out.extend(kind.to_be_bytes());
    out.extend(1u16.to_be_bytes());
    out.extend(60u32.to_be_bytes());
    out.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
    out.extend(data);
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).expect("a label"));
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}
