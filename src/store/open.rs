//! Opening the database: private, recognised, current.
//!
//! Nothing is written to a database before it is known to be empty or ours, and of a schema that
//! this program knows.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::disk::DiskError;
use crate::disk::private::{create_private_dir, ensure_private_file};
use crate::disk::random_file::RandomFile;
use crate::disk::{host, inspect};
use crate::store::StoreError;
use crate::store::schema;

/// How long a statement waits for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries of what SQLite's own busy timeout does not cover.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// Distinct statements of this module, roughly; all stay prepared.
const CACHED_STATEMENTS: usize = 128;

/// Opens or creates `dir/fetchd.db`.
pub(super) fn open(dir: &Path) -> Result<(Connection, PathBuf), StoreError> {
    let path = dir.join("fetchd.db");
    make_private(dir, &path)?;
    let deadline = Instant::now() + BUSY_TIMEOUT;
    let mut migrated_by_other = false;
    loop {
        match connect(&path) {
            // Switching to WAL while another process does so fails at once instead of waiting.
            Err(StoreError::Busy { .. }) if Instant::now() < deadline => {
                std::thread::sleep(BUSY_PAUSE);
            }
            // Another process may have made the same migration a moment before: look once again.
            Err(StoreError::Migration { .. }) if !migrated_by_other => migrated_by_other = true,
            Err(error) => return Err(unless_unreadable(error)),
            Ok(conn) => return Ok((conn, path)),
        }
    }
}

/// SQLite calls a database damaged too that the disk does not let it read.
///
/// Only for one that is not open: the locks of SQLite would go with the handle that looks.
fn unless_unreadable(error: StoreError) -> StoreError {
    match error {
        StoreError::Corrupt { path, source } if !is_readable(&path) => {
            StoreError::Io { path, source }
        }
        error => error,
    }
}

/// Whether the disk gives all of a database and its log back, whatever is in them.
fn is_readable(database: &Path) -> bool {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let is_sound = |path: &Path| match RandomFile::open(path) {
        Ok(file) => file.read_through().is_ok(),
        Err(error) => error.is_missing(),
    };
    is_sound(database) && is_sound(Path::new(&log))
}

/// Opens `dir/fetchd.db` without the means to change anything, not even the files beside it.
///
/// Without the right to write, SQLite reads a database in WAL mode only if its log is there, or
/// if it is told that nobody else can change it either, which is so where nothing can be written.
pub(super) fn open_read_only(dir: &Path) -> Result<(Connection, PathBuf), StoreError> {
    let path = dir.join("fetchd.db");
    check_regular(&path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let plain = Connection::open_with_flags(&path, flags);
    let opened = plain
        .map_err(|error| StoreError::from(error).at(&path))
        .and_then(|conn| look(conn, &path));
    match (opened, immutable(&path)) {
        (
            Err(StoreError::Io { .. } | StoreError::ReadOnly { .. } | StoreError::Full { .. }),
            Some(uri),
        ) => {
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            let conn = Connection::open_with_flags(uri, flags)
                .map_err(|error| StoreError::from(error).at(&path))?;
            look(conn, &path).map(|conn| (conn, path))
        }
        (opened, _) => opened.map(|conn| (conn, path)),
    }
}

/// The name by which SQLite is told that a database cannot change.
fn immutable(path: &Path) -> Option<String> {
    let mut url = url::Url::from_file_path(std::path::absolute(path).ok()?).ok()?;
    url.set_query(Some("immutable=1"));
    Some(url.into())
}

/// Prepares a connection that only reads. A database of an older schema would have to be migrated.
fn look(mut conn: Connection, path: &Path) -> Result<Connection, StoreError> {
    let located = |error: rusqlite::Error| StoreError::from(error).at(path);
    conn.busy_timeout(BUSY_TIMEOUT).map_err(located)?;
    // The disk that nothing can be written to may be that of temporary files too.
    conn.pragma_update(None, "temp_store", "MEMORY")
        .map_err(located)?;
    recognise(&mut conn, path)?;
    let version: i64 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(located)?;
    if version < schema::LATEST {
        let path = path.to_owned();
        return Err(StoreError::Older { path });
    }
    show_own(&conn).map_err(located)?;
    Ok(conn)
}

/// Copies the records to tables of this connection alone, which stand for them from now on: what
/// nobody can write down can still be shown as it is.
pub(super) fn shadow(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TEMP TABLE downloads AS SELECT * FROM main.downloads;
         CREATE UNIQUE INDEX temp.downloads_by_id ON downloads (id);
         CREATE TEMP TABLE runs AS SELECT * FROM main.runs",
    )
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let located = |error: rusqlite::Error| StoreError::from(error).at(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(located)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(located)?;
    recognise(&mut conn, path)?;
    configure(&conn).map_err(located)?;
    migrate(&mut conn, path)?;
    show_own(&conn).map_err(located)?;
    Ok(conn)
}

/// Makes the views `mine` and `own_installs`: the records of this user and what they put in place,
/// which are all that anybody reads or steers (where the records are [`shadow`]ed, of the copies). What has no owner is of systems that know no users.
pub(super) fn show_own(conn: &Connection) -> rusqlite::Result<()> {
    let is_own = match host::uid() {
        Some(uid) => format!("owner_uid IS NULL OR owner_uid = {uid}"),
        None => "1".to_owned(),
    };
    conn.execute_batch(&format!(
        "CREATE TEMP VIEW mine AS SELECT * FROM downloads WHERE {is_own};
         CREATE TEMP VIEW own_installs AS SELECT * FROM main.installs WHERE {is_own}"
    ))
}

/// Refuses what is not ours, or newer than this program. Only reads.
fn recognise(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let header = |conn: &mut Connection| {
        let tx = conn.transaction()?;
        let mark: i32 = tx.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let objects: i64 =
            tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok::<_, rusqlite::Error>((mark, version, objects))
    };
    let (mark, version, objects) =
        header(conn).map_err(|error| StoreError::from(error).at(path))?;
    let path = path.to_owned();
    if mark == schema::APPLICATION_ID {
        let known = schema::LATEST;
        return match version {
            found if found > known => Err(StoreError::Newer { path, found, known }),
            _ => Ok(()),
        };
    }
    let empty = mark == 0 && version == 0 && objects == 0;
    if empty {
        Ok(())
    } else {
        Err(StoreError::Foreign { path })
    }
}

fn configure(conn: &Connection) -> rusqlite::Result<()> {
    let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode != "wal" {
        // A file system without shared memory keeps its rollback journal: slower, not less safe.
        conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    }
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(())
}

fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    conn.set_transaction_behavior(rusqlite::TransactionBehavior::Immediate);
    schema::migrations()
        .to_latest(conn)
        .map_err(|error| StoreError::migration(error, path))
}

/// SQLite opens whatever has the name, and a pipe would keep it waiting for ever.
fn check_regular(path: &Path) -> Result<(), StoreError> {
    match inspect::leads_to_special(path) {
        true => Err(DiskError::NotRegular {
            path: path.to_owned(),
        }
        .into()),
        false => Ok(()),
    }
}

/// Makes the directory (0700) and the empty file (0600), before SQLite would with other modes.
fn make_private(dir: &Path, file: &Path) -> Result<(), StoreError> {
    // A directory that is open to others is so by its owner's wish; the files in it are private.
    create_private_dir(dir)?;
    ensure_private_file(file)?;
    check_regular(file)
}
