//! Interior blocks and the wrapping of odd leaves, so that `resume`, `verify` and `export` can
//! prove bytes without a network.
//!
//! A node is kept as long as something uses it: a download that is unfinished or has failed, or
//! an install that a download made.

use rusqlite::Connection;

use crate::download::DownloadId;
use crate::store::sql;
use crate::store::{Reply, Store, StoreError};

/// What stands around a leaf's file bytes in its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapping {
    /// Before the file bytes.
    pub prefix: Vec<u8>,
    /// Behind them.
    pub suffix: Vec<u8>,
}

/// What is kept of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// All of it: an interior block.
    Block(Vec<u8>),
    /// What stands around the file bytes of a leaf that no known form rebuilds.
    Wrapping(Wrapping),
}

impl Store {
    /// An interior block, as stored: the caller proves it again.
    pub fn node(&self, multihash: &[u8]) -> Reply<Option<Vec<u8>>> {
        let multihash = multihash.to_vec();
        self.read(move |tx| {
            let statement = "SELECT block FROM nodes WHERE multihash = ?1 AND block IS NOT NULL";
            Ok(sql::first(tx, statement, [multihash], |row| {
                row.get("block")
            })?)
        })
    }

    /// The wrapping of a leaf, where one is kept.
    pub fn wrapping(&self, multihash: &[u8]) -> Reply<Option<Wrapping>> {
        let multihash = multihash.to_vec();
        self.read(move |tx| {
            let statement =
                "SELECT prefix, suffix FROM nodes WHERE multihash = ?1 AND prefix IS NOT NULL";
            Ok(sql::first(tx, statement, [multihash], |row| {
                Ok(Wrapping {
                    prefix: row.get("prefix")?,
                    suffix: row.get("suffix")?,
                })
            })?)
        })
    }
}

/// Keeps blocks for a download, by multihash. Keeping one that is known already is harmless.
pub(super) fn keep(
    tx: &Connection,
    id: DownloadId,
    kept: &[(Vec<u8>, Kept)],
) -> Result<(), StoreError> {
    if kept.is_empty() {
        return Ok(());
    }
    require_use(tx, id)?;
    let block = "INSERT INTO nodes (multihash, block) VALUES (?1, ?2)
                 ON CONFLICT (multihash) DO UPDATE SET block = excluded.block, prefix = NULL, suffix = NULL
                 WHERE nodes.block IS NULL";
    let wrapping = "INSERT INTO nodes (multihash, prefix, suffix) VALUES (?1, ?2, ?3)
                    ON CONFLICT (multihash) DO NOTHING";
    for (multihash, kept) in kept {
        match kept {
            Kept::Block(bytes) => sql::execute(tx, block, (multihash, bytes))?,
            Kept::Wrapping(Wrapping { prefix, suffix }) => {
                sql::execute(tx, wrapping, (multihash, prefix, suffix))?
            }
        };
        link(tx, id, multihash)?;
    }
    Ok(())
}

const IN_USE: &str = "SELECT EXISTS (SELECT 1 FROM downloads WHERE id = ?1 AND status NOT IN ('success', 'cancelled'))
                          OR EXISTS (SELECT 1 FROM installs WHERE download_id = ?1) AS used";

fn in_use(tx: &Connection, id: DownloadId) -> rusqlite::Result<bool> {
    let used = sql::first(tx, IN_USE, [id.get()], |row| row.get("used"))?;
    Ok(used.unwrap_or(false))
}

fn require_use(tx: &Connection, id: DownloadId) -> Result<(), StoreError> {
    if in_use(tx, id)? {
        Ok(())
    } else {
        Err(StoreError::NotFound { id })
    }
}

fn link(tx: &Connection, id: DownloadId, multihash: &[u8]) -> rusqlite::Result<()> {
    let statement = "INSERT INTO node_uses (download_id, node_id)
                     SELECT ?1, id FROM nodes WHERE multihash = ?2
                     ON CONFLICT DO NOTHING";
    sql::execute(tx, statement, (id.get(), multihash))?;
    Ok(())
}

/// Whatever `from` uses, `to` uses too: it has the same content.
pub(super) fn inherit(tx: &Connection, from: DownloadId, to: DownloadId) -> rusqlite::Result<()> {
    let statement = "INSERT INTO node_uses (download_id, node_id)
                     SELECT ?2, node_id FROM node_uses WHERE download_id = ?1
                     ON CONFLICT DO NOTHING";
    sql::execute(tx, statement, (from.get(), to.get()))?;
    Ok(())
}

/// Drops the nodes that only `id` used, if it uses them no more. To be called whenever a
/// download ends or is forgotten, and whenever an install of its goes.
pub(super) fn sweep(tx: &Connection, id: DownloadId) -> rusqlite::Result<()> {
    if in_use(tx, id)? {
        return Ok(());
    }
    let statement = "DELETE FROM node_uses WHERE download_id = ?1 RETURNING node_id";
    let nodes: Vec<i64> = sql::all(tx, statement, [id.get()], |row| row.get("node_id"))?;
    let drop_unused = "DELETE FROM nodes WHERE id = ?1
                       AND NOT EXISTS (SELECT 1 FROM node_uses WHERE node_id = ?1)";
    for node in nodes {
        sql::execute(tx, drop_unused, [node])?;
    }
    Ok(())
}
