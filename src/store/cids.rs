//! The table `cids`: what this machine knows of a CID, whatever download it learnt that from.

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::download::DownloadId;
use crate::store::sql::{self, micros};
use crate::store::thread::Durability;
use crate::store::{Reply, Store};

/// Something that was learnt of a CID. What is `None` leaves what was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// Canonical text.
    pub cid: String,
    /// A name for it.
    pub name: Option<String>,
    /// Media type.
    pub media_type: Option<String>,
    /// SHA-256 of the file it names.
    pub sha256: Option<[u8; 32]>,
    /// The provider that served it last.
    pub last_provider: Option<String>,
    /// Whether it was fetched, or failed to be; `None` for merely looked at.
    pub success: Option<bool>,
    /// The time.
    pub now: Timestamp,
}

/// What is known of a CID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CidRow {
    /// Canonical text.
    pub cid: String,
    /// A name for it.
    pub name: Option<String>,
    /// Media type.
    pub media_type: Option<String>,
    /// SHA-256 of the file it names.
    pub sha256: Option<[u8; 32]>,
    /// The provider that served it last.
    pub last_provider: Option<String>,
    /// When it was last fetched whole.
    pub cached: Option<Timestamp>,
    /// When anything was last asked of it.
    pub accessed: Timestamp,
    /// Times it was fetched.
    pub successes: u64,
    /// Times it could not be fetched.
    pub failures: u64,
}

impl Store {
    /// Records what was learnt of a CID.
    pub fn touch_cid(&self, touch: Touch) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            learn(tx, &touch)?;
            Ok(())
        })
    }

    /// What is known of a CID, by its canonical text.
    pub fn known_cid(&self, cid: &str) -> Reply<Option<CidRow>> {
        let cid = cid.to_owned();
        self.read(move |tx| {
            Ok(sql::first(
                tx,
                "SELECT * FROM cids WHERE cid = ?1",
                [cid],
                read,
            )?)
        })
    }
}

/// Records that a download brought all of its content: of its file where the content is one file,
/// else of its root.
pub(super) fn finished(
    tx: &Connection,
    id: DownloadId,
    sha256: Option<&[u8; 32]>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let statement =
        "SELECT coalesce((SELECT cid FROM files WHERE download_id = ?1 AND path = '' AND idx = 0),
                                     root_cid) AS cid,
                            (SELECT url FROM provider_totals WHERE download_id = ?1
                             ORDER BY bytes DESC LIMIT 1) AS provider
                     FROM downloads WHERE id = ?1";
    let found = sql::first(tx, statement, [id.get()], |row| {
        Ok((row.get::<_, Option<String>>("cid")?, row.get("provider")?))
    })?;
    let Some((Some(cid), last_provider)) = found else {
        return Ok(());
    };
    let touch = Touch {
        cid,
        name: None,
        media_type: None,
        sha256: sha256.copied(),
        last_provider,
        success: Some(true),
        now,
    };
    learn(tx, &touch)
}

fn learn(tx: &Connection, touch: &Touch) -> rusqlite::Result<()> {
    let cached = (touch.success == Some(true)).then(|| micros(touch.now));
    sql::execute(
        tx,
        "INSERT INTO cids (cid, name, media_type, sha256, last_provider, cached_at, accessed_at,
                           successes, failures)
         VALUES (:cid, :name, :media_type, :sha256, :provider, :cached, :now, :success, :failure)
         ON CONFLICT (cid) DO UPDATE SET name = coalesce(excluded.name, name),
             media_type = coalesce(excluded.media_type, media_type),
             sha256 = coalesce(excluded.sha256, sha256),
             last_provider = coalesce(excluded.last_provider, last_provider),
             cached_at = coalesce(excluded.cached_at, cached_at),
             accessed_at = excluded.accessed_at,
             successes = successes + excluded.successes, failures = failures + excluded.failures",
        named_params! {
            ":cid": touch.cid,
            ":name": touch.name,
            ":media_type": touch.media_type,
            ":sha256": touch.sha256,
            ":provider": touch.last_provider,
            ":cached": cached,
            ":now": micros(touch.now),
            ":success": touch.success == Some(true),
            ":failure": touch.success == Some(false),
        },
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<CidRow> {
    Ok(CidRow {
        cid: row.get("cid")?,
        name: row.get("name")?,
        media_type: row.get("media_type")?,
        sha256: sql::digest(row, "sha256")?,
        last_provider: row.get("last_provider")?,
        cached: sql::optional_time(row, "cached_at")?,
        accessed: sql::time(row, "accessed_at")?,
        successes: sql::size(row, "successes")?,
        failures: sql::size(row, "failures")?,
    })
}
