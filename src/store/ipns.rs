//! The table `ipns`: the newest record seen of each name, so that an older one is known for a
//! replay.

use jiff::Timestamp;

use crate::store::Reply;
use crate::store::Store;
use crate::store::sql::{self, micros};
use crate::store::thread::Durability;

/// The newest record seen of an IPNS name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpnsRow {
    /// Its sequence number.
    pub sequence: u64,
    /// The signed record, verbatim.
    pub record: Vec<u8>,
    /// When it was seen.
    pub seen: Timestamp,
}

impl Store {
    /// Keeps a valid record of `name` unless one with a higher sequence is known; the record that
    /// is known now.
    pub fn see_ipns(&self, name: &str, seen: IpnsRow) -> Reply<IpnsRow> {
        let name = name.to_owned();
        self.write(Durability::Process, move |tx| {
            if let Some(known) = find(tx, &name)?
                && known.sequence > seen.sequence
            {
                return Ok(known);
            }
            let statement =
                "INSERT INTO ipns (name, sequence, record, seen_at) VALUES (?1, ?2, ?3, ?4)
                             ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence,
                                 record = excluded.record, seen_at = excluded.seen_at";
            let sequence = seen.sequence.to_be_bytes();
            sql::execute(
                tx,
                statement,
                (&name, sequence, &seen.record, micros(seen.seen)),
            )?;
            Ok(seen)
        })
    }

    /// The newest record seen of `name`.
    pub fn ipns(&self, name: &str) -> Reply<Option<IpnsRow>> {
        let name = name.to_owned();
        self.read(move |tx| Ok(find(tx, &name)?))
    }
}

fn find(tx: &rusqlite::Connection, name: &str) -> rusqlite::Result<Option<IpnsRow>> {
    sql::first(tx, "SELECT * FROM ipns WHERE name = ?1", [name], |row| {
        Ok(IpnsRow {
            sequence: u64::from_be_bytes(row.get("sequence")?),
            record: row.get("record")?,
            seen: sql::time(row, "seen_at")?,
        })
    })
}
