//! Completions in the shells that they are for. Each is skipped where that shell is not installed.
#![cfg(unix)]

use std::process::{Command, Stdio};

use crate::support::sandbox::Sandbox;
use crate::support::skipped;

/// What a shell says that runs this with the script `completions` in its directory; `None`, and a
/// line that says so, without that shell.
fn said_by(shell: &str, line: &str) -> Option<String> {
    let mut command = Command::new(shell);
    let version = command.arg("--version").stdout(Stdio::null()).status();
    if version.is_err() {
        skipped(&format!("no {shell}"));
        return None;
    }
    let sandbox = Sandbox::new();
    let script = sandbox.run(["completions", shell]).exits(0).text();
    std::fs::write(sandbox.target("completions"), script).expect("a writable sandbox");
    let output = sandbox.shell(&format!("exec {shell} -c '{line}'")).run();
    assert_eq!(output.stderr, "", "{}", output.transcript());
    Some(output.exits(0).text())
}

#[test]
fn bash_offers_commands_flags_and_values() {
    let offered = |words: &str, position: usize| {
        said_by(
            "bash",
            &format!(
                "source ./completions; COMP_WORDS=({words} \"\"); COMP_CWORD={position}; \
                 _fetchd fetchd \"${{COMP_WORDS[$COMP_CWORD]}}\" x; echo ${{COMPREPLY[@]}}"
            ),
        )
    };
    for (words, position, expected) in [
        ("fetchd cat", 1, "catalog\n"),
        ("fetchd catalog up", 2, "update\n"),
        ("fetchd get --limit-r", 2, "--limit-rate\n"),
    ] {
        let Some(offered) = offered(words, position) else {
            return;
        };
        assert_eq!(offered, expected, "{words}");
    }
}

#[test]
fn fish_offers_commands_flags_and_values() {
    for (words, expected) in [
        ("fetchd cat", "catalog\t"),
        ("fetchd catalog up", "update\t"),
        ("fetchd get --limit-r", "--limit-rate\t"),
        ("fetchd get --progress pl", "plain"),
    ] {
        let line = format!("source ./completions; complete -C \"{words}\"");
        let Some(offered) = said_by("fish", &line) else {
            return;
        };
        assert!(offered.starts_with(expected), "{words}: {offered}");
    }
}

#[test]
fn zsh_takes_the_script() {
    let line = "autoload -Uz compinit; compinit -D -u; source ./completions; echo $_comps[fetchd]";
    if let Some(said) = said_by("zsh", line) {
        assert_eq!(said, "_fetchd\n");
    }
}
