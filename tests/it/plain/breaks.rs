//! Streams that break off, and files that are other ones by then.

use super::{SIZE, data, failed, finished, get, receipt, server, url};
use crate::support::dag::{Recipe, seeded};
use crate::support::gateway::{Fault, Features, Gateway, On, Request};
use crate::support::sandbox::{Running, Sandbox};
use crate::support::scenario::sha256;

const ETAG: Option<&str> = Some("\"a\"");
const LOW: u64 = 1 << 20;
const HIGH: u64 = 2 << 20;

fn second(server: &Gateway) -> Request {
    let mut requests = server.requests();
    assert_eq!(requests.len(), 2, "{}", server.story());
    requests.remove(1)
}

#[test]
fn what_a_break_costs() {
    let data = data();
    // Broken off where, with which validator, and gone on with where.
    let table = [
        (LOW, None, None),
        (HIGH, None, Some(HIGH)),
        (LOW, ETAG, Some(LOW)),
        (HIGH, ETAG, Some(HIGH)),
        (LOW, Some("W/\"weak\""), None),
    ];
    for (at, etag, goes_on) in table {
        let sandbox = Sandbox::new();
        let rules = server(&data, etag).on(On::any().nth(1), Fault::ShortBody(at));
        let server = rules.start();
        let output = get(&sandbox, &server, &["--sha256", &sha256(&data)]);
        let done = finished(&sandbox, output, &data);
        let asked = second(&server);
        let range = goes_on.map(|at| format!("bytes={at}-"));
        assert_eq!(asked.range, range, "{at} {etag:?}");
        let if_range = goes_on.and(etag.filter(|etag| !etag.starts_with('W')));
        assert_eq!(asked.if_range.as_deref(), if_range);
        let wasted = if goes_on.is_some() { 0 } else { at };
        assert_eq!(done["bytes_wasted"], wasted, "{at} {etag:?}");
    }
}

/// An error page without a word, taken for the file: the next run asks again.
#[test]
fn an_empty_answer_is_not_believed_for_ever() {
    let (data, sandbox) = (data(), Sandbox::new());
    let empty = Fault::ShortAnswer(0);
    let server = server(&data, ETAG).on(On::any().nth(1), empty).start();
    get(&sandbox, &server, &["--sha256", &sha256(&data)]).exits(65);
    let output = sandbox.run(["--json", "resume", "1", "--reset"]);
    finished(&sandbox, output, &data);
}

#[test]
fn servers_that_will_not_go_on() {
    let data = data();
    let other_length = Fault::status(416).with_header("Content-Range", "bytes */5");
    for fault in [Fault::RangeIgnored, Fault::status(416), other_length] {
        let sandbox = Sandbox::new();
        let server = server(&data, ETAG)
            .on(On::any().nth(1), Fault::ShortBody(HIGH))
            .on(On::range().nth(1), fault)
            .start();
        let output = get(&sandbox, &server, &["--sha256", &sha256(&data)]);
        let done = finished(&sandbox, output, &data);
        assert_eq!(done["bytes_wasted"], HIGH, "{}", server.story());
    }
}

/// A server may send less than the rest, and need not say how long the file is.
#[test]
fn a_part_of_the_rest_is_not_the_end() {
    let data: Vec<u8> = data().iter().map(|byte| b'a' + byte % 26).collect();
    let end = HIGH + 1000;
    let body = data[HIGH as usize..end as usize].to_vec();
    let part = Fault::Status {
        code: 206,
        headers: vec![("ETag".to_owned(), "\"a\"".to_owned())],
        body: String::from_utf8(body).expect("letters"),
    };
    let (sum, total) = (sha256(&data), data.len().to_string());
    for (total, more) in [
        ("*", &["--allow-unverified"][..]),
        ("*", &["--sha256", &sum]),
        (&total, &["--sha256", &sum]),
    ] {
        let range = format!("bytes {HIGH}-{}/{total}", end - 1);
        let part = part.clone().with_header("Content-Range", range);
        let sandbox = Sandbox::new();
        let server = server(&data, ETAG)
            .on(On::any().nth(1), Fault::ShortBody(HIGH))
            .on(On::range().nth(1), part)
            .start();
        let output = get(&sandbox, &server, more);
        let done = finished(&sandbox, output, &data);
        assert_eq!(done["bytes_wasted"], 0, "{}", server.story());
        let last = server.requests().pop().expect("a request");
        assert_eq!(last.range, Some(format!("bytes={end}-")));
    }
}

/// What is thrown away is no progress: who always breaks off is given up like anybody who fails.
#[test]
fn a_server_that_always_breaks_off_is_given_up() {
    let (data, sandbox) = (data(), Sandbox::new());
    let server = server(&data, None)
        .on(On::any(), Fault::ShortBody(LOW))
        .start();
    let output = get(&sandbox, &server, &["--sha256", &sha256(&data)]);
    failed(&sandbox, output, 75);
    assert_eq!(server.requests().len(), 4, "{}", server.story());
}

#[test]
fn silence_is_a_break() {
    let (data, sandbox) = (data(), Sandbox::new());
    let silence = Fault::StallAfter(HIGH);
    let server = server(&data, ETAG).on(On::any().nth(1), silence).start();
    let output = get(&sandbox, &server, &["--sha256", &sha256(&data)]);
    finished(&sandbox, output, &data);
    assert_eq!(second(&server).range, Some(format!("bytes={HIGH}-")));
}

/// A `get` that has what it got from a server that holds the rest back.
fn stuck(sandbox: &Sandbox, server: &Gateway, sum: &str) -> Running {
    let url = url(server);
    let args = ["--json", "get", &url, "-o", "file", "--sha256", sum];
    let mut running = sandbox.fetchd(args).spawn();
    server.held();
    running.wait_bytes(HIGH - (64 << 10));
    running
}

#[cfg(unix)]
#[test]
fn a_kill_costs_what_was_in_flight() {
    let (data, sandbox) = (data(), Sandbox::new());
    let rules = server(&data, ETAG).on(On::any(), Fault::HoldAfter(HIGH));
    let server = rules.start();
    stuck(&sandbox, &server, &sha256(&data)).kill9();
    assert!(!sandbox.target("file").exists());
    server.heal();
    let output = sandbox.run(["--json", "resume", "1"]);
    let done = finished(&sandbox, output, &data);
    let resumed = done["resumed_from"].as_u64().unwrap_or_default();
    assert!(resumed >= LOW, "{done}");
    let asked = second(&server);
    assert_eq!(asked.if_range.as_deref(), ETAG);
    assert_eq!(asked.sent, SIZE as u64 - resumed);
    // Of all runs, without what the killed one could not record.
    assert!(
        done["bytes_fetched"].as_u64() <= Some(SIZE as u64 + asked.sent),
        "{done}"
    );
    assert_eq!(done["bytes_wasted"], 0);
}

#[cfg(unix)]
#[test]
fn another_file_by_the_next_run() {
    let (old, new) = (seeded(8, SIZE), data());
    // With a validator the server says so; without one the sum does, and nobody is to blame.
    for etags in [(ETAG, Some("\"b\"")), (None, None)] {
        let sandbox = Sandbox::new();
        let rules = server(&old, etags.0).on(On::any(), Fault::HoldAfter(HIGH));
        let server = rules.start();
        let running = stuck(&sandbox, &server, &sha256(&new));
        running.signal("TERM");
        running.wait().exits(143);
        server.heal();
        server.put("/file", new.clone(), etags.1);
        let output = sandbox.run(["--json", "resume", "1"]);
        let done = finished(&sandbox, output, &new);
        assert_eq!(receipt(&done, &url(&server))["rejected"], 0);
    }
}

/// A part that somebody changed meanwhile costs a second fetch, whatever its source vouches for.
#[cfg(unix)]
#[test]
fn a_spoilt_part_blames_nobody() {
    for etag in [ETAG, None] {
        let (data, sandbox) = (data(), Sandbox::new());
        let rules = server(&data, etag).on(On::any(), Fault::HoldAfter(HIGH));
        let server = rules.start();
        stuck(&sandbox, &server, &sha256(&data)).kill9();
        let part = &sandbox.part();
        let mut bytes = std::fs::read(part).expect("a part");
        bytes[1000] ^= 1;
        std::fs::write(part, bytes).expect("a writable part");
        server.heal();
        let output = sandbox.run(["--json", "resume", "1"]);
        let done = finished(&sandbox, output, &data);
        assert_eq!(receipt(&done, &url(&server))["rejected"], 0);
    }
}

/// Bytes of two sources that do not fit: the one that sent the right ones is not to blame.
#[test]
fn a_joined_file_blames_nobody() {
    let (data, sandbox) = (data(), Sandbox::new());
    let liar = server(&seeded(8, SIZE), None)
        .on(On::any(), Fault::ShortBody(HIGH))
        .start();
    let mirror = server(&data, None).start();
    let args = ["--sha256", &sha256(&data), "--mirror", &url(&mirror)];
    let done = finished(&sandbox, get(&sandbox, &liar, &args), &data);
    assert_eq!(receipt(&done, &url(&mirror))["rejected"], 0);
    assert_eq!(receipt(&done, &url(&mirror))["bytes"], SIZE);
}

/// Killed between the rename and the record: what stands at the target is proved, not fetched again.
#[test]
fn a_crash_after_the_rename_is_completed() {
    let data = data();
    let server = server(&data, None).start();
    let (url, sum) = (url(&server), sha256(&data));
    let get = ["--json", "get", &url, "-o", "file", "--sha256", &sum];
    for command in [&get[..], &["--json", "resume", "1"]] {
        let sandbox = Sandbox::new();
        sandbox.run(get).exits(0);
        let asked = server.requests().len();
        let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
        let statement = "UPDATE downloads SET status = 'installing', completed_at = NULL,
                         receipt = NULL, owner_run = 1 WHERE id = 1";
        database.execute(statement, []).expect("a record");
        drop(database);
        finished(&sandbox, sandbox.run(command), &data);
        assert_eq!(server.requests().len(), asked, "{}", server.story());
    }
}

/// What was learnt of a gateway by which only whole plain files come does not end later downloads.
#[test]
fn a_path_gateway_serves_again_and_again() {
    let dag = Recipe::default().chunk(256 << 10).width(174).build(700_000);
    let gateway = Gateway::of(&dag).features(Features::PLAIN).start();
    let sandbox = Sandbox::new();
    for name in ["one", "two", "three"] {
        let source = dag.source();
        let get = ["get", &source, "-o", name, "--gateway", gateway.url()];
        sandbox.run(get).exits(0);
        assert!(sandbox.read(name) == dag.data);
    }
}
