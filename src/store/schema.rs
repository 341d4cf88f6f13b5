//! The tables, as a list of migrations that is only ever appended to.
//!
//! `user_version` counts the migrations that a database has seen. They run in one transaction.
//! Two programs may start at once on an old database, and both believe that they must migrate:
//! every migration therefore either holds a statement that fails the second time (`CREATE TABLE`,
//! `ADD COLUMN`), so that the later one changes nothing, looks again and goes on, or does nothing
//! the second time.
//!
//! Conventions: times are microseconds since 1970 UTC; sizes are bytes; paths on disk are text
//! where they are Unicode and blobs of the system's own encoding where not (hence `ANY`);
//! hashes are raw bytes; CIDs are canonical text, multihashes raw bytes.

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

/// Marks a database as one of this program: "ftch".
pub(super) const APPLICATION_ID: i32 = 0x6674_6368;

/// How many migrations there are: the schema version that this program writes.
pub(super) const LATEST: i64 = 8;

/// All migrations, oldest first.
pub(super) fn migrations() -> Migrations<'static> {
    let sixth = M::up_with_hook("", |tx| Ok(add_elapsed(tx)?));
    let plain = [FIRST, SECOND, THIRD, FOURTH, FIFTH];
    Migrations::from_iter(plain.map(M::up).into_iter().chain([
        sixth,
        M::up(SEVENTH),
        M::up(EIGHTH),
    ]))
}

/// How long all runs of a download took together, in microseconds. Some databases of the fifth
/// version have it, and others, which came from an older one, do not.
fn add_elapsed(conn: &Connection) -> rusqlite::Result<()> {
    if conn.column_exists(None, "downloads", "elapsed_us")? {
        return Ok(());
    }
    conn.execute_batch("ALTER TABLE downloads ADD COLUMN elapsed_us INTEGER NOT NULL DEFAULT 0")
}

const FIRST: &str = "
PRAGMA application_id = 0x66746368;

-- One row for each invocation that owns work.
CREATE TABLE runs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    pid          INTEGER NOT NULL,
    start_time   INTEGER,           -- of the process, in the system's own unit
    boot_id      TEXT,
    host         TEXT,
    uid          INTEGER,
    started_at   INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL,
    ended_at     INTEGER            -- null: alive, or dead and not yet reaped
) STRICT;
CREATE INDEX runs_open ON runs(id) WHERE ended_at IS NULL;

CREATE TABLE downloads (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    status           TEXT NOT NULL CHECK (status IN ('pending', 'in_progress', 'resuming',
                         'verifying', 'installing', 'paused', 'success', 'failed', 'cancelled')),
    kind             TEXT NOT NULL,
    source           TEXT NOT NULL,  -- as typed
    root_cid         TEXT,           -- pinned when it was resolved
    content_path     TEXT NOT NULL,  -- under the root, without leading slash
    path             ANY,            -- on disk, absolute; null for standard output
    nonce            TEXT NOT NULL,  -- of the part file's name
    attempts         INTEGER NOT NULL DEFAULT 0,
    last_attempt_at  INTEGER,
    next_attempt_at  INTEGER,
    bytes_verified   INTEGER NOT NULL DEFAULT 0,
    bytes_total      INTEGER,
    bytes_fetched    INTEGER NOT NULL DEFAULT 0,
    bytes_wasted     INTEGER NOT NULL DEFAULT 0,
    expected_sha256  BLOB CHECK (length(expected_sha256) = 32),
    sha256           BLOB CHECK (length(sha256) = 32),
    proof            TEXT,
    error_kind       TEXT,
    error_message    TEXT,
    error_hint       TEXT,
    priority         INTEGER NOT NULL DEFAULT 0,
    queue_lane       TEXT,           -- of an entry of the queue: whom it asks; null outside of it
    queue_tries      INTEGER NOT NULL DEFAULT 0, -- that failed in a row
    owner_run        INTEGER REFERENCES runs(id),
    requested_action TEXT,
    owner_uid        INTEGER,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    updated_at       INTEGER NOT NULL,
    completed_at     INTEGER,
    options          TEXT NOT NULL,  -- JSON, opaque here
    receipt          TEXT            -- JSON, opaque here
) STRICT;
CREATE UNIQUE INDEX downloads_one_unfinished_per_path ON downloads(path)
    WHERE path IS NOT NULL AND status IN ('pending', 'in_progress', 'resuming', 'verifying',
                                          'installing', 'paused');
CREATE INDEX downloads_path ON downloads(path);
CREATE INDEX downloads_root ON downloads(root_cid);
CREATE INDEX downloads_status ON downloads(status);
CREATE INDEX downloads_open ON downloads(id) WHERE status NOT IN ('success', 'cancelled');
CREATE INDEX downloads_owner ON downloads(owner_run) WHERE owner_run IS NOT NULL;
-- Holds all that the queue looks at, in its order.
CREATE INDEX downloads_due ON downloads(priority DESC, id, next_attempt_at, queue_lane, owner_uid)
    WHERE status = 'pending' AND owner_run IS NULL;

-- The tree of a download, and what is proved of its files.
CREATE TABLE files (
    id          INTEGER PRIMARY KEY,
    download_id INTEGER NOT NULL REFERENCES downloads(id) ON DELETE CASCADE,
    idx         INTEGER NOT NULL,
    parent      INTEGER,           -- idx of the directory; null for the root
    path        TEXT NOT NULL,     -- under the download's path; empty for the root
    kind        TEXT NOT NULL CHECK (kind IN ('unknown', 'shard', 'file', 'directory', 'symlink')),
    cid         TEXT,
    size        INTEGER,
    tsize       INTEGER,           -- as the directory claims
    mode        INTEGER,
    mtime_s     INTEGER,
    mtime_ns    INTEGER,
    target      BLOB,              -- of a symbolic link
    place       BLOB,              -- of a shard
    done        INTEGER NOT NULL DEFAULT 0 CHECK (done IN (0, 1)),
    sha256      BLOB CHECK (length(sha256) = 32),
    verified    BLOB NOT NULL DEFAULT x'',
    rungs       BLOB NOT NULL DEFAULT x'',
    sha_state   BLOB,
    part_len    INTEGER,           -- of the part, as the checkpoint left it
    part_mtime  INTEGER,           -- nanoseconds since 1970 UTC
    source      TEXT,              -- of a file that proves itself only at its end; JSON, opaque here
    UNIQUE (download_id, idx)
) STRICT;
CREATE INDEX files_unfinished ON files(download_id, idx) WHERE done = 0;
CREATE INDEX files_parent ON files(download_id, parent);
CREATE INDEX files_copies ON files(cid) WHERE done = 1;

-- Interior blocks, and the wrapping of leaves that no known form rebuilds.
CREATE TABLE nodes (
    id        INTEGER PRIMARY KEY,
    multihash BLOB NOT NULL UNIQUE,
    block     BLOB,
    prefix    BLOB,
    suffix    BLOB,
    CHECK ((block IS NULL) <> (prefix IS NULL)),
    CHECK ((prefix IS NULL) = (suffix IS NULL))
) STRICT;
-- Which download needs which node. No foreign key to downloads: an install goes on needing the
-- nodes of the download that made it after that is forgotten, and ids are never used again.
CREATE TABLE node_uses (
    download_id INTEGER NOT NULL,
    node_id     INTEGER NOT NULL REFERENCES nodes(id),
    PRIMARY KEY (download_id, node_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX node_uses_node ON node_uses(node_id);

CREATE TABLE checkpoints (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    download_id  INTEGER NOT NULL REFERENCES downloads(id) ON DELETE CASCADE,
    run_id       INTEGER NOT NULL,
    trigger      TEXT NOT NULL,
    state_hash   BLOB NOT NULL CHECK (length(state_hash) = 32),
    bytes        INTEGER NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('in_progress', 'completed')),
    created_at   INTEGER NOT NULL,
    completed_at INTEGER
) STRICT;
CREATE INDEX checkpoints_download ON checkpoints(download_id, id);

-- What each provider did for a download, over all its runs: the receipt's lines.
CREATE TABLE provider_totals (
    download_id INTEGER NOT NULL REFERENCES downloads(id) ON DELETE CASCADE,
    url         TEXT NOT NULL,
    bytes       INTEGER NOT NULL,
    wasted      INTEGER NOT NULL,
    requests    INTEGER NOT NULL,
    errors      INTEGER NOT NULL,
    rejected    INTEGER NOT NULL,
    rungs       TEXT NOT NULL,     -- names of proofs, with a comma between
    PRIMARY KEY (download_id, url)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    download_id INTEGER NOT NULL REFERENCES downloads(id) ON DELETE CASCADE,
    run_id      INTEGER NOT NULL,
    provider    TEXT NOT NULL,
    request     TEXT NOT NULL,
    offset      INTEGER,
    bytes       INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX attempts_download ON attempts(download_id, id);

-- What this machine knows of a CID.
CREATE TABLE cids (
    cid           TEXT PRIMARY KEY,
    name          TEXT,
    media_type    TEXT,
    sha256        BLOB CHECK (length(sha256) = 32),
    last_provider TEXT,
    cached_at     INTEGER,
    accessed_at   INTEGER NOT NULL,
    successes     INTEGER NOT NULL DEFAULT 0,
    failures      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE gateways (
    url            TEXT PRIMARY KEY,
    origin         TEXT NOT NULL CHECK (origin IN ('discovered', 'default', 'config', 'user')),
    enabled        INTEGER CHECK (enabled IN (0, 1)), -- what the user said; null: nothing
    capabilities   TEXT NOT NULL DEFAULT '',
    requests       INTEGER NOT NULL DEFAULT 0,
    errors         INTEGER NOT NULL DEFAULT 0,
    errors_in_row  INTEGER NOT NULL DEFAULT 0,
    rejected       INTEGER NOT NULL DEFAULT 0,
    bytes          INTEGER NOT NULL DEFAULT 0,
    latency        REAL,              -- EWMA, seconds to the first byte
    throughput     REAL,              -- EWMA, bytes per second
    cool_until     INTEGER,
    retired_since  INTEGER,
    retired_reason TEXT,
    last_error     TEXT,
    last_used_at   INTEGER
) STRICT, WITHOUT ROWID;

-- The ledger of files with a final name.
CREATE TABLE installs (
    path         ANY PRIMARY KEY NOT NULL,
    cid          TEXT,
    size         INTEGER NOT NULL,
    mtime        INTEGER NOT NULL, -- nanoseconds since 1970 UTC, as the file system says
    sha256       BLOB CHECK (length(sha256) = 32),
    download_id  INTEGER NOT NULL, -- may be forgotten already
    proof        TEXT,             -- as that download has it
    options      TEXT,             -- as that download has them
    installed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX installs_download ON installs(download_id);
CREATE INDEX installs_cid ON installs(cid);
CREATE INDEX installs_sum ON installs(sha256);

-- The newest record seen of each IPNS name: an older one is a replay.
CREATE TABLE ipns (
    name     TEXT PRIMARY KEY,
    sequence BLOB NOT NULL CHECK (length(sequence) = 8), -- big-endian, unsigned
    record   BLOB NOT NULL,
    seen_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

const SECOND: &str = "
-- What a gateway can do, with the time when it was learnt. What was known without a time is
-- forgotten: it is soon learnt again.
CREATE TABLE gateway_capabilities (
    url       TEXT NOT NULL REFERENCES gateways(url) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    value     TEXT NOT NULL CHECK (value IN ('yes', 'no')),
    learnt_at INTEGER NOT NULL,
    PRIMARY KEY (url, name)
) STRICT, WITHOUT ROWID;
ALTER TABLE gateways DROP COLUMN capabilities;

-- A list of a few among very many is read off an index, in each of its orders.
DROP INDEX downloads_status;
CREATE INDEX downloads_status ON downloads(status, id DESC);
CREATE INDEX downloads_updated ON downloads(updated_at DESC, id DESC);
CREATE INDEX downloads_size ON downloads(bytes_total DESC, id DESC);
CREATE INDEX downloads_queue ON downloads(priority DESC, id);
";

const THIRD: &str = "
-- The least time between two requests that a gateway puts up with, in microseconds; null where it
-- refused none. The time when it was last refused or won back.
ALTER TABLE gateways ADD COLUMN pace INTEGER;
ALTER TABLE gateways ADD COLUMN paced_at INTEGER;
";

const FOURTH: &str = "
-- What the queue looks at, in its order: what is due, the same by whom it asks, and what waits for
-- its time.
DROP INDEX downloads_due;
CREATE INDEX downloads_ready ON downloads(priority DESC, id)
    WHERE status = 'pending' AND owner_run IS NULL AND next_attempt_at IS NULL;
CREATE INDEX downloads_lanes ON downloads(queue_lane, priority DESC, id)
    WHERE status = 'pending' AND owner_run IS NULL AND next_attempt_at IS NULL;
CREATE INDEX downloads_waiting ON downloads(next_attempt_at, queue_lane)
    WHERE status = 'pending' AND owner_run IS NULL AND next_attempt_at IS NOT NULL;

-- Whose the download was that made it.
ALTER TABLE installs ADD COLUMN owner_uid INTEGER;
UPDATE installs SET owner_uid = (SELECT owner_uid FROM downloads WHERE id = download_id);
";

const FIFTH: &str = "
-- What was proved of catalogues from elsewhere, so that their names work without a network.
CREATE TABLE catalogs (
    source       TEXT NOT NULL, -- as the user's catalogue names it
    pin          BLOB NOT NULL, -- the SHA-256 that it must have; empty where the source is the proof
    cid          TEXT,          -- the root that it was resolved to
    content_path TEXT NOT NULL,
    sequence     BLOB CHECK (length(sequence) = 8), -- of the signed record; big-endian, unsigned
    fetched_at   INTEGER NOT NULL,
    text         TEXT NOT NULL,
    PRIMARY KEY (source, pin)
) STRICT;
";

const SEVENTH: &str = "
-- When the time of cool_until was written: by a clock that was ahead it counts for nothing, and so
-- does what was written without.
ALTER TABLE gateways ADD COLUMN cooled_at INTEGER;

-- What waits for its time, by the time when it was told to.
CREATE INDEX downloads_waiting_since ON downloads(updated_at)
    WHERE status = 'pending' AND owner_run IS NULL AND next_attempt_at IS NOT NULL;
";

const EIGHTH: &str = "
-- When the owner took in the standing request; null: not yet. Without a request it says nothing.
ALTER TABLE downloads ADD COLUMN acknowledged_at INTEGER;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_apply_and_mark_the_database() {
        migrations().validate().expect("valid migrations");
        let mut conn = Connection::open_in_memory().expect("memory");
        migrations().to_latest(&mut conn).expect("migrate");
        let marked: i32 = conn
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .expect("pragma");
        assert_eq!(marked, APPLICATION_ID);
        let version: i64 = conn
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .expect("pragma");
        assert_eq!(version, LATEST);
    }

    #[test]
    fn what_an_older_version_knew_of_a_gateway_stays_but_for_what_had_no_time() {
        let mut conn = Connection::open_in_memory().expect("memory");
        migrations()
            .to_version(&mut conn, 1)
            .expect("the first schema");
        let known = "INSERT INTO gateways (url, origin, enabled, capabilities, requests)
                     VALUES ('http://a', 'user', 0, 'raw=no', 7)";
        conn.execute(known, []).expect("a row");
        migrations().to_latest(&mut conn).expect("migrate");
        let row: (String, bool, i64) = conn
            .query_row(
                "SELECT origin, enabled, requests FROM gateways",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .expect("the row");
        assert_eq!(row, ("user".to_owned(), false, 7));
        let learnt: i64 = conn
            .query_row("SELECT count(*) FROM gateway_capabilities", [], |row| {
                row.get(0)
            })
            .expect("a count");
        assert_eq!(learnt, 0);
    }

    /// Databases of the fifth version had the column from their beginning, or never got it.
    #[test]
    fn every_database_gets_the_time_of_all_runs_once() {
        for had in [false, true] {
            let mut conn = Connection::open_in_memory().expect("memory");
            migrations().to_version(&mut conn, 5).expect("the fifth");
            if had {
                add_elapsed(&conn).expect("added");
            }
            migrations().to_latest(&mut conn).expect("migrate");
            let has = conn.column_exists(None, "downloads", "elapsed_us");
            assert!(has.expect("a look at the schema"));
        }
    }
}
