//! The store against real databases in temporary directories, by the promise that is tested.

mod leases;
mod opening;
mod queueing;
mod recording;
mod remembering;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::TempDir;

use crate::content::ranges::RangeSet;
use crate::disk::{Fingerprint, host};
use crate::download::{DownloadId, Failure, Proof, RunId, Status, Trigger};
use crate::exit::ExitKind;
use crate::store::{
    Checkpoint, Ending, FileKind, FileRow, FileState, Finish, Install, NewDownload, NewFile,
    Resolved, RunInfo, Store, StoreError, Traffic,
};

/// A store in a directory that goes when this does.
struct Sandbox {
    dir: TempDir,
    store: Store,
}

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let store = Store::open(dir.path()).expect("open");
        Self { dir, store }
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("fetchd.db")
    }

    /// A second connection, as another invocation has it.
    fn another(&self) -> Store {
        Store::open(self.dir.path()).expect("open again")
    }

    /// Changes rows as no method does.
    fn tamper(&self, sql: &str) {
        let conn = rusqlite::Connection::open(self.database()).expect("open raw");
        conn.pragma_update(None, "ignore_check_constraints", true)
            .expect("pragma");
        conn.execute_batch(sql).expect("tamper");
    }

    fn run(&self) -> RunId {
        self.store.begin_run(run_info()).wait().expect("run")
    }

    /// Begins a checkpoint and completes it; whether there was anything to record.
    fn record(
        &self,
        id: DownloadId,
        run: RunId,
        checkpoint: Checkpoint,
    ) -> Result<bool, StoreError> {
        let begun = self.store.begin_checkpoint(id, run, &checkpoint).wait()?;
        let Some(begun) = begun else {
            return Ok(false);
        };
        let done = self.store.complete_checkpoint(id, run, begun, checkpoint);
        done.wait().map(|()| true)
    }

    /// A download to `path` that `run` has in progress, of one resolved file of 100 bytes.
    fn resolved(&self, path: &str, run: RunId) -> DownloadId {
        let id = self
            .store
            .create_download(new_download(path), Some(run))
            .wait()
            .expect("create");
        let resolved = Resolved {
            root_cid: None,
            kind: "file".to_owned(),
            bytes_total: Some(100),
            now: at(2),
        };
        self.store
            .record_resolved(id, run, resolved)
            .wait()
            .expect("resolved");
        self.store
            .record_found(id, run, vec![new_file("bafyfile")], vec![])
            .wait()
            .expect("found");
        id
    }

    fn installing(&self, path: &str, run: RunId) -> DownloadId {
        let id = self.resolved(path, run);
        for status in [Status::Verifying, Status::Installing] {
            self.store
                .set_status(id, run, status, at(3))
                .wait()
                .expect("step");
        }
        id
    }

    fn status(&self, id: DownloadId) -> Status {
        self.store
            .download(id)
            .wait()
            .expect("read")
            .expect("there")
            .status
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

fn run_info() -> RunInfo {
    RunInfo {
        pid: 42,
        start_time: Some(7),
        boot_id: Some("boot".to_owned()),
        host: Some("host".to_owned()),
        uid: host::uid(),
        started: at(0),
    }
}

fn new_download(path: &str) -> NewDownload {
    NewDownload {
        source: "ipfs://bafyroot/a".to_owned(),
        root_cid: Some("bafyroot".to_owned()),
        content_path: "a".to_owned(),
        path: Some(Path::new("/tmp").join(path)),
        nonce: "0123abcd".to_owned(),
        kind: "file".to_owned(),
        options_json: "{}".to_owned(),
        expected_sha256: Some([7; 32]),
        priority: 0,
        lane: None,
        uid: host::uid(),
        created: at(1),
    }
}

fn new_file(cid: &str) -> NewFile {
    let mut row = FileRow::unknown_root(cid);
    row.file.kind = FileKind::File;
    row.file.size = Some(100);
    row.file.mode = Some(0o644);
    row.file.mtime = Some((-1, 5));
    row.file
}

fn proved(until: u64) -> FileState {
    let mut verified = RangeSet::new();
    verified.insert(0, until);
    FileState {
        index: 0,
        verified,
        rungs: vec![1, 2],
        sha_state: Some(vec![3; 40]),
        sha256: None,
        fingerprint: Some(Fingerprint {
            len: 7,
            mtime_ns: -1,
        }),
        done: false,
        source: None,
    }
}

fn checkpoint(until: u64) -> Checkpoint {
    Checkpoint {
        trigger: Trigger::Periodic,
        files: vec![proved(until)],
        bytes_verified: until,
        traffic: Traffic::default(),
        now: at(10),
    }
}

fn ending(status: Status) -> Ending {
    Ending {
        status,
        failure: Some(Failure {
            kind: ExitKind::Retry,
            message: "no answer".to_owned(),
            hint: Some("try later".to_owned()),
        }),
        tries: 1,
        next_attempt: None,
        queue_tries: 0,
        traffic: Traffic::default(),
        now: at(20),
    }
}

fn finish(path: Option<&str>) -> Finish {
    Finish {
        receipt_json: r#"{"v":1}"#.to_owned(),
        proof: Proof::Leaves,
        size: 100,
        sha256: Some([9; 32]),
        install: path.map(|path| Install {
            path: Path::new("/tmp").join(path),
            cid: Some("bafyfile".to_owned()),
            size: 100,
            mtime_ns: 1_234_567_890_123_456_789,
            sha256: Some([9; 32]),
        }),
        traffic: Traffic::default(),
        now: at(30),
    }
}
