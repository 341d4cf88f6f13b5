//! The words at the end: what happened, what was kept, what to type next.
//!
//! Everything here is safe for a terminal: text from outside is escaped on its way in.

use console::Style;

pub use crate::download::chain;
use crate::download::{DownloadId, Failure};
use crate::exit::ExitKind;
use crate::ui::escape;
use crate::ui::human;
use crate::ui::state::Download;

/// An error that ends the command: `error: what happened`, then `hint: what to do`.
pub fn error(message: &str, hint: Option<&str>, color: bool) -> String {
    block(message, None, hint, color)
}

/// Something that the user should know: `note: …`.
pub fn notice(message: &str, color: bool) -> String {
    format!(
        "{} {}",
        label("note:", Style::new().yellow().bold(), color),
        escape::text(message)
    )
}

/// A failed source: what happened, what was kept, what to do.
pub fn failed(
    source: &str,
    failure: &Failure,
    resumable: bool,
    download: Option<&Download>,
    color: bool,
) -> String {
    let id = download
        .and_then(|download| download.id)
        .filter(|_| resumable);
    if let (ExitKind::Interrupted | ExitKind::Terminated, Some(download), Some(id)) =
        (failure.kind, download, id)
    {
        return interrupted(download, id);
    }
    let resume = id.map(|id| format!("go on with: {}", resume_command(id)));
    let hint = failure.hint.as_deref().or(resume.as_deref());
    let kept = download.filter(|download| download.bytes > 0).map(kept);
    let message = match source {
        "" => failure.message.clone(),
        source => format!("{source}: {}", failure.message),
    };
    block(&message, kept.as_deref(), hint, color)
}

/// What a signal leaves behind, and how to go on.
pub fn interrupted(download: &Download, id: DownloadId) -> String {
    stopped("interrupted", download, id)
}

/// What a pause leaves behind, and how to go on.
pub fn paused(download: &Download, id: DownloadId) -> String {
    stopped("paused", download, id)
}

/// `resume 3` as it is typed.
pub fn resume_command(id: DownloadId) -> String {
    format!("fetchd resume {id}")
}

/// How far a download is, without saying of what: `470 MiB of 1 GiB`.
pub fn amount(download: &Download) -> String {
    match download.total {
        Some(total) => format!("{} of {}", human::size(download.bytes), human::size(total)),
        None => human::size(download.bytes),
    }
}

/// The same with the files of a directory: `470 MiB of 1 GiB, 3 of 40 files`.
pub fn amount_with_files(download: &Download) -> String {
    let amount = amount(download);
    match download.files {
        Some((done, known)) => format!("{amount}, {done} of {known} files"),
        None => amount,
    }
}

fn stopped(how: &str, download: &Download, id: DownloadId) -> String {
    let resume = resume_command(id);
    let kept = kept(download);
    let next = if download.is_streamed() {
        "begin again with"
    } else {
        "resume with"
    };
    match download.percent() {
        Some(percent) => format!("{how} at {percent}% ({kept})\n{next}: {resume}"),
        None => format!("{how} ({kept})\n{next}: {resume}"),
    }
}

fn kept(download: &Download) -> String {
    if download.bytes == 0 {
        return "nothing fetched yet".to_owned();
    }
    let amount = amount_with_files(download);
    if download.is_streamed() {
        format!("{amount} written to standard output, nothing kept")
    } else if download.is_proved {
        format!("{amount} proved and kept")
    } else if download.total == Some(download.bytes) {
        format!("{amount} kept")
    } else {
        format!("{amount} kept, to be proved when all of it is here")
    }
}

fn block(message: &str, kept: Option<&str>, hint: Option<&str>, color: bool) -> String {
    let red = Style::new().red().bold();
    let cyan = Style::new().cyan().bold();
    let mut text = format!("{} {}", label("error:", red, color), escape::text(message));
    if let Some(kept) = kept {
        text.push_str(&format!("\n{kept}"));
    }
    if let Some(hint) = hint {
        text.push_str(&format!(
            "\n{} {}",
            label("hint:", cyan, color),
            escape::text(hint)
        ));
    }
    text
}

fn label(word: &str, style: Style, color: bool) -> String {
    style.force_styling(color).apply_to(word).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn download(bytes: u64, total: Option<u64>) -> Download {
        let mut download = Download::new(DownloadId::new(3), std::time::Instant::now());
        (download.bytes, download.total) = (bytes, total);
        download.is_resolved = total.is_some();
        download.path = Some("/tmp/file".into());
        download
    }

    fn failure(kind: ExitKind, hint: Option<&str>) -> Failure {
        Failure {
            kind,
            message: "every provider is unreachable".to_owned(),
            hint: hint.map(str::to_owned),
        }
    }

    #[test]
    fn a_failure_says_what_was_kept_and_what_to_type() {
        let kept = download(470 << 20, Some(1 << 30));
        let text = failed(
            "bafy",
            &failure(ExitKind::Retry, None),
            true,
            Some(&kept),
            false,
        );
        insta::assert_snapshot!(text, @r"
        error: bafy: every provider is unreachable
        470 MiB of 1 GiB proved and kept
        hint: go on with: fetchd resume 3
        ");
        let mut gone = download(470 << 20, Some(1 << 30));
        gone.path = None;
        let to_stdout = failure(ExitKind::Terminated, None);
        insta::assert_snapshot!(failed("bafy", &to_stdout, true, Some(&gone), false), @r"
        interrupted at 45% (470 MiB of 1 GiB written to standard output, nothing kept)
        begin again with: fetchd resume 3
        ");
        let given = failure(ExitKind::NotFound, Some("ask another with --gateway"));
        insta::assert_snapshot!(failed("ba\u{1b}fy", &given, false, None, false), @r"
        error: ba\u{1b}fy: every provider is unreachable
        hint: ask another with --gateway
        ");
    }

    #[test]
    fn a_signal_says_how_to_go_on() {
        let kept = download(470 << 20, Some(1 << 30));
        let text = failed(
            "bafy",
            &failure(ExitKind::Interrupted, None),
            true,
            Some(&kept),
            false,
        );
        insta::assert_snapshot!(text, @r"
        interrupted at 45% (470 MiB of 1 GiB proved and kept)
        resume with: fetchd resume 3
        ");
        let none = download(0, None);
        insta::assert_snapshot!(interrupted(&none, DownloadId::new(3).unwrap()), @r"
        interrupted (nothing fetched yet)
        resume with: fetchd resume 3
        ");
    }

    #[test]
    fn colour_only_wraps_the_label() {
        assert_eq!(
            error("no", None, true),
            "\u{1b}[31m\u{1b}[1merror:\u{1b}[0m no"
        );
    }
}
