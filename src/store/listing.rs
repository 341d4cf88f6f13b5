//! Many downloads at once: what `list` shows.

use crate::download::Status;
use crate::store::downloads::{self, DownloadRow};
use crate::store::sql;
use crate::store::{Reply, Store};

/// Which downloads, in which order, how many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Which ones.
    pub which: Which,
    /// In which order.
    pub sort: Sort,
    /// At most so many; `None` for all.
    pub limit: Option<u32>,
}

/// Which downloads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Which {
    /// What is not finished or has failed.
    #[default]
    Open,
    /// Those with one of these statuses.
    Statuses(Vec<Status>),
    /// Every one.
    All,
}

/// Orders of a list; ties are broken by id, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
    /// Last changed first.
    Updated,
    /// As the queue takes them: highest priority first, then oldest.
    Priority,
    /// Largest first; unknown sizes last.
    Size,
    /// By the name of the status, then newest first.
    Status,
    /// By path on disk; those without one last.
    Path,
}

impl Sort {
    /// Each is the order of an index, so that a few rows of many are read without sorting all.
    /// (SQLite takes unknown sizes for the smallest by itself.)
    fn clause(self) -> &'static str {
        match self {
            Sort::Newest => "id DESC",
            Sort::Oldest => "id",
            Sort::Updated => "updated_at DESC, id DESC",
            Sort::Priority => "priority DESC, id",
            Sort::Size => "bytes_total DESC, id DESC",
            Sort::Status => "status, id DESC",
            Sort::Path => "path NULLS LAST, id DESC",
        }
    }
}

impl Which {
    /// Only constant text, so there is nothing to escape.
    fn clause(&self) -> String {
        match self {
            Which::Open => "status NOT IN ('success', 'cancelled')".to_owned(),
            Which::All => "1".to_owned(),
            Which::Statuses(statuses) => {
                let names: Vec<String> = statuses
                    .iter()
                    .map(|status| format!("'{status}'"))
                    .collect();
                format!("status IN ({})", names.join(", "))
            }
        }
    }
}

/// The query behind a list; its one parameter is the limit, negative for none.
pub(super) fn statement(filter: &Filter) -> String {
    let (which, sort) = (filter.which.clause(), filter.sort.clause());
    // Ids are chosen first, so that only the rows that are shown are read whole; the cross join
    // keeps SQLite from looking at it the other way round.
    format!(
        "SELECT downloads.* FROM
             (SELECT id AS few FROM mine WHERE {which} ORDER BY {sort} LIMIT ?1)
             CROSS JOIN downloads ON id = few ORDER BY {sort}"
    )
}

impl Store {
    /// The downloads that `filter` chooses.
    pub fn downloads(&self, filter: Filter) -> Reply<Vec<DownloadRow>> {
        let statement = statement(&filter);
        let limit = filter.limit.map_or(-1, i64::from);
        self.read(move |tx| Ok(sql::all(tx, &statement, [limit], downloads::read)?))
    }
}
