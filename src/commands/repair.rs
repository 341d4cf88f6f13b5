//! `repair`: mends what `verify` finds wrong, file by file.
//!
//! A damaged file is laid beside itself as the part of a download; what of it proves right stays,
//! the rest is fetched, and the whole is renamed over the damaged one. So the damaged file stands
//! until the right one does, and a repair that was interrupted goes on like any download.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;

use crate::cli::Repair as Args;
use crate::commands::claim;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::providers;
use crate::commands::select;
use crate::commands::subject::{self, Should, Subject};
use crate::commands::transfer::{self, Ended, Tally, Transfer};
use crate::commands::typed;
use crate::commands::verify::{self, Verified};
use crate::content::cid::{self, Cid};
use crate::disk::place::{self, Nonce};
use crate::disk::tree::{self, EntryKind, Links, TreePath};
use crate::disk::{host, inspect, mend};
use crate::download::{Proof, chain};
use crate::engine::{Ending, Finding, Flaw};
use crate::exit::ExitKind;
use crate::store::{Change, DownloadRow, NewDownload};
use crate::ui::verdict;
use crate::ui::view::RepairedView;

/// Mends one file or tree.
pub fn run(context: &Context, args: &Args) -> Result<ExitKind, CommandError> {
    let mut transfer = Transfer::begin(context, None)?;
    transfer.reporter = context.reporter_of_document();
    let done = repair(context, &mut transfer, args);
    transfer.reporter.finish();
    transfer.close();
    done
}

fn repair(
    context: &Context,
    transfer: &mut Transfer<'_>,
    args: &Args,
) -> Result<ExitKind, CommandError> {
    let started = Instant::now();
    let (text, cid) = (&args.subject, args.cid.as_deref());
    let mut subject = subject::find(context, transfer, text, cid, &args.gateway)?;
    if !args.mirror.is_empty() {
        subject.recorded.mirrors = providers::recordable(&args.mirror);
    }
    let asks = cid.is_some() || !args.gateway.is_empty();
    let verified = verify::verify(context, transfer, &subject, asks)?;
    let mut work = Repair {
        context,
        transfer,
        subject: &subject,
        tally: Tally::default(),
        view: view(&verified),
        last: None,
    };
    for finding in &verified.findings {
        if work.tally.is_over() {
            break;
        }
        work.mend(finding);
    }
    if verified.findings.is_empty() {
        work.complete()?;
    }
    work.settle()?;
    let Repair {
        tally,
        mut view,
        last,
        ..
    } = work;
    view.ok = tally.outcome() == ExitKind::Success;
    view.elapsed = started.elapsed().as_secs_f64();
    transfer.reporter.finish();
    context.show(&view, || verdict::repaired(&view))?;
    match (tally.outcome(), last) {
        (ExitKind::Success, _) => Ok(ExitKind::Success),
        // One that failed says why better than a sum does.
        (_, Some(error)) if view.failed.len() == 1 => Err(error),
        (kind, _) => {
            let path = subject.path.display();
            let (failed, all) = (view.failed.len(), verified.findings.len());
            let message = format!("{failed} of {all} in {path} could not be mended");
            Err(CommandError::new(kind, message).hint("what is proved is kept; repeat the command"))
        }
    }
}

fn view(verified: &Verified) -> RepairedView {
    RepairedView {
        path: verified.view.path.clone(),
        cid: verified.view.cid.clone(),
        ok: false,
        checked_bytes: verified.view.checked_bytes,
        bytes_fetched: 0,
        repaired: Vec::new(),
        failed: Vec::new(),
        extra: verified.view.extra.clone(),
        elapsed: 0.0,
    }
}

/// A repair under way.
struct Repair<'a, 'b> {
    context: &'a Context,
    transfer: &'a mut Transfer<'b>,
    subject: &'a Subject,
    tally: Tally,
    view: RepairedView,
    /// Why the last one that failed did.
    last: Option<CommandError>,
}

impl Repair<'_, '_> {
    /// Mends one thing, and counts how that ended.
    fn mend(&mut self, finding: &Finding) {
        let path = match finding.path.as_str() {
            "" => self.subject.path.clone(),
            below => self.subject.path.join(below),
        };
        match self.try_mend(finding, &path) {
            Ok(()) => {
                self.tally.finished();
                self.view.repaired.push(path);
            }
            Err(error) => {
                self.tally.failed(error.kind);
                self.view.failed.push(path);
                if let Some(earlier) = self.last.replace(error) {
                    self.context.complain(&earlier);
                }
            }
        }
    }

    fn try_mend(&mut self, finding: &Finding, path: &Path) -> Result<(), CommandError> {
        if let Flaw::Kind {
            expected,
            found: EntryKind::Directory | EntryKind::Other,
            ..
        } = finding.flaw
        {
            let message = format!("{} is no {expected}", path.display());
            return Err(CommandError::new(ExitKind::Exists, message)
                .hint("move away what has that name, and repeat the command"));
        }
        match &finding.flaw {
            Flaw::Unproved => Err(CommandError::new(
                ExitKind::Retry,
                format!("nodes are lacking to prove {}", path.display()),
            )
            .hint("name who has them, a gateway or a CAR file, with: --gateway URL")),
            Flaw::Target { expected, .. } => self.link(finding, expected),
            flaw => self.fetch(finding, flaw, path),
        }
    }

    /// Puts a link in place: it has no bytes but those of its node, which is proved.
    fn link(&self, finding: &Finding, target: &[u8]) -> Result<(), CommandError> {
        let below = TreePath::parse(&finding.path)?;
        let mut links = Links::new(true);
        links
            .add(&below, target)
            .and_then(|()| links.check())
            .map_err(|error| CommandError::new(ExitKind::Refused, chain(&error)))?;
        let nonce = nonce_of(finding.cid.as_ref());
        tree::put_link(&self.subject.path, &below, target, &nonce)?;
        Ok(())
    }

    /// Fetches what is wrong or missing, as a download of its own.
    fn fetch(&mut self, finding: &Finding, flaw: &Flaw, path: &Path) -> Result<(), CommandError> {
        self.require_proof(path)?;
        if let Some(dir) = path.parent() {
            place::ensure_dir(dir)?;
        }
        let recorded = self.recorded(finding);
        // The providers come first: bad ones are a mistake of typing, and leave no record.
        let providers = self.transfer.providers(&recorded)?;
        let new = self.new_download(finding, path, &recorded)?;
        let looked = self.context.store.look_at(Some(path)).wait()?;
        let row = claim::take(self.context, self.transfer, new, looked)?;
        if let (Some(root), Flaw::Bytes(_)) = (finding.cid, flaw)
            && let Err(error) = self.lay(&row, root, path)
        {
            self.transfer.let_go(&row, &error);
            let hint = format!(
                "nothing was changed; repeat the command, or: fetchd resume {}",
                row.id
            );
            return Err(error.hint(hint).about(row.id));
        }
        self.transfer.start(&row, providers)?;
        match self.transfer.next_ended() {
            Some(ended) => self.count(ended, path),
            None => Ok(()),
        }
    }

    /// What nothing ever proved cannot be made right again: the sum that it had proves nothing.
    fn require_proof(&self, path: &Path) -> Result<(), CommandError> {
        let Should::Sum(_, Some(Proof::Unverified)) = self.subject.should else {
            return Ok(());
        };
        let message = format!(
            "{} was taken unverified: nothing proves what would be fetched",
            path.display()
        );
        let error = CommandError::new(ExitKind::Verification, message);
        let made_by = self.subject.file.as_ref().map(|entry| entry.download);
        let row = match made_by {
            Some(id) => self.context.store.download(id).wait()?,
            None => None,
        };
        Err(match row {
            Some(row) => error.hint(format!("fetch it anew with: {} --force", typed::anew(&row))),
            None => error,
        })
    }

    fn count(&mut self, ended: Ended, path: &Path) -> Result<(), CommandError> {
        let id = ended.row.id;
        let stopped = |kind| {
            let message = format!("the repair of {} was stopped", path.display());
            let hint = format!("what is proved is kept; go on with: fetchd resume {id}");
            Err(CommandError::new(kind, message).hint(hint).about(id))
        };
        match ended.ending {
            Ending::Finished(receipt) => {
                self.view.bytes_fetched += receipt.bytes_fetched;
                Ok(())
            }
            Ending::Failed { failure, .. } => Err(CommandError::from(failure).about(id)),
            Ending::Paused => stopped(ExitKind::Stopped),
            Ending::Cancelled => Err(CommandError::new(
                ExitKind::Stopped,
                format!("the repair of {} was cancelled", path.display()),
            )
            .hint(format!(
                "start it anew with: fetchd repair {}",
                self.subject.typed()
            ))),
            Ending::Signalled(kind) => stopped(kind),
        }
    }

    /// A repair that was killed between its last step and the record of it: all is right, and only
    /// the record lacks.
    fn complete(&mut self) -> Result<(), CommandError> {
        let under_way = select::under_way_to(self.context, &self.subject.path)?;
        let row = under_way.filter(|row| {
            let root = row.root_cid.as_deref().map(cid::parse);
            let is_same = match (root, self.subject.should) {
                (Some(Ok(root)), Should::Content(wanted)) => root == wanted,
                _ => false,
            };
            let has_part =
                transfer::part_path(self.context, row).is_none_or(|part| inspect::exists(&part));
            is_same && !has_part && row.content_path.is_empty()
        });
        let Some(row) = row else { return Ok(()) };
        let recorded = Recorded::from_json(&row.options_json);
        let providers = self.transfer.providers(&recorded)?;
        let run = self.transfer.run_id();
        let claimed = claim::resume(self.context, run, row.id, Change::none);
        let row = self.transfer.block_on(claimed)?;
        self.transfer.start(&row, providers)?;
        if let Some(ended) = self.transfer.next_ended() {
            let path = self.subject.path.clone();
            self.count(ended, &path)?;
        }
        Ok(())
    }

    /// What the record of a repair keeps: as the download had it, but for the place. Only what was
    /// found there may be replaced, not what somebody puts there before the repair goes on.
    fn recorded(&self, finding: &Finding) -> Recorded {
        let of_tree = finding.path.is_empty();
        let recorded = self.subject.recorded.clone();
        Recorded {
            force: !finding.flaw.is_missing(),
            include: recorded
                .include
                .clone()
                .into_iter()
                .filter(|_| of_tree)
                .collect(),
            exclude: recorded
                .exclude
                .clone()
                .into_iter()
                .filter(|_| of_tree)
                .collect(),
            ..recorded
        }
    }

    fn new_download(
        &self,
        finding: &Finding,
        path: &Path,
        recorded: &Recorded,
    ) -> Result<NewDownload, CommandError> {
        let sum = match self.subject.should {
            Should::Sum(sha256, _) => Some(sha256),
            Should::Content(_) => None,
        };
        let source = match (finding.cid, &recorded.url) {
            (Some(cid), _) => cid::text(&cid),
            (None, Some(url)) => url.clone(),
            (None, None) => {
                let message = format!("{} cannot be mended in parts", path.display());
                return Err(CommandError::usage(message)
                    .hint("fetch it anew with: fetchd get SOURCE --force"));
            }
        };
        Ok(NewDownload {
            source,
            root_cid: finding.cid.as_ref().map(cid::text),
            content_path: String::new(),
            path: Some(path.to_path_buf()),
            nonce: Nonce::random().to_string(),
            kind: "file".to_owned(),
            options_json: recorded.to_json(),
            expected_sha256: sum,
            priority: 0,
            lane: None,
            uid: host::uid(),
            created: Timestamp::now(),
        })
    }

    /// Lays the damaged file down as the part, with the nodes that prove what of it is right.
    fn lay(&mut self, row: &DownloadRow, root: Cid, path: &Path) -> Result<(), CommandError> {
        let Some(part) = transfer::part_path(self.context, row) else {
            return Ok(());
        };
        if self.subject.known().is_none() {
            let alone = Subject {
                path: path.to_path_buf(),
                should: Should::Content(root),
                file: None,
                tree: None,
                recorded: self.recorded_alone(),
                keeps_for: Some((row.id, self.transfer.run_id())),
            };
            verify::verify(self.context, self.transfer, &alone, true)?;
        }
        let (from, to) = (path.to_path_buf(), part);
        let work = move |watch: &transfer::Watch| {
            mend::lay(&from, &to, &mut |bytes| {
                watch.note(bytes);
                !watch.is_stopped()
            })
        };
        Ok(self.transfer.on_a_thread(None, work)??)
    }

    fn recorded_alone(&self) -> Recorded {
        Recorded {
            gateways: self.subject.recorded.gateways.clone(),
            hints: self.subject.recorded.hints.clone(),
            ..Recorded::default()
        }
    }

    /// Notes how what is mended stands in its tree: the ledger knows it as a part of that.
    fn settle(&self) -> Result<(), CommandError> {
        let Some((id, below)) = &self.subject.tree else {
            return Ok(());
        };
        let repaired: HashSet<&Path> = self.view.repaired.iter().map(PathBuf::as_path).collect();
        if repaired.is_empty() {
            return Ok(());
        }
        verify::note_files(self.context, *id, below, &|path| {
            let path = match path {
                "" => self.subject.path.clone(),
                below => self.subject.path.join(below),
            };
            let is_repaired = path.ancestors().any(|above| repaired.contains(above));
            is_repaired.then(|| inspect::fingerprint(&path))
        })?;
        for path in repaired
            .into_iter()
            .filter(|path| **path != self.subject.path)
        {
            self.context.store.forget_install(path).wait()?;
        }
        Ok(())
    }
}

/// A nonce that a repeat finds again: what an interrupted repair left is then replaced.
fn nonce_of(cid: Option<&Cid>) -> Nonce {
    let digest = cid.map(|cid| cid.hash().digest()).unwrap_or_default();
    let text: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Nonce::parse(&text).unwrap_or_else(Nonce::random)
}
