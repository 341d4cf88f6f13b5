//! How fast gateways may be asked, and when again.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Row;

use crate::gateway::pace::Pace;
use crate::store::gateways::{GatewayRow, Origin, upsert};
use crate::store::sql::{self, int, micros};
use crate::store::thread::Durability;
use crate::store::{Reply, Store};

impl GatewayRow {
    /// How fast it may be asked; what was learnt long ago counts less.
    pub fn pace(&self, now: Timestamp) -> Pace {
        let Some((pace, at)) = self.pace else {
            return Pace::default();
        };
        // A clock that was set back makes nothing older.
        let age = Duration::try_from(now.duration_since(at)).unwrap_or_default();
        pace.aged(age)
    }
}

impl Store {
    /// Records that a gateway may be asked again: it has answered. Whether it was resting.
    pub fn end_cool_down(&self, url: &str) -> Reply<bool> {
        let url = url.to_owned();
        self.write(Durability::Process, move |tx| {
            let statement = "UPDATE gateways SET cool_until = NULL, cooled_at = NULL
                             WHERE url = ?1 AND cool_until IS NOT NULL";
            Ok(sql::execute(tx, statement, [url])? == 1)
        })
    }

    /// Records how fast a gateway may be asked, as of `now`.
    pub fn set_pace(&self, url: &str, pace: Pace, now: Timestamp) -> Reply<()> {
        let url = url.to_owned();
        self.write(Durability::Process, move |tx| {
            upsert(tx, &url, Origin::Discovered)?;
            let interval = pace.encode().map(int);
            let at = interval.map(|_| micros(now));
            let statement = "UPDATE gateways SET pace = ?2, paced_at = ?3 WHERE url = ?1";
            sql::execute(tx, statement, (url, interval, at))?;
            Ok(())
        })
    }
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Option<(Pace, Timestamp)>> {
    let interval = sql::optional_size(row, "pace")?;
    let at = sql::optional_time(row, "paced_at")?;
    Ok(interval.and_then(|interval| Some((Pace::decode(Some(interval)), at?))))
}
