//! Where the downloads come from that a run takes up.

use crate::commands::error::CommandError;
use crate::commands::transfer::active::Ended;
use crate::commands::transfer::shop::Shop;
use crate::store::DownloadRow;

/// A download that this run owns.
pub struct Task {
    /// Its record.
    pub row: DownloadRow,
    /// Its places in the order asked for, from 0: more than one where it was named more than once.
    pub places: Vec<usize>,
}

/// What a supply hands out.
pub enum Supplied {
    /// Work.
    Task(Task),
    /// It is in place already.
    There(Task),
    /// It cannot be begun.
    Refused(Task, CommandError),
}

/// Hands out downloads, each claimed for the run.
pub trait Supply {
    /// The next one; `None` if there is none now.
    async fn next(&mut self, shop: &Shop) -> Result<Option<Supplied>, CommandError>;

    /// Waits until there may be another one; for ever where there will be none. May be given up
    /// at any time.
    async fn wait(&mut self, _: &Shop) -> Result<(), CommandError> {
        std::future::pending().await
    }

    /// Whether it has more in time, although it has none now.
    fn is_endless(&self) -> bool {
        false
    }

    /// Whether final paths are printed, in the order asked for.
    fn prints_paths(&self) -> bool {
        true
    }

    /// Learns how one ended; perhaps something to tell a person.
    fn ended(&mut self, _: &Ended) -> Option<String> {
        None
    }
}
