//! Faults of system calls on files, injected by strace from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::process::Command;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// It fails with this.
    Error(&'static str),
    /// It and all later ones of its kind fail with this.
    Lasting(&'static str),
    /// It does nothing and says so: a write of no bytes.
    Nothing,
    /// The process is killed before it.
    Kill,
}

use Harm::{Error, Kill, Lasting, Nothing};

const WRITES: &[Harm] = &[
    Error("EIO"),
    Error("ENOSPC"),
    Error("EDQUOT"),
    Error("EINTR"),
    Lasting("ENOSPC"),
    Nothing,
    Kill,
];
/// Of a call that also wakes threads, which no disk can make fail.
const SOME_WRITES: &[Harm] = &[Kill];
const SYNCS: &[Harm] = &[Error("EIO"), Error("ENOSPC"), Lasting("EIO"), Kill];
const SIZES: &[Harm] = &[Error("EIO"), Error("ENOSPC"), Error("EOPNOTSUPP"), Kill];
const NAMES: &[Harm] = &[
    Error("EIO"),
    Error("ENOSPC"),
    Error("EACCES"),
    Error("EINVAL"),
    Kill,
];
const OPENS: &[Harm] = &[Error("EIO"), Error("EACCES"), Error("EMFILE"), Kill];
const READS: &[Harm] = &[Error("EIO"), Error("EINTR")];
const LOOKS: &[Harm] = &[Error("EIO"), Error("EACCES")];
const LOCKS: &[Harm] = &[Error("ENOLCK"), Error("EAGAIN")];
const COPIES: &[Harm] = &[
    Error("EOPNOTSUPP"),
    Error("EXDEV"),
    Error("EIO"),
    Error("ENOSPC"),
];

/// The calls, and what a disk may do to them.
const CALLS: &[(&str, &[Harm])] = &[
    ("pwrite64", WRITES),
    ("write", SOME_WRITES),
    ("fsync", SYNCS),
    ("fdatasync", SYNCS),
    ("syncfs", SYNCS),
    ("ftruncate", SIZES),
    ("fallocate", SIZES),
    ("rename", NAMES),
    ("renameat", NAMES),
    ("renameat2", NAMES),
    ("link", NAMES),
    ("linkat", NAMES),
    ("symlink", NAMES),
    ("symlinkat", NAMES),
    ("unlink", NAMES),
    ("unlinkat", NAMES),
    ("rmdir", NAMES),
    ("mkdir", NAMES),
    ("mkdirat", NAMES),
    ("openat", OPENS),
    ("pread64", READS),
    ("getdents64", &[Error("EIO")]),
    ("statx", LOOKS),
    ("newfstatat", LOOKS),
    ("statfs", &[Error("EIO"), Error("ENOSYS")]),
    ("fstatfs", &[Error("EIO"), Error("ENOSYS")]),
    ("flock", LOCKS),
    ("copy_file_range", COPIES),
    ("ioctl", COPIES),
    ("fchmod", LOOKS),
    ("utimensat", LOOKS),
    ("clone3", &[Error("EAGAIN")]),
];

/// The n-th call of a kind, counted in each thread, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    call: &'static str,
    nth: usize,
    pub harm: Harm,
}

impl Fault {
    pub fn new(call: &'static str, nth: usize, harm: Harm) -> Self {
        Self { call, nth, harm }
    }

    /// Whether no error may come of it: calls that are interrupted are simply repeated.
    pub fn is_harmless(&self) -> bool {
        self.harm == Error("EINTR")
    }

    /// Whether a run with this fault may end like this, although one with another fault may not.
    ///
    /// SQLite itself calls a database damaged that the disk cannot read, and a configuration that
    /// cannot be opened is none. Without threads there is nothing to say but that. 127 is the
    /// system's loader, when it cannot read the libraries.
    pub fn allows(&self, code: Option<i32>) -> bool {
        match self.call {
            "pread64" => matches!(code, Some(78 | 127)),
            "clone3" => code == Some(1),
            "openat" => matches!(code, Some(78 | 127)),
            "statx" | "newfstatat" => code == Some(127),
            _ => false,
        }
    }

    /// Whether it took place in a run that ended like this: with other threads than in the recording
    /// there may have been no such call.
    pub fn took_place(&self, log: &Path, code: Option<i32>) -> bool {
        if self.harm == Kill {
            return code.is_none();
        }
        std::fs::read_to_string(log).is_ok_and(|log| log.contains("(INJECTED)"))
    }

    /// The command that runs another one with this fault.
    pub fn wrapper(&self, log: &Path) -> Vec<String> {
        let Self { call, nth, harm } = self;
        let what = match harm {
            Error(errno) => format!("{call}:error={errno}:when={nth}"),
            Lasting(errno) => format!("{call}:error={errno}:when={nth}+"),
            Nothing => format!("{call}:retval=0:when={nth}"),
            Kill => format!("{call}:signal=SIGKILL:when={nth}"),
        };
        let mut wrapper = strace(log);
        // Signals are not injected where calls are filtered in the kernel.
        if *harm != Kill {
            wrapper.push("--seccomp-bpf".into());
        }
        wrapper.extend(["-e".into(), format!("trace={call}")]);
        wrapper.extend(["-e".into(), format!("inject={what}")]);
        wrapper
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, nth, harm } = self;
        match harm {
            Error(errno) => write!(f, "{call} {nth} fails with {errno}"),
            Lasting(errno) => write!(f, "{call} {nth} and all later fail with {errno}"),
            Nothing => write!(f, "{call} {nth} does nothing"),
            Kill => write!(f, "killed at {call} {nth}"),
        }
    }
}

/// Runs a command with calls of these kinds that take so much longer.
pub fn slow(calls: &str, delay: &str, log: &Path) -> Vec<String> {
    harmed(calls, &format!("delay_exit={delay}"), log)
}

/// Runs a command with this done to all calls of these kinds, in the words of strace.
pub fn harmed(calls: &str, harm: &str, log: &Path) -> Vec<String> {
    let mut wrapper = strace(log);
    wrapper.push(format!("--trace={calls}"));
    wrapper.push(format!("--inject={calls}:{harm}"));
    wrapper
}

/// Whether strace is here and may trace.
pub fn is_possible() -> bool {
    let probe = Command::new("strace")
        .args(["-qq", "-e", "trace=none", "true"])
        .output();
    probe.is_ok_and(|output| output.status.success())
}

/// The command that runs another one and writes down its calls.
pub fn recorder(log: &Path) -> Vec<String> {
    let names: Vec<&str> = CALLS.iter().map(|(call, _)| *call).collect();
    let mut wrapper = strace(log);
    wrapper.extend(["-y".into(), "--seccomp-bpf".into()]);
    wrapper.extend(["-e".into(), format!("trace={}", names.join(","))]);
    wrapper
}

/// The tracer is a child of the traced process, so that that one is ours to signal and to wait for.
fn strace(log: &Path) -> Vec<String> {
    let log = path_text(log);
    ["strace", "-D", "-f", "-qq", "-o", &log]
        .map(str::to_owned)
        .into()
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("a Unicode path").to_owned()
}

/// Every fault that can happen to the calls of a recording that touch something below `root`.
pub fn faults(log: &str, root: &Path) -> Vec<Fault> {
    let root = path_text(root);
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut points: BTreeSet<(&str, usize)> = BTreeSet::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let Some((call, arguments)) = rest.trim_start().split_once('(') else {
            continue;
        };
        let nth = seen.entry((thread, call)).or_default();
        *nth += 1;
        if arguments.contains(&root) || call == "clone3" {
            points.insert((call, *nth));
        }
    }
    let known = |(call, nth): (&str, usize)| {
        let (call, harms) = CALLS.iter().find(|(name, _)| *name == call)?;
        Some(harms.iter().map(move |&harm| Fault { call, nth, harm }))
    };
    points.into_iter().filter_map(known).flatten().collect()
}
