//! What may be opened, and that nothing else is touched.

use std::fs;
use std::path::Path;

use crate::exit::ExitKind;
use crate::store::tests::{Sandbox, at, new_download, run_info};
use crate::store::{Filter, Store, StoreError};

fn database_with(sql: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temporary directory");
    let conn = rusqlite::Connection::open(dir.path().join("fetchd.db")).expect("create");
    conn.execute_batch(sql).expect("fill");
    dir
}

/// Opens, expects a refusal, and that the directory holds what it held before.
fn refusal(dir: &Path) -> StoreError {
    let path = dir.join("fetchd.db");
    let before = fs::read(&path).expect("read");
    let error = Store::open(dir).expect_err("must be refused");
    assert_eq!(
        fs::read(&path).expect("read"),
        before,
        "the file was changed"
    );
    assert_eq!(
        fs::read_dir(dir).expect("list").count(),
        1,
        "files were left behind"
    );
    error
}

#[cfg(unix)]
#[test]
fn a_new_store_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().expect("temporary directory");
    let dir = parent.path().join("a/b");
    let store = Store::open(&dir).expect("open");
    let _ = store
        .begin_run(run_info())
        .wait()
        .expect("a write, so that the WAL exists");
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for name in ["fetchd.db", "fetchd.db-wal", "fetchd.db-shm"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
}

#[test]
fn what_was_written_is_there_when_opened_again() {
    let sandbox = Sandbox::new();
    let id = sandbox
        .store
        .create_download(new_download("x"), None)
        .wait()
        .expect("create");
    let Sandbox { dir, store } = sandbox;
    // Dropping the last handle does what is queued, although nobody waits for it.
    let second = store.create_download(new_download("y"), None);
    drop(second);
    drop(store);
    let again = Store::open(dir.path()).expect("open again");
    let row = again.download(id).wait().expect("read").expect("there");
    let wanted = new_download("x");
    assert_eq!(
        (row.source, row.path, row.created),
        (wanted.source, wanted.path, at(1))
    );
    assert_eq!(
        (row.nonce, row.expected_sha256, row.uid),
        (wanted.nonce, Some([7; 32]), wanted.uid)
    );
    assert_eq!(
        again
            .downloads(Filter::default())
            .wait()
            .expect("list")
            .len(),
        2
    );
}

#[test]
fn what_may_only_be_read_is_read() {
    let sandbox = Sandbox::new();
    sandbox
        .store
        .create_download(new_download("x"), None)
        .wait()
        .expect("create");
    let count = |store: &Store| {
        let rows = store.downloads(Filter::default()).wait();
        rows.expect("list").len()
    };
    // While another process writes, and when all is closed and tidied up.
    let reader = Store::open_read_only(sandbox.dir.path()).expect("open beside a writer");
    assert_eq!(count(&reader), 1);
    let written = reader.create_download(new_download("y"), None).wait();
    assert!(
        matches!(written, Err(StoreError::ReadOnly { .. })),
        "{written:?}"
    );
    drop(reader);
    let Sandbox { dir, store } = sandbox;
    drop(store);
    let reader = Store::open_read_only(dir.path()).expect("open alone");
    assert_eq!(count(&reader), 1);
    let nothing = tempfile::tempdir().expect("temporary directory");
    let missing = Store::open_read_only(nothing.path()).expect_err("nothing to read");
    assert_eq!(missing.exit_kind(), ExitKind::Disk);
}

#[test]
fn an_empty_file_is_a_new_store() {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::write(dir.path().join("fetchd.db"), "").expect("write");
    assert!(Store::open(dir.path()).is_ok());
}

#[test]
fn a_newer_schema_is_refused_unchanged() {
    let dir = database_with(
        "PRAGMA application_id = 0x66746368; PRAGMA user_version = 99; CREATE TABLE t (a);",
    );
    let error = refusal(dir.path());
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found: 99,
                known: 8,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.exit_kind(), ExitKind::Config);
}

#[test]
fn a_database_of_another_program_is_refused_unchanged() {
    for sql in [
        "CREATE TABLE t (a);",
        "PRAGMA application_id = 5;",
        "PRAGMA user_version = 1;",
    ] {
        let dir = database_with(sql);
        let error = refusal(dir.path());
        assert!(
            matches!(error, StoreError::Foreign { .. }),
            "{sql}: {error:?}"
        );
        assert_eq!(error.exit_kind(), ExitKind::Config);
    }
}

#[test]
fn what_is_no_database_is_refused_unchanged() {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::write(dir.path().join("fetchd.db"), [b'x'; 5000]).expect("write");
    let error = refusal(dir.path());
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert_eq!(error.exit_kind(), ExitKind::Config);
}

#[test]
fn damaged_pages_are_reported() {
    let Sandbox { dir, store } = Sandbox::new();
    store
        .create_download(new_download("x"), None)
        .wait()
        .expect("create");
    drop(store);
    let path = dir.path().join("fetchd.db");
    let mut bytes = fs::read(&path).expect("read");
    bytes[4096..].fill(0xa5);
    fs::write(&path, bytes).expect("write");
    let outcome =
        Store::open(dir.path()).and_then(|store| store.downloads(Filter::default()).wait());
    assert!(
        matches!(outcome, Err(StoreError::Corrupt { .. })),
        "{outcome:?}"
    );
}

#[test]
fn values_that_make_no_sense_are_reported() {
    for change in [
        "status = 'odd'",
        "sha256 = x'00'",
        "bytes_total = -1",
        "error_kind = '?'",
        "path = 5",
    ] {
        let sandbox = Sandbox::new();
        let id = sandbox
            .store
            .create_download(new_download("x"), None)
            .wait()
            .expect("create");
        sandbox.tamper(&format!("UPDATE downloads SET {change}"));
        let read = sandbox.store.download(id).wait();
        assert!(
            matches!(read, Err(StoreError::Corrupt { .. })),
            "{change}: {read:?}"
        );
    }
}

#[test]
fn many_may_open_a_new_store_at_once() {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::thread::scope(|scope| {
        let open = || Store::open(dir.path()).and_then(|store| store.begin_run(run_info()).wait());
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        let mut runs: Vec<i64> = openers
            .into_iter()
            .map(|opener| opener.join().expect("no panic").expect("open").0)
            .collect();
        runs.sort_unstable();
        assert_eq!(runs, [1, 2, 3, 4, 5, 6, 7, 8]);
    });
}

#[test]
fn a_lock_that_stays_is_busy() {
    let sandbox = Sandbox::new();
    let other = rusqlite::Connection::open(sandbox.database()).expect("open raw");
    other.execute_batch("BEGIN IMMEDIATE").expect("lock");
    let outcome = sandbox.store.begin_run(run_info()).wait();
    assert!(
        matches!(outcome, Err(StoreError::Busy { .. })),
        "{outcome:?}"
    );
    assert!(
        sandbox
            .store
            .live_runs()
            .wait()
            .expect("readers do not wait")
            .is_empty()
    );
    other.execute_batch("COMMIT").expect("unlock");
    assert!(sandbox.store.begin_run(run_info()).wait().is_ok());
}

#[test]
fn a_directory_that_cannot_be_made_is_a_disk_error() {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::write(dir.path().join("file"), "").expect("write");
    let error = Store::open(&dir.path().join("file/below")).expect_err("refused");
    assert_eq!(error.exit_kind(), ExitKind::Disk);
}
