//! `fetchd man`: the manual, a page a command, made of the same words as the help.

use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::cli::{self, Cli};
use crate::commands::context;
use crate::commands::error::CommandError;
use crate::disk::place::ensure_dir;
use crate::disk::whole_file::{Access, write_atomic};
use crate::exit::ExitKind;

/// A page of the manual, as roff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// `fetchd-gateways-check.1`.
    pub file_name: String,
    /// What `man` reads.
    pub roff: Vec<u8>,
}

/// Prints one page, or writes all of them into a directory.
///
/// # Errors
/// Code 2 if there is no such command.
pub fn run(man: &cli::Man) -> Result<ExitKind, CommandError> {
    match &man.dir {
        Some(dir) => write_all(dir)?,
        None => context::print_raw(&page(&man.command)?.roff)?,
    }
    Ok(ExitKind::Success)
}

fn write_all(dir: &Path) -> Result<(), CommandError> {
    ensure_dir(dir)?;
    for page in pages() {
        let path = dir.join(&page.file_name);
        write_atomic(&path, &page.roff, Access::Umask)?;
        context::print(&path.display().to_string())?;
    }
    Ok(())
}

/// The page of the command that these words name; of the program without any.
fn page(words: &[String]) -> Result<Page, CommandError> {
    let program = program();
    let mut command = &program;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| {
            CommandError::usage(format!("there is no command {:?}", words.join(" ")))
                .hint("see the commands with: fetchd --help")
        })?;
    }
    Ok(render(command))
}

/// Every page, the program's first.
pub fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    collect(&program(), &mut pages);
    pages
}

fn collect(command: &Command, pages: &mut Vec<Page>) {
    pages.push(render(command));
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        collect(below, pages);
    }
}

fn program() -> Command {
    let mut program = Cli::command();
    program.build();
    program
}

fn render(command: &Command) -> Page {
    let man = Man::new(command.clone())
        .source(concat!("fetchd ", env!("CARGO_PKG_VERSION")))
        .manual("fetchd manual");
    let mut roff = Vec::new();
    let words = command
        .get_after_long_help()
        .or_else(|| command.get_after_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let (prose, sections) = split(&words);
    // Writing to a vector cannot fail.
    let _ = man.render_title(&mut roff);
    let _ = man.render_name_section(&mut roff);
    let _ = man.render_synopsis_section(&mut roff);
    let _ = man.render_description_section(&mut roff);
    let _ = paragraphs(prose).to_writer(&mut roff);
    let _ = man.render_options_section(&mut roff);
    if command.has_subcommands() {
        let _ = man.render_subcommands_section(&mut roff);
    }
    for (title, body) in sections {
        let _ = section(title, body).to_writer(&mut roff);
    }
    Page {
        file_name: man.get_filename(),
        roff: ascii(&roff),
    }
}

/// The page without a character that some `man` could take for another: `×` as `\[u00D7]`.
fn ascii(roff: &[u8]) -> Vec<u8> {
    let mut page = String::with_capacity(roff.len());
    for c in String::from_utf8_lossy(roff).chars() {
        if c.is_ascii() {
            page.push(c);
        } else {
            page.push_str(&format!("\\[u{:04X}]", u32::from(c)));
        }
    }
    page.into_bytes()
}

/// What stands below the help: prose, then sections `Title:` with lines as they are.
fn split(words: &str) -> (&str, Vec<(&str, &str)>) {
    let is_title = |line: &str| line.ends_with(':') && !line.starts_with(' ');
    let mut starts = Vec::new();
    let mut at = 0;
    for line in words.split_inclusive('\n') {
        if is_title(line.trim_end()) {
            starts.push((at, at + line.len()));
        }
        at += line.len();
    }
    let end = |index: usize| starts.get(index + 1).map_or(words.len(), |next| next.0);
    let sections = starts.iter().enumerate().map(|(index, &(title, body))| {
        let title = words[title..body].trim_end().trim_end_matches(':');
        (title, words[body..end(index)].trim_end())
    });
    let prose = &words[..starts.first().map_or(words.len(), |first| first.0)];
    (prose.trim_end(), sections.collect())
}

fn paragraphs(prose: &str) -> Roff {
    let mut roff = Roff::new();
    for paragraph in prose.split("\n\n").filter(|text| !text.trim().is_empty()) {
        roff.control("PP", []);
        roff.text([roman(paragraph)]);
    }
    roff
}

fn section(title: &str, body: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title.to_uppercase().as_str()]);
    roff.control("nf", []);
    for line in body.lines() {
        // A blank line outside a paragraph would be taken for a break of its own.
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    roff.control("fi", []);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_examples() {
        let pages = pages();
        assert!(pages.len() > 15);
        for page in &pages {
            let text = String::from_utf8(page.roff.clone()).expect("roff is text");
            let has = |title: &str| text.contains(&format!(".SH {title}\n"));
            assert!(text.is_ascii(), "{}", page.file_name);
            assert!(has("NAME") && has("OPTIONS"), "{}", page.file_name);
            assert!(has("EXAMPLES"), "{} has no examples", page.file_name);
        }
        let names: Vec<&str> = pages.iter().map(|page| &*page.file_name).collect();
        assert_eq!(names[0], "fetchd.1");
        assert!(names.contains(&"fetchd-get.1") && names.contains(&"fetchd-gateways-check.1"));
    }

    #[test]
    fn a_page_is_named_by_its_words() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let page = |text: &str| super::page(&words(text));
        assert_eq!(super::page(&[]).unwrap().file_name, "fetchd.1");
        assert_eq!(
            page("config show").unwrap().file_name,
            "fetchd-config-show.1"
        );
        assert_eq!(page("got").unwrap_err().kind, ExitKind::Usage);
    }

    #[test]
    fn the_words_below_the_help_become_sections() {
        let (prose, sections) = split("One.\nTwo.\n\nExamples:\n  a\n  b\n\nValues:\n  c");
        assert_eq!(prose, "One.\nTwo.");
        assert_eq!(sections, [("Examples", "  a\n  b"), ("Values", "  c")]);
        assert_eq!(split("Only."), ("Only.", vec![]));
    }
}
