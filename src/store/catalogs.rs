//! The table `catalogs`: what was proved of catalogues from elsewhere, so that their names work
//! without a network.

use jiff::Timestamp;

use crate::store::Reply;
use crate::store::Store;
use crate::store::sql::{self, micros};
use crate::store::thread::Durability;

/// A catalogue as it was fetched and proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogRow {
    /// The root that its source was resolved to; `None` for a plain file.
    pub cid: Option<String>,
    /// The path below that root, without leading slash.
    pub content_path: String,
    /// Of the signed record that led there, if a key names it.
    pub sequence: Option<u64>,
    /// When it was fetched, or was found to be still the same.
    pub fetched: Timestamp,
    /// The catalogue.
    pub text: String,
}

impl Store {
    /// Keeps what `source` holds, in place of what was kept before. Another `pin` is another
    /// catalogue.
    pub fn keep_catalog(&self, source: &str, pin: Option<[u8; 32]>, row: CatalogRow) -> Reply<()> {
        let key = key(source, pin);
        self.write(Durability::Power, move |tx| {
            let statement = "INSERT OR REPLACE INTO catalogs
                (source, pin, cid, content_path, sequence, fetched_at, text)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let values = (
                &key.0,
                &key.1,
                &row.cid,
                &row.content_path,
                row.sequence.map(u64::to_be_bytes),
                micros(row.fetched),
                &row.text,
            );
            sql::execute(tx, statement, values)?;
            Ok(())
        })
    }

    /// What is kept of `source` under this pin.
    pub fn catalog(&self, source: &str, pin: Option<[u8; 32]>) -> Reply<Option<CatalogRow>> {
        let key = key(source, pin);
        self.read(move |tx| {
            let query = "SELECT * FROM catalogs WHERE source = ?1 AND pin = ?2";
            Ok(sql::first(tx, query, (&key.0, &key.1), |row| {
                let sequence: Option<[u8; 8]> = row.get("sequence")?;
                Ok(CatalogRow {
                    cid: row.get("cid")?,
                    content_path: row.get("content_path")?,
                    sequence: sequence.map(u64::from_be_bytes),
                    fetched: sql::time(row, "fetched_at")?,
                    text: row.get("text")?,
                })
            })?)
        })
    }

    /// Forgets what is kept of `source` under this pin.
    pub fn forget_catalog(&self, source: &str, pin: Option<[u8; 32]>) -> Reply<()> {
        let key = key(source, pin);
        self.write(Durability::Process, move |tx| {
            sql::execute(
                tx,
                "DELETE FROM catalogs WHERE source = ?1 AND pin = ?2",
                (&key.0, &key.1),
            )?;
            Ok(())
        })
    }
}

/// No pin is the empty one: null would be equal to nothing.
fn key(source: &str, pin: Option<[u8; 32]>) -> (String, Vec<u8>) {
    (source.to_owned(), pin.map(Vec::from).unwrap_or_default())
}
