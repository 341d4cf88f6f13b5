//! A directory of its own for each test, and the binary run inside it with a clean environment.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::oracle;

/// How long a test waits for a process before it kills it and fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings that make failures quick, and nothing that would make a slow machine fail.
const CONFIG: &str = r#"gateways = []
discovery = "off"
connect_timeout = "2s"
first_byte_timeout = "3s"
stall_timeout = "1s"
backoff_initial = "1ms"
backoff_max = "5ms"
"#;

/// A temporary home: `out/` for downloads, `state/` for the database, `config.toml`.
#[derive(Debug)]
pub struct Sandbox {
    root: tempfile::TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        for name in ["out", "state", "home"] {
            std::fs::create_dir(root.path().join(name)).expect("a fresh directory");
        }
        let sandbox = Self { root };
        sandbox.config("");
        sandbox
    }

    /// Adds lines to the usual settings; a key that is set here replaces the usual one.
    pub fn config(&self, lines: &str) {
        let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
        let own: Vec<String> = lines.lines().map(key).collect();
        let usual = CONFIG.lines().filter(|line| !own.contains(&key(line)));
        let text: String = usual
            .chain(lines.lines())
            .fold(String::new(), |text, line| text + line + "\n");
        std::fs::write(self.config_file(), text).expect("a writable sandbox");
    }

    /// Everything is in here.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where downloads go.
    pub fn out(&self) -> PathBuf {
        self.root().join("out")
    }

    /// A path among the downloads.
    pub fn target(&self, name: &str) -> PathBuf {
        self.out().join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.root().join("state")
    }

    pub fn config_file(&self) -> PathBuf {
        self.root().join("config.toml")
    }

    pub fn database_file(&self) -> PathBuf {
        self.state().join("fetchd.db")
    }

    /// The bytes of a finished download.
    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.target(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Names of all part files among the downloads, at any depth.
    pub fn partials(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut dirs = vec![self.out()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.extension() == Some(OsStr::new("partial")) {
                    found.push(path);
                } else if path.is_dir() {
                    dirs.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// The one part file there is.
    #[track_caller]
    pub fn part(&self) -> PathBuf {
        let mut partials = self.partials();
        assert_eq!(partials.len(), 1, "{partials:?}");
        partials.remove(0)
    }

    /// The database, for reading only.
    pub fn database(&self) -> rusqlite::Connection {
        use rusqlite::{Connection, OpenFlags};
        let open = |flags| {
            let database = Connection::open_with_flags(self.database_file(), flags)?;
            database.busy_timeout(PATIENCE)?;
            database.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok::<_, rusqlite::Error>(database)
        };
        // What a killed process left can be such that only somebody who may write can read it.
        open(OpenFlags::SQLITE_OPEN_READ_ONLY)
            .or_else(|_| open(OpenFlags::SQLITE_OPEN_READ_WRITE))
            .expect("a database")
    }

    /// Whether there is a database and its tables are made: a process may end before that.
    pub fn has_tables(&self) -> bool {
        let query = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'files')";
        self.database_file().exists()
            && self
                .database()
                .query_row(query, [], |row| row.get(0))
                .expect("a readable database")
    }

    /// The binary with these arguments, in the downloads directory.
    pub fn fetchd<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Invocation {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fetchd"));
        command.args(args);
        self.inside(command)
    }

    /// The same as the argument of another command, one that traces it for example.
    pub fn fetchd_under<S: AsRef<OsStr>>(
        &self,
        wrapper: &[String],
        args: impl IntoIterator<Item = S>,
    ) -> Invocation {
        let Some((program, own)) = wrapper.split_first() else {
            return self.fetchd(args);
        };
        let mut command = Command::new(program);
        command.args(own).arg(env!("CARGO_BIN_EXE_fetchd"));
        command.args(args);
        self.inside(command)
    }

    /// A shell script in the same place, for what only a shell can do to a process.
    pub fn shell(&self, script: &str) -> Invocation {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        self.inside(command)
    }

    fn inside(&self, mut command: Command) -> Invocation {
        command.current_dir(self.out()).env_clear();
        for name in ["PATH", "SystemRoot", "TEMP", "TMP", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", self.root().join("home"))
            .env("FETCHD_STATE_DIR", self.state())
            .env("FETCHD_CONFIG", self.config_file());
        Invocation {
            command,
            input: Vec::new(),
        }
    }

    /// Runs to the end and applies the oracles.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        let output = self.fetchd(args).run();
        oracle::check(self, &output);
        output
    }
}

/// A command that has not started yet.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
    input: Vec<u8>,
}

impl Invocation {
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Bytes for standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Starts it.
    pub fn spawn(self) -> Running {
        self.spawn_with(Stdio::piped())
    }

    /// Starts it with somewhere else to write to.
    pub fn spawn_with(mut self, stdout: Stdio) -> Running {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary under test");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = self.input;
        // A child that never reads must not block the test.
        std::thread::spawn(move || stdin.write_all(&input));
        let (sender, pieces) = channel();
        if let Some(stdout) = child.stdout.take() {
            pump(stdout, sender.clone(), Piece::Out);
        }
        pump(child.stderr.take().expect("a pipe"), sender, Piece::Err);
        Running {
            child,
            pieces,
            stdout: Vec::new(),
            stderr: Vec::new(),
            read: 0,
        }
    }

    /// Runs it to the end.
    pub fn run(self) -> Output {
        self.spawn().wait()
    }
}

/// A line, or less at the end, of what a process writes.
enum Piece {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

fn pump(stream: impl Read + Send + 'static, sender: Sender<Piece>, wrap: fn(Vec<u8>) -> Piece) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if sender.send(wrap(std::mem::take(&mut line))).is_err() {
                return;
            }
        }
    });
}

/// A process that runs; killed when dropped.
pub struct Running {
    child: Child,
    pieces: Receiver<Piece>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// How much of stdout `wait_event` has looked at.
    read: usize,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits for a line on stderr that holds this text.
    pub fn wait_stderr(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !String::from_utf8_lossy(&self.stderr).contains(text) {
            assert!(
                self.pull(deadline),
                "no {text:?} on stderr:\n{}",
                self.so_far()
            );
        }
    }

    /// Waits for the next JSON event on stdout that satisfies this, and returns it.
    pub fn wait_event(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(end) = self.stdout[self.read..]
                .iter()
                .position(|&byte| byte == b'\n')
            {
                let line = &self.stdout[self.read..self.read + end];
                let event: Value = serde_json::from_slice(line)
                    .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)));
                self.read += end + 1;
                if wanted(&event) {
                    return event;
                }
            }
            assert!(
                self.pull(deadline),
                "the event never came:\n{}",
                self.so_far()
            );
        }
    }

    /// Waits until progress tells of at least so many bytes.
    pub fn wait_bytes(&mut self, least: u64) {
        self.wait_event(|event| {
            event["type"] == "progress" && event["bytes"].as_u64() >= Some(least)
        });
    }

    /// Bytes that progress has told of so far; waits for nothing.
    pub fn bytes_told(&mut self) -> u64 {
        while self.pull(Instant::now()) {}
        let lines = self.stdout.split_inclusive(|&byte| byte == b'\n');
        let events = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let mut told = events.filter(|event| event["type"] == "progress");
        let last = told.next_back();
        last.and_then(|event| event["bytes"].as_u64()).unwrap_or(0)
    }

    /// SIGKILL, and what was written until then.
    pub fn kill9(mut self) -> Output {
        self.child.kill().expect("a live child");
        self.wait()
    }

    /// Sends a signal by name, `TERM`, `INT`, `USR1`, `STOP`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill` is everywhere; a program of that name is not.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.id())])
            .status()
            .expect("a shell");
        assert!(status.success(), "kill -{name} {}", self.id());
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Output {
        let deadline = Instant::now() + PATIENCE;
        while self.pull(deadline) {}
        if Instant::now() >= deadline {
            let _ = self.child.kill();
            panic!("still running after {PATIENCE:?}:\n{}", self.so_far());
        }
        let status = self.child.wait().expect("a child of ours");
        Output {
            code: status.code(),
            stdout: std::mem::take(&mut self.stdout),
            stderr: String::from_utf8_lossy(&self.stderr).into_owned(),
        }
    }

    /// Takes one more piece; `false` at the end of both streams, or of patience.
    fn pull(&mut self, deadline: Instant) -> bool {
        match self
            .pieces
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(Piece::Out(bytes)) => self.stdout.extend_from_slice(&bytes),
            Ok(Piece::Err(bytes)) => self.stderr.extend_from_slice(&bytes),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn so_far(&self) -> String {
        without_progress(&self.stdout) + &without_progress(&self.stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a process ended and what it wrote.
#[derive(Debug)]
pub struct Output {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Output {
    /// Fails, with all that was written, unless it ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.transcript());
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The one JSON document on stdout.
    #[track_caller]
    pub fn document(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.transcript()))
    }

    /// The JSON events on stdout, one a line.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{error}: {line}\n{}", self.transcript()))
        };
        self.text().lines().map(parse).collect()
    }

    /// The events of one type.
    #[track_caller]
    pub fn events_of(&self, kind: &str) -> Vec<Value> {
        self.events()
            .into_iter()
            .filter(|event| event["type"] == kind)
            .collect()
    }

    pub fn transcript(&self) -> String {
        let [stdout, stderr] =
            [self.stdout.as_slice(), self.stderr.as_bytes()].map(without_progress);
        format!(
            "exit code {:?}\n--- stdout\n{stdout}--- stderr\n{stderr}",
            self.code
        )
    }
}

/// What was written, for a person who looks for a mistake: hundreds of ticks would hide it.
fn without_progress(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text
        .lines()
        .filter(|line| !line.contains("\"type\":\"progress\""));
    lines.map(|line| format!("{line}\n")).collect()
}
