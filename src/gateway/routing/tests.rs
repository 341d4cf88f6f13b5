//! Routers that keep to the specification, and those that do not.

use super::providers::Provider;
use super::*;
use crate::gateway::address::Reach;
use crate::gateway::redirect::RedirectFault;
use crate::gateway::request::Gateway;
use crate::gateway::tests::{Server, cid, client, run, with_length};

const NDJSON: &str = "content-type: application/x-ndjson\r\n";
const JSON: &str = "content-type: application/json; charset=utf-8\r\n";
const PEER: &str = r#"{"Schema":"peer","ID":"12D3","Addrs":["/dns/a.example/https"]}"#;
const OTHER: &str = r#"{"Schema":"peer","ID":"12D4","Addrs":["/dns/b.example/https"]}"#;

fn ask(server: &Server, reach: Reach) -> Result<Vec<Provider>, GatewayError> {
    let router = Router::new(client(), &server.base).unwrap();
    run(async {
        let mut answer = router.providers(&cid(), reach).await?;
        let mut found = Vec::new();
        while let Some(provider) = answer.next().await? {
            found.push(provider);
        }
        Ok(found)
    })
}

fn found(answer: String) -> Vec<String> {
    let found = ask(&Server::saying(answer), Reach::Public).unwrap();
    found.into_iter().map(|provider| provider.url).collect()
}

#[test]
fn asks_as_the_specification_says() {
    let server = Server::saying(with_length("200 OK", NDJSON, ""));
    assert_eq!(ask(&server, Reach::Public).unwrap(), []);
    let request = &server.requests()[0];
    let path = format!(
        "get /routing/v1/providers/{}?filter-addrs=https,tls&filter-protocols=transport-ipfs-gateway-http ",
        cid()
    );
    assert!(request.starts_with(&path), "{request}");
    assert!(request.contains("\r\naccept: application/x-ndjson, application/json"));
}

#[test]
fn lines_and_documents_say_the_same() {
    let both = ["https://a.example", "https://b.example"];
    for lines in [
        format!("{PEER}\n{OTHER}\n"),
        format!("{PEER}\r\n\n{OTHER}"),
        format!("oops\n{PEER}\n{PEER}\n[]\n{OTHER}\n{{"),
    ] {
        assert_eq!(
            found(with_length("200 OK", NDJSON, &lines)),
            both,
            "{lines}"
        );
    }
    let document = format!("{{\"Providers\":[{PEER},{OTHER}]}}");
    assert_eq!(found(with_length("200 OK", JSON, &document)), both);
    assert_eq!(found(with_length("200 OK", JSON, "null")), [""; 0]);
    assert_eq!(found(with_length("404 Not Found", "", "none")), [""; 0]);
}

#[test]
fn what_came_before_a_broken_end_is_found() {
    let cut = format!(
        "HTTP/1.1 200 OK\r\n{NDJSON}content-length: 999\r\nconnection: close\r\n\r\n{PEER}\n{OTHER}"
    );
    let server = Server::saying(cut);
    let router = Router::new(client(), &server.base).unwrap();
    run(async {
        let mut answer = router.providers(&cid(), Reach::Public).await.unwrap();
        let first = answer.next().await.unwrap().unwrap();
        assert_eq!(first.url, "https://a.example");
        assert!(answer.next().await.is_err());
        assert_eq!(answer.next().await.unwrap(), None);
    });
}

#[test]
fn what_is_no_answer_is_an_error_of_its_kind() {
    let advice = |answer: String| {
        let error = ask(&Server::saying(answer), Reach::Public).unwrap_err();
        error.advice()
    };
    let page = "content-type: text/html\r\n";
    assert_eq!(
        advice(with_length("200 OK", page, "<html>")),
        Advice::Elsewhere
    );
    assert_eq!(
        advice(with_length("200 OK", JSON, "<html>")),
        Advice::Elsewhere
    );
    assert_eq!(advice(with_length("422 No", "", "")), Advice::Elsewhere);
    let busy = with_length("429 No", "retry-after: 7\r\n", "");
    let after = Some(std::time::Duration::from_secs(7));
    assert_eq!(advice(busy), Advice::SlowDown { after });
    let flood = "x".repeat((4 << 20) + 1);
    assert_eq!(
        advice(with_length("200 OK", JSON, &flood)),
        Advice::Unprovable
    );
    assert_eq!(
        advice(with_length("200 OK", NDJSON, &flood)),
        Advice::Unprovable
    );
}

#[test]
fn an_identity_cid_is_never_asked_for() {
    let server = Server::saying(with_length("500 No", "", ""));
    let router = Router::new(client(), &server.base).unwrap();
    let cid = cid::parse("bafkqaaa").unwrap();
    let mut none = run(router.providers(&cid, Reach::Any)).unwrap();
    assert_eq!(run(none.next()).unwrap(), None);
    assert!(server.requests().is_empty());
}

#[test]
fn loopback_is_named_only_where_it_is_allowed() {
    let local = r#"{"Schema":"peer","Addrs":["/ip4/127.0.0.1/tcp/80/http"]}"#;
    let server = Server::saying(with_length("200 OK", NDJSON, local));
    assert_eq!(ask(&server, Reach::Public).unwrap(), []);
    assert_eq!(ask(&server, Reach::Any).unwrap()[0].url, "http://127.0.0.1");
    assert!(server.requests()[1].contains("filter-addrs=http,https,tls&"));
}

#[test]
fn a_discovered_provider_leads_nowhere_else() {
    let server = Server::saying(with_length("200 OK", "", "hello"));
    let port = server.base.rsplit(':').next().unwrap().to_owned();
    let fetch = |base: &str, reach: Reach| {
        let gateway = Gateway::new(client().discovered(reach), base, vec![], None).unwrap();
        run(async { gateway.block(&cid(), 9).await }).map(|block| block.bytes)
    };
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let error = fetch(&format!("http://{host}:{port}"), Reach::Public).unwrap_err();
        assert!(
            matches!(error.fault, Fault::Private(_)),
            "{host}: {error:?}"
        );
        assert_eq!(error.advice(), Advice::Elsewhere);
    }
    assert!(server.requests().is_empty());
    assert_eq!(&fetch(&server.base, Reach::Any).unwrap()[..], b"hello");
    let location = format!("location: {}/\r\n", server.base);
    let moved = Server::saying(with_length("302 Found", &location, ""));
    let error = fetch(&moved.base, Reach::Any).unwrap_err();
    assert!(matches!(
        error.fault,
        Fault::Redirect(RedirectFault::Discovered)
    ));
}
