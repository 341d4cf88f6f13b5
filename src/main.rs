//! The binary: parse, run, exit.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fetchd::exit::ExitKind;
use fetchd::{cli, commands};

/// What is said of an error that nobody foresaw.
const BUG: &str = "error: this should not have happened; what was proved is kept
hint: see what there is to go on with: fetchd list
";

fn main() {
    let kind = match cli::parse(std::env::args_os()) {
        // Also what nobody foresaw, a system without threads to give for example, ends with a code
        // of the table. Nothing is used afterwards but the code.
        Ok(cli) => catch_unwind(AssertUnwindSafe(|| commands::run(cli))).unwrap_or_else(|_| {
            // Where nobody reads it any more, `eprintln` would panic in turn.
            let _ = std::io::stderr().write_all(BUG.as_bytes());
            ExitKind::Internal
        }),
        // Help and version are no errors; clap knows which stream and code is right.
        Err(error) => error.exit(),
    };
    std::process::exit(i32::from(kind.code()));
}
