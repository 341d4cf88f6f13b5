//! The queue: what is due, in which order, and who gets it.

use super::{Sandbox, at, ending, new_download};
use crate::download::{DownloadId, Failure, Status};
use crate::exit::ExitKind;
use crate::store::{Clock, Ending, NewDownload, QueueWish, Queued, StoreError};

fn entry(path: &str, lane: &str, priority: i64) -> NewDownload {
    NewDownload {
        lane: Some(lane.to_owned()),
        priority,
        ..new_download(path)
    }
}

impl Sandbox {
    fn enqueued(&self, new: NewDownload) -> DownloadId {
        match self.store.enqueue(vec![new]).wait().expect("enqueue")[..] {
            [Queued::New(id)] => id,
            ref other => panic!("{other:?}"),
        }
    }
}

fn again(seconds: i64, tries: u32) -> Ending {
    Ending {
        next_attempt: Some(at(seconds)),
        queue_tries: tries,
        tries: 0,
        ..ending(Status::Pending)
    }
}

fn wish() -> QueueWish {
    QueueWish {
        lane: "b".to_owned(),
        priority: 7,
        options_json: "{}".to_owned(),
        expected_sha256: None,
        is_more: false,
        now: at(70),
    }
}

#[test]
fn entries_come_by_priority_then_age_when_they_are_due() {
    let sandbox = Sandbox::new();
    let (store, run, other) = (&sandbox.store, sandbox.run(), sandbox.run());
    let next = |run, now| {
        let row = store.claim_next(run, at(now), &[]).wait().expect("claim");
        row.map(|row| row.id)
    };
    assert_eq!(next(run, 0), None);
    assert_eq!(store.next_due(at(0), &[]).wait().expect("due"), None);
    let [first, second, urgent, late] = [("a", 0), ("b", 0), ("c", 5), ("d", -1)]
        .map(|(path, priority)| sandbox.enqueued(entry(path, "x", priority)));
    assert_eq!(next(run, 1), Some(urgent));
    store.end(urgent, run, again(50, 1)).wait().expect("end");
    assert!(store.is_due(at(49), &[]).wait().expect("due"));
    assert_eq!(next(run, 49), Some(first));
    assert_eq!(next(other, 50), Some(urgent), "due, and more urgent");
    assert_eq!(next(other, 50), Some(second));
    assert_eq!(next(run, 50), Some(late));
    assert_eq!(next(run, 50), None, "all are taken");
    assert!(!store.is_due(at(50), &[]).wait().expect("due"));
    store.end(late, run, again(90, 3)).wait().expect("end");
    let due = store.next_due(at(60), &[]).wait().expect("due");
    assert_eq!(due, Some(at(90)));
    let row = store.download(late).wait().expect("read").expect("there");
    assert_eq!(
        (row.status, row.queue_tries, row.attempts, row.next_attempt),
        (Status::Pending, 3, 0, Some(at(90)))
    );
}

#[test]
fn lanes_that_are_held_back_are_passed_over() {
    let sandbox = Sandbox::new();
    let (store, run) = (&sandbox.store, sandbox.run());
    let held = ["a".to_owned()];
    let [_, _, free] = [("1", "a"), ("2", "a"), ("3", "b")]
        .map(|(path, lane)| sandbox.enqueued(entry(path, lane, 0)));
    let count = store.count_due(at(1), &held).wait().expect("count");
    assert_eq!(count, 2);
    let row = store.claim_next(run, at(1), &held).wait().expect("claim");
    assert_eq!(row.map(|row| row.id), Some(free));
    let next = store.claim_next(run, at(1), &held).wait().expect("claim");
    assert_eq!(next, None);
    assert_eq!(store.next_due(at(1), &held).wait().expect("due"), None);
}

/// What has waited for its time is an entry like any other then, also for another run.
#[test]
fn the_most_urgent_of_all_lanes_that_are_not_held_comes_next() {
    let sandbox = Sandbox::new();
    let (store, run) = (&sandbox.store, sandbox.run());
    let next = |now, held: &[&str]| {
        let held: Vec<String> = held.iter().map(|&lane| lane.to_owned()).collect();
        let due = store.is_due(at(now), &held).wait().expect("due");
        let row = store.claim_next(run, at(now), &held).wait().expect("claim");
        assert_eq!(due, row.is_some());
        row.map(|row| row.id)
    };
    let [a, b, c, d] = [("1", "a", 0), ("2", "b", 1), ("3", "c", 2), ("4", "b", 1)]
        .map(|(path, lane, priority)| sandbox.enqueued(entry(path, lane, priority)));
    let without = store.create_download(new_download("5"), None);
    let without = without.wait().expect("create");
    assert_eq!(next(1, &["c"]), Some(b));
    store.end(b, run, again(50, 1)).wait().expect("end");
    assert_eq!(next(20, &["a", "c", "none of that name"]), Some(d));
    assert_eq!(next(50, &["a", "c"]), Some(b), "its time has come");
    assert_eq!(next(50, &["a", "c"]), Some(without));
    assert_eq!(next(50, &["a", "c"]), None);
    assert_eq!(next(50, &[]), Some(c));
    assert_eq!(next(50, &["c"]), Some(a));
}

/// It would wait until that time comes round again.
#[test]
fn a_wait_that_was_written_in_the_future_is_none() {
    let sandbox = Sandbox::new();
    let (store, run) = (&sandbox.store, sandbox.run());
    let id = sandbox.enqueued(entry("a", "x", 0));
    store.claim_next(run, at(19), &[]).wait().expect("claim");
    store.end(id, run, again(25, 1)).wait().expect("end");
    let is_due = |clock: Clock, held: &[String]| store.is_due(clock, held).wait().expect("due");
    assert!(!is_due(at(20).into(), &[]), "written at this very time");
    assert!(is_due(at(19).into(), &[]));
    assert!(!is_due(at(19).into(), &["x".to_owned()]));
    assert_eq!(
        store.next_due(at(19), &[]).wait().expect("due"),
        Some(at(19))
    );
    let row = store.download(id).wait().expect("read").expect("there");
    let shown = [19, 20, 24, 25].map(|now| row.waits_until(at(now)));
    assert_eq!(shown, [None, Some(at(25)), Some(at(25)), None]);
    // Who began earlier takes only what was due then.
    let (now, due_by) = (at(24), at(2));
    assert!(!is_due(Clock { now, due_by }, &[]));
    let taken = store.claim_next(run, at(19), &[]).wait().expect("claim");
    assert_eq!(taken.map(|row| row.id), Some(id));
}

#[test]
fn the_work_of_a_dead_run_goes_back_to_where_it_came_from() {
    let sandbox = Sandbox::new();
    let (store, run) = (&sandbox.store, sandbox.run());
    let queued = sandbox.enqueued(entry("a", "x", 0));
    store.claim_next(run, at(1), &[]).wait().expect("claim");
    let other = sandbox.resolved("b", run);
    store.reap(&[run], at(2)).wait().expect("reap");
    assert_eq!(sandbox.status(queued), Status::Pending);
    assert_eq!(sandbox.status(other), Status::Paused);
    let heir = sandbox.run();
    let row = store.claim_next(heir, at(2), &[]).wait().expect("claim");
    assert_eq!(row.map(|row| row.id), Some(queued));
}

/// A person's pause is no end; an error that waiting does not mend is one.
#[test]
fn an_entry_leaves_the_queue_when_it_ends() {
    let sandbox = Sandbox::new();
    let (store, run) = (&sandbox.store, sandbox.run());
    let lane = |id| {
        store
            .download(id)
            .wait()
            .expect("read")
            .expect("there")
            .lane
    };
    let stopped = Failure {
        kind: ExitKind::Stopped,
        message: "paused".to_owned(),
        hint: None,
    };
    let by_person = Ending {
        failure: Some(stopped),
        ..ending(Status::Paused)
    };
    for (path, end, stays) in [
        ("a", ending(Status::Failed), false),
        ("b", ending(Status::Paused), false),
        ("c", ending(Status::Cancelled), false),
        ("d", by_person, true),
        ("e", again(9, 1), true),
    ] {
        let id = sandbox.enqueued(entry(path, "x", 0));
        store.claim_next(run, at(1), &[]).wait().expect("claim");
        store.end(id, run, end).wait().expect("end");
        assert_eq!(lane(id).is_some(), stays, "{path}");
    }
}

#[test]
fn what_is_queued_twice_is_one_entry() {
    let sandbox = Sandbox::new();
    let (store, run) = (&sandbox.store, sandbox.run());
    let id = sandbox.enqueued(entry("a", "x", 0));
    let twice = store.enqueue(vec![entry("a", "x", 0), entry("b", "x", 0)]);
    let twice = twice.wait().expect("enqueue");
    assert!(matches!(twice[..], [Queued::Taken(taken), Queued::New(_)] if taken == id));

    store.claim_next(run, at(1), &[]).wait().expect("claim");
    let more = QueueWish {
        is_more: true,
        ..wish()
    };
    let refused = store.queue_again(id, more).wait().expect("again");
    assert_eq!(refused, Some(run), "which knows of less");
    let row = store.download(id).wait().expect("read").expect("there");
    assert_eq!((row.lane.as_deref(), row.priority), (Some("x"), 0));
    let again = store.queue_again(id, wish()).wait().expect("again");
    assert_eq!(again, None);
    assert_eq!(sandbox.status(id), Status::InProgress, "its owner goes on");
    store
        .end(id, run, ending(Status::Failed))
        .wait()
        .expect("end");
    let failed = store.enqueue(vec![entry("a", "x", 0)]).wait();
    assert_eq!(failed.expect("enqueue"), [Queued::Taken(id)]);
    store.queue_again(id, wish()).wait().expect("again");
    let row = store.download(id).wait().expect("read").expect("there");
    assert_eq!((row.status, row.priority), (Status::Pending, 7));
    assert_eq!((row.failure, row.completed), (None, None));
    assert_eq!(row.lane.as_deref(), Some("b"));

    let cancel = ending(Status::Cancelled);
    store.settle(id, cancel).wait().expect("cancel");
    let ended = store.queue_again(id, wish()).wait();
    assert!(
        matches!(ended, Err(StoreError::Transition { .. })),
        "{ended:?}"
    );
}

#[test]
fn a_change_by_another_connection_is_noticed() {
    let sandbox = Sandbox::new();
    let version = || sandbox.store.version().wait().expect("version");
    let before = version();
    sandbox.enqueued(entry("a", "x", 0));
    assert_eq!(version(), before, "a change of our own");
    let other = crate::store::Store::open(sandbox.dir.path()).expect("open");
    other
        .enqueue(vec![entry("b", "x", 0)])
        .wait()
        .expect("enqueue");
    assert_ne!(version(), before);
}
