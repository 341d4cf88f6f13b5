//! `verify`: proves what is on disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cli::Verify as Args;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options;
use crate::commands::subject::{self, Should, Subject};
use crate::commands::transfer::{Tally, Transfer, Watch};
use crate::content::cid::{self, Cid};
use crate::disk::random_file::RandomFile;
use crate::disk::tree::EntryKind;
use crate::disk::{DiskError, Fingerprint};
use crate::download::{DownloadId, Proof, chain, quoted_path};
use crate::engine::{self, Finding, Flaw, Report, Verification, VerifyError};
use crate::exit::ExitKind;
use crate::store::FileRow;
use crate::ui::verdict;
use crate::ui::view::{AllVerifiedView, BadView, ErrorView, VerifiedView};

/// Lines of the ledger that are read at once.
const PAGE: u32 = 4096;

/// How a file stands on the disk; `None` if it is damaged.
pub type Standing = Option<Fingerprint>;

/// What a verification came to.
pub struct Verified {
    /// As it is shown.
    pub view: VerifiedView,
    /// What is wrong, below the path.
    pub findings: Vec<Finding>,
    /// Why it is not all right.
    pub error: Option<CommandError>,
}

/// Proves one thing, or all that the ledger knows.
pub fn run(context: &Context, args: &Args) -> Result<ExitKind, CommandError> {
    let mut transfer = Transfer::begin(context, None)?;
    transfer.reporter = context.reporter_of_document();
    let done = match &args.subject {
        Some(subject) => single(context, &mut transfer, args, subject),
        None => all(context, &mut transfer, args),
    };
    transfer.reporter.finish();
    transfer.close();
    done
}

fn single(
    context: &Context,
    transfer: &mut Transfer<'_>,
    args: &Args,
    text: &str,
) -> Result<ExitKind, CommandError> {
    let subject = subject::find(context, transfer, text, args.cid.as_deref(), &args.gateway)?;
    let asks = args.cid.is_some() || !args.gateway.is_empty();
    let verified = verify(context, transfer, &subject, asks)?;
    transfer.reporter.finish();
    context.show(&verified.view, || verdict::verified(&verified.view))?;
    match verified.error {
        Some(error) => Err(error),
        None => Ok(ExitKind::Success),
    }
}

/// Proves every line of the ledger. One that fails does not stop the others.
fn all(
    context: &Context,
    transfer: &mut Transfer<'_>,
    args: &Args,
) -> Result<ExitKind, CommandError> {
    let (mut tally, mut views) = (Tally::default(), Vec::new());
    let mut after: Option<PathBuf> = None;
    loop {
        let page = context.store.ledger(after.as_deref(), PAGE).wait()?;
        let Some(last) = page.last() else { break };
        after = Some(last.install.path.clone());
        for entry in page {
            let path = entry.install.path.clone();
            let subject = Subject::of(entry, &args.gateway);
            let asks = !args.gateway.is_empty();
            let done = subject.and_then(|subject| verify(context, transfer, &subject, asks));
            let (view, error) = match done {
                Ok(verified) => (verified.view, verified.error),
                Err(error) if is_signal(error.kind) => return Err(error),
                Err(error) => (failed(path, &error), Some(error)),
            };
            match &error {
                None => tally.finished(),
                Some(error) => tally.failed(error.kind),
            }
            if !context.wants_json() {
                transfer.reporter.finish();
                context.show(&view, || verdict::verified(&view))?;
            }
            if context.wants_json() || !view.ok {
                views.push(view);
            }
        }
    }
    let outcome = tally.outcome();
    let wrong = views.iter().filter(|view| !view.ok).count();
    let view = AllVerifiedView {
        ok: wrong == 0,
        verified: views,
    };
    context.show(&view, String::new)?;
    match outcome {
        ExitKind::Success => Ok(outcome),
        kind => Err(CommandError::new(
            kind,
            format!("{wrong} of what the ledger knows could not be proved"),
        )
        .hint("mend what is damaged or missing with: fetchd repair PATH")),
    }
}

/// Proves one thing; `asks` says whether the providers may be asked for nodes of what the ledger
/// knows, too.
///
/// # Errors
/// When nothing can be said of it.
pub fn verify(
    context: &Context,
    transfer: &mut Transfer<'_>,
    subject: &Subject,
    asks: bool,
) -> Result<Verified, CommandError> {
    let size = subject.file.as_ref().map(|entry| entry.install.size);
    let started = Instant::now();
    transfer.reporter.take_up(&subject.path, size, started);
    let (root, report) = match subject.should {
        Should::Content(root) => (
            Some(root),
            content(context, transfer, subject, (root, size), asks)?,
        ),
        Should::Sum(sha256, proof) => (None, sum(transfer, subject, sha256, proof)?),
    };
    note(context, subject, &report)?;
    let mut view = view(subject, root, &report);
    view.elapsed = started.elapsed().as_secs_f64();
    Ok(Verified {
        error: error(subject, &view, &report),
        view,
        findings: report.findings,
    })
}

fn content(
    context: &Context,
    transfer: &mut Transfer<'_>,
    subject: &Subject,
    (root, size): (Cid, Option<u64>),
    asks: bool,
) -> Result<Report, CommandError> {
    let blocks = match subject.known().is_none() || asks {
        true => Some(subject::blocks(context, transfer, &subject.recorded)?),
        false => None,
    };
    let verification = Verification {
        root,
        path: subject.path.clone(),
        store: context.store.clone(),
        limits: options::engine(&context.settings, &subject.recorded, None)?.limits,
        filter: subject.filter(),
        below: subject.below().to_owned(),
        known: subject.known(),
        keeps_for: subject.keeps_for,
    };
    let watch = Watch::default();
    let progress = |bytes| watch.note(bytes);
    let report = transfer.watched(size, &watch, verification.run(blocks, &progress))?;
    report.map_err(|error| match error {
        VerifyError::Disk(error) => unreadable(&error),
        VerifyError::Store(error) => error.into(),
        VerifyError::Content(failure) => failure.into(),
    })
}

/// Compares a file with the SHA-256 that it had.
fn sum(
    transfer: &mut Transfer<'_>,
    subject: &Subject,
    sha256: [u8; 32],
    proof: Option<Proof>,
) -> Result<Report, CommandError> {
    let proof = proof.map_or(Proof::Sha256, |proof| proof.max(Proof::Sha256));
    let mut report = Report::new(proof);
    let flaw = match RandomFile::open(&subject.path) {
        Err(error) if error.is_missing() => Some(Flaw::Missing),
        Err(DiskError::NotRegular { .. }) => Some(Flaw::Kind {
            expected: "file",
            found: EntryKind::Other,
            len: size_of(subject),
        }),
        Err(error) => return Err(unreadable(&error)),
        Ok(file) => {
            let (len, fingerprint) = (file.len(), file.fingerprint());
            let work = move |watch: &Watch| {
                engine::sha256_of(&file, &mut |bytes| {
                    watch.note(bytes);
                    !watch.is_stopped()
                })
            };
            let found = transfer.on_a_thread(Some(len), work)?;
            report.checked_bytes = len;
            match found.map_err(|error| unreadable(&error))? == Some(sha256) {
                true => {
                    report.files = 1;
                    let fingerprint = fingerprint.map(|found| (String::new(), found));
                    report.fingerprints.extend(fingerprint);
                    None
                }
                false => Some(Flaw::all(len.max(size_of(subject)))),
            }
        }
    };
    report.findings.extend(flaw.map(|flaw| Finding {
        path: String::new(),
        cid: None,
        flaw,
    }));
    Ok(report)
}

fn size_of(subject: &Subject) -> u64 {
    subject.file.as_ref().map_or(0, |entry| entry.install.size)
}

fn unreadable(error: &DiskError) -> CommandError {
    CommandError::new(ExitKind::Disk, chain(error)).hint("nothing was changed; try again")
}

/// Brings the ledger in line: what is proved counts as unchanged from now on, and what is damaged
/// does not, whatever its size and time.
fn note(context: &Context, subject: &Subject, report: &Report) -> Result<(), CommandError> {
    let mut now: HashMap<&str, Standing> = HashMap::new();
    let right = report.fingerprints.iter();
    now.extend(right.map(|(path, found)| (path.as_str(), Some(*found))));
    let wrong = report
        .findings
        .iter()
        .filter(|finding| finding.flaw != Flaw::Unproved);
    now.extend(wrong.map(|finding| (finding.path.as_str(), None)));
    if let (Some(entry), Some(found)) = (&subject.file, now.get(""))
        && *found != Some(entry.install.fingerprint())
    {
        let noted = context
            .store
            .note_proved(&subject.path, entry.download, *found);
        noted.wait()?;
        return Ok(());
    }
    match &subject.tree {
        Some((id, below)) => note_files(context, *id, below, &|path| now.get(path).copied()),
        None => Ok(()),
    }
}

/// Brings the rows of a tree in line, of which only what is at and below `below` is looked at.
/// `look` says of a path below that how the file stands there, if it knows.
pub fn note_files(
    context: &Context,
    id: DownloadId,
    below: &str,
    look: &dyn Fn(&str) -> Option<Standing>,
) -> Result<(), CommandError> {
    let changed = |row: &FileRow| {
        let path = match below {
            "" => Some(row.file.path.as_str()),
            below if row.file.path == below => Some(""),
            below => row.file.path.strip_prefix(below)?.strip_prefix('/'),
        };
        let found = look(path?)?;
        (found != row.state.fingerprint).then_some((row.file.index, found))
    };
    for page in context.store.finished_pages(id) {
        let changes: Vec<_> = page?.iter().filter_map(changed).collect();
        if !changes.is_empty() {
            context.store.note_files_proved(id, changes).wait()?;
        }
    }
    Ok(())
}

fn is_signal(kind: ExitKind) -> bool {
    matches!(kind, ExitKind::Interrupted | ExitKind::Terminated)
}

fn view(subject: &Subject, root: Option<Cid>, report: &Report) -> VerifiedView {
    let at = |path: &str| match path {
        "" => subject.path.clone(),
        below => subject.path.join(Path::new(below)),
    };
    let with = |wanted: fn(&Flaw) -> bool| -> Vec<PathBuf> {
        let found = report.findings.iter();
        let found = found.filter(|finding| wanted(&finding.flaw));
        found.map(|finding| at(&finding.path)).collect()
    };
    let bad = report
        .findings
        .iter()
        .flat_map(|finding| bad(at(&finding.path), &finding.flaw));
    VerifiedView {
        path: subject.path.clone(),
        cid: root.as_ref().map(cid::text),
        ok: report.is_ok(),
        checked_bytes: report.checked_bytes,
        bad: bad.collect(),
        missing: with(Flaw::is_missing),
        extra: report
            .extra
            .iter()
            .map(|path| subject.path.join(path))
            .collect(),
        unproved: with(|flaw| *flaw == Flaw::Unproved),
        proof: report.is_ok().then_some(report.proof),
        files: report.files,
        elapsed: 0.0,
        error: None,
    }
}

/// What is wrong with the bytes of one file.
fn bad(path: PathBuf, flaw: &Flaw) -> Vec<BadView> {
    let one = |offset, length, what: String| BadView {
        path: path.clone(),
        offset,
        length,
        what,
    };
    match flaw {
        Flaw::Bytes(ranges) => {
            let ranges = ranges.iter();
            ranges
                .map(|range| one(range.start(), range.len(), "other bytes".to_owned()))
                .collect()
        }
        Flaw::Kind {
            expected,
            found,
            len,
        } => {
            let found = kind_name(*found);
            vec![one(0, *len, format!("{found} where a {expected} belongs"))]
        }
        Flaw::Target {
            expected,
            found: Some(found),
        } => {
            let what = match found {
                EntryKind::Link => "a symlink that leads elsewhere".to_owned(),
                found => format!("{} where a symlink belongs", kind_name(*found)),
            };
            vec![one(0, expected.len() as u64, what)]
        }
        Flaw::Target { found: None, .. } | Flaw::Missing | Flaw::Unproved => Vec::new(),
    }
}

fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "a file",
        EntryKind::Directory => "a directory",
        EntryKind::Link => "a symlink",
        EntryKind::Other => "no file",
    }
}

/// Why it is not all right; `None` if it is.
fn error(subject: &Subject, view: &VerifiedView, report: &Report) -> Option<CommandError> {
    if report.is_ok() {
        return None;
    }
    let path = subject.path.display();
    if report.has_damage() {
        let mut message = format!("{path} is not what it should be");
        if !view.unproved.is_empty() {
            message.push_str(", as far as that can be proved");
        }
        let hint = format!(
            "nothing was changed; mend it with: fetchd repair {}",
            subject.typed()
        );
        return Some(CommandError::new(ExitKind::Verification, message).hint(hint));
    }
    let nobody = report.nobody.as_ref();
    // Bad blocks from others say nothing of what is here.
    let kind = match nobody.map(|failure| failure.kind) {
        None | Some(ExitKind::Verification) => ExitKind::Retry,
        Some(kind) => kind,
    };
    let mut message = format!("nodes are lacking to prove {path}");
    if let Some(failure) = nobody {
        message.push_str(": ");
        message.push_str(&failure.message);
    }
    let root = view.cid.as_deref().unwrap_or("CID");
    Some(CommandError::new(kind, message).hint(format!(
        "name who has them, a gateway or a CAR file: fetchd verify {} {root} --gateway URL",
        quoted_path(&subject.path)
    )))
}

/// What could not even be looked at.
fn failed(path: PathBuf, error: &CommandError) -> VerifiedView {
    VerifiedView {
        path,
        cid: None,
        ok: false,
        checked_bytes: 0,
        bad: Vec::new(),
        missing: Vec::new(),
        extra: Vec::new(),
        unproved: Vec::new(),
        proof: None,
        files: 0,
        elapsed: 0.0,
        error: Some(ErrorView::from(&error.failure())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_looked_at_says_what_to_do_next() {
        let error = CommandError::new(ExitKind::Disk, "cannot be read");
        let view = failed("/data/file".into(), &error).error;
        let hint = view.and_then(|error| error.hint);
        assert!(hint.is_some() && hint == error.next_step());
    }
}
