//! The documentation, tried: every command in it is one that the parser takes, and what is marked
//! is run, with the output that it shows.
//!
//! A block after `<!-- sandbox -->` runs in a directory that holds the files of `tests/data`, the
//! blocks of one page one after the other. In shown output `…` stands for anything within a line,
//! a line of it for any lines, and `[exit code N]` for an ending other than 0.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

use crate::support::sandbox::Sandbox;

/// What stands in front of a block that is run.
const SANDBOX: &str = "<!-- sandbox -->";

/// A fenced block of a page.
#[derive(Debug, Default)]
struct Block {
    language: String,
    line: usize,
    is_run: bool,
    lines: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and all pages beside it.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = root().join(".github/docs");
    let listed = std::fs::read_dir(&docs).expect("the pages");
    let mut paths: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "md"));
    paths.push(root().join("README.md"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a page");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut before = "";
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                open = Some(Block {
                    language: language.to_owned(),
                    line: index + 1,
                    is_run: before == SANDBOX,
                    lines: Vec::new(),
                });
            }
            (None, Some(block)) => block.lines.push(line.to_owned()),
            (None, None) => {}
        }
        before = line;
    }
    blocks
}

/// What of the block is typed: after `$ ` in a session, all of a script, `run:` of a workflow.
fn typed(block: &Block) -> Vec<String> {
    let lines = block.lines.iter().map(|line| line.trim());
    match block.language.as_str() {
        "console" => lines
            .filter_map(|line| line.strip_prefix("$ "))
            .map(str::to_owned)
            .collect(),
        "sh" => lines.map(str::to_owned).collect(),
        "yaml" => {
            let line = |line: &str| line.strip_prefix("run: ").unwrap_or(line).to_owned();
            lines
                .map(line)
                .filter(|line| line.starts_with("fetchd "))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// What stands between backticks in prose and tables and begins as a command.
fn inline(text: &str) -> Vec<String> {
    let mut is_fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        is_fenced ^= line.starts_with("```");
        if !is_fenced && !line.starts_with("```") {
            let code = line.split('`').skip(1).step_by(2);
            found.extend(code.map(|code| code.replace("\\|", "|")));
        }
    }
    found
}

/// The invocations of fetchd in one line of a shell, word by word. `CID` and the like stay as they
/// are, since the parser leaves sources to the command; a checksum it wants to see.
fn invocations(line: &str) -> Vec<Vec<String>> {
    let digits = "0".repeat(64);
    let line = line.replace("sha256:HEX", &format!("sha256:{digits}"));
    let line = line.replace("--sha256 HEX", &format!("--sha256 {digits}"));
    let separators = ["|", "||", "&&", ";", "then", "do", "{", "}", "!"];
    let words = shlex::split(&line.replace("$(", " ; ").replace(')', " ")).unwrap_or_default();
    let commands = words.split(|word| separators.contains(&word.as_str()));
    let without_variables = |words: &[String]| {
        let is_variable = |word: &&String| {
            word.split_once('=').is_some_and(|(name, _)| {
                name.bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
            })
        };
        let skipped = words.iter().take_while(is_variable).count();
        words[skipped..].to_vec()
    };
    let redirects = |word: &String| word.starts_with(['>', '<']) || word.starts_with("2>");
    commands
        .map(without_variables)
        .filter(|words| words.first().is_some_and(|word| word == "fetchd"))
        .map(|words| {
            words
                .into_iter()
                .take_while(|word| !redirects(word))
                .collect()
        })
        .collect()
}

/// Why the parser does not take a command. Help is no mistake, `COMMAND` stands for any, and prose
/// may name a command without its arguments.
fn mistake(words: &[String]) -> Option<String> {
    if words.len() == 1 || words[1] == "COMMAND" {
        return None;
    }
    let error = fetchd::cli::parse(words).err()?;
    let is_name = words.len() == 2 && error.kind() == ErrorKind::MissingRequiredArgument;
    (error.use_stderr() && !is_name).then(|| error.to_string())
}

#[test]
fn every_command_in_the_documentation_is_one() {
    let (mut checked, mut wrong) = (0, String::new());
    for (path, text) in pages() {
        let in_blocks = blocks(&text).into_iter().flat_map(|block| {
            let line = block.line;
            typed(&block).into_iter().map(move |typed| (line, typed))
        });
        for (line, typed) in in_blocks.chain(inline(&text).into_iter().map(|code| (0, code))) {
            for words in invocations(&typed) {
                checked += 1;
                if let Some(mistake) = mistake(&words) {
                    wrong.push_str(&format!("{}:{line}: {typed}\n{mistake}\n", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(checked > 80, "only {checked} commands were found");
}

#[test]
#[cfg(unix)]
fn marked_sessions_go_as_they_are_shown() {
    let mut run = 0;
    for (path, text) in pages() {
        let sandbox = Sandbox::new();
        for file in std::fs::read_dir(root().join("tests/data"))
            .expect("data")
            .flatten()
        {
            std::fs::copy(
                file.path(),
                sandbox.target(&file.file_name().to_string_lossy()),
            )
            .expect("a copy");
        }
        for block in blocks(&text).into_iter().filter(|block| block.is_run) {
            run += 1;
            play(&sandbox, &block, &path);
        }
    }
    assert!(run > 0, "no block is marked");
}

/// Types what the block types and compares what comes out.
fn play(sandbox: &Sandbox, block: &Block, path: &Path) {
    let mut steps: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in &block.lines {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push((command, Vec::new())),
            (None, Some((_, shown))) => shown.push(line),
            (None, None) => panic!("{}: a session begins with `$ `", path.display()),
        }
    }
    let bin = Path::new(env!("CARGO_BIN_EXE_fetchd"))
        .parent()
        .expect("a directory");
    for (command, shown) in steps {
        let mut variables = std::env::var("PATH").unwrap_or_default();
        variables.insert_str(0, &format!("{}:", bin.display()));
        let output = sandbox.shell(command).env("PATH", variables).run();
        let code = output.code.unwrap_or(-1);
        let mut seen = output.text();
        if code != 0 {
            seen.push_str(&format!("[exit code {code}]\n"));
        }
        let seen: Vec<&str> = seen.lines().collect();
        assert!(
            matches(&shown, &seen),
            "{}:{}: {command}\nshown:\n{}\nseen:\n{}\n{}",
            path.display(),
            block.line,
            shown.join("\n"),
            seen.join("\n"),
            output.stderr
        );
    }
}

fn matches(shown: &[&str], seen: &[&str]) -> bool {
    match shown {
        [] => seen.is_empty(),
        ["…", rest @ ..] => (0..=seen.len()).any(|skipped| matches(rest, &seen[skipped..])),
        [line, rest @ ..] => seen
            .first()
            .is_some_and(|seen_line| fits(line, seen_line) && matches(rest, &seen[1..])),
    }
}

/// Whether the line is the pattern with something in the place of each `…`.
fn fits(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('…') else {
        return pattern == line;
    };
    let Some(after) = line.strip_prefix(start) else {
        return false;
    };
    let ends = after.char_indices().map(|(at, _)| at).chain([after.len()]);
    ends.into_iter().any(|at| fits(rest, &after[at..]))
}

#[test]
fn links_between_pages_lead_somewhere() {
    for (path, text) in pages() {
        let base = path.parent().expect("a directory");
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !target.contains("://") {
                assert!(base.join(file).exists(), "{}: {target}", path.display());
            }
        }
    }
}
