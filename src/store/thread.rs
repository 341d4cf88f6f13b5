//! The thread that owns the connection, and the handle that the rest of the program holds.
//!
//! A busy or slow database never stalls the caller: a call queues its work and returns a
//! [`Reply`]. Calls of one handle, and of its clones, are done in the order they were made.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::download::{DownloadId, RunId, chain};
use crate::exit::ExitKind;
use crate::store::{StoreError, open};

/// Handle on the database; clones share one connection.
///
/// Dropping the last one waits until everything queued is done and the database is closed.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `Some` until dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(&mut Database) + Send>;

/// How sure a commit must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Survives the process; a power cut may take the last few commits back.
    Process,
    /// Survives a power cut: for what a user was told.
    Power,
}

/// The connection, on its thread.
struct Database {
    conn: Connection,
    path: PathBuf,
    durability: Durability,
    /// Downloads of which a run could not record something, and why; see [`Store::write_next`].
    broken_off: HashMap<(DownloadId, RunId), BrokenOff>,
}

/// With what a run failed to record something.
#[derive(Clone)]
struct BrokenOff {
    kind: ExitKind,
    why: String,
    remedy: Option<&'static str>,
}

impl Store {
    /// Opens, and if need be creates or migrates, `dir/fetchd.db` (0600, the directory 0700).
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::Foreign`], [`StoreError::Corrupt`] for a file that is
    /// not to be touched; otherwise what the disk says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::serve(open::open(dir)?)
    }

    /// Opens `dir/fetchd.db` for reading alone: for places where nothing can be written.
    ///
    /// # Errors
    /// As [`Store::open`], and [`StoreError::Older`]. Every method that writes fails with
    /// [`StoreError::ReadOnly`].
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        Self::serve(open::open_read_only(dir)?)
    }

    fn serve((conn, path): (Connection, PathBuf)) -> Result<Self, StoreError> {
        let database = Database {
            conn,
            path,
            durability: Durability::Process,
            broken_off: HashMap::new(),
        };
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || serve(database, &receiver))
            .map_err(StoreError::Thread)?;
        let inner = Inner {
            jobs: Some(sender),
            thread: Some(thread),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// One transaction that sees one state of the database and changes nothing.
    pub(super) fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        self.queue(move |database| database.transact(TransactionBehavior::Deferred, act))
    }

    /// One transaction that excludes every other writer.
    pub(super) fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        act: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        self.queue(move |database| {
            database.set_durability(durability)?;
            database.transact(TransactionBehavior::Immediate, act)
        })
    }

    /// One of the writes by which a run tells, in order and without waiting, how far a download is.
    /// When one of them has failed, all later ones fail: each relies on those before it, and a disk
    /// that is full for a moment must not leave a tree that lacks some of its names.
    pub(super) fn write_next<T: Send + 'static>(
        &self,
        (id, run): (DownloadId, RunId),
        durability: Durability,
        act: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        self.queue(move |database| {
            if let Some(BrokenOff { kind, why, remedy }) =
                database.broken_off.get(&(id, run)).cloned()
            {
                return Err(StoreError::BrokenOff { kind, why, remedy });
            }
            let done = database
                .set_durability(durability)
                .and_then(|()| database.transact(TransactionBehavior::Immediate, act));
            // Of a lease that is lost every write finds that out by itself.
            if let Err(error) = &done
                && !matches!(error, StoreError::LeaseLost { .. })
            {
                let why = BrokenOff {
                    kind: error.exit_kind(),
                    why: chain(error),
                    remedy: error.remedy(),
                };
                database.broken_off.insert((id, run), why);
            }
            done
        })
    }

    /// The run takes the download up anew, with what is recorded of it.
    pub(super) fn begin_anew(&self, id: DownloadId, run: RunId) {
        // Nobody need wait: the store works in order.
        drop(self.queue(move |database| {
            database.broken_off.remove(&(id, run));
            Ok(())
        }));
    }

    fn queue<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        let (answer, reply) = oneshot::channel();
        let job: Job = Box::new(move |database| {
            // A caller that no longer listens does not undo the work.
            let _ = answer.send(act(database));
        });
        if let Some(jobs) = &self.inner.jobs {
            // If the thread is gone, `answer` is dropped with the job and the reply says so.
            let _ = jobs.send(job);
        }
        Reply { reply }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic over there was reported over there.
            let _ = thread.join();
        }
    }
}

fn serve(mut database: Database, jobs: &mpsc::Receiver<Job>) {
    for job in jobs {
        job(&mut database);
    }
}

impl Database {
    fn transact<T>(
        &mut self,
        behaviour: TransactionBehavior,
        act: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let path = &self.path;
        let attempt = |conn: &mut Connection| {
            let tx: Transaction<'_> = conn.transaction_with_behavior(behaviour)?;
            let value = act(&tx)?; // an error drops `tx`, which rolls back
            tx.commit()?;
            Ok(value)
        };
        attempt(&mut self.conn).map_err(|error: StoreError| error.at(path))
    }

    /// SQLite takes this setting between transactions only.
    fn set_durability(&mut self, durability: Durability) -> Result<(), StoreError> {
        if self.durability == durability {
            return Ok(());
        }
        let level = match durability {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
        };
        self.conn
            .pragma_update(None, "synchronous", level)
            .map_err(|error| StoreError::from(error).at(&self.path))?;
        self.durability = durability;
        Ok(())
    }
}

/// The answer of the store, to be awaited, or waited for by code that is not async.
///
/// The work is queued already and is done even if this is dropped.
#[derive(Debug)]
#[must_use = "only the reply says whether the store did it"]
pub struct Reply<T> {
    reply: oneshot::Receiver<Result<T, StoreError>>,
}

impl<T> Reply<T> {
    /// Blocks until the answer is here. Not for use inside an async runtime, where it panics.
    ///
    /// # Errors
    /// As the method that made this reply; [`StoreError::Gone`] if the store's thread died.
    pub fn wait(self) -> Result<T, StoreError> {
        self.reply.blocking_recv().unwrap_or(Err(StoreError::Gone))
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(StoreError::Gone)))
    }
}
