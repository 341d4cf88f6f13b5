//! What must be true after every scenario, whatever happened in it.

use std::path::PathBuf;

use fetchd::content::ranges::RangeSet;

use super::dag::Dag;
use super::sandbox::{Output, Sandbox};

/// Applies all oracles to a sandbox in which no process runs any more.
///
/// The database is sound; no run lock is held; every part file belongs to a record that is not
/// finished.
#[track_caller]
pub fn check(sandbox: &Sandbox, output: &Output) {
    let mut wanted = Vec::new();
    if sandbox.database_file().exists() {
        database_is_sound(sandbox);
        no_lock_is_held(sandbox);
        wanted = parts_of_unfinished(sandbox);
    }
    let mut partials = sandbox.partials();
    partials.retain(|partial| !wanted.contains(partial));
    assert!(
        partials.is_empty(),
        "left behind: {partials:?}\n{}",
        output.transcript()
    );
}

/// A cancelled record may keep its part, if the user said so.
fn parts_of_unfinished(sandbox: &Sandbox) -> Vec<PathBuf> {
    let database = sandbox.database();
    let mut statement = database
        .prepare("SELECT path || '.' || nonce || '.partial' FROM downloads WHERE path IS NOT NULL AND status <> 'success'")
        .expect("the tables of the design");
    let paths = statement
        .query_map([], |row| row.get::<_, String>(0))
        .expect("a readable table");
    paths
        .map(|path| path.expect("a readable row").into())
        .collect()
}

/// The file is a database without damage, and no row points nowhere.
#[track_caller]
pub fn database_is_sound(sandbox: &Sandbox) {
    let database = sandbox.database();
    let verdict: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("a readable database");
    assert_eq!(verdict, "ok");
    let strays: i64 = database
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
            row.get(0)
        })
        .expect("a readable database");
    assert_eq!(strays, 0, "rows that point nowhere");
}

/// A lock that can be taken is nobody's.
#[track_caller]
fn no_lock_is_held(sandbox: &Sandbox) {
    for entry in std::fs::read_dir(sandbox.state().join("runs"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = entry.path();
        let file = std::fs::File::options()
            .write(true)
            .open(&path)
            .expect("a lock file of ours");
        assert!(file.try_lock().is_ok(), "{} is held", path.display());
    }
}

/// The store claims nothing that the disk does not hold: every proved range of a download of this
/// DAG is compared with the DAG's own bytes, in the part file or at the target.
#[track_caller]
pub fn claims_are_true(sandbox: &Sandbox, dag: &Dag) {
    let database = sandbox.database();
    let mut statement = database
        .prepare(
            "SELECT downloads.path, nonce, status, verified FROM files
             JOIN downloads ON downloads.id = download_id WHERE files.cid = ?1 AND downloads.path IS NOT NULL",
        )
        .expect("the tables of the design");
    let rows = statement.query_map([dag.root.to_string()], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, Vec<u8>>(3)?,
        ))
    });
    for row in rows.expect("a readable table") {
        let (path, nonce, status, verified) = row.expect("a readable row");
        let claimed = RangeSet::decode(&verified).expect("ranges");
        if claimed.is_empty() || status == "cancelled" {
            continue;
        }
        let file = if status == "success" {
            path
        } else {
            format!("{path}.{nonce}.partial")
        };
        let bytes = std::fs::read(&file)
            .unwrap_or_else(|error| panic!("{file}: {error}, but {claimed:?} of it is claimed"));
        for range in claimed.iter() {
            let [from, to] =
                [range.start(), range.end()].map(|at| usize::try_from(at).expect("a small file"));
            assert!(
                bytes.get(from..to) == dag.data.get(from..to),
                "{file}: bytes {from}..{to} are claimed and wrong"
            );
        }
    }
}
