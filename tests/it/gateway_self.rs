//! The fault gateway is tested too: one that is honest when it should fail proves nothing.

mod directories;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::client::ask;
use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, Kind, On};
use crate::support::pb::Cid;

fn raw(cid: &Cid) -> String {
    format!("/ipfs/{cid}?format=raw")
}

fn car(cid: &Cid, more: &str) -> String {
    format!("/ipfs/{cid}?format=car{more}")
}

#[test]
fn raw_blocks_and_plain_ranges() {
    let dag = Recipe::default().build(20_000);
    let gateway = Gateway::of(&dag).start();
    let reply = ask(&gateway, &raw(&dag.root), "");
    assert_eq!(
        reply.header("content-type"),
        Some("application/vnd.ipld.raw")
    );
    assert_eq!(
        Some(reply.body.as_slice()),
        dag.block(&dag.root).map(AsRef::as_ref)
    );
    let file = format!("/ipfs/{}", dag.root);
    let reply = ask(&gateway, &file, "Range: bytes=100-199\r\n");
    assert_eq!(
        (reply.status(), reply.header("content-range")),
        (206, Some("bytes 100-199/20000"))
    );
    assert_eq!(reply.body, &dag.data[100..200]);
    assert_eq!(
        ask(&gateway, &file, "Range: bytes=-5\r\n").body,
        &dag.data[19_995..]
    );
    assert_eq!(
        ask(&gateway, &file, "Range: bytes=20000-\r\n").status(),
        416
    );
    assert_eq!(
        ask(&gateway, &raw(&Dag::single(b"absent").root), "").status(),
        404
    );
    let kinds: Vec<Kind> = gateway
        .requests()
        .iter()
        .map(|request| request.kind)
        .collect();
    assert_eq!(
        kinds,
        [Kind::Raw, Kind::Range, Kind::Range, Kind::Range, Kind::Raw]
    );
    assert_eq!(gateway.requests()[1].sent, 100);
}

#[test]
fn cars_honour_scope_and_entity_bytes() {
    let dag = Recipe::default().chunk(1000).width(4).build(16_000);
    let gateway = Gateway::of(&dag).start();
    let sections = |more: &str| {
        let body = ask(&gateway, &car(&dag.root, more), "")
            .unchunked()
            .expect("a clean end");
        let cids: Vec<Cid> = read_car(&body).into_iter().map(|(cid, _)| cid).collect();
        cids
    };
    let whole = ask(&gateway, &car(&dag.root, ""), "")
        .unchunked()
        .expect("a clean end");
    assert_eq!(whole, dag.car());
    assert_eq!(sections("&dag-scope=block"), [dag.root]);
    assert_eq!(sections("&dag-scope=entity").len(), 16 + 4 + 1);
    // Leaf 5 alone: root, second interior node, leaf.
    let leaves = dag.leaves();
    let one = sections("&dag-scope=entity&entity-bytes=5000:5999");
    assert_eq!((one.len(), one[0], one[2]), (3, dag.root, leaves[5]));
    assert_eq!(
        sections("&dag-scope=entity&entity-bytes=5999:6000").len(),
        4
    );
    assert_eq!(
        sections("&dag-scope=entity&entity-bytes=-1:*").last(),
        leaves.last()
    );
    assert_eq!(
        sections("&dag-scope=entity&entity-bytes=16000:*"),
        [dag.root]
    );
    // Without a scope the range is ignored, as by the real ones.
    assert_eq!(sections("&entity-bytes=5000:5999").len(), dag.blocks.len());
}

#[test]
fn paths_bring_the_way() {
    let file = Recipe::default().build(10_000);
    let inner = Dag::directory(&[("a b", &file), ("z", &Dag::symlink("a b"))]);
    let dag = Dag::directory(&[("inner", &inner)]);
    let gateway = Gateway::of(&dag).start();
    let target = format!("/ipfs/{}/inner/a%20b", dag.root);
    assert_eq!(ask(&gateway, &target, "").body, file.data);
    let body = ask(
        &gateway,
        &format!("{target}?format=car&dag-scope=block"),
        "",
    )
    .unchunked()
    .expect("a clean end");
    let cids: Vec<Cid> = read_car(&body).into_iter().map(|(cid, _)| cid).collect();
    assert_eq!(cids, [dag.root, inner.root, file.root]);
    assert_eq!(
        ask(&gateway, &format!("/ipfs/{}/absent", dag.root), "").status(),
        404
    );
    assert_eq!(
        ask(&gateway, &format!("/ipfs/{}/z", inner.root), "").header("content-type"),
        Some("inode/symlink")
    );
}

#[test]
fn partial_gateways() {
    let dag = Recipe::default().build(20_000);
    let file = format!("/ipfs/{}", dag.root);
    let plain = Gateway::of(&dag).features(Features::PLAIN).start();
    assert_eq!(
        ask(&plain, &raw(&dag.root), "").body,
        dag.data,
        "the format is ignored"
    );
    let whole = Gateway::of(&dag).features(Features::PLAIN_WHOLE).start();
    assert_eq!(ask(&whole, &file, "Range: bytes=0-9\r\n").status(), 200);
    let trustless = Gateway::of(&dag).features(Features::TRUSTLESS).start();
    assert_eq!(ask(&trustless, &file, "").status(), 406);
    let blunt = Gateway::of(&dag).features(Features::WHOLE_CAR).start();
    let body = ask(
        &blunt,
        &car(&dag.root, "&dag-scope=entity&entity-bytes=0:1"),
        "",
    )
    .unchunked()
    .expect("a clean end");
    assert_eq!(read_car(&body).len(), dag.blocks.len());
    let mirror = Gateway::empty()
        .file("/x.bin", dag.data.clone(), Some("\"v1\""))
        .start();
    assert_eq!(
        ask(
            &mirror,
            "/x.bin",
            "Range: bytes=1-2\r\nIf-Range: \"v1\"\r\n"
        )
        .body,
        &dag.data[1..3]
    );
    assert_eq!(
        ask(
            &mirror,
            "/x.bin",
            "Range: bytes=1-2\r\nIf-Range: \"v0\"\r\n"
        )
        .status(),
        200
    );
}

#[test]
fn faults_of_content() {
    let dag = Recipe::default().chunk(1000).build(8000);
    let leaf = dag.leaves()[0];
    let blocks = dag.blocks.len();
    let car_with = |fault: Fault| {
        let gateway = Gateway::of(&dag).on(On::car(), fault).start();
        let body = ask(&gateway, &car(&dag.root, ""), "")
            .unchunked()
            .expect("a clean end");
        read_car(&body)
    };
    assert_eq!(car_with(Fault::TruncatedCarCleanEnd(2)).len(), 2);
    assert_eq!(car_with(Fault::Duplicates).len(), 2 * blocks);
    assert_eq!(
        car_with(Fault::Reorder).last().map(|(cid, _)| *cid),
        Some(dag.root)
    );
    assert_eq!(car_with(Fault::Missing(leaf)).len(), blocks - 1);
    assert_eq!(car_with(Fault::ExtraBlocks(3)).len(), blocks + 3);
    assert_ne!(car_with(Fault::WrongRoot)[0].0, dag.root);
    let honest = read_car(&dag.car());
    let differing =
        |other: &[(Cid, Vec<u8>)]| honest.iter().zip(other).filter(|(a, b)| a != b).count();
    assert_eq!(differing(&car_with(Fault::FlipBit(5000))), 1);
    assert_eq!(differing(&car_with(Fault::OtherBlock)), 1);
    let gateway = Gateway::of(&dag)
        .on(On::raw(), Fault::Missing(leaf))
        .start();
    assert_eq!(ask(&gateway, &raw(&leaf), "").status(), 404);
    assert_eq!(ask(&gateway, &raw(&dag.root), "").status(), 200);
}

#[test]
fn faults_of_answers() {
    let dag = Recipe::default().build(8000);
    let file = format!("/ipfs/{}", dag.root);
    let ask_with = |fault: Fault| {
        let gateway = Gateway::of(&dag).on(On::any(), fault).start();
        ask(&gateway, &file, "Range: bytes=1000-1999\r\n")
    };
    assert_eq!(ask_with(Fault::RangeIgnored).body.len(), 8000);
    assert_eq!(
        ask_with(Fault::WrongRange(5)).header("content-range"),
        Some("bytes 1005-2004/8000")
    );
    let short = ask_with(Fault::ShortBody(10));
    assert_eq!(
        (short.header("content-length"), short.body.len()),
        (Some("1000"), 10)
    );
    let cut = ask_with(Fault::ShortAnswer(10));
    assert_eq!(
        (cut.header("content-length"), cut.body.len()),
        (Some("10"), 10)
    );
    assert_eq!(
        ask_with(Fault::LongBody(7)).header("content-length"),
        Some("1007")
    );
    assert_eq!(
        ask_with(Fault::Html200).header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(
        ask_with(Fault::GzipHeader).header("content-encoding"),
        Some("gzip")
    );
    assert_eq!(
        ask_with(Fault::redirect("/x")).header("location"),
        Some("/x")
    );
    let gone = ask_with(Fault::sunset("Mon, 21 Sep 2026 00:00:00 GMT"));
    assert_eq!(
        (gone.status(), gone.header("retry-after")),
        (429, Some("900"))
    );
    assert_eq!(ask_with(Fault::CloseBeforeHeaders).head, "");
    assert_eq!(ask_with(Fault::StallBeforeHeaders).head, "");
    assert_eq!(ask_with(Fault::StallAfter(3)).body, &dag.data[1000..1003]);
    assert!(ask_with(Fault::Endless).body.len() > 4 << 20);
}

#[test]
fn resets_are_resets() {
    let dag = Recipe::default().build(8000);
    let gateway = Gateway::of(&dag)
        .on(On::any(), Fault::ResetAfter(10))
        .start();
    let mut stream = TcpStream::connect(gateway.address()).expect("a gateway");
    write!(stream, "GET /ipfs/{} HTTP/1.1\r\nHost: x\r\n\r\n", dag.root).expect("a request");
    let error = stream
        .read_to_end(&mut Vec::new())
        .expect_err("no clean end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(TcpStream::connect(Gateway::refusing().trim_start_matches("http://")).is_err());
}

#[test]
fn rules_count_what_they_match() {
    let dag = Recipe::default().build(8000);
    let leaf = dag.leaves()[1];
    let gateway = Gateway::of(&dag)
        .on(On::raw().with(leaf.to_string()).nth(2), Fault::status(500))
        .on(On::plain().first(1), Fault::status(503))
        .start();
    let statuses: Vec<u16> = [
        raw(&leaf),
        raw(&dag.root),
        raw(&leaf),
        raw(&leaf),
        "/ipfs/x".into(),
        "/ipfs/x".into(),
    ]
    .iter()
    .map(|target| ask(&gateway, target, "").status())
    .collect();
    assert_eq!(statuses, [200, 200, 500, 200, 503, 404]);
    gateway.add(On::raw(), Fault::status(500));
    assert_eq!(ask(&gateway, &raw(&leaf), "").status(), 500);
    gateway.heal();
    assert_eq!(ask(&gateway, &raw(&leaf), "").status(), 200);
}

#[test]
fn a_held_response_waits_for_its_release() {
    let dag = Recipe::default().build(50_000);
    let gateway = Gateway::of(&dag)
        .on(On::plain(), Fault::HoldAfter(10_000))
        .start();
    let mut stream = TcpStream::connect(gateway.address()).expect("a gateway");
    write!(
        stream,
        "GET /ipfs/{} HTTP/1.1\r\nHost: x\r\nUser-Agent: test\r\n\r\n",
        dag.root
    )
    .expect("a request");
    gateway.held();
    let request = gateway.requests().remove(0);
    assert_eq!(
        (
            request.sent,
            request.connection,
            request.user_agent.as_deref()
        ),
        (10_000, 0, Some("test"))
    );
    gateway.release();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket");
    let mut received = Vec::new();
    let mut buffer = [0; 65536];
    while !received.ends_with(&dag.data[49_000..]) {
        let n = stream.read(&mut buffer).expect("the rest");
        assert_ne!(n, 0);
        received.extend_from_slice(&buffer[..n]);
    }
    assert_eq!(gateway.sent(), 50_000);
}

/// Sections of a CAR that is known to be sound.
fn read_car(car: &[u8]) -> Vec<(Cid, Vec<u8>)> {
    let (header, rest) = unsigned_varint::decode::u64(car).expect("a length");
    let mut rest = &rest[usize::try_from(header).expect("a small header")..];
    let mut sections = Vec::new();
    while !rest.is_empty() {
        let (len, after) = unsigned_varint::decode::u64(rest).expect("a length");
        let (section, after) = after.split_at(usize::try_from(len).expect("a small section"));
        let mut block = section;
        let cid = Cid::read_bytes(&mut block).expect("a CID");
        sections.push((cid, block.to_vec()));
        rest = after;
    }
    sections
}
