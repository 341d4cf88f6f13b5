//! Bytes and answers by provider, summed over all runs of a download.

use std::time::Duration;

use rusqlite::{Connection, Row, named_params};

use crate::download::{DownloadId, Proof, ProviderReceipt};
use crate::store::sql::{self, int};
use crate::store::{Reply, Store};

/// What was received since the last time it was recorded: differences, not totals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes received.
    pub fetched: u64,
    /// Of those, bytes thrown away.
    pub wasted: u64,
    /// How long that took.
    pub elapsed: Duration,
    /// Bytes and answers by provider.
    pub providers: Vec<ProviderReceipt>,
}

impl Traffic {
    /// Whether there is nothing to record.
    pub fn is_empty(&self) -> bool {
        *self == Traffic::default()
    }
}

impl Store {
    /// What each provider did for a download in all recorded runs, most bytes first.
    pub fn provider_totals(&self, id: DownloadId) -> Reply<Vec<ProviderReceipt>> {
        self.read(move |tx| {
            let statement =
                "SELECT * FROM provider_totals WHERE download_id = ?1 ORDER BY bytes DESC, url";
            Ok(sql::all(tx, statement, [id.get()], read)?)
        })
    }
}

/// Adds `traffic` to the totals of a download.
pub(super) fn add(tx: &Connection, id: DownloadId, traffic: &Traffic) -> rusqlite::Result<()> {
    if traffic.is_empty() {
        return Ok(());
    }
    let statement = "UPDATE downloads SET bytes_fetched = bytes_fetched + ?2,
                            bytes_wasted = bytes_wasted + ?3,
                            elapsed_us = elapsed_us + ?4 WHERE id = ?1";
    let elapsed = u64::try_from(traffic.elapsed.as_micros()).unwrap_or(u64::MAX);
    let (fetched, wasted) = (int(traffic.fetched), int(traffic.wasted));
    sql::execute(tx, statement, (id.get(), fetched, wasted, int(elapsed)))?;
    for provider in &traffic.providers {
        add_provider(tx, id, provider)?;
    }
    Ok(())
}

fn add_provider(
    tx: &Connection,
    id: DownloadId,
    provider: &ProviderReceipt,
) -> rusqlite::Result<()> {
    let statement = "SELECT rungs FROM provider_totals WHERE download_id = ?1 AND url = ?2";
    let known = sql::first(tx, statement, (id.get(), &provider.url), read_rungs)?;
    let mut rungs = known.unwrap_or_default();
    rungs.extend(&provider.rungs);
    rungs.sort_unstable();
    rungs.dedup();
    let names: Vec<&str> = rungs.into_iter().map(Proof::name).collect();
    sql::execute(
        tx,
        "INSERT INTO provider_totals (download_id, url, bytes, wasted, requests, errors, rejected, rungs)
         VALUES (:id, :url, :bytes, :wasted, :requests, :errors, :rejected, :rungs)
         ON CONFLICT (download_id, url) DO UPDATE SET
             bytes = bytes + excluded.bytes, wasted = wasted + excluded.wasted,
             requests = requests + excluded.requests, errors = errors + excluded.errors,
             rejected = rejected + excluded.rejected, rungs = excluded.rungs",
        named_params! {
            ":id": id.get(),
            ":url": provider.url,
            ":bytes": int(provider.bytes),
            ":wasted": int(provider.wasted),
            ":requests": int(provider.requests),
            ":errors": int(provider.errors),
            ":rejected": int(provider.rejected),
            ":rungs": names.join(","),
        },
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<ProviderReceipt> {
    Ok(ProviderReceipt {
        url: row.get("url")?,
        bytes: sql::size(row, "bytes")?,
        wasted: sql::size(row, "wasted")?,
        requests: sql::size(row, "requests")?,
        errors: sql::size(row, "errors")?,
        rejected: sql::size(row, "rejected")?,
        rungs: read_rungs(row)?,
    })
}

fn read_rungs(row: &Row<'_>) -> rusqlite::Result<Vec<Proof>> {
    let names: String = row.get("rungs")?;
    names
        .split_terminator(',')
        .map(|name| sql::required(Proof::from_name(name), "rungs"))
        .collect()
}
