//! Probes of servers that do one thing each, right or wrong.

use super::*;
use crate::gateway::tests::{Act, Server, run, say, with_length};

/// An empty list of roots: a CAR without blocks, with the length of its header before it.
const CAR: &[u8] = b"\x11\xa2\x65roots\x80\x67version\x01";

fn empty(headers: &str) -> String {
    with_length("200 OK", headers, "")
}

fn car(bytes: &[u8]) -> Vec<Act> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.ipld.car\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        bytes.len()
    );
    say([head.as_bytes(), bytes].concat())
}

fn part(text: &str) -> Vec<Act> {
    let range = format!(
        "content-range: bytes 1-{}/{}\r\n",
        text.len(),
        text.len() + 2
    );
    say(with_length("206 Partial Content", &range, text))
}

/// The text without its first and last byte.
fn inner() -> &'static str {
    std::str::from_utf8(&TEXT[1..TEXT.len() - 1]).unwrap()
}

fn probed(server: &Server) -> Report {
    run(probe(&server.gateway(), None))
}

#[test]
fn a_gateway_that_can_do_everything() {
    let server = Server::new(vec![say(empty("")), car(CAR), part(inner())]);
    let report = probed(&server);
    assert_eq!(report.capabilities.encode(), "raw=yes car=yes range=yes");
    assert!(report.works() && report.failures.is_empty() && report.notes.is_empty());
    assert!(report.latency.is_some());
    assert_eq!(
        (report.requests, report.bytes),
        (3, 18 + inner().len() as u64)
    );
    let requests = server.requests();
    assert!(
        requests[0].starts_with("get /ipfs/bafkqaaa?format=raw "),
        "{}",
        requests[0]
    );
    assert!(requests[1].starts_with("get /ipfs/bafkqaaa?format=car&dag-scope=block"));
    assert!(
        requests[2].contains("\r\nrange: bytes=1-25\r\n"),
        "{}",
        requests[2]
    );
}

#[test]
fn a_path_gateway_refuses_formats_and_honours_range() {
    let refused = || say(with_length("406 Not Acceptable", "", "no"));
    let report = probed(&Server::new(vec![refused(), refused(), part(inner())]));
    assert_eq!(report.capabilities.encode(), "raw=no car=no range=yes");
    assert!(report.works());
    assert_eq!(report.failures.len(), 2);
}

#[test]
fn a_server_that_only_serves_pages_is_found_out() {
    let page = with_length("200 OK", "content-type: text/html\r\n", "<html>");
    let report = probed(&Server::saying(page));
    assert!(!report.works());
    let first = &report.failures[0];
    assert!(matches!(&first.fault, Fault::WrongType { got, .. } if got == "text/html"));
    assert_eq!(report.capabilities.encode(), "range=no");
    assert_eq!(report.requests, 3);
}

#[test]
fn wrong_bytes_are_no_capability() {
    let lies = vec![
        say(empty("")),
        car(b"\x05hello"),
        part("this is nobody that is here?."),
    ];
    let report = probed(&Server::new(lies));
    assert_eq!(report.capabilities.encode(), "raw=yes");
    let lies = vec![
        say(empty("")),
        car(&CAR[..9]),
        part(&inner().to_uppercase()),
    ];
    let report = probed(&Server::new(lies));
    assert_eq!(report.capabilities.encode(), "raw=yes range=no");
    assert_eq!(report.notes.len(), 1);
}

#[test]
fn one_that_refuses_is_asked_no_more() {
    for status in [
        "429 Too Many",
        "403 Forbidden",
        "503 Unavailable",
        "451 Law",
    ] {
        let server = Server::saying(with_length(status, "", "go away"));
        let report = probed(&server);
        assert_eq!(
            (report.requests, server.requests().len()),
            (1, 1),
            "{status}"
        );
        assert!(!report.works());
    }
    let gone = with_length("404 Not Found", "", "");
    assert_eq!(probed(&Server::saying(gone)).requests, 3);
}

#[test]
fn what_is_strange_is_noted() {
    let odd = "date: Fri, 06 Nov 2020 08:49:37 GMT\r\nsunset: Fri, 06 Nov 2099 08:49:37 GMT\r\n";
    let report = probed(&Server::new(vec![say(empty(odd)), car(CAR), part(inner())]));
    assert_eq!(report.notes[0], "announces its end for 2099-11-06");
    assert!(
        report.notes[1].ends_with("h behind ours"),
        "{:?}",
        report.notes
    );
    let home = Server::saying(empty(""));
    let location = format!("location: {}/ipfs/bafkqaaa\r\n", home.base);
    let moved = Server::saying(with_length("302 Found", &location, ""));
    assert_eq!(
        probed(&moved).notes[0],
        format!("redirects to {}", home.base)
    );
}

#[test]
fn clocks_a_minute_apart_are_no_matter() {
    let note = |secs| skew_note(SignedDuration::from_secs(secs));
    assert_eq!((note(60), note(-60)), (None, None));
    assert_eq!(note(120).unwrap(), "its clock is 2 min ahead of ours");
    assert_eq!(note(-7200 - 1).unwrap(), "its clock is 2 h behind ours");
    assert!(note(i64::MIN).is_some());
}

#[test]
fn a_named_block_must_be_that_block() {
    let cid = crate::gateway::tests::cid();
    let server = Server::saying(with_length("200 OK", "", "another"));
    let report = run(probe(&server.gateway(), Some(&cid)));
    assert!(!report.works());
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.contains(&cid.to_string()))
    );
}
