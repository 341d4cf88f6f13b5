//! What the integration tests share: a sandbox for the binary, a gateway that fails on demand, a
//! DAG builder, and the oracles that every scenario ends with.

#![allow(dead_code, reason = "a tool box: no test uses every tool")]

pub mod client;
pub mod dag;
pub mod dice;
pub mod dns;
pub mod gateway;
pub mod ipns;
pub mod oracle;
pub mod pb;
pub mod sandbox;
pub mod scenario;
pub mod tls;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A file or folder of the shared fixtures, which are no part of the repository: looked for in
/// `FETCHD_FIXTURES`, else beside it in `../shared/fixtures`.
///
/// `None`, and a line that says so, when they are not there.
///
/// # Panics
/// When they are not there, in CI (`CI=true`) with `FETCHD_REQUIRE_FIXTURES=1`.
pub fn fixtures(rel: &str) -> Option<PathBuf> {
    let base = std::env::var_os("FETCHD_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures"),
        PathBuf::from,
    );
    let path = base.join(rel);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("no fixture {}", path.display()));
    None
}

/// The Kubo binary that `FETCHD_KUBO` names, for tests against the real thing.
pub fn kubo() -> Option<PathBuf> {
    match std::env::var_os("FETCHD_KUBO").map(PathBuf::from) {
        Some(path) if path.exists() => Some(path),
        _ => {
            skipped("no Kubo binary in FETCHD_KUBO");
            None
        }
    }
}

/// Says that a test cannot run here.
///
/// # Panics
/// In CI (`CI=true`) with `FETCHD_REQUIRE_FIXTURES=1`.
pub fn skipped(why: &str) {
    let set = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    assert!(
        !(set("CI", "true") && set("FETCHD_REQUIRE_FIXTURES", "1")),
        "required in CI: {why}"
    );
    say(&format!("skipped: {why}"));
}

/// A line for whoever reads what the tests print: a seed, figures, why a test did nothing.
#[expect(clippy::print_stderr, reason = "these lines are to be read")]
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// Does this to each of them, several at once: so many for each processor, since many only wait.
pub fn each<T: Sync>(items: &[T], per_processor: usize, act: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let workers = per_processor * std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(item);
                }
            });
        }
    });
}
