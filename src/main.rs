//! The binary: parse, run, exit.

use fetchd::{cli, commands};

fn main() {
    let kind = match cli::parse(std::env::args_os()) {
        Ok(cli) => commands::run(cli),
        // Help and version are no errors; clap knows which stream and code is right.
        Err(error) => error.exit(),
    };
    std::process::exit(i32::from(kind.code()));
}
