//! What a person sees: the binary in a real terminal, which tmux plays. Skipped without tmux.
#![cfg(unix)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Gateway, On};
use crate::support::sandbox::Sandbox;
use crate::support::skipped;

/// How long a test waits for the screen to show something.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);
/// The pause between two interrupts of somebody who looks at what the last one did.
const TO_TIDY_UP: Duration = Duration::from_millis(500);

/// A terminal with a shell in it, at the downloads of a sandbox.
struct Terminal<'a> {
    sandbox: &'a Sandbox,
    socket: PathBuf,
}

impl<'a> Terminal<'a> {
    /// `None`, and a line that says so, where there is no tmux.
    fn open(sandbox: &'a Sandbox, columns: u16, variables: &[(&str, &str)]) -> Option<Self> {
        let socket = sandbox.root().join("tmux");
        let terminal = Self { sandbox, socket };
        if terminal
            .command()
            .arg("-V")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            skipped("no tmux");
            return None;
        }
        let columns = columns.to_string();
        let size = ["new-session", "-d", "-x", &columns, "-y", "20"];
        let program = PathBuf::from(env!("CARGO_BIN_EXE_fetchd"));
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = program.parent().expect("a directory").display();
        let mut shell = format!(
            "env -u TMUX -u STY PATH='{bin}:{path}' HOME='{0}/home' FETCHD_STATE_DIR='{0}/state' \
             FETCHD_CONFIG='{0}/config.toml' TERM=xterm-256color PS1='$ '",
            sandbox.root().display()
        );
        for (name, value) in variables {
            shell.push_str(&format!(" {name}='{value}'"));
        }
        shell.push_str(" sh");
        let dir = sandbox.out();
        let mut command = terminal.command();
        command.args(size).arg("-c").arg(dir).arg(shell);
        command.env_remove("CI").env_remove("NO_COLOR");
        assert!(command.status().expect("tmux").success());
        terminal.tmux(&["pipe-pane", "cat > ../raw"]);
        terminal.wait("a prompt", |screen| screen.starts_with('$'));
        Some(terminal)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command
            .arg("-S")
            .arg(&self.socket)
            .args(["-f", "/dev/null"]);
        command.current_dir(self.sandbox.out());
        command
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = self.command().args(args).output().expect("tmux");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).trim_end().to_owned()
    }

    /// Waits until the screen is as wanted, and returns it.
    fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "no {what} on:\n{screen}");
            std::thread::sleep(LOOK);
        }
    }

    /// All that was ever written to it.
    fn raw(&self) -> String {
        let bytes = std::fs::read(self.sandbox.root().join("raw")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.command().arg("kill-server").output();
    }
}

/// A gateway that stops in the middle of a file, for as long as the test looks.
fn half_way() -> (Dag, Gateway) {
    let dag = Recipe::default().build(2 << 20);
    let held = Fault::HoldAtTotal(1 << 20);
    let gateway = Gateway::of(&dag).on(On::any(), held).start();
    (dag, gateway)
}

/// A bar stands with its percentage on the last line.
fn has_bar(screen: &str) -> bool {
    screen.lines().last().is_some_and(|line| line.contains('%'))
}

fn bars(screen: &str) -> usize {
    screen
        .lines()
        .filter(|line| line.contains("/2 MiB"))
        .count()
}

#[test]
fn a_bar_comes_is_resized_and_goes() {
    let sandbox = Sandbox::new();
    sandbox.config("stall_timeout = \"60s\"");
    let Some(terminal) = Terminal::open(&sandbox, 100, &[]) else {
        return;
    };
    let (dag, gateway) = half_way();
    let name = "模型 with a name that is long enough to be cut somewhere in its middle 👩‍💻.gguf";
    terminal.type_line("clear; echo above");
    terminal.wait("prompt", |screen| screen.ends_with("above\n$"));
    let line = format!(
        "fetchd get {} --gateway {} -o '{name}'",
        dag.source(),
        gateway.url()
    );
    terminal.type_line(&line);
    let screen = terminal.wait("bar", has_bar);
    let last = screen.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("模型 with") && last.contains('…') && last.contains(".gguf"),
        "{screen}"
    );
    for columns in ["60", "30", "100", "41", "80"] {
        terminal.tmux(&["resize-window", "-x", columns, "-y", "20"]);
        let room = columns.parse().expect("a number");
        let is_redrawn = |screen: &str| {
            let lines = screen
                .lines()
                .filter(|line| line.contains(".gguf "))
                .count();
            let fits = |line: &str| console::measure_text_width(line) < room;
            lines == 1 && has_bar(screen) && screen.lines().last().is_some_and(fits)
        };
        let screen = terminal.wait(&format!("single bar at {columns} columns"), is_redrawn);
        assert!(bars(&screen) <= 1, "{columns}:\n{screen}");
    }
    gateway.let_go();
    let screen = terminal.wait("result", |screen| {
        screen.ends_with('$') && screen.contains(".gguf\n")
    });
    assert_eq!(bars(&screen), 0, "{screen}");
    assert!(screen.contains("/out/模型"), "{screen}");
    let history = terminal.tmux(&["capture-pane", "-p", "-S", "-100"]);
    assert!(
        history.contains("above\n"),
        "nothing above is erased:\n{history}"
    );
    assert!(
        !terminal.raw().contains("\x1b]"),
        "no sequence that the terminal may not know"
    );
}

#[test]
fn progress_in_the_taskbar_is_taken_away_by_an_interrupt() {
    for is_twice in [false, true] {
        let sandbox = Sandbox::new();
        sandbox.config("stall_timeout = \"60s\"");
        let Some(terminal) = Terminal::open(&sandbox, 100, &[("TERM_PROGRAM", "ghostty")]) else {
            return;
        };
        let (dag, gateway) = half_way();
        terminal.type_line(&format!(
            "fetchd get {} --gateway {}",
            dag.source(),
            gateway.url()
        ));
        terminal.wait("bar", has_bar);
        assert!(terminal.raw().contains("\x1b]9;4;1;"));
        let lock = is_twice.then(|| {
            let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
            database.execute_batch("BEGIN IMMEDIATE").expect("a lock");
            database
        });
        let is_over = |screen: &str| screen.ends_with('$');
        terminal.tmux(&["send-keys", "C-c"]);
        if is_twice {
            // It cannot obey the first one, since the database is locked. Nor does a third one wait
            // for what the second has to tidy up.
            let deadline = Instant::now() + PATIENCE;
            while !is_over(&terminal.screen()) && Instant::now() < deadline {
                std::thread::sleep(TO_TIDY_UP);
                terminal.tmux(&["send-keys", "C-c"]);
            }
        }
        let screen = terminal.wait("prompt", is_over);
        assert_eq!(bars(&screen), 0, "{screen}");
        let raw = terminal.raw();
        let last = raw.rfind("\x1b]9;4;").expect("a sequence");
        assert!(raw[last..].starts_with("\x1b]9;4;0;"), "{:?}", &raw[last..]);
        drop(lock);
    }
}

#[test]
fn the_title_says_how_far_it_is_and_the_old_one_comes_back() {
    for is_interrupted in [false, true] {
        let sandbox = Sandbox::new();
        sandbox.config("stall_timeout = \"60s\"");
        let Some(terminal) = Terminal::open(&sandbox, 100, &[("TMUX", "here")]) else {
            return;
        };
        let title = || terminal.tmux(&["display-message", "-p", "#{pane_title}"]);
        terminal.type_line(r"clear; printf '\033]2;mine\033\\'");
        terminal.wait("title", |_| title() == "mine\n");
        let (dag, gateway) = half_way();
        let (source, url) = (dag.source(), gateway.url());
        terminal.type_line(&format!("fetchd get {source} --gateway {url} -o model.bin"));
        terminal.wait("bar", has_bar);
        let shown = title();
        assert!(shown.ends_with("% model.bin – fetchd\n"), "{shown}");
        if is_interrupted {
            terminal.tmux(&["send-keys", "C-c"]);
        } else {
            gateway.let_go();
        }
        let screen = terminal.wait("prompt", |screen| screen.ends_with('$') && !has_bar(screen));
        assert_eq!(title(), "mine\n", "{screen}");
    }
}

#[test]
fn words_take_the_place_of_bars_where_a_reader_needs_them() {
    let sandbox = Sandbox::new();
    let dag = Dag::single(b"hello, world");
    let gateway = Gateway::of(&dag).start();
    let variables = [("FETCHD_PROGRESS", "plain"), ("TMUX", "here")];
    let Some(terminal) = Terminal::open(&sandbox, 160, &variables) else {
        return;
    };
    let get = format!("fetchd get {} --gateway {}", dag.source(), gateway.url());
    let run = |line: &str| {
        terminal.type_line("clear");
        terminal.wait("prompt", |screen| screen == "$");
        terminal.type_line(line);
        terminal.wait("result", |screen| {
            screen.ends_with('$') && screen.contains("/out/")
        })
    };
    let screen = run(&format!("{get} -o plain"));
    assert!(screen.contains("[1] finished: 12 B"), "{screen}");
    let screen = run(&format!("FETCHD_PROGRESS= TERM=dumb {get} -o dumb"));
    assert!(screen.contains("[2] finished: 12 B"), "{screen}");
    let screen = run(&format!("{get} --progress none -o none"));
    assert!(!screen.contains("finished"), "{screen}");
    let screen = run(&format!("{get} --progress json -o json"));
    assert!(screen.contains(r#""type":"finished""#), "{screen}");
    let raw = terminal.raw();
    assert!(!raw.contains("\x1b[A"), "nothing moves the cursor");
    assert!(!raw.contains("\x1b]"), "nothing sets a title");
}
