//! One run of a scenario: a sandbox, its gateways, and the oracles.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fetchd::content::ranges::RangeSet;
use rusqlite::OptionalExtension as _;
use serde_json::Value;

use crate::support::gateway::Gateway;
use crate::support::oracle;
use crate::support::sandbox::{Output, Running, Sandbox};
use crate::trees::sample::{Listing, Stands, listing};

use super::network::Act;
use super::scenario::{Scenario, stop_rule};

/// Checkpoints come often, and silence is soon given up.
const CONFIG: &str = r#"checkpoint_bytes = "256K"
stall_timeout = "300ms"
first_byte_timeout = "1s"
"#;

/// How long somebody else locks the database.
const LOCKED: Duration = Duration::from_millis(100);

/// A sandbox in which what comes before the scenario's command is done.
pub struct Place {
    pub sandbox: Sandbox,
    pub gateways: Vec<Gateway>,
    scenario: Arc<Scenario>,
    /// What stood among the downloads before the command.
    stood: Listing,
    /// Bytes that the gateways sent before it.
    sent: u64,
}

/// What a command said with exit code 0 of a download that had so many bytes by then.
struct Promise {
    name: &'static str,
    id: i64,
    bytes: u64,
}

impl Place {
    pub fn new(scenario: &Arc<Scenario>) -> Self {
        let sandbox = Sandbox::new();
        sandbox.config(CONFIG);
        let builders = scenario.gateways();
        let mut place = Self {
            sandbox,
            gateways: builders
                .into_iter()
                .map(|builder| builder.start())
                .collect(),
            scenario: scenario.clone(),
            stood: Listing::new(),
            sent: 0,
        };
        (scenario.before)(&place);
        place.stood = place.standing();
        place.sent = place.gateways.iter().map(Gateway::sent).sum();
        place
    }

    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The scenario's own command.
    pub fn command(&self) -> Vec<String> {
        (self.scenario.command)(self)
    }

    /// `get` of the content under a name, with more arguments.
    pub fn get(&self, name: &str, more: &[&str]) -> Vec<String> {
        let source = self.scenario.source(self.gateways[0].url());
        let mut args: Vec<String> = ["--json", "get", &source, "-o", name]
            .map(str::to_owned)
            .into();
        if !source.starts_with("http") {
            let urls = self.gateways.iter().map(Gateway::url);
            args.extend(urls.flat_map(|url| ["--gateway".to_owned(), url.to_owned()]));
        }
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        args
    }

    /// Puts a file among the downloads.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.sandbox.target(name), bytes).expect("a writable sandbox");
    }

    /// Runs what must go well.
    pub fn run(&self, args: &[String]) {
        self.sandbox.fetchd(args).run().exits(0);
    }

    /// Runs something up to where the gateway stops sending, and does this to it then.
    pub fn stop_at(&self, at: u64, args: &[String], act: Act) {
        let (on, fault) = stop_rule(at);
        self.gateways[0].add(on, fault);
        let running = self.sandbox.fetchd(args).spawn();
        self.disturb(running, act);
        self.gateways[0].heal();
        // An answer to a killed one stays parked.
        self.gateways[0].release();
    }

    /// Waits until an answer is parked, or the process has ended, does this to it, and waits for its
    /// end.
    pub fn disturb(&self, mut running: Running, act: Act) -> Output {
        let gateway = &self.gateways[0];
        while !gateway.held_within(Duration::from_millis(5)) {
            if !running.is_running() {
                return running.wait();
            }
        }
        match act {
            Act::Kill => return running.kill9(),
            Act::Signal(name) => running.signal(name),
            Act::Command(name) => {
                let promise = self.command_from_outside(name, running.bytes_told());
                gateway.release();
                let output = running.wait();
                if let Some(promise) = promise {
                    self.check_promise(&promise, &output);
                }
                return output;
            }
            Act::Lock => {
                let locked = self.lock_database();
                gateway.release();
                std::thread::sleep(LOCKED);
                drop(locked);
            }
        }
        gateway.release();
        running.wait()
    }

    /// Does something from another terminal, and what that is promised by its exit code 0. By now
    /// so many bytes are here.
    fn command_from_outside(&self, name: &'static str, bytes: u64) -> Option<Promise> {
        let id = self.record().map_or(1, |(id, _)| id);
        let output = self.sandbox.fetchd([name, &id.to_string()]).run();
        // 2: it has ended, or is not there yet. 75: it did not answer in time.
        let is_fine = matches!(output.code, Some(0 | 2 | 74 | 75));
        assert!(is_fine, "{name}: {}", output.transcript());
        let promise = Promise { name, id, bytes };
        if name == "checkpoint" && output.code == Some(0) {
            self.check_promise(&promise, &output);
        }
        // Before it has told of a byte it may not own the record yet, and takes it up afterwards: so
        // it was told to.
        (output.code == Some(0) && bytes > 0).then_some(promise)
    }

    /// Fails if the record is not as it was said to become.
    fn check_promise(&self, promise: &Promise, output: &Output) {
        let Promise { name, id, bytes } = promise;
        let query = "SELECT status, error_kind, bytes_verified FROM downloads WHERE id = ?1";
        let row = |row: &rusqlite::Row<'_>| {
            let error: Option<String> = row.get(1)?;
            Ok((row.get::<_, String>(0)?, error, row.get::<_, i64>(2)?))
        };
        let (status, error, verified) = self
            .sandbox
            .database()
            .query_row(query, [id], row)
            .expect("the record that was asked about");
        let is_kept = match *name {
            "cancel" => status == "cancelled",
            "pause" => status == "paused" && error.as_deref() == Some("stopped"),
            "checkpoint" => u64::try_from(verified).is_ok_and(|verified| verified >= *bytes),
            _ => true,
        };
        assert!(
            is_kept,
            "PROMISE of {name} after {bytes} bytes: {status}, {error:?}, {verified} bytes safe\n{}",
            output.transcript()
        );
    }

    fn lock_database(&self) -> Option<rusqlite::Connection> {
        let database = rusqlite::Connection::open(self.sandbox.database_file()).ok()?;
        database.busy_timeout(LOCKED).ok()?;
        database.execute_batch("BEGIN IMMEDIATE").ok()?;
        Some(database)
    }

    /// Bytes that the gateways sent since the scenario's command began.
    pub fn sent(&self) -> u64 {
        self.gateways.iter().map(Gateway::sent).sum::<u64>() - self.sent
    }

    /// Id and status of the newest record of what the scenario makes.
    pub fn record(&self) -> Option<(i64, String)> {
        if !self.sandbox.has_tables() {
            return None;
        }
        let path = self.sandbox.target(self.scenario.makes[0]);
        let query = "SELECT id, status FROM downloads WHERE path = ?1 ORDER BY id DESC LIMIT 1";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let path = path.to_str().expect("a Unicode path");
        let database = self.sandbox.database();
        let record = database.query_row(query, [path], row).optional();
        record.expect("the tables of the design")
    }

    /// The command by which a user goes on, as records and messages suggest it: the same again, or
    /// `resume`, in turn.
    pub fn again(&self, turn: usize) -> Vec<String> {
        let resume = |id: i64, more: &[&str]| {
            let id = id.to_string();
            let words = ["--json", "resume", id.as_str()];
            words
                .iter()
                .chain(more)
                .map(|&word| word.to_owned())
                .collect()
        };
        match self.record() {
            Some((id, status)) if self.scenario.resumes => match status.as_str() {
                "failed" => resume(id, &["--reset"]),
                "success" | "cancelled" => self.anew(),
                _ if turn.is_multiple_of(2) => resume(id, &[]),
                _ => self.anew(),
            },
            _ => self.command(),
        }
    }

    /// The scenario's command, or a new `get` where that went on with something that has ended.
    fn anew(&self) -> Vec<String> {
        let command = self.command();
        if command.iter().any(|word| word == "resume") {
            self.get(self.scenario.makes[0], &[])
        } else {
            command
        }
    }

    /// Everything among the downloads that is no part.
    fn standing(&self) -> Listing {
        let mut standing = listing(&self.sandbox.out());
        standing.retain(|path, _| {
            let first = path.split('/').next().unwrap_or_default();
            Path::new(first).extension() != Some(OsStr::new("partial"))
        });
        standing
    }

    /// Whether everything that the scenario makes is there.
    pub fn is_done(&self) -> bool {
        let standing = self.standing();
        let expected = self.expected();
        expected
            .iter()
            .all(|(path, stands)| standing.get(path) == Some(stands))
    }

    fn expected(&self) -> Listing {
        let names = self.scenario.makes.iter();
        names
            .flat_map(|name| self.scenario.expected(name))
            .collect()
    }

    /// Bytes of all files that it makes.
    pub fn content_len(&self) -> u64 {
        let made = self.scenario.makes.iter();
        let stands = made.flat_map(|name| self.scenario.content(name));
        let lens = stands.map(|(_, stands)| match stands {
            Stands::File(bytes) => bytes.len() as u64,
            Stands::Directory | Stands::Link(_) => 0,
        });
        lens.sum()
    }

    /// What must hold however a run ended: no wrong byte under a final name, a sound database, no
    /// claim that the disk does not bear out, and events that make sense.
    pub fn check(&self, output: &Output) {
        self.check_disk(&output.transcript());
        if self.scenario.has_events {
            events_are_sound(output);
        }
    }

    /// The same of the disk alone.
    pub fn check_disk(&self, story: &str) {
        let expected = self.expected();
        for (path, stands) in self.standing() {
            let is_fine =
                expected.get(&path) == Some(&stands) || self.stood.get(&path) == Some(&stands);
            assert!(is_fine, "WRONG BYTES at {path}: {stands:?}\n{story}");
        }
        if self.sandbox.database_file().exists() {
            oracle::database_is_sound(&self.sandbox);
        }
        if self.sandbox.has_tables() {
            self.claims_are_true();
        }
    }

    /// What must hold in the end: everything is there and nothing else.
    pub fn check_end(&self, output: &Output, story: &str) {
        let mut expected = self.expected();
        for (path, stands) in &self.stood {
            expected
                .entry(path.clone())
                .or_insert_with(|| stands.clone());
        }
        let found = listing(&self.sandbox.out());
        let strays: Vec<&String> = found
            .keys()
            .filter(|path| !expected.contains_key(*path))
            .collect();
        assert!(strays.is_empty(), "LEFT BEHIND: {strays:?}\n{story}");
        let wrong: Vec<&String> = expected
            .iter()
            .filter(|(path, stands)| found.get(*path) != Some(stands))
            .map(|(path, _)| path)
            .collect();
        assert!(wrong.is_empty(), "MISSING: {wrong:?}\n{story}");
        oracle::check(&self.sandbox, output);
    }

    fn claims_are_true(&self) {
        // Of a download that is saved as a CAR, the part is the file all the same.
        let made = self.scenario.makes.iter();
        let expected: Listing = made.flat_map(|name| self.scenario.content(name)).collect();
        let database = self.sandbox.database();
        let query = "SELECT downloads.path, nonce, files.path, verified FROM files
                     JOIN downloads ON downloads.id = download_id
                     WHERE downloads.path IS NOT NULL AND status NOT IN ('success', 'cancelled')";
        let mut statement = database.prepare(query).expect("the tables of the design");
        let rows = statement.query_map([], |row| {
            let text = |at| row.get::<_, String>(at);
            Ok((text(0)?, text(1)?, text(2)?, row.get::<_, Vec<u8>>(3)?))
        });
        for row in rows.expect("a readable table") {
            let (path, nonce, below, verified) = row.expect("a readable row");
            let name = Path::new(&path)
                .strip_prefix(self.sandbox.out())
                .expect("among the downloads");
            let (name, part) = (name.join(&below), format!("{path}.{nonce}.partial"));
            let claimed = RangeSet::decode(&verified).expect("ranges");
            let key = name.to_str().expect("Unicode").trim_end_matches('/');
            if let (Some(Stands::File(bytes)), false) = (expected.get(key), claimed.is_empty()) {
                let at = if below.is_empty() {
                    part.into()
                } else {
                    Path::new(&part).join(below)
                };
                // Renamed already, and not yet recorded: a whole file that `check` has compared.
                if at.exists() || !Path::new(&path).exists() {
                    holds(&at, &claimed, bytes);
                }
            }
        }
    }
}

/// Fails unless the file has these bytes in these ranges.
fn holds(file: &Path, claimed: &RangeSet, bytes: &[u8]) {
    let found = std::fs::read(file).unwrap_or_else(|error| {
        panic!(
            "CLAIM: {}: {error}, but {claimed:?} is claimed",
            file.display()
        )
    });
    for range in claimed.iter() {
        let [from, to] =
            [range.start(), range.end()].map(|at| usize::try_from(at).expect("a small file"));
        let is_true = found.get(from..to) == bytes.get(from..to);
        assert!(
            is_true,
            "CLAIM: {}: {from}..{to} is claimed and wrong",
            file.display()
        );
    }
}

/// Each line is an event, one of them says how it ended, and what was proved does not shrink.
fn events_are_sound(output: &Output) {
    let text = output.text();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    let parse = |line| serde_json::from_str::<Value>(line).expect("JSON on standard output");
    let events: Vec<Value> = whole.map(parse).collect();
    let is_end = |event: &&Value| {
        let kind = event["type"].as_str().unwrap_or_default();
        ["finished", "failed", "paused", "cancelled", "queued"].contains(&kind)
    };
    let ends = events.iter().filter(is_end).count();
    assert!(ends <= 1, "EVENTS: {ends} ends\n{}", output.transcript());
    let last = events.last();
    // 1: it panicked, and said so in other ways.
    if let (Some(code @ (0 | 2..)), Some(last)) = (output.code, last) {
        let is_done = last["type"] == "done" && last["exit_code"] == code;
        assert!(
            is_done && ends == 1,
            "EVENTS: no sound end\n{}",
            output.transcript()
        );
    }
    let saved = events.iter().filter(|event| event["type"] == "checkpoint");
    let saved: Vec<u64> = saved.filter_map(|event| event["bytes"].as_u64()).collect();
    assert!(
        saved.is_sorted(),
        "EVENTS: checkpoints shrink\n{}",
        output.transcript()
    );
}
