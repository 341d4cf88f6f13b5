//! What is remembered beyond single downloads, and lists of downloads.

use std::time::Duration;

use crate::download::{DownloadId, Status};
use crate::gateway::capability::Capabilities;
use crate::gateway::pace::Pace;
use crate::store::tests::{Sandbox, at, ending, finish, new_download};
use crate::store::{
    Filter, GatewayRow, IpnsRow, NO_LASTS, NewDownload, Observation, Origin, Sort, Touch, Which,
    downloads, listing, open,
};

fn ids(sandbox: &Sandbox, filter: Filter) -> Vec<i64> {
    let rows = sandbox.store.downloads(filter).wait().expect("list");
    rows.iter().map(|row| row.id.get()).collect()
}

#[test]
fn lists_show_what_is_open_unless_told_otherwise() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let done = sandbox.installing("a", run);
    sandbox
        .store
        .finish(done, run, finish(Some("a")))
        .wait()
        .expect("finish");
    let failed = sandbox.resolved("b", run);
    sandbox
        .store
        .end(failed, run, ending(Status::Failed))
        .wait()
        .expect("fail");
    let urgent = NewDownload {
        priority: 5,
        ..new_download("c")
    };
    sandbox
        .store
        .create_download(urgent, None)
        .wait()
        .expect("create");

    assert_eq!(ids(&sandbox, Filter::default()), [3, 2]);
    let list = |which, sort, limit| ids(&sandbox, Filter { which, sort, limit });
    assert_eq!(list(Which::All, Sort::Oldest, None), [1, 2, 3]);
    assert_eq!(list(Which::All, Sort::Updated, Some(2)), [1, 2]);
    assert_eq!(list(Which::All, Sort::Priority, None), [3, 1, 2]);
    assert_eq!(list(Which::All, Sort::Size, None), [2, 1, 3]);
    assert_eq!(list(Which::All, Sort::Status, None), [2, 3, 1]);
    let unnamed = NewDownload {
        path: None,
        ..new_download("d")
    };
    sandbox
        .store
        .create_download(unnamed, None)
        .wait()
        .expect("create");
    assert_eq!(list(Which::All, Sort::Path, None), [1, 2, 3, 4]);
    assert_eq!(list(Which::All, Sort::Size, Some(2)), [2, 1]);
    let ended = Which::Statuses(vec![Status::Success, Status::Failed]);
    assert_eq!(list(ended, Sort::Newest, None), [2, 1]);
    assert!(list(Which::Statuses(vec![]), Sort::Newest, None).is_empty());
}

#[test]
fn downloads_are_found_by_path_and_by_cid() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let id = store
        .create_download(new_download("a"), None)
        .wait()
        .expect("create");
    let other = NewDownload {
        root_cid: Some("bafyrootlonger".to_owned()),
        ..new_download("b")
    };
    let longer = store.create_download(other, None).wait().expect("create");
    let by_path = store.find_by_path("/tmp/a".as_ref()).wait().expect("find");
    assert_eq!(by_path, [id]);
    let by_cid = |prefix| store.find_by_cid(prefix).wait().expect("find");
    assert_eq!(by_cid("bafyroot"), [longer, id]);
    assert_eq!(by_cid("bafyrootl"), [longer]);
    let nothing: [DownloadId; 0] = [];
    assert_eq!(by_cid("bafyroo"), nothing);
    assert_eq!(by_cid("%afyroot"), nothing);
}

#[test]
fn gateways_keep_their_health_and_the_word_of_the_user() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let url = "https://gateway.example";
    store
        .upsert_gateway(url, Origin::Config)
        .wait()
        .expect("upsert");
    assert!(
        store
            .set_gateway_enabled(url, Some(false))
            .wait()
            .expect("disable")
    );
    let bad = Observation {
        requests: 1,
        errors: 1,
        error: Some("503".to_owned()),
        ..Observation::default()
    };
    store
        .observe(url, bad.clone(), at(1))
        .wait()
        .expect("observe");
    store.observe(url, bad, at(2)).wait().expect("observe");
    store
        .upsert_gateway(url, Origin::Default)
        .wait()
        .expect("a lower origin");
    let row = store.gateway(url).wait().expect("read").expect("known");
    assert_eq!(
        (row.origin, row.enabled, row.errors_in_row),
        (Origin::Config, Some(false), 2)
    );

    let good = |seconds| Observation {
        requests: 1,
        bytes: 10,
        latency: Some(Duration::from_secs(seconds)),
        throughput: Some(f64::NAN),
        capabilities: Some("raw=yes".to_owned()),
        ..Observation::default()
    };
    store.observe(url, good(1), at(3)).wait().expect("observe");
    store.observe(url, good(2), at(4)).wait().expect("observe");
    let row = store.gateway(url).wait().expect("read").expect("known");
    assert_eq!(
        (row.requests, row.errors, row.errors_in_row, row.bytes),
        (4, 2, 0, 20)
    );
    assert_eq!((row.latency, row.throughput), (Some(1.2), None));
    assert_eq!(
        (
            row.last_error.as_deref(),
            row.capabilities(at(5)).encode().as_str()
        ),
        (Some("503"), "raw=yes")
    );

    let found = "https://found.example";
    store.retire(found, at(5), "gone").wait().expect("retire");
    store
        .cool_down(url, at(6), at(5))
        .wait()
        .expect("cool down");
    store
        .upsert_gateway("https://mine.example", Origin::User)
        .wait()
        .expect("upsert");
    let rows = store.gateways().wait().expect("list");
    let origins: Vec<_> = rows.iter().map(|row| row.origin).collect();
    assert_eq!(origins, [Origin::User, Origin::Config, Origin::Discovered]);
    assert_eq!(
        (rows[1].cool_until, rows[2].retired_since),
        (Some(at(6)), Some(at(5)))
    );

    store.reset_gateways().wait().expect("reset");
    let rows = store.gateways().wait().expect("list");
    assert_eq!(
        rows.iter().map(|row| row.url.as_str()).collect::<Vec<_>>(),
        ["https://mine.example"]
    );
    assert!(
        store
            .remove_gateway("https://mine.example")
            .wait()
            .expect("remove")
    );
    assert!(
        !store
            .set_gateway_enabled(url, None)
            .wait()
            .expect("unknown")
    );
}

#[test]
fn a_gateway_that_refused_is_asked_slowly_for_a_while() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let url = "https://gateway.example";
    let row = || store.gateway(url).wait().expect("read").expect("known");
    let interval = |now| row().pace(now).interval().as_micros();
    let pace = Pace::default()
        .sent(Duration::from_secs(1))
        .refused(None)
        .refused(None);
    store.set_pace(url, pace, at(0)).wait().expect("pace");
    assert_eq!(interval(at(0)), 2_000_000);
    assert_eq!(interval(at(6 * 3600)), 1_000_000);
    assert_eq!(
        interval(at(0) - jiff::SignedDuration::from_hours(9)),
        2_000_000
    );
    assert_eq!(interval(at(0) + NO_LASTS), 0);
    store
        .set_pace(url, Pace::default(), at(1))
        .wait()
        .expect("free");
    assert_eq!(row().pace, None);

    store
        .cool_down(url, at(9), at(7))
        .wait()
        .expect("cool down");
    let rests = |now| row().rests_until(at(now));
    assert_eq!([rests(7), rests(8)], [Some(at(9)); 2]);
    assert_eq!(rests(9), None, "it is over");
    assert_eq!(rests(6), None, "recorded by a clock that was ahead");
    let end = || store.end_cool_down(url).wait().expect("end");
    assert!(end() && !end());
    assert_eq!(row().cool_until, None);
}

#[test]
fn a_gateway_that_could_not_is_tried_again_after_a_while() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let url = "https://gateway.example";
    let say = |words: &str, now| {
        let seen = Observation {
            requests: 1,
            capabilities: Some(words.to_owned()),
            ..Observation::default()
        };
        store.observe(url, seen, now).wait().expect("observe");
    };
    let known = |now| {
        let row = store.gateway(url).wait().expect("read").expect("known");
        row.capabilities(now).encode()
    };
    say("raw=yes car=no nonsense", at(0));
    // Who was told says it again: that does not make it any younger.
    say("raw=yes car=no", at(0) + NO_LASTS / 2);
    assert_eq!(
        known(at(0) + NO_LASTS - jiff::SignedDuration::from_secs(1)),
        "raw=yes car=no"
    );
    let late = at(0) + NO_LASTS;
    assert_eq!(known(late), "raw=yes");
    // Asked again, and refused again.
    say("raw=yes car=no", late);
    assert_eq!(known(late + NO_LASTS / 2), "raw=yes car=no");
    assert_eq!(known(at(0)), "raw=yes", "learnt by a clock that was ahead");
    say("raw=yes car=yes", late);
    assert_eq!(known(late + NO_LASTS * 9), "raw=yes car=yes");
    assert_eq!(
        GatewayRow::fresh(url, Origin::User).capabilities(at(0)),
        Capabilities::default()
    );
}

#[test]
fn one_gateway_is_forgotten_but_for_the_wish_to_have_it() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    for (url, origin) in [
        ("https://mine.example", Origin::User),
        ("https://theirs.example", Origin::Config),
    ] {
        store.upsert_gateway(url, origin).wait().expect("upsert");
        assert!(
            store
                .set_gateway_enabled(url, Some(false))
                .wait()
                .expect("disable")
        );
        assert!(store.reset_gateway(url).wait().expect("reset"));
        assert!(!store.reset_gateway("https://other").wait().expect("reset"));
    }
    let rows = store.gateways().wait().expect("list");
    assert_eq!(
        rows,
        [GatewayRow::fresh("https://mine.example", Origin::User)]
    );
}

/// A project of few files is no matter of how many others there are.
#[test]
fn what_is_below_a_directory_is_found_by_its_path() {
    let sandbox = Sandbox::new();
    let conn = rusqlite::Connection::open(sandbox.database()).expect("open raw");
    open::show_own(&conn).expect("a view");
    let plan = plan(&conn, downloads::FINISHED_BELOW, ("/a/", "/a0")).join("\n");
    assert!(plan.contains("USING INDEX downloads_path"), "{plan}");
}

fn plan(conn: &rusqlite::Connection, sql: &str, params: impl rusqlite::Params) -> Vec<String> {
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let mut statement = conn.prepare(&sql).expect("a statement");
    let steps = statement.query_map(params, |row| row.get("detail"));
    let steps = steps.expect("a plan");
    steps.map(|step| step.expect("a step")).collect()
}

/// Of very many records a few are found without looking at all of them.
#[test]
fn lists_are_read_off_an_index() {
    let sandbox = Sandbox::new();
    let conn = rusqlite::Connection::open(sandbox.database()).expect("open raw");
    open::show_own(&conn).expect("a view");
    let sorts = [
        Sort::Newest,
        Sort::Oldest,
        Sort::Updated,
        Sort::Priority,
        Sort::Size,
        Sort::Status,
        Sort::Path,
    ];
    for sort in sorts {
        for which in [Which::Open, Which::All] {
            let filter = Filter {
                which,
                sort,
                limit: Some(50),
            };
            let steps = plan(&conn, &listing::statement(&filter), [-1]);
            let shown = steps.join("\n");
            assert!(
                shown.contains("SEARCH downloads USING INTEGER PRIMARY KEY"),
                "{sort:?}:\n{shown}"
            );
            // Sorting what was chosen is cheap; choosing by sorting is not.
            let chosen = steps
                .iter()
                .position(|step| step.starts_with("SCAN few") || step.starts_with("SCAN (subquery"))
                .unwrap_or_else(|| panic!("{sort:?}:\n{shown}"));
            let choosing = steps[..chosen].join("\n");
            assert!(
                !choosing.contains("TEMP B-TREE FOR ORDER BY"),
                "{sort:?} of {:?}:\n{shown}",
                filter.which
            );
        }
    }
}

#[test]
fn what_is_known_of_a_cid_is_only_added_to() {
    let sandbox = Sandbox::new();
    let touch = |name: Option<&str>, success| Touch {
        cid: "bafyroot".to_owned(),
        name: name.map(str::to_owned),
        media_type: None,
        sha256: None,
        last_provider: None,
        success,
        now: at(1),
    };
    for touch in [
        touch(Some("a.txt"), Some(true)),
        touch(None, Some(false)),
        touch(None, None),
    ] {
        sandbox.store.touch_cid(touch).wait().expect("touch");
    }
    let row = sandbox
        .store
        .known_cid("bafyroot")
        .wait()
        .expect("read")
        .expect("known");
    assert_eq!(
        (row.name.as_deref(), row.successes, row.failures),
        (Some("a.txt"), 1, 1)
    );
    assert_eq!(row.cached, Some(at(1)));
}

#[test]
fn an_older_ipns_record_does_not_replace_a_newer() {
    let sandbox = Sandbox::new();
    let record = |sequence| IpnsRow {
        sequence,
        record: vec![1],
        seen: at(1),
    };
    let see = |sequence| {
        sandbox
            .store
            .see_ipns("k51", record(sequence))
            .wait()
            .expect("see")
            .sequence
    };
    assert_eq!((see(5), see(u64::MAX), see(6)), (5, u64::MAX, u64::MAX));
    assert_eq!(
        sandbox.store.ipns("k51").wait().expect("read"),
        Some(record(u64::MAX))
    );
    assert_eq!(sandbox.store.ipns("other").wait().expect("read"), None);
}

#[test]
fn replies_can_be_awaited() {
    let sandbox = Sandbox::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    let created = runtime.block_on(sandbox.store.create_download(new_download("x"), None));
    assert!(created.is_ok());
}
