//! Exchanges over real sockets with a server that says exactly what a test tells it to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::content::cid::{self, Cid};
use crate::content::ranges::ByteRange;
use crate::gateway::body::Body;
use crate::gateway::client::{Client, ClientOptions, Timeouts};
use crate::gateway::error::{Advice, Fault, GatewayError};
use crate::gateway::rate::RateLimit;
use crate::gateway::redirect::RedirectFault;
use crate::gateway::request::{CarRequest, Gateway, Scope};

const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
const SHORT: Duration = Duration::from_millis(250);

/// Answers the n-th request with the n-th script, further ones with the last.
pub(super) struct Server {
    pub(super) base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
pub(super) enum Act {
    Say(Vec<u8>),
    /// Nothing, until the client goes away.
    Hold,
}

pub(super) fn say(text: impl Into<Vec<u8>>) -> Vec<Act> {
    vec![Act::Say(text.into())]
}

impl Server {
    pub(super) fn new(scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                let script = scripts[n.min(scripts.len() - 1)].clone();
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || answer(stream.unwrap(), &seen, script));
            }
        });
        Self { base, requests }
    }

    pub(super) fn saying(text: impl Into<Vec<u8>>) -> Self {
        Self::new(vec![say(text)])
    }

    pub(super) fn gateway(&self) -> Gateway {
        gateway(&self.base, vec![], None)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// One request a connection. The client may go away in the middle of it.
fn answer(mut stream: TcpStream, seen: &Mutex<Vec<String>>, script: Vec<Act>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    seen.lock()
        .unwrap()
        .push(String::from_utf8(request).unwrap().to_ascii_lowercase());
    for act in script {
        let went = match act {
            Act::Say(text) => stream.write_all(&text).is_err(),
            Act::Hold => stream.read(&mut byte).is_ok(),
        };
        if went {
            return;
        }
    }
}

fn gateway(base: &str, headers: Vec<(String, String)>, rate: Option<Arc<RateLimit>>) -> Gateway {
    Gateway::new(client(), base, headers, rate).unwrap()
}

pub(super) fn client() -> Client {
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        first_byte: Duration::from_secs(5),
        stall: SHORT,
    };
    Client::new(ClientOptions {
        timeouts,
        ..ClientOptions::default()
    })
    .unwrap()
}

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub(super) fn cid() -> Cid {
    cid::parse(CID).unwrap()
}

/// `HTTP/1.1 {status}` with these header lines and an unchunked body.
pub(super) fn with_length(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(super) fn chunked(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}connection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
        body.len()
    )
}

const END: &str = "0\r\n\r\n";
const PART: &str = "content-range: bytes 4-8/20\r\n";

pub(super) async fn drain(body: Result<Body, GatewayError>) -> Result<Vec<u8>, GatewayError> {
    let mut body = body?;
    let mut bytes = Vec::new();
    while let Some(piece) = body.chunk().await? {
        assert!(!piece.is_empty());
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(body.received(), bytes.len() as u64);
    Ok(bytes)
}

/// Bytes 4 to 8 of a file of 20.
fn range_of(server: &Server) -> Result<Vec<u8>, GatewayError> {
    let range = ByteRange::new(4, 9).unwrap();
    run(async { drain(server.gateway().range(&cid(), range, 20).await).await })
}

fn block_of(server: &Server, max: u64) -> Result<Vec<u8>, GatewayError> {
    run(server.gateway().block(&cid(), max)).map(|block| block.bytes.to_vec())
}

fn car_of(server: &Server) -> Result<Vec<u8>, GatewayError> {
    let request = CarRequest {
        cid: cid(),
        scope: Scope::Block,
    };
    run(async { drain(server.gateway().car(&request).await).await })
}

#[test]
fn asks_for_a_block_as_the_specification_says() {
    let server = Server::saying(with_length(
        "200 OK",
        "content-type: application/vnd.ipld.raw\r\n",
        "hello",
    ));
    let gateway = gateway(
        &format!("{}/some/prefix//", server.base),
        vec![("X-Key".into(), "k".into())],
        None,
    );
    let block = run(gateway.block(&cid(), 5)).unwrap();
    assert_eq!(&block.bytes[..], b"hello");
    assert_eq!(
        block.content_type.as_deref(),
        Some("application/vnd.ipld.raw")
    );
    assert_eq!(gateway.url(), format!("{}/some/prefix", server.base));
    let request = &server.requests()[0];
    assert!(
        request.starts_with(&format!(
            "get /some/prefix/ipfs/{CID}?format=raw http/1.1\r\n"
        )),
        "{request}"
    );
    assert!(
        request.contains("\r\naccept: application/vnd.ipld.raw\r\n"),
        "{request}"
    );
    assert!(
        request.contains("\r\naccept-encoding: identity\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nuser-agent: fetchd/"), "{request}");
    assert!(request.contains("\r\nx-key: k\r\n"), "{request}");
    assert_eq!(request.matches("accept:").count(), 1);
    assert!(!request.contains("cookie") && !request.contains("referer"));
}

#[test]
fn asks_for_a_car_in_query_and_accept_alike() {
    let server = Server::saying(
        chunked(
            "200 OK",
            "content-type: application/vnd.ipld.car; version=1\r\n",
            "car",
        ) + END,
    );
    let asked = |scope| {
        let body = run(async {
            drain(
                server
                    .gateway()
                    .car(&CarRequest { cid: cid(), scope })
                    .await,
            )
            .await
        });
        assert_eq!(body.unwrap(), b"car");
        server.requests().pop().unwrap()
    };
    let tail = "&car-version=1&car-order=dfs&car-dups=n http/1.1\r\n";
    let block = asked(Scope::Block);
    assert!(
        block.contains(&format!("?format=car&dag-scope=block{tail}")),
        "{block}"
    );
    assert!(
        block.contains("\r\naccept: application/vnd.ipld.car;version=1;order=dfs;dups=n\r\n"),
        "{block}"
    );
    assert!(
        asked(Scope::Entity { range: None })
            .contains(&format!("?format=car&dag-scope=entity{tail}"))
    );
    let range = asked(Scope::Entity {
        range: Some((7, Some(9))),
    });
    assert!(
        range.contains(&format!("&dag-scope=entity&entity-bytes=7:9{tail}")),
        "{range}"
    );
    let open = asked(Scope::Entity {
        range: Some((7, None)),
    });
    assert!(
        open.contains(&format!("&dag-scope=entity&entity-bytes=7:*{tail}")),
        "{open}"
    );
}

#[test]
fn a_range_arrives_exactly_or_not_at_all() {
    let server = Server::saying(with_length("206 Partial Content", PART, "hello"));
    assert_eq!(range_of(&server).unwrap(), b"hello");
    let request = &server.requests()[0];
    assert!(
        request.contains("\r\nrange: bytes=4-8\r\n")
            && request.starts_with(&format!("get /ipfs/{CID} "))
    );

    let short = Server::saying(chunked("206 Partial Content", PART, "hell") + END);
    let fault = range_of(&short).unwrap_err();
    assert!(
        matches!(
            fault.fault,
            Fault::Truncated {
                expected: 5,
                received: 4
            }
        ),
        "{fault:?}"
    );
    assert_eq!(fault.advice(), Advice::Retry { after: None });

    let long = Server::saying(chunked("206 Partial Content", PART, "hello!") + END);
    assert!(matches!(
        range_of(&long).unwrap_err().fault,
        Fault::TooLong { expected: 5 }
    ));
    let endless = Server::saying(chunked("206 Partial Content", PART, "hello") + "3\r\nand\r\n");
    assert!(matches!(
        range_of(&endless).unwrap_err().fault,
        Fault::TooLong { expected: 5 }
    ));
    let until_close = Server::saying(format!("HTTP/1.1 206 Partial Content\r\n{PART}\r\nhel"));
    assert!(matches!(
        range_of(&until_close).unwrap_err().fault,
        Fault::Truncated { received: 3, .. }
    ));
}

#[test]
fn the_wrong_range_is_refused_before_its_body() {
    let ignored = Server::saying(with_length("200 OK", "", "all of the file here"));
    let fault = range_of(&ignored).unwrap_err();
    assert!(matches!(fault.fault, Fault::RangeIgnored));
    assert_eq!(fault.advice(), Advice::Unsupported);
    let shifted = Server::saying(with_length(
        "206 Partial Content",
        "content-range: bytes 0-4/20\r\n",
        "hello",
    ));
    assert!(matches!(
        range_of(&shifted).unwrap_err().fault,
        Fault::WrongRange {
            other_file: false,
            ..
        }
    ));
    let other = Server::saying(with_length(
        "206 Partial Content",
        "content-range: bytes 4-8/21\r\n",
        "hello",
    ));
    assert_eq!(range_of(&other).unwrap_err().advice(), Advice::Never);
    let length = Server::saying(with_length("206 Partial Content", PART, "hello world"));
    assert!(matches!(
        range_of(&length).unwrap_err().fault,
        Fault::WrongLength {
            expected: 5,
            announced: 11
        }
    ));
    let outside = Server::saying(with_length(
        "416 Range Not Satisfiable",
        "content-range: bytes */3\r\n",
        "",
    ));
    let fault = range_of(&outside).unwrap_err();
    assert_eq!(
        (fault.status(), fault.advice()),
        (Some(416), Advice::Unsupported)
    );
}

#[test]
fn a_broken_end_after_the_last_byte_does_no_harm() {
    let reset = Server::saying(chunked("206 Partial Content", PART, "hello"));
    assert_eq!(range_of(&reset).unwrap(), b"hello");
    let script = vec![
        Act::Say(chunked("206 Partial Content", PART, "hello").into()),
        Act::Hold,
    ];
    assert_eq!(range_of(&Server::new(vec![script])).unwrap(), b"hello");
}

#[test]
fn a_cut_connection_and_a_stall_are_retried() {
    let retry = Advice::Retry { after: None };
    let cut = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel");
    let fault = block_of(&cut, 9).unwrap_err();
    assert!(
        matches!(fault.fault, Fault::Broken { received: 3, .. }),
        "{fault:?}"
    );
    assert_eq!(fault.advice(), retry);
    let mute = Server::new(vec![vec![]]);
    let fault = block_of(&mute, 9).unwrap_err();
    assert!(
        matches!(fault.fault, Fault::Broken { received: 0, .. }),
        "{fault:?}"
    );
    assert_eq!(fault.advice(), retry);
    let stall = Server::new(vec![vec![
        Act::Say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel".into()),
        Act::Hold,
    ]]);
    let fault = block_of(&stall, 9).unwrap_err();
    assert!(
        matches!(
            fault.fault,
            Fault::Stalled {
                stall: SHORT,
                received: 3
            }
        ),
        "{fault:?}"
    );
    assert_eq!(fault.advice(), retry);
}

#[test]
fn silence_before_the_headers_has_its_own_patience() {
    let server = Server::new(vec![vec![Act::Hold]]);
    let gateway = server.gateway().with_first_byte_timeout(SHORT);
    let fault = run(gateway.block(&cid(), 9)).unwrap_err();
    assert!(matches!(fault.fault, Fault::FirstByte(SHORT)), "{fault:?}");
}

#[test]
fn nobody_there_may_come_back() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let gateway = gateway(&format!("http://127.0.0.1:{port}"), vec![], None);
    let fault = run(gateway.block(&cid(), 9)).unwrap_err();
    assert!(matches!(fault.fault, Fault::Connect(_)), "{fault:?}");
    assert_eq!(fault.advice(), Advice::Retry { after: None });
    assert!(std::error::Error::source(&fault).is_some());
}

#[test]
fn a_block_has_a_cap() {
    let announced = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n");
    assert!(matches!(
        block_of(&announced, 100).unwrap_err().fault,
        Fault::TooLarge { max: 100 }
    ));
    let endless = Server::new(vec![vec![
        Act::Say(chunked("200 OK", "", &"x".repeat(101)).into()),
        Act::Hold,
    ]]);
    assert!(matches!(
        block_of(&endless, 100).unwrap_err().fault,
        Fault::TooLarge { max: 100 }
    ));
    let fits = Server::saying(
        chunked("200 OK", "", &"x".repeat(50)) + "32\r\n" + &"y".repeat(50) + "\r\n" + END,
    );
    assert_eq!(block_of(&fits, 100).unwrap().len(), 100);
    assert!(
        block_of(&Server::saying(with_length("200 OK", "", "")), 100)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn compressed_bodies_are_refused() {
    let server = Server::saying(with_length(
        "200 OK",
        "content-encoding: gzip\r\n",
        "\u{1f}",
    ));
    for fault in [
        block_of(&server, 9).unwrap_err(),
        car_of(&server).unwrap_err(),
    ] {
        assert!(matches!(&fault.fault, Fault::Encoded(encoding) if encoding == "gzip"));
        assert_eq!(fault.advice(), Advice::Unsupported);
    }
}

#[test]
fn a_page_is_no_car_but_may_be_a_block() {
    let page = Server::saying(with_length(
        "200 OK",
        "content-type: text/html; charset=utf-8\r\n",
        "<b>\n\u{1b}hi",
    ));
    let fault = car_of(&page).unwrap_err();
    assert_eq!(fault.advice(), Advice::Elsewhere);
    assert_eq!(
        fault.to_string(),
        "sends text/html instead of application/vnd.ipld.car: \\u{1b}hi"
    );
    assert_eq!(block_of(&page, 99).unwrap(), "<b>\n\u{1b}hi".as_bytes());
    let json = Server::saying(with_length(
        "200 OK",
        "content-type: application/json\r\n",
        "{}",
    ));
    assert_eq!(car_of(&json).unwrap_err().advice(), Advice::Unsupported);
    let plain = Server::saying(with_length(
        "200 OK",
        "content-type: application/octet-stream\r\n",
        "car",
    ));
    assert_eq!(car_of(&plain).unwrap(), b"car");
}

#[test]
fn refusals_carry_their_reason() {
    let busy = Server::saying(with_length(
        "429 Too Many Requests",
        "retry-after: 7\r\n",
        "slow\ndown",
    ));
    let fault = block_of(&busy, 9).unwrap_err();
    let wait = Duration::from_secs(7);
    assert_eq!(fault.advice(), Advice::SlowDown { after: Some(wait) });
    assert_eq!(fault.retry_after(), Some(wait));
    assert_eq!(
        fault.to_string(),
        "answered 429 Too Many Requests: slow down"
    );

    let closed = Server::saying(with_length(
        "429 Too Many Requests",
        "retry-after: 900\r\nsunset: Mon, 21 Sep 2020 00:00:00 GMT\r\n",
        "",
    ));
    let gateway = closed.gateway();
    assert_eq!(
        run(gateway.block(&cid(), 9)).unwrap_err().advice(),
        Advice::Retired
    );
    assert!(gateway.sunset().is_some());

    let endless = Server::new(vec![vec![
        Act::Say(chunked("404 Not Found", "", &"no ".repeat(9000)).into()),
        Act::Hold,
    ]]);
    let fault = block_of(&endless, 9).unwrap_err();
    assert_eq!(
        (fault.advice(), fault.to_string().chars().count() < 300),
        (Advice::Absent, true)
    );
}

fn redirect(location: &str) -> String {
    with_length("302 Found", &format!("location: {location}\r\n"), "")
}

#[test]
fn redirects_are_followed_without_the_gateways_headers() {
    let target = Server::saying(with_length("200 OK", "", "hello"));
    let there = format!("{}/elsewhere?format=raw", target.base);
    let server = Server::new(vec![say(redirect("/ipfs/here")), say(redirect(&there))]);
    let headers = vec![
        ("X-Key".into(), "k".into()),
        ("Authorization".into(), "Bearer t".into()),
    ];
    let block = run(gateway(&server.base, headers, None).block(&cid(), 9)).unwrap();
    assert_eq!(&block.bytes[..], b"hello");
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.contains("\r\nx-key: k\r\n") && r.contains("bearer t"))
    );
    let request = &target.requests()[0];
    assert!(
        request.starts_with("get /elsewhere?format=raw ") && !request.contains("x-key"),
        "{request}"
    );
    assert!(
        !request.contains("bearer") && request.contains("\r\naccept: application/vnd.ipld.raw\r\n")
    );
}

#[test]
fn redirects_end_somewhere() {
    let circle = Server::saying(redirect("/ipfs/again"));
    let fault = block_of(&circle, 9).unwrap_err();
    assert!(matches!(
        fault.fault,
        Fault::Redirect(RedirectFault::TooMany)
    ));
    assert_eq!(
        (fault.advice(), circle.requests().len()),
        (Advice::Elsewhere, 6)
    );
    let lost = Server::saying(with_length("301 Moved Permanently", "", ""));
    assert!(matches!(
        block_of(&lost, 9).unwrap_err().fault,
        Fault::Redirect(RedirectFault::BadLocation)
    ));
    let closed = Server::saying(redirect("https://x.ipfs.dweb.link/"));
    let fault = block_of(&closed, 9).unwrap_err();
    assert!(matches!(&fault.fault, Fault::Retired { host, .. } if host == "x.ipfs.dweb.link"));
    assert_eq!(fault.advice(), Advice::Retired);
}

#[test]
fn a_rate_limit_holds_for_all_bodies_together() {
    let rate = Arc::new(RateLimit::new(1 << 20));
    let body = "x".repeat(256 << 10);
    let server = Server::saying(with_length("200 OK", "", &body));
    let started = Instant::now();
    run(async {
        let gateway = gateway(&server.base, vec![], Some(rate));
        let cid = cid();
        let (one, two) = tokio::join!(gateway.block(&cid, 1 << 20), gateway.block(&cid, 1 << 20));
        assert_eq!(
            one.unwrap().bytes.len() + two.unwrap().bytes.len(),
            512 << 10
        );
    });
    // Half a second's worth, of which a quarter may come at once.
    assert!(
        started.elapsed() >= Duration::from_millis(240),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn what_cannot_be_a_gateway() {
    let client = Client::new(ClientOptions::default()).unwrap();
    let refused = |base: &str| Gateway::new(client.clone(), base, vec![], None).unwrap_err();
    for base in [
        "",
        "example.com",
        "ftp://example.com",
        "http://",
        "http://a/?b",
        "http://a/#b",
        "file:///x",
    ] {
        let error = refused(base);
        assert!(matches!(error.fault, Fault::BadUrl(_)), "{base}");
        assert_eq!(error.advice(), Advice::Stop);
    }
    let headers = vec![("a b".to_owned(), "secret".to_owned())];
    let error = Gateway::new(client.clone(), "http://a", headers, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configured header `a b` is not a legal HTTP header"
    );
    let suffixed = Server::saying(with_length("200 OK", "", ""));
    run(gateway(&format!("{}/ipfs/", suffixed.base), vec![], None).block(&cid(), 9)).unwrap();
    assert!(suffixed.requests()[0].starts_with(&format!("get /ipfs/{CID}?")));
}
