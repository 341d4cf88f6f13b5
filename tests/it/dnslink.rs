//! DNSLink against a name server over UDP, TCP and HTTP.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use fetchd::gateway::client::{Client, ClientOptions};
use fetchd::gateway::dnslink::{DnsError, Resolver};
use fetchd::gateway::error::Advice;

use crate::support::dns::{Act, DnsServer, Rr, txt};

const TARGET: &str = "/ipfs/bafkqaddwgevxmmraojswg33smq";
/// For what comes.
const LONG: Duration = Duration::from_secs(10);
/// For what never comes.
const SHORT: Duration = Duration::from_millis(100);

fn look_up(resolver: &Resolver, domain: &str) -> Result<String, DnsError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(resolver.dnslink(domain))
        .map(|target| target.to_string())
}

fn over_udp(server: &DnsServer) -> Resolver {
    Resolver::servers(vec![server.address], LONG, 1)
}

fn over_http(server: &DnsServer) -> Resolver {
    let client = Client::new(ClientOptions::default()).expect("a client");
    Resolver::https(client, &server.url).expect("a resolver")
}

fn link(path: &str) -> Rr {
    txt(&format!("dnslink={path}"))
}

fn cname(name: &str) -> Rr {
    Rr::Cname(name.to_owned())
}

/// What holds however one asks.
#[test]
fn the_rules_of_dnslink() {
    let in_two = Rr::Txt(vec![
        "dnslink=/ipfs/bafkqaddw".into(),
        "gevxmmraojswg33smq".into(),
    ]);
    let server = DnsServer::start(&[
        ("_dnslink.one.example", Act::Answer(vec![link(TARGET)])),
        (
            "_dnslink.name.example",
            Act::Answer(vec![link("/ipns/docs.example/a%20b")]),
        ),
        ("_dnslink.split.example", Act::Answer(vec![in_two])),
        (
            "_dnslink.among.example",
            Act::Answer(vec![
                txt("v=spf1 -all"),
                txt(TARGET),
                link("/ipfs/broken"),
                link("https://x.example"),
                link(&format!("{TARGET}/docs")),
                txt("DNSLINK=/ipfs/bafkqaaa"),
            ]),
        ),
        (
            "_dnslink.two.example",
            Act::Answer(vec![link(TARGET), link("/ipfs/bafkqaaa")]),
        ),
        ("_dnslink.none.example", Act::Answer(vec![txt("hello")])),
        ("_dnslink.empty.example", Act::Answer(vec![])),
        (
            "_dnslink.alias.example",
            Act::Answer(vec![cname("_dnslink.hop.example")]),
        ),
        (
            "_dnslink.hop.example",
            Act::Answer(vec![cname("_dnslink.one.example")]),
        ),
        (
            "_dnslink.bare.example",
            Act::Alone(vec![cname("_dnslink.hop.example")]),
        ),
        (
            "_dnslink.circle.example",
            Act::Alone(vec![cname("_dnslink.circle.example")]),
        ),
        (
            "_dnslink.lost.example",
            Act::Alone(vec![cname("nowhere.example")]),
        ),
        ("_dnslink.fail.example", Act::Code(2)),
        ("_dnslink.refuse.example", Act::Code(5)),
        ("_dnslink.terse.example", Act::Bare(2)),
        ("_dnslink.cut.example", Act::NeverFits),
    ]);
    for resolver in [over_udp(&server), over_http(&server)] {
        let found = |domain: &str| look_up(&resolver, domain).expect(domain);
        assert_eq!(found("one.example"), TARGET);
        assert_eq!(found("name.example"), "/ipns/docs.example/a%20b");
        assert_eq!(found("split.example"), TARGET);
        assert_eq!(found("among.example"), format!("{TARGET}/docs"));
        assert_eq!(found("alias.example"), TARGET);
        assert_eq!(found("bare.example"), TARGET);

        let fails = |domain: &str| look_up(&resolver, domain).expect_err(domain);
        for absent in [
            "none.example",
            "empty.example",
            "nowhere.example",
            "lost.example",
        ] {
            let error = fails(absent);
            assert!(
                matches!(error, DnsError::Absent { .. }),
                "{absent}: {error}"
            );
            assert_eq!(error.advice(), Advice::Absent);
        }
        let error = fails("two.example");
        assert!(
            matches!(error, DnsError::Ambiguous { count: 2, .. }),
            "{error}"
        );
        assert_eq!(error.advice(), Advice::Never);
        assert!(matches!(fails("circle.example"), DnsError::Aliases { .. }));
        for (domain, code) in [
            ("fail.example", "ServerFailure"),
            ("refuse.example", "Refused"),
            ("terse.example", "ServerFailure"),
        ] {
            let error = fails(domain);
            assert_eq!(error.advice(), Advice::Retry { after: None });
            assert!(matches!(error, DnsError::Failed { code: got, .. } if got == code));
        }
        assert!(matches!(fails("cut.example"), DnsError::Malformed { .. }));
        // A name that no message can hold cannot exist.
        let long = [
            "x".repeat(63),
            "y".repeat(63),
            "z".repeat(63),
            "w".repeat(60),
        ]
        .join(".");
        assert!(matches!(fails(&long), DnsError::Absent { .. }));
    }
    // Nothing was looked up but the names themselves: no search domain, no bare domain.
    assert!(
        server
            .queries()
            .iter()
            .all(
                |query| query.contains(" _dnslink.") && query.ends_with(".example")
                    || query.ends_with(" nowhere.example")
            )
    );
}

#[test]
fn what_does_not_fit_into_a_datagram_comes_over_tcp() {
    let mut many: Vec<Rr> = (0..200)
        .map(|n| txt(&format!("filler number {n}")))
        .collect();
    many.push(link(TARGET));
    let server = DnsServer::start(&[("_dnslink.long.example", Act::TooLong(many))]);
    assert_eq!(
        look_up(&over_udp(&server), "long.example").expect("found"),
        TARGET
    );
    assert_eq!(
        server.queries(),
        ["udp _dnslink.long.example", "tcp _dnslink.long.example"]
    );
}

#[test]
fn forged_answers_are_passed_over() {
    let act = Act::AfterForgeries(vec![link(TARGET)]);
    let server = DnsServer::start(&[("_dnslink.forged.example", act)]);
    assert_eq!(
        look_up(&over_udp(&server), "forged.example").expect("found"),
        TARGET
    );
    assert_eq!(server.queries().len(), 1);
}

#[test]
fn another_server_is_asked_where_one_fails() {
    let broken = DnsServer::start(&[
        ("_dnslink.a.example", Act::Code(2)),
        ("_dnslink.b.example", Act::Silence),
    ]);
    let good = DnsServer::start(&[
        ("_dnslink.a.example", Act::Answer(vec![link(TARGET)])),
        ("_dnslink.b.example", Act::Answer(vec![link(TARGET)])),
    ]);
    let servers = vec![unused(), broken.address, good.address];
    let resolver = Resolver::servers(servers.clone(), LONG, 1);
    assert_eq!(look_up(&resolver, "a.example").expect("found"), TARGET);
    // A definite no is one: nobody else is asked.
    assert!(look_up(&resolver, "c.example").is_err());
    assert!(
        !good
            .queries()
            .iter()
            .any(|query| query.contains("c.example"))
    );
    // A slow machine may need more than one round to hear the good one in time.
    let impatient = Resolver::servers(servers, SHORT, 100);
    assert_eq!(look_up(&impatient, "b.example").expect("found"), TARGET);
}

#[test]
fn nobody_answers() {
    let silent = DnsServer::start(&[("_dnslink.a.example", Act::Silence)]);
    let resolver = Resolver::servers(vec![silent.address], SHORT, 2);
    let error = look_up(&resolver, "a.example").expect_err("silence");
    assert!(matches!(error, DnsError::Silent { .. }), "{error}");
    assert_eq!(error.advice(), Advice::Retry { after: None });
    // Both questions were sent; the server may still be reading.
    while silent.queries().len() < 2 {
        std::thread::yield_now();
    }

    let resolver = Resolver::servers(vec![unused()], SHORT, 1);
    let error = look_up(&resolver, "a.example").expect_err("nobody");
    assert_eq!(error.advice(), Advice::Retry { after: None });
}

#[test]
fn a_resolver_that_is_none() {
    let junk = "application/dns-message";
    let server = DnsServer::start(&[
        (
            "_dnslink.page.example",
            Act::Http(200, "text/html", "<p>hello"),
        ),
        (
            "_dnslink.busy.example",
            Act::Http(503, "text/plain", "later"),
        ),
        ("_dnslink.junk.example", Act::Http(200, junk, "junk")),
    ]);
    for domain in ["page.example", "busy.example", "junk.example"] {
        let error = look_up(&over_http(&server), domain).expect_err(domain);
        assert_eq!(error.advice(), Advice::Retry { after: None }, "{domain}");
        let text = error.to_string();
        assert!(
            text.contains(&server.url) && !text.contains("?dns="),
            "{text}"
        );
    }
}

/// An address where nobody listens: the port was ours and is free again.
fn unused() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("bound")
}
