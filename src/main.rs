//! The binary: parse, run, exit.
#![expect(
    clippy::print_stderr,
    reason = "a panic has to be said by somebody who has not panicked"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use fetchd::exit::ExitKind;
use fetchd::{cli, commands};

fn main() {
    let kind = match cli::parse(std::env::args_os()) {
        // Also what nobody foresaw, a system without threads to give for example, ends with a code
        // of the table. Nothing is used afterwards but the code.
        Ok(cli) => catch_unwind(AssertUnwindSafe(|| commands::run(cli))).unwrap_or_else(|_| {
            eprintln!("error: this should not have happened; what was proved is kept");
            eprintln!("hint: see what there is to go on with: fetchd list");
            ExitKind::Internal
        }),
        // Help and version are no errors; clap knows which stream and code is right.
        Err(error) => error.exit(),
    };
    std::process::exit(i32::from(kind.code()));
}
