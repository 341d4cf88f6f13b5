//! Statements and column values: how Rust values stand in rows, and back.
//!
//! A value that no writer of this module could have put there reads as a conversion failure,
//! which the border turns into [`crate::store::StoreError::Corrupt`]; it never panics.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::types::{FromSqlError, Type, Value, ValueRef};
use rusqlite::{Connection, Error, OptionalExtension, Params, Result, Row};

use crate::content::ranges::RangeSet;
use crate::download::{DownloadId, RunId};

/// Runs a statement that gives no rows; the number of rows it touched.
pub(super) fn execute(conn: &Connection, sql: &str, params: impl Params) -> Result<usize> {
    conn.prepare_cached(sql)?.execute(params)
}

/// The first row, if there is one.
pub(super) fn first<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    conn.prepare_cached(sql)?.query_row(params, read).optional()
}

/// All rows.
pub(super) fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    conn.prepare_cached(sql)?.query_map(params, read)?.collect()
}

/// A count or a size as SQLite keeps it. What does not fit is beyond any disk, and is kept as the
/// largest number.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A time as SQLite keeps it.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A path as SQLite keeps it: text where it is Unicode, else the system's own encoding.
pub(super) fn path_value(path: &Path) -> Value {
    match path.to_str() {
        Some(text) => Value::Text(text.to_owned()),
        None => Value::Blob(path_bytes(path)),
    }
}

/// The paths below a directory, as SQLite compares them: from the first, up to but without the
/// second.
pub(super) fn below(dir: &Path) -> (Value, Value) {
    let with = |end: char| {
        let mut path = dir.as_os_str().to_owned();
        path.push(end.to_string());
        path_value(Path::new(&path))
    };
    let separator = std::path::MAIN_SEPARATOR;
    // Both separators, `/` and `\\`, have an ASCII character behind them.
    let behind = char::from(separator as u8 + 1);
    (with(separator), with(behind))
}

#[cfg(unix)]
fn path_bytes(path: &Path) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec()
}

#[cfg(unix)]
fn path_from_bytes(bytes: &[u8]) -> Option<PathBuf> {
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(bytes);
    Some(PathBuf::from(name))
}

#[cfg(windows)]
fn path_bytes(path: &Path) -> Vec<u8> {
    std::os::windows::ffi::OsStrExt::encode_wide(path.as_os_str())
        .flat_map(u16::to_le_bytes)
        .collect()
}

#[cfg(windows)]
fn path_from_bytes(bytes: &[u8]) -> Option<PathBuf> {
    let (units, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    let wide: Vec<u16> = units.iter().copied().map(u16::from_le_bytes).collect();
    let name: std::ffi::OsString = std::os::windows::ffi::OsStringExt::from_wide(&wide);
    Some(PathBuf::from(name))
}

/// A value that this program could not have written.
#[derive(Debug, thiserror::Error)]
#[error("column {column} holds no valid value")]
struct Malformed {
    column: &'static str,
}

/// The conversion failure of `column`.
pub(super) fn malformed(column: &'static str) -> Error {
    Error::FromSqlConversionFailure(0, Type::Null, Box::new(Malformed { column }))
}

/// A column that may be null, put through `parse`.
pub(super) fn parsed<T>(
    row: &Row<'_>,
    column: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        value => value
            .as_str()
            .ok()
            .and_then(parse)
            .map(Some)
            .ok_or_else(|| malformed(column)),
    }
}

/// Of a column that may not be null.
pub(super) fn required<T>(value: Option<T>, column: &'static str) -> Result<T> {
    value.ok_or_else(|| malformed(column))
}

/// A count or size.
pub(super) fn size(row: &Row<'_>, column: &'static str) -> Result<u64> {
    required(optional_size(row, column)?, column)
}

/// A count or size that may be unknown.
pub(super) fn optional_size(row: &Row<'_>, column: &'static str) -> Result<Option<u64>> {
    let value: Option<i64> = row.get(column)?;
    value
        .map(|value| u64::try_from(value).map_err(|_| malformed(column)))
        .transpose()
}

/// A time.
pub(super) fn time(row: &Row<'_>, column: &'static str) -> Result<Timestamp> {
    required(optional_time(row, column)?, column)
}

/// A time that may be absent.
pub(super) fn optional_time(row: &Row<'_>, column: &'static str) -> Result<Option<Timestamp>> {
    let value: Option<i64> = row.get(column)?;
    value
        .map(|value| Timestamp::from_microsecond(value).map_err(|_| malformed(column)))
        .transpose()
}

/// A path on disk.
pub(super) fn optional_path(row: &Row<'_>, column: &'static str) -> Result<Option<PathBuf>> {
    let path = match row.get_ref(column)? {
        ValueRef::Null => return Ok(None),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().map(PathBuf::from),
        ValueRef::Blob(bytes) => path_from_bytes(bytes),
        ValueRef::Integer(_) | ValueRef::Real(_) => None,
    };
    path.map(Some).ok_or_else(|| malformed(column))
}

/// A SHA-256.
pub(super) fn digest(row: &Row<'_>, column: &'static str) -> Result<Option<[u8; 32]>> {
    row.get_ref(column)?
        .as_blob_or_null()
        .and_then(|blob| {
            blob.map(|bytes| bytes.try_into().map_err(FromSqlError::other))
                .transpose()
        })
        .map_err(|_| malformed(column))
}

/// The proved ranges of a file.
pub(super) fn ranges(row: &Row<'_>, column: &'static str) -> Result<RangeSet> {
    let bytes = row
        .get_ref(column)?
        .as_blob()
        .map_err(|_| malformed(column))?;
    RangeSet::decode(bytes).map_err(|_| malformed(column))
}

/// The id of a download.
pub(super) fn download_id(row: &Row<'_>, column: &'static str) -> Result<DownloadId> {
    required(DownloadId::new(row.get(column)?), column)
}

/// The id of a run, if there is one.
pub(super) fn run_id(row: &Row<'_>, column: &'static str) -> Result<Option<RunId>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(RunId))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_not_unicode_come_back() {
        let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"/tmp/\xff\xfe");
        let path = Path::new(name);
        let conn = Connection::open_in_memory().expect("memory");
        for path in [path, Path::new("/tmp/plain")] {
            let back = first(&conn, "SELECT ?1 AS path", [path_value(path)], |row| {
                optional_path(row, "path")
            });
            assert_eq!(back.expect("query").flatten().as_deref(), Some(path));
        }
    }
}
