//! What is recorded of a download while it goes on, and when it ends.

use std::path::Path;
use std::time::Duration;

use crate::download::{Action, DownloadId, Proof, ProviderReceipt, RunId, Status};
use crate::store::tests::{
    Sandbox, at, checkpoint, ending, finish, new_download, new_file, proved,
};
use crate::store::{
    Attempt, Change, Checkpoint, CheckpointRow, Claim, Kept, StoreError, Traffic, Wrapping,
};

fn traffic(bytes: u64, rung: Proof) -> Traffic {
    Traffic {
        fetched: bytes + 1,
        wasted: 1,
        elapsed: Duration::from_millis(5),
        providers: vec![ProviderReceipt {
            url: "https://gateway.example".to_owned(),
            bytes,
            wasted: 1,
            requests: 2,
            errors: 1,
            rejected: 0,
            rungs: vec![rung],
        }],
    }
}

#[test]
fn a_checkpoint_is_the_state_of_the_files() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let id = sandbox.resolved("x", run);
    assert!(sandbox.record(id, run, checkpoint(60)).expect("checkpoint"));
    let files = sandbox.another().files(id).wait().expect("files");
    assert_eq!(files.len(), 1);
    assert_eq!(
        (&files[0].state, &files[0].file),
        (&proved(60), &new_file("bafyfile"))
    );
    let row = sandbox
        .store
        .download(id)
        .wait()
        .expect("read")
        .expect("there");
    assert_eq!((row.bytes_verified, row.updated), (60, at(10)));
}

#[test]
fn an_unchanged_state_writes_no_checkpoint() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let id = sandbox.resolved("x", run);
    let store = &sandbox.store;
    assert!(sandbox.record(id, run, checkpoint(60)).expect("checkpoint"));
    let later = Checkpoint {
        now: at(11),
        ..checkpoint(60)
    };
    assert!(!sandbox.record(id, run, later).expect("checkpoint"));
    let row = store.download(id).wait().expect("read").expect("there");
    assert_eq!(row.updated, at(10));
    assert_eq!(store.checkpoints(id).wait().expect("read").len(), 1);
    let empty = Checkpoint {
        files: vec![],
        ..checkpoint(60)
    };
    assert!(!sandbox.record(id, run, empty).expect("checkpoint"));
}

#[test]
fn the_newest_checkpoints_are_kept() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let id = sandbox.resolved("x", run);
    for until in 1..=30 {
        let recorded = sandbox.record(id, run, checkpoint(until));
        assert!(recorded.expect("checkpoint"));
    }
    let kept = sandbox.store.checkpoints(id).wait().expect("read");
    let bytes: Vec<u64> = kept.iter().map(|row| row.bytes).collect();
    assert_eq!(bytes, (11..=30).rev().collect::<Vec<_>>());
    let is_as_made = |row: &CheckpointRow| row.run == run && row.trigger == "periodic";
    assert!(kept.iter().all(is_as_made));
    assert!(kept.iter().all(|row| row.completed == Some(at(10))));
}

#[test]
fn what_was_begun_and_never_completed_is_not_believed() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let id = sandbox.resolved("x", run);
    assert!(sandbox.record(id, run, checkpoint(60)).expect("checkpoint"));
    // As often as it may be tried: the one that counts stays.
    for until in 61..=99 {
        let begun = sandbox.store.begin_checkpoint(id, run, &checkpoint(until));
        assert!(begun.wait().expect("begun").is_some());
    }
    let rows = sandbox.store.checkpoints(id).wait().expect("read");
    let completed: Vec<u64> = rows
        .iter()
        .filter(|row| row.completed.is_some())
        .map(|row| row.bytes)
        .collect();
    assert_eq!(completed, [60]);
    let files = sandbox.store.files(id).wait().expect("files");
    assert_eq!(files[0].state, proved(60));
    // The state is still the completed one's: there is nothing to record of it.
    assert!(!sandbox.record(id, run, checkpoint(60)).expect("checkpoint"));
}

#[test]
fn old_checkpoints_go_but_for_the_one_to_go_on_from() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let id = sandbox.resolved("x", run);
    for until in [10, 20] {
        assert!(
            sandbox
                .record(id, run, checkpoint(until))
                .expect("checkpoint")
        );
    }
    let store = &sandbox.store;
    assert_eq!(store.prune_history(at(10)).wait().expect("prune"), 0);
    assert_eq!(store.prune_history(at(11)).wait().expect("prune"), 1);
    let kept = store.checkpoints(id).wait().expect("read");
    assert_eq!(kept.iter().map(|row| row.bytes).collect::<Vec<_>>(), [20]);
}

#[test]
fn a_checkpoint_of_an_unknown_file_leaves_no_trace() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let id = sandbox.resolved("x", run);
    let mut odd = checkpoint(60);
    odd.traffic = traffic(60, Proof::Leaves);
    odd.files[0].index = 1;
    let outcome = sandbox.record(id, run, odd);
    assert!(
        matches!(outcome, Err(StoreError::NotFound { .. })),
        "{outcome:?}"
    );
    let row = sandbox
        .store
        .download(id)
        .wait()
        .expect("read")
        .expect("there");
    assert_eq!((row.bytes_fetched, row.bytes_verified), (0, 0));
}

/// Each write relies on those before it: a failed one must not leave a gap.
#[test]
fn after_a_failed_write_the_run_records_nothing_more() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let id = sandbox.resolved("x", run);
    let store = &sandbox.store;
    let unknown = Checkpoint {
        files: vec![crate::store::FileState {
            index: 7,
            ..proved(60)
        }],
        ..checkpoint(60)
    };
    let found = || store.record_found(id, run, vec![new_file("bafyother")], Vec::new());
    sandbox.record(id, run, unknown).expect_err("7");
    let refused = found().wait();
    assert!(matches!(refused, Err(StoreError::BrokenOff { .. })));
    let refused = store.finish(id, run, finish(None)).wait();
    assert!(matches!(refused, Err(StoreError::BrokenOff { .. })));
    let paused = store.end(id, run, ending(Status::Paused));
    paused.wait().expect("that it stopped is recorded");
    let again = store.claim(
        id,
        run,
        &[Status::Paused],
        Status::Resuming,
        at(20),
        Change::none,
    );
    again.wait().expect("a claim");
    found().wait().expect("from now on all is recorded again");
}

#[test]
fn what_is_proved_outlives_a_second_resolving_of_the_same_file_only() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let id = sandbox.resolved("x", run);
    sandbox.record(id, run, checkpoint(60)).expect("checkpoint");
    let resolve = |cid: &str| {
        sandbox
            .store
            .record_found(id, run, vec![new_file(cid)], vec![])
            .wait()
            .expect("found");
        sandbox.store.files(id).wait().expect("files")[0]
            .state
            .verified
            .total()
    };
    assert_eq!(resolve("bafyfile"), 60);
    assert_eq!(resolve("bafyother"), 0);
    let row = sandbox
        .store
        .download(id)
        .wait()
        .expect("read")
        .expect("there");
    assert_eq!(row.root_cid.as_deref(), Some("bafyroot"));
}

#[test]
fn traffic_adds_up_over_runs() {
    let sandbox = Sandbox::new();
    let (first, second) = (sandbox.run(), sandbox.run());
    let store = &sandbox.store;
    let id = sandbox.resolved("x", first);
    let one = Checkpoint {
        traffic: traffic(10, Proof::Leaves),
        ..checkpoint(10)
    };
    sandbox.record(id, first, one).expect("checkpoint");
    let mut pause = ending(Status::Paused);
    pause.traffic = traffic(20, Proof::Blocks);
    store.end(id, first, pause).wait().expect("pause");
    let claim = store
        .claim(
            id,
            second,
            &[Status::Paused],
            Status::Resuming,
            at(30),
            Change::none,
        )
        .wait();
    assert!(matches!(claim, Ok(Claim::Taken(row)) if row.failure.is_none() && row.attempts == 1));
    for status in [Status::InProgress, Status::Verifying, Status::Installing] {
        store
            .set_status(id, second, status, at(31))
            .wait()
            .expect("step");
    }
    let mut done = finish(Some("x"));
    done.traffic = traffic(30, Proof::Leaves);
    store.finish(id, second, done).wait().expect("finish");

    let totals = store.provider_totals(id).wait().expect("totals");
    let wanted = ProviderReceipt {
        url: "https://gateway.example".to_owned(),
        bytes: 60,
        wasted: 3,
        requests: 6,
        errors: 3,
        rejected: 0,
        rungs: vec![Proof::Blocks, Proof::Leaves],
    };
    assert_eq!(totals, [wanted]);
    let row = store.download(id).wait().expect("read").expect("there");
    assert_eq!((row.bytes_fetched, row.bytes_wasted), (63, 3));
    assert_eq!(row.elapsed, Duration::from_millis(15));
}

#[test]
fn finishing_records_the_file_everywhere() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let id = sandbox.installing("x", run);
    let store = &sandbox.store;
    store
        .request(id, Action::Pause, at(4))
        .wait()
        .expect("too late a request");
    store
        .finish(id, run, finish(Some("x")))
        .wait()
        .expect("finish");

    let row = store.download(id).wait().expect("read").expect("there");
    assert_eq!(
        (row.status, row.owner, row.requested),
        (Status::Success, None, None)
    );
    assert_eq!(
        (row.proof, row.sha256, row.completed),
        (Some(Proof::Leaves), Some([9; 32]), Some(at(30)))
    );
    assert_eq!(
        (row.bytes_verified, row.receipt_json.as_deref()),
        (100, Some(r#"{"v":1}"#))
    );
    let install = store.install_at(Path::new("/tmp/x")).wait().expect("read");
    assert_eq!(install, finish(Some("x")).install);
    assert_eq!(
        store.copies_of("bafyfile", id).wait().expect("read").len(),
        1
    );
    let known = store
        .known_cid("bafyfile")
        .wait()
        .expect("read")
        .expect("known");
    assert_eq!(
        (known.successes, known.cached, known.sha256),
        (1, Some(at(30)), Some([9; 32]))
    );
    assert!(
        store
            .forget_install(Path::new("/tmp/x"))
            .wait()
            .expect("forget")
    );
    assert!(
        !store
            .forget_install(Path::new("/tmp/x"))
            .wait()
            .expect("forget again")
    );
}

/// Whoever looked before another one finished must look again.
#[test]
fn what_was_finished_meanwhile_is_not_begun_again() {
    let sandbox = Sandbox::new();
    let (store, run) = (&sandbox.store, sandbox.run());
    let looked = || {
        let path = Path::new("/tmp/x");
        store.look_at(Some(path)).wait().expect("look")
    };
    let create = |looked| {
        let created = store.create_download_since(looked, new_download("x"), run);
        created.wait()
    };
    let before = looked();
    let first = sandbox.installing("x", run);
    let while_it_lasts = create(before);
    assert!(
        matches!(while_it_lasts, Err(StoreError::ActiveExists { id }) if id == first),
        "{while_it_lasts:?}"
    );
    let done = store.finish(first, run, finish(Some("x")));
    done.wait().expect("finish");
    let afterwards = create(before);
    assert!(
        matches!(afterwards, Err(StoreError::DoneMeanwhile)),
        "{afterwards:?}"
    );
    let after = looked();
    // What is at the path is something else by now, or gone: it is wanted all the same.
    let second = create(after).expect("looked again");
    assert_ne!(second.id, first);
    assert_eq!(
        (second.status, second.owner),
        (Status::InProgress, Some(run))
    );
}

#[test]
fn the_ledger_of_another_user_is_not_read() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let (mine, foreign) = (sandbox.installing("x", run), sandbox.installing("y", run));
    let store = &sandbox.store;
    for (id, path) in [(mine, "x"), (foreign, "y")] {
        let done = store.finish(id, run, finish(Some(path)));
        done.wait().expect("finish");
    }
    sandbox.tamper("UPDATE installs SET owner_uid = 4000000 WHERE path = '/tmp/y'");
    let path = Path::new("/tmp/y");
    assert_eq!(store.ledger_at(path).wait().expect("read"), None);
    assert_eq!(store.install_at(path).wait().expect("read"), None);
    let below = store.installs_below(Path::new("/tmp")).wait();
    let all = store.ledger(None, 9).wait().expect("read");
    assert_eq!(
        (below.expect("read").len(), all.len()),
        (1, 1),
        "only one's own"
    );
    let behind = store.ledger(Some(Path::new("/tmp/x")), 9).wait();
    assert_eq!(behind.expect("read"), []);
    let copies = store.copies_with_sum([9; 32]).wait().expect("read");
    assert_eq!(copies, [Path::new("/tmp/x")]);
    assert!(!store.forget_install(path).wait().expect("forget"));
}

fn keep_node(sandbox: &Sandbox, id: DownloadId, run: RunId) {
    let wrapping = Wrapping {
        prefix: vec![1],
        suffix: vec![],
    };
    let kept = vec![
        (b"hash".to_vec(), Kept::Block(b"block".to_vec())),
        (b"leaf".to_vec(), Kept::Wrapping(wrapping)),
    ];
    // The same again is harmless.
    for _ in 0..2 {
        let reply = sandbox.store.record_found(id, run, vec![], kept.clone());
        reply.wait().expect("kept");
    }
}

fn node_is_kept(sandbox: &Sandbox) -> bool {
    let node = sandbox.store.node(b"hash").wait().expect("node");
    let wrapping = sandbox.store.wrapping(b"leaf").wait().expect("wrapping");
    assert_eq!(node.is_some(), wrapping.is_some());
    node.is_some_and(|block| block == b"block")
}

fn finished(sandbox: &Sandbox, path: &str, run: RunId) -> DownloadId {
    let id = sandbox.installing(path, run);
    keep_node(sandbox, id, run);
    sandbox
        .store
        .finish(id, run, finish(Some(path)))
        .wait()
        .expect("finish");
    id
}

#[test]
fn nodes_stay_as_long_as_anything_uses_them() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let store = &sandbox.store;
    // Used by a finished download's install, which outlives the record, and by a failed download.
    let done = finished(&sandbox, "x", run);
    store.forget(done).wait().expect("forget");
    let failed = sandbox.resolved("y", run);
    keep_node(&sandbox, failed, run);
    store
        .end(failed, run, ending(Status::Failed))
        .wait()
        .expect("fail");
    assert!(node_is_kept(&sandbox));
    assert!(
        store
            .node(b"leaf")
            .wait()
            .expect("a wrapping is no node")
            .is_none()
    );

    store
        .settle(failed, ending(Status::Cancelled))
        .wait()
        .expect("cancel");
    assert!(node_is_kept(&sandbox));
    // Another download replaces the file: now its install is the only user.
    let second = finished(&sandbox, "x", run);
    assert!(node_is_kept(&sandbox));
    assert!(
        store
            .forget_install(Path::new("/tmp/x"))
            .wait()
            .expect("forget")
    );
    assert!(!node_is_kept(&sandbox));
    let kept = vec![(b"hash".to_vec(), Kept::Block(b"block".to_vec()))];
    let useless = store.record_found(second, run, vec![], kept).wait();
    assert!(
        matches!(useless, Err(StoreError::LeaseLost { .. })),
        "{useless:?}"
    );
}

#[test]
fn the_history_keeps_the_newest_attempts() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let (id, other) = (sandbox.resolved("x", run), sandbox.resolved("y", run));
    let record = |download, bytes| {
        let attempt = Attempt {
            download,
            run,
            provider: "https://gateway.example".to_owned(),
            request: "range".to_owned(),
            offset: Some(bytes),
            bytes,
            outcome: "ok".to_owned(),
            started: at(1),
            ended: at(2),
        };
        sandbox
            .store
            .record_attempt(attempt, 3)
            .wait()
            .expect("record");
    };
    record(other, 0);
    (1..=5).for_each(|bytes| record(id, bytes));
    let bytes = |id| -> Vec<u64> {
        let rows = sandbox.store.history(id, 100).wait().expect("history");
        rows.iter().map(|row| row.attempt.bytes).collect()
    };
    assert_eq!(bytes(Some(id)), [5, 4, 3]);
    assert_eq!(bytes(None), [5, 4, 3, 0]);
}

#[test]
fn only_what_has_ended_is_forgotten_and_numbers_are_not_used_again() {
    let sandbox = Sandbox::new();
    let run = sandbox.run();
    let store = &sandbox.store;
    let id = sandbox.resolved("x", run);
    assert!(matches!(
        store.forget(id).wait(),
        Err(StoreError::Transition { .. })
    ));
    sandbox.record(id, run, checkpoint(60)).expect("checkpoint");
    store
        .end(id, run, ending(Status::Cancelled))
        .wait()
        .expect("cancel");
    assert!(store.ended_before(at(20)).wait().expect("read").is_empty());
    assert_eq!(store.ended_before(at(21)).wait().expect("read").len(), 1);
    store.end_run(run, at(21)).wait().expect("end");
    assert_eq!(store.prune_history(at(100)).wait().expect("prune"), 2);
    store.forget(id).wait().expect("forget");
    assert!(store.files(id).wait().expect("files").is_empty());
    assert!(matches!(
        store.forget(id).wait(),
        Err(StoreError::NotFound { .. })
    ));
    let next = store
        .create_download(new_download("x"), None)
        .wait()
        .expect("create");
    assert!(next > id);
}
