//! Files of servers that keep to the rules, and of those that do not.

use super::*;
use crate::gateway::error::Advice;
use crate::gateway::tests::{Server, client, drain, run, with_length};

const V1: &str = "etag: \"v1\"\r\n";

fn file(server: &Server) -> Plain {
    Plain::new(client(), &format!("{}/f?sig=1", server.base), vec![], None).unwrap()
}

fn part(range: &str, headers: &str, body: &str) -> String {
    let headers = format!("content-range: bytes {range}\r\n{headers}");
    with_length("206 Partial Content", &headers, body)
}

fn rest(server: &Server, total: Option<u64>, validator: Option<&Validator>) -> Reply {
    run(file(server).rest(4, total, validator)).unwrap()
}

fn v1() -> Validator {
    Validator::decode("etag \"v1\"").unwrap()
}

/// The client and its body have to live in one runtime.
fn whole(server: &Server) -> Result<(String, Option<u64>, Option<Validator>), GatewayError> {
    let file = file(server);
    run(async {
        let bytes = file.whole().await?;
        let (total, validator) = (bytes.total, bytes.validator.clone());
        let body = drain(Ok(bytes.body)).await?;
        Ok((String::from_utf8(body).unwrap(), total, validator))
    })
}

#[test]
fn a_whole_file_with_its_validator() {
    let server = Server::saying(with_length("200 OK", V1, "0123456789"));
    let got = whole(&server).unwrap();
    assert_eq!(got, ("0123456789".to_owned(), Some(10), Some(v1())));
    let request = &server.requests()[0];
    assert!(
        request.starts_with("get /f?sig=1 http/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\naccept-encoding: identity\r\n") && !request.contains("range"));
}

#[test]
fn compressed_bytes_are_another_file() {
    let zipped = with_length("200 OK", "content-encoding: gzip\r\n", "0123");
    let error = whole(&Server::saying(zipped)).unwrap_err();
    assert!(matches!(error.fault, Fault::Encoded(_)));
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n0123";
    assert!(whole(&Server::saying(short)).is_err());
}

#[test]
fn a_rest_is_asked_for_under_a_condition() {
    let server = Server::saying(part("4-9/10", V1, "456789"));
    let reply = rest(&server, Some(10), Some(&v1()));
    assert!(
        matches!(&reply, Reply::Rest(bytes) if bytes.total == Some(10)),
        "{reply:?}"
    );
    let request = &server.requests()[0];
    assert!(request.contains("\r\nrange: bytes=4-\r\n"), "{request}");
    assert!(request.contains("\r\nif-range: \"v1\"\r\n"), "{request}");
    assert!(matches!(rest(&server, None, None), Reply::Rest(_)));
}

#[test]
fn a_server_that_ignores_if_range_is_seen_through() {
    for (headers, total) in [
        ("etag: \"v2\"\r\n", 10),
        ("", 10),
        ("etag: W/\"v1\"\r\n", 10),
        (V1, 11),
    ] {
        let server = Server::saying(part("4-9/10", headers, "456789"));
        let reply = rest(&server, Some(total), Some(&v1()));
        assert!(matches!(reply, Reply::Changed), "{headers} {reply:?}");
    }
    let date = Validator::decode("modified 2026-11-06T08:48:00Z").unwrap();
    let newer = "last-modified: Sat, 07 Nov 2026 08:48:00 GMT\r\n";
    let server = Server::saying(part("4-9/10", newer, "456789"));
    assert!(matches!(
        rest(&server, Some(10), Some(&date)),
        Reply::Changed
    ));
    assert!(server.requests()[0].contains("\r\nif-range: fri, 06 nov 2026 08:48:00 gmt\r\n"));
}

#[test]
fn other_answers_to_the_wish_for_a_rest() {
    let whole = Server::saying(with_length("200 OK", "etag: \"v2\"\r\n", "abc"));
    let reply = rest(&whole, Some(10), Some(&v1()));
    assert!(matches!(&reply, Reply::Whole(bytes) if bytes.total == Some(3)));
    let past = Server::saying(with_length("416 No", "content-range: bytes */4\r\n", ""));
    assert!(matches!(
        rest(&past, None, None),
        Reply::Past { total: Some(4) }
    ));
    let failed = Server::saying(with_length("412 No", "", ""));
    assert!(matches!(rest(&failed, None, Some(&v1())), Reply::Changed));
    let less = Server::saying(part("4-8/10", V1, "45678"));
    let reply = rest(&less, Some(10), Some(&v1()));
    assert!(matches!(&reply, Reply::Rest(bytes) if bytes.total == Some(10)));
    for wrong in ["0-9/10", "5-9/10"] {
        let server = Server::saying(part(wrong, V1, "456789"));
        let error = run(file(&server).rest(4, None, None)).unwrap_err();
        assert!(matches!(error.fault, Fault::WrongRange { .. }), "{wrong}");
    }
    let gone = Server::saying(with_length("404 Not Found", "", ""));
    let error = run(file(&gone).rest(4, None, None)).unwrap_err();
    assert_eq!(error.advice(), Advice::Absent);
}

fn range(server: &Server) -> Result<Vec<u8>, GatewayError> {
    let range = ByteRange::new(4, 7).unwrap();
    run(async { drain(file(server).range(range, 10).await).await })
}

#[test]
fn a_range_is_that_and_nothing_else() {
    let server = Server::saying(part("4-6/10", V1, "456"));
    assert_eq!(range(&server).unwrap(), b"456");
    let ignored = Server::saying(with_length("200 OK", V1, "0123456789"));
    assert!(matches!(
        range(&ignored).unwrap_err().fault,
        Fault::RangeIgnored
    ));
}

#[test]
fn looking_costs_no_body() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\naccept-ranges: bytes\r\netag: \"v1\"\r\nconnection: close\r\n\r\n";
    let server = Server::saying(head);
    let facts = run(file(&server).look()).unwrap();
    assert_eq!((facts.total, facts.honours_range), (Some(10), Some(true)));
    assert_eq!(facts.validator, Some(v1()));
    assert!(server.requests()[0].starts_with("head /f?sig=1 "));
}

#[test]
fn where_head_is_refused_the_first_byte_tells() {
    let refused = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let tells = |answer: String| {
        let server = Server::new(vec![
            crate::gateway::tests::say(refused),
            crate::gateway::tests::say(answer),
        ]);
        let facts = run(file(&server).look()).unwrap();
        assert!(server.requests()[1].contains("\r\nrange: bytes=0-0\r\n"));
        (facts.total, facts.honours_range)
    };
    assert_eq!(tells(part("0-0/10", "", "0")), (Some(10), Some(true)));
    assert_eq!(
        tells(with_length("200 OK", "", "0123")),
        (Some(4), Some(false))
    );
    let empty = with_length("416 No", "content-range: bytes */0\r\n", "");
    assert_eq!(tells(empty), (Some(0), Some(true)));
}

#[test]
fn secrets_stay_at_their_origin_and_out_of_sight() {
    let away = Server::saying(with_length("200 OK", "", "x"));
    let location = format!("location: {}/g\r\n", away.base);
    let home = Server::saying(with_length("302 Found", &location, ""));
    let headers = vec![("X-Key".to_owned(), "secret".to_owned())];
    let login = Login {
        user: "me".into(),
        password: "secret".into(),
    };
    let url = format!("{}/f#part", home.base);
    let file = Plain::new(client(), &url, headers, None)
        .unwrap()
        .with_login(&login);
    run(file.whole()).unwrap();
    let sent = |server: &Server, name: &str| server.requests()[0].contains(&format!("\r\n{name}:"));
    assert!(sent(&home, "x-key") && sent(&home, "authorization"));
    assert!(!sent(&away, "x-key") && !sent(&away, "authorization"));
    assert_eq!(file.url(), format!("{}/f", home.base));
    assert!(!format!("{file:?}").contains("secret"));
    let refused = Server::saying(with_length("401 No", "", ""));
    let error = run(self::file(&refused).with_login(&login).whole()).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("secret"));
    assert_eq!(error.advice(), Advice::Credentials);
}

#[test]
fn only_http_is_asked() {
    for url in [
        "ftp://a.example/x",
        "file:///etc/passwd",
        "a.example/x",
        "data:,x",
    ] {
        let error = Plain::new(client(), url, vec![], None).unwrap_err();
        assert_eq!(error.advice(), Advice::Stop, "{url}");
    }
}
