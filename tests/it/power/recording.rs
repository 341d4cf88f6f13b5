//! The calls of a run that change the disk, make something durable, or tell the user something, as
//! strace wrote them down.

use std::collections::HashMap;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longer than any write of ours, so that strace writes all of its bytes.
const ALL_BYTES: &str = "16777216";

/// What is recorded. Of these, those that are not understood below fail the test if they touch
/// anything that is looked at.
const CALLS: &str = "openat,open,creat,pwrite64,pwritev,pwritev2,write,writev,lseek,ftruncate,\
                     truncate,fallocate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
                     unlink,unlinkat,rmdir,mkdir,mkdirat,fsync,fdatasync,syncfs,sync,\
                     copy_file_range,ioctl";

/// The command that runs another one and records it.
pub fn recorder(log: &Path) -> Vec<String> {
    let log = log.to_str().expect("a Unicode path");
    let trace = format!("trace={CALLS}");
    let words = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "-y",
        "-xx",
        "--seccomp-bpf",
        "-s",
        ALL_BYTES,
        "-e",
        "signal=none",
        "-e",
        &trace,
        "-o",
        log,
    ];
    words.map(str::to_owned).into()
}

/// A call that succeeded, or that was under way when the recording ended.
#[derive(Debug)]
pub struct Call {
    /// Counts the lines of the recording: when it began.
    pub begin: usize,
    /// When it was done.
    pub end: Option<usize>,
    pub what: What,
}

/// What it does.
#[derive(Debug)]
pub enum What {
    Create(PathBuf),
    Resize {
        path: PathBuf,
        len: u64,
        may_shrink: bool,
    },
    Write {
        path: PathBuf,
        offset: u64,
        data: Arc<[u8]>,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        exchange: bool,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Symlink {
        text: PathBuf,
        path: PathBuf,
    },
    MakeDir(PathBuf),
    Remove(PathBuf),
    Sync(PathBuf),
    SyncAll,
    /// Written to standard output.
    Tell(Arc<[u8]>),
}

/// A run, call by call.
pub struct Recording {
    /// In the order in which they were done.
    pub calls: Vec<Call>,
    /// Lines, which is what `begin` and `end` count.
    pub len: usize,
}

impl Recording {
    /// Reads what strace wrote of a process in this directory, and keeps what lies below `root`.
    pub fn read(log: &Path, root: &Path, cwd: &Path) -> Self {
        let text = std::fs::read_to_string(log).expect("the record of strace");
        let mut reader = Reader {
            root,
            cwd,
            positions: HashMap::new(),
        };
        let mut unfinished: HashMap<&str, (usize, String)> = HashMap::new();
        let mut calls = Vec::new();
        let mut len = 0;
        for (at, line) in text.lines().enumerate() {
            len = at + 1;
            let Some((thread, rest)) = line.split_once(char::is_whitespace) else {
                continue;
            };
            let rest = rest.trim_start();
            if let Some(head) = rest.strip_suffix("<unfinished ...>") {
                unfinished.insert(thread, (at, head.to_owned()));
            } else if let Some(tail) = rest.strip_prefix("<... ") {
                let Some((begin, mut head)) = unfinished.remove(thread) else {
                    continue;
                };
                head += tail.split_once("resumed>").map_or("", |(_, tail)| tail);
                calls.extend(reader.call(&head, begin, Some(at)));
            } else {
                calls.extend(reader.call(rest, at, Some(at)));
            }
        }
        for (begin, head) in unfinished.into_values() {
            calls.extend(reader.call(&head, begin, None));
        }
        calls.sort_by_key(|call| call.end.unwrap_or(usize::MAX));
        Self { calls, len }
    }

    /// What had been told on standard output by then.
    pub fn told(&self, cut: usize) -> String {
        let told = self.calls.iter().filter_map(|call| match &call.what {
            What::Tell(text) if call.end.is_some_and(|end| end < cut) => Some(&text[..]),
            _ => None,
        });
        let bytes: Vec<u8> = told.flatten().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Bytes that had been written to parts by then.
    pub fn written(&self, cut: usize) -> u64 {
        let is_part = |path: &Path| {
            let mut names = path.iter().map(Path::new);
            names.any(|name| name.extension().is_some_and(|end| end == "partial"))
        };
        let written = self.calls.iter().map(|call| match &call.what {
            What::Write { path, data, .. } if call.begin < cut && is_part(path) => {
                data.len() as u64
            }
            _ => 0,
        });
        written.sum()
    }

    /// Whether a call is about an order that matters: a cut next to it is worth more than one
    /// between two writes.
    pub fn turns(&self) -> Vec<usize> {
        let is_turn = |call: &&Call| !matches!(call.what, What::Write { .. });
        let turns = self.calls.iter().filter(is_turn);
        turns
            .flat_map(|call| [Some(call.begin), call.end, call.end.map(|end| end + 1)])
            .flatten()
            .collect()
    }
}

struct Reader<'a> {
    root: &'a Path,
    cwd: &'a Path,
    /// Where the next `write` to a file goes.
    positions: HashMap<PathBuf, u64>,
}

impl Reader<'_> {
    fn call(&mut self, text: &str, begin: usize, end: Option<usize>) -> Option<Call> {
        let (name, rest) = text.split_once('(')?;
        // Of a call that was never seen to return, all may have happened.
        let (arguments, result) = rest.rsplit_once(" = ").unwrap_or((rest, "?"));
        if result.starts_with('-') {
            return None;
        }
        let arguments = arguments.trim_end().trim_end_matches(')').trim_end();
        let arguments: Vec<&str> = arguments.split(", ").collect();
        let end = end.filter(|_| !result.starts_with('?'));
        let what = self.what(name, &arguments)?;
        Some(Call { begin, end, what })
    }

    fn what(&mut self, name: &str, arguments: &[&str]) -> Option<What> {
        let number = |at: usize| {
            let text = arguments.get(at).copied().unwrap_or_default();
            text.parse::<u64>().expect("a number")
        };
        let of_fd = |at: usize| self.kept(fd_path(arguments.get(at)?)?);
        let path = |at: usize| self.kept(self.cwd.join(string(arguments.get(at)?)?));
        let below = |at: usize| {
            let dir = fd_path(arguments.get(at)?)?;
            self.kept(dir.join(string(arguments.get(at + 1)?)?))
        };
        Some(match name {
            "open" | "openat" => {
                let (path, flags) = match name {
                    "open" => (path(0)?, arguments.get(1)?),
                    _ => (below(0)?, arguments.get(2)?),
                };
                self.positions.insert(path.clone(), 0);
                match (flags.contains("O_CREAT"), flags.contains("O_TRUNC")) {
                    (_, true) => panic!("{} is emptied by opening it", path.display()),
                    (true, _) => What::Create(path),
                    _ => return None,
                }
            }
            "pwrite64" => What::Write {
                path: of_fd(0)?,
                offset: number(3),
                data: bytes(arguments[1])?.into(),
            },
            "write" if arguments[0].starts_with("1<") => What::Tell(bytes(arguments[1])?.into()),
            "write" => {
                let path = of_fd(0)?;
                let data = bytes(arguments[1])?;
                let position = self.positions.entry(path.clone()).or_default();
                let offset = *position;
                *position += data.len() as u64;
                let data = data.into();
                What::Write { path, offset, data }
            }
            "lseek" => {
                let (path, offset) = (of_fd(0)?, number(1));
                assert_eq!(arguments[2], "SEEK_SET", "{}", path.display());
                self.positions.insert(path, offset);
                return None;
            }
            "ftruncate" => What::Resize {
                path: of_fd(0)?,
                len: number(1),
                may_shrink: true,
            },
            "fallocate" => What::Resize {
                path: of_fd(0)?,
                len: number(2) + number(3),
                may_shrink: false,
            },
            "rename" => What::Rename {
                from: path(0)?,
                to: path(1)?,
                exchange: false,
            },
            "renameat" | "renameat2" => What::Rename {
                from: below(0)?,
                to: below(2)?,
                exchange: arguments.get(4).is_some_and(|how| how.contains("EXCHANGE")),
            },
            "link" => What::Link {
                from: path(0)?,
                to: path(1)?,
            },
            "linkat" => What::Link {
                from: below(0)?,
                to: below(2)?,
            },
            "symlink" => What::Symlink {
                text: string(arguments[0])?,
                path: path(1)?,
            },
            "symlinkat" => What::Symlink {
                text: string(arguments[0])?,
                path: below(1)?,
            },
            "unlink" | "rmdir" => What::Remove(path(0)?),
            "unlinkat" => What::Remove(below(0)?),
            "mkdir" => What::MakeDir(path(0)?),
            "mkdirat" => What::MakeDir(below(0)?),
            "fsync" | "fdatasync" => What::Sync(of_fd(0)?),
            "syncfs" | "sync" => What::SyncAll,
            // Of the others, what is asked of anything but a file of ours is nothing to us.
            "ioctl" if !arguments[1].contains("CLONE") => return None,
            _ => {
                let named = |at| of_fd(at).or_else(|| path(at));
                let touched = (0..arguments.len()).find_map(named);
                assert!(touched.is_none(), "{name} of {touched:?} is not understood");
                return None;
            }
        })
    }

    fn kept(&self, path: PathBuf) -> Option<PathBuf> {
        let below = path.strip_prefix(self.root).ok()?;
        let is_kept = super::disk::KEPT.iter().any(|top| below.starts_with(top));
        // The index of the log lies in shared memory and is made anew.
        let is_index = below.extension().is_some_and(|end| end == "db-shm");
        (is_kept && !is_index).then(|| below.to_owned())
    }
}

/// The path of `3</a/b>`; none of a file that has no name any more.
fn fd_path(argument: &str) -> Option<PathBuf> {
    let (_, path) = argument.split_once('<')?;
    // Pipes and sockets are not written like this.
    let path = path
        .strip_suffix('>')
        .filter(|path| path.starts_with("\\x"))?;
    Some(path_of(decode(path)))
}

fn string(argument: &str) -> Option<PathBuf> {
    bytes(argument).map(path_of)
}

fn bytes(argument: &str) -> Option<Vec<u8>> {
    let text = argument.strip_prefix('"')?;
    Some(decode(text.strip_suffix('"').expect("all bytes")))
}

fn path_of(bytes: Vec<u8>) -> PathBuf {
    std::ffi::OsString::from_vec(bytes).into()
}

/// `\x2f\x61` as bytes.
fn decode(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => panic!("no hexadecimal digit in what strace wrote"),
    };
    let pieces = text.as_bytes().chunks_exact(4);
    pieces
        .map(|piece| digit(piece[2]) << 4 | digit(piece[3]))
        .collect()
}
