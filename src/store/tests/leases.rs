//! One owner, one unfinished download a path, and only the steps of the status machine.

use std::path::Path;

use crate::download::{Action, Status};
use crate::exit::ExitKind;
use crate::store::tests::{Sandbox, at, checkpoint, ending, finish, new_download};
use crate::store::{
    self, Attempt, Change, Claim, DownloadRow, Filter, NewDownload, Requested, Resolved, Store,
    StoreError, Which,
};

#[test]
fn one_unfinished_download_for_each_path() {
    let sandbox = Sandbox::new();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let create = || {
            sandbox
                .another()
                .create_download(new_download("x"), None)
                .wait()
        };
        let racers: Vec<_> = (0..6).map(|_| scope.spawn(create)).collect();
        racers
            .into_iter()
            .map(|racer| racer.join().expect("no panic"))
            .collect()
    });
    let winner = outcomes.iter().flatten().next().copied().expect("one wins");
    let lost = |outcome: &&Result<_, _>| matches!(outcome, Err(StoreError::ActiveExists { id }) if *id == winner);
    assert_eq!(outcomes.iter().filter(lost).count(), 5);
    let path = Path::new("/tmp/x");
    assert_eq!(
        sandbox.store.unfinished_at(path).wait().expect("read"),
        Some(winner)
    );

    // Downloads to standard output have no path to fight over, and ended ones fight no more.
    let stdout = crate::store::NewDownload {
        path: None,
        ..new_download("x")
    };
    assert!(
        sandbox
            .store
            .create_download(stdout.clone(), None)
            .wait()
            .is_ok()
    );
    assert!(sandbox.store.create_download(stdout, None).wait().is_ok());
    sandbox
        .store
        .settle(winner, ending(Status::Cancelled))
        .wait()
        .expect("cancel");
    assert!(
        sandbox
            .store
            .create_download(new_download("x"), None)
            .wait()
            .is_ok()
    );
}

#[test]
fn the_index_itself_refuses_a_second_download() {
    let sandbox = Sandbox::new();
    sandbox
        .store
        .create_download(new_download("x"), None)
        .wait()
        .expect("create");
    let conn = rusqlite::Connection::open(sandbox.database()).expect("open raw");
    let copy = "INSERT INTO downloads (status, kind, source, content_path, path, nonce, created_at, updated_at, options)
                SELECT 'paused', kind, source, content_path, path, nonce, created_at, updated_at, options FROM downloads";
    assert!(conn.execute(copy, []).is_err());
}

#[test]
fn a_failed_download_is_not_reopened_beside_another() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let failed = sandbox.resolved("x", run);
    sandbox
        .store
        .end(failed, run, ending(Status::Failed))
        .wait()
        .expect("fail");
    let second = sandbox
        .store
        .create_download(new_download("x"), None)
        .wait()
        .expect("create");
    let reopened = sandbox
        .store
        .claim(
            failed,
            run,
            &[Status::Failed],
            Status::Resuming,
            at(40),
            Change::none,
        )
        .wait();
    assert!(
        matches!(reopened, Err(StoreError::ActiveExists { id }) if id == second),
        "{reopened:?}"
    );
    assert_eq!(sandbox.status(failed), Status::Failed);
}

#[test]
fn a_claim_is_won_by_one() {
    let sandbox = Sandbox::new();
    let (run, other) = (sandbox.run(), sandbox.run());
    let id = sandbox
        .store
        .create_download(new_download("x"), None)
        .wait()
        .expect("create");
    let claim = |store: &Store, run| {
        store
            .claim(
                id,
                run,
                &[Status::Pending, Status::InProgress],
                Status::InProgress,
                at(5),
                Change::none,
            )
            .wait()
            .expect("claim")
    };
    let Claim::Taken(row) = claim(&sandbox.store, run) else {
        panic!("not taken");
    };
    assert_eq!(
        (row.status, row.owner, row.started),
        (Status::InProgress, Some(run), Some(at(5)))
    );
    assert_eq!(claim(&sandbox.another(), other), Claim::Owned { run });
    // It may be had again when its owner has ended without letting go.
    sandbox.store.end_run(run, at(6)).wait().expect("end");
    assert!(matches!(claim(&sandbox.another(), other), Claim::Taken(_)));
    let elsewhere = sandbox
        .store
        .claim(
            id,
            other,
            &[Status::Paused],
            Status::Resuming,
            at(7),
            Change::none,
        )
        .wait();
    assert_eq!(
        elsewhere.expect("claim"),
        Claim::Elsewhere {
            status: Status::InProgress
        }
    );
}

#[test]
fn an_owner_that_lost_its_lease_changes_nothing() {
    let sandbox = Sandbox::new();
    let (run, other) = (sandbox.run(), sandbox.run());
    let id = sandbox.installing("x", run);
    sandbox.store.reap(&[run], at(5)).wait().expect("reap");
    let taken = sandbox
        .store
        .claim(
            id,
            other,
            &[Status::Paused],
            Status::Resuming,
            at(6),
            Change::none,
        )
        .wait();
    assert!(matches!(taken, Ok(Claim::Taken(_))));
    let before = sandbox.store.download(id).wait().expect("read");

    let store = &sandbox.store;
    let attempt = Attempt {
        download: id,
        run,
        provider: "https://gateway.example".to_owned(),
        request: "range".to_owned(),
        offset: None,
        bytes: 1,
        outcome: "ok".to_owned(),
        started: at(1),
        ended: at(2),
    };
    let resolved = Resolved {
        root_cid: None,
        kind: "odd".to_owned(),
        bytes_total: None,
        now: at(9),
    };
    let lost = [
        store.set_status(id, run, Status::InProgress, at(9)).wait(),
        store.record_resolved(id, run, resolved).wait(),
        sandbox.record(id, run, checkpoint(50)).map(drop),
        store.record_attempt(attempt, 100).wait(),
        store.fulfil(id, run, Action::Pause).wait(),
        store.acknowledge(id, run, Action::Pause, at(9)).wait(),
        store.requested_action(id, run).wait().map(drop),
        store.release(id, run).wait(),
        store.end(id, run, ending(Status::Paused)).wait(),
        store.finish(id, run, finish(Some("x"))).wait(),
    ];
    for (index, outcome) in lost.into_iter().enumerate() {
        assert!(
            matches!(outcome, Err(StoreError::LeaseLost { .. })),
            "write {index}: {outcome:?}"
        );
    }
    assert_eq!(sandbox.store.download(id).wait().expect("read"), before);
    assert!(
        sandbox
            .store
            .history(None, 10)
            .wait()
            .expect("read")
            .is_empty()
    );
    assert!(
        sandbox
            .store
            .checkpoints(id)
            .wait()
            .expect("read")
            .is_empty()
    );
    assert!(
        !sandbox
            .store
            .heartbeat(run, at(9))
            .wait()
            .expect("heartbeat")
    );
}

#[test]
fn reaping_pauses_what_dead_runs_were_at() {
    let sandbox = Sandbox::new();
    let (dead, alive) = (sandbox.run(), sandbox.run());
    let installing = sandbox.installing("a", dead);
    let progressing = sandbox.resolved("b", dead);
    let living = sandbox.resolved("c", alive);
    let pending = sandbox
        .store
        .create_download(new_download("d"), None)
        .wait()
        .expect("create");
    let held = sandbox
        .store
        .claim(
            pending,
            dead,
            &[Status::Pending],
            Status::Pending,
            at(4),
            Change::none,
        )
        .wait();
    assert!(matches!(held, Ok(Claim::Taken(_))));

    let reaped = sandbox.store.reap(&[dead], at(5)).wait().expect("reap");
    let found: Vec<_> = reaped
        .iter()
        .map(|one| (one.download.id, one.was))
        .collect();
    assert_eq!(
        found,
        [
            (installing, Status::Installing),
            (progressing, Status::InProgress)
        ]
    );
    for one in &reaped {
        let failure = one.download.failure.as_ref().expect("a reason");
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (ExitKind::Retry, "interrupted")
        );
        assert_eq!(
            (one.download.status, one.download.owner),
            (Status::Paused, None)
        );
        assert!(!one.download.paused_by_person());
    }
    assert_eq!(sandbox.status(living), Status::InProgress);
    let row = sandbox
        .store
        .download(pending)
        .wait()
        .expect("read")
        .expect("there");
    assert_eq!((row.status, row.owner), (Status::Pending, None));
    let live: Vec<_> = sandbox
        .store
        .live_runs()
        .wait()
        .expect("read")
        .iter()
        .map(|run| run.id)
        .collect();
    assert_eq!(live, [alive]);
    assert!(
        sandbox
            .store
            .reap(&[dead], at(6))
            .wait()
            .expect("reap again")
            .is_empty()
    );

    // The target proved that the rename had happened: the lease is taken without a step.
    let claim = sandbox
        .store
        .claim(
            installing,
            alive,
            &[Status::Paused],
            Status::Paused,
            at(7),
            Change::none,
        )
        .wait();
    assert!(matches!(claim, Ok(Claim::Taken(_))));
    sandbox
        .store
        .finish(installing, alive, finish(Some("a")))
        .wait()
        .expect("finish");
    assert_eq!(sandbox.status(installing), Status::Success);
}

/// Where nothing can be written down, what is shown is the same.
#[test]
fn reaping_in_memory_changes_what_one_handle_shows() {
    let sandbox = Sandbox::new();
    let (dead, alive) = (sandbox.run(), sandbox.run());
    let (id, other) = (sandbox.resolved("a", dead), sandbox.resolved("b", alive));
    let reader = Store::open_read_only(sandbox.dir.path()).expect("open beside a writer");
    let reaped = reader.reap_in_memory(&[dead], at(5)).wait().expect("reap");
    assert_eq!(reaped.len(), 1);
    let shown = |which| {
        let filter = Filter {
            which,
            ..Filter::default()
        };
        let rows = reader.downloads(filter).wait().expect("list");
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(shown(Which::Statuses(vec![Status::Paused])), [id]);
    assert_eq!(shown(Which::Statuses(vec![Status::InProgress])), [other]);
    let row = reader.download(id).wait().expect("read").expect("there");
    assert_eq!((row.status, row.owner), (Status::Paused, None));
    assert_eq!(sandbox.status(id), Status::InProgress);
}

/// Each step that a method may take, from each status, against the table.
#[test]
fn no_method_takes_a_step_that_the_table_does_not_know() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let store = &sandbox.store;
    let id = sandbox.resolved("x", run);
    let place = |from: Status| {
        sandbox.tamper(&format!(
            "UPDATE downloads SET status = '{from}', owner_run = {}",
            run.0
        ));
    };
    for from in Status::ALL {
        for to in Status::ALL {
            let known = from.can_become(to);
            place(from);
            let stepped = store.set_status(id, run, to, at(5)).wait().is_ok();
            assert_eq!(
                stepped,
                known && to.is_active(),
                "set_status {from} -> {to}"
            );

            place(from);
            let ended = store.end(id, run, ending(to)).wait().is_ok();
            let an_end = !to.is_active() && to != Status::Success;
            assert_eq!(ended, known && an_end, "end {from} -> {to}");

            place(from);
            let claimed = store
                .claim(id, run, &[from], to, at(5), Change::none)
                .wait()
                .is_ok();
            let rests = from == to || known;
            assert_eq!(claimed, rests && to.is_unfinished(), "claim {from} -> {to}");
        }
        place(from);
        let finished = store.finish(id, run, finish(None)).wait().is_ok();
        assert_eq!(finished, from.can_become(Status::Success), "finish {from}");
    }
}

#[test]
fn requests_reach_the_owner_and_are_never_weakened() {
    let sandbox = Sandbox::new();
    let (store, terminal) = (&sandbox.store, sandbox.another());
    let run = sandbox.run();
    let id = sandbox.resolved("x", run);
    let ask = |action| terminal.request(id, action, at(5)).wait().expect("request");
    let standing = || store.requested_action(id, run).wait().expect("poll");

    let acknowledge = |action| store.acknowledge(id, run, action, at(6)).wait();
    let acknowledged = || {
        let row = store.download(id).wait().expect("a read");
        row.and_then(|row| row.acknowledged)
    };

    assert_eq!(ask(Action::Checkpoint), Requested::Asked { run });
    assert_eq!(standing(), Some(Action::Checkpoint));
    acknowledge(Action::Checkpoint).expect("the owner");
    ask(Action::Checkpoint);
    assert_eq!(acknowledged(), Some(at(6)));
    store
        .fulfil(id, run, Action::Checkpoint)
        .wait()
        .expect("acknowledge");
    assert_eq!(standing(), None);

    ask(Action::Cancel {
        keep_partial: false,
    });
    ask(Action::Pause);
    acknowledge(Action::Pause).expect("the owner");
    assert_eq!(acknowledged(), None);
    store
        .fulfil(id, run, Action::Pause)
        .wait()
        .expect("acknowledge");
    assert_eq!(
        standing(),
        Some(Action::Cancel {
            keep_partial: false
        })
    );
    let held = terminal.settle(id, ending(Status::Cancelled)).wait();
    assert!(
        matches!(held, Err(StoreError::Owned { run: owner, .. }) if owner == run),
        "{held:?}"
    );

    store
        .end(id, run, ending(Status::Paused))
        .wait()
        .expect("pause");
    assert_eq!(
        ask(Action::Pause),
        Requested::Unowned {
            status: Status::Paused
        }
    );
    terminal
        .settle(id, ending(Status::Cancelled))
        .wait()
        .expect("cancel");
    assert_eq!(
        ask(Action::Pause),
        Requested::Ended {
            status: Status::Cancelled
        }
    );
}

#[test]
fn nothing_active_is_let_go_of() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let id = sandbox.resolved("x", run);
    let released = sandbox.store.release(id, run).wait();
    assert!(
        matches!(released, Err(StoreError::Transition { .. })),
        "{released:?}"
    );
}

#[test]
fn a_download_that_rests_can_be_kept_paused() {
    let sandbox = Sandbox::new();
    let (store, run) = (&sandbox.store, sandbox.run());
    let keep = |id| store.keep_paused(id, at(60)).wait().expect("keep");
    let id = sandbox.resolved("x", run);
    assert!(!keep(id), "somebody works on it");
    let retry = store::Ending {
        next_attempt: Some(at(50)),
        ..ending(Status::Paused)
    };
    store.end(id, run, retry).wait().expect("pause");
    assert!(keep(id) && keep(id), "twice is harmless");
    let row = store.download(id).wait().expect("read").expect("there");
    assert!(row.paused_by_person());
    assert_eq!(row.next_attempt, None);
    store
        .settle(id, ending(Status::Cancelled))
        .wait()
        .expect("cancel");
    assert!(!keep(id));
}

/// With the claim, all of it or nothing: what cannot be recorded leaves nobody the owner.
#[test]
fn what_was_asked_for_changes_with_the_claim() {
    let sandbox = Sandbox::new();
    let (store, run, other) = (&sandbox.store, sandbox.run(), sandbox.run());
    let id = sandbox.resolved("x", run);
    let change = |row: &DownloadRow| Change {
        other_part: true,
        pinned: Some(("bafyother".to_owned(), "b".to_owned())),
        begins_anew: row.status == Status::Failed,
        asked: Some(("{\"a\":1}".to_owned(), Some([1; 32]))),
    };
    let claim = |run| {
        let rests = [Status::Paused, Status::Failed];
        let claim = store.claim(id, run, &rests, Status::Resuming, at(7), change);
        claim.wait()
    };
    let row = || store.download(id).wait().expect("read").expect("there");
    let under_way = row();
    assert_eq!(claim(other).expect("a claim"), Claim::Owned { run });
    assert_eq!(row(), under_way);
    let failed = store::Ending {
        tries: 3,
        ..ending(Status::Failed)
    };
    store.end(id, run, failed).wait().expect("fail");
    sandbox.tamper(
        "CREATE TRIGGER full BEFORE UPDATE OF options ON downloads
         BEGIN SELECT raise(ABORT, 'full'); END",
    );
    let before = row();
    assert!(claim(other).is_err());
    assert_eq!(row(), before);
    sandbox.tamper("DROP TRIGGER full");
    let Ok(Claim::Taken(taken)) = claim(other) else {
        panic!("not taken");
    };
    assert_eq!(*taken, row());
    assert_eq!((taken.owner, taken.attempts), (Some(other), 0));
    assert_eq!(taken.failure, None);
    assert_eq!(taken.root_cid.as_deref(), Some("bafyother"));
    assert_eq!(taken.content_path, "b");
    assert_eq!(
        (taken.options_json.as_str(), taken.expected_sha256),
        ("{\"a\":1}", Some([1; 32]))
    );
    let files = store.files(id).wait().expect("read");
    assert!(files.is_empty());
}

#[test]
fn the_same_wish_finds_what_failed() {
    let sandbox = Sandbox::new();
    let (store, run) = (&sandbox.store, sandbox.run());
    let find = |root: &str, path: &str| {
        store
            .failed_at(Path::new("/tmp/x"), Some(root), path, "")
            .wait()
            .expect("find")
    };
    let id = sandbox.resolved("x", run);
    assert_eq!(find("bafyroot", "a"), None);
    store
        .end(id, run, ending(Status::Failed))
        .wait()
        .expect("fail");
    assert_eq!(find("bafyroot", "a"), Some(id));
    assert_eq!((find("other", "a"), find("bafyroot", "b")), (None, None));
}

/// Of a plain file nobody knows the content before it is there.
#[test]
fn the_same_url_finds_what_failed() {
    let sandbox = Sandbox::new();
    let (store, run) = (&sandbox.store, sandbox.run());
    let url = NewDownload {
        source: "https://example.org/x".to_owned(),
        root_cid: None,
        content_path: String::new(),
        ..new_download("x")
    };
    let id = store
        .create_download(url, Some(run))
        .wait()
        .expect("create");
    let failed = store.end(id, run, ending(Status::Failed));
    failed.wait().expect("fail");
    let find = |source: &str| {
        let found = store.failed_at(Path::new("/tmp/x"), None, "", source);
        found.wait().expect("find")
    };
    assert_eq!(find("https://example.org/x"), Some(id));
    assert_eq!(find("https://example.org/y"), None);
}
