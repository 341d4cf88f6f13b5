//! The scenario that most tests are made of: `get` of one DAG as `file`, and what must hold after.

use std::path::PathBuf;

use sha2::Digest as _;

use super::dag::Dag;
use super::gateway::Gateway;
use super::oracle;
use super::sandbox::{Output, Sandbox};

/// `get` of a DAG from some gateways, as `file`, with JSON events.
#[track_caller]
pub fn get(sandbox: &Sandbox, dag: &Dag, gateways: &[&Gateway]) -> Output {
    let mut args = vec![
        "--json".to_owned(),
        "get".into(),
        dag.source(),
        "-o".into(),
        "file".into(),
    ];
    for gateway in gateways {
        args.extend(["--gateway".into(), gateway.url().into()]);
    }
    sandbox.run(args)
}

/// The words of the command that `get`s a source as `file` from one gateway.
pub fn get_args<'a>(source: &'a str, gateway: &'a str) -> [&'a str; 6] {
    ["get", source, "-o", "file", "--gateway", gateway]
}

/// The same with JSON events.
pub fn get_json<'a>(source: &'a str, gateway: &'a str) -> [&'a str; 7] {
    ["--json", "get", source, "-o", "file", "--gateway", gateway]
}

/// The status of the download that `list --all` names first.
#[track_caller]
pub fn status(sandbox: &Sandbox) -> String {
    let list = sandbox.run(["--json", "list", "--all"]).exits(0).document();
    let status = list["downloads"][0]["status"].as_str();
    status.unwrap_or_default().to_owned()
}

pub fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Everything that a finished download must be true to.
#[track_caller]
pub fn arrived(sandbox: &Sandbox, dag: &Dag, output: Output) {
    let output = output.exits(0);
    assert!(
        sandbox.read("file") == dag.data,
        "other bytes\n{}",
        output.transcript()
    );
    let finished = output
        .events_of("finished")
        .pop()
        .expect("a finished event");
    assert_eq!(finished["v"], 1);
    assert_eq!(finished["cid"], dag.root.to_string());
    assert_eq!(finished["size"], dag.data.len());
    assert_eq!(finished["sha256"], sha256(&dag.data));
    assert_eq!(
        finished["path"],
        sandbox.target("file").to_str().expect("an ASCII path")
    );
    let done = output.events().pop().expect("a last event");
    assert_eq!(
        (&done["type"], &done["exit_code"], &done["finished"]),
        (&"done".into(), &0.into(), &1.into())
    );
    oracle::claims_are_true(sandbox, dag);
}

/// Makes the database say of the only download what it says between the rename and the record.
pub fn before_the_record(sandbox: &Sandbox) {
    let undo = "UPDATE downloads SET status = 'installing', completed_at = NULL,
                    receipt = NULL, owner_run = (SELECT max(id) FROM runs);
                UPDATE runs SET ended_at = NULL WHERE id = (SELECT max(id) FROM runs);
                DELETE FROM installs;";
    let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
    let undone = database.execute_batch(undo);
    undone.expect("the tables of the design");
}

/// Somebody else puts a link where the newest download has its part; where that is.
#[cfg(unix)]
pub fn spoil_part(sandbox: &Sandbox) -> PathBuf {
    let newest = "SELECT CAST(path AS TEXT), nonce FROM downloads ORDER BY id DESC LIMIT 1";
    let names = sandbox.database().query_row(newest, [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    });
    let (path, nonce) = names.expect("a record");
    let part = PathBuf::from(format!("{path}.{nonce}.partial"));
    if part.exists() {
        std::fs::remove_file(&part).expect("a part");
    }
    std::os::unix::fs::symlink("somebody's", &part).expect("a link");
    part
}
