//! `sync`: brings every file of a manifest in place, and writes down what it was resolved to.
//!
//! Removes nothing. Replaces only what the ledger says fetchd wrote; what somebody else put at a
//! target stays, and is an error.

mod fetch;
mod plan;
mod project;
mod prove;

use std::path::PathBuf;

use crate::cli::Sync;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::sync::fetch::Fetching;
use crate::commands::sync::project::Project;
use crate::commands::transfer::Transfer;
use crate::content::source::Source;
use crate::exit::ExitKind;
use crate::settings::Environment;
use crate::settings::manifest::{Entry, Lock, Manifest, Pin};
use crate::ui::table;
use crate::ui::view::{Fate, SyncedView};

/// What to do about something else that stands at a target.
const NOT_OURS: &str = "it is not fetchd's: move it away, and run it again";

/// An entry of the manifest that holds here.
struct Item<'a> {
    entry: &'a Entry,
    /// Where it goes, absolute.
    path: PathBuf,
    /// What the lock says of it.
    pin: Option<Pin>,
    /// How it ended, once it has.
    outcome: Option<Outcome>,
}

impl Item<'_> {
    /// Whether nothing could prove it.
    fn lacks_a_sum(&self) -> bool {
        self.entry.sha256.is_none() && matches!(self.entry.parsed, Source::Url(_))
    }

    /// It cannot be had.
    fn refuse(&mut self, transfer: &mut Transfer<'_>, error: CommandError) {
        self.outcome = Some(Outcome::failed(error.message.clone()));
        let error = match (error.kind, &error.hint) {
            (ExitKind::Exists, None) => error.hint(NOT_OURS),
            _ => error,
        };
        transfer.refused(&self.entry.source, error);
    }
}

/// How one entry ended.
struct Outcome {
    fate: Fate,
    /// What is in place; `None` if nothing that is wanted is.
    pin: Option<Pin>,
    note: Option<String>,
}

impl Outcome {
    fn in_place(fate: Fate, pin: Pin) -> Self {
        Self {
            fate,
            pin: Some(pin),
            note: None,
        }
    }

    fn failed(note: impl Into<String>) -> Self {
        Self {
            fate: Fate::Failed,
            pin: None,
            note: Some(note.into()),
        }
    }
}

/// Brings everything in place.
pub fn run(context: &Context, args: &Sync) -> Result<ExitKind, CommandError> {
    let project = Project::find(args.manifest.as_deref())?;
    let manifest = project.read_manifest(&Environment::of_process())?;
    let lock = project.read_lock()?;
    if args.locked {
        project.require_covered(&manifest, lock.as_ref())?;
    }
    let lock = lock.unwrap_or_default();
    project.require_sound(&manifest, &lock)?;
    let mut items = items(&project, &manifest, &lock);
    let mut transfer = Transfer::begin(context, None)?;
    let steps = match plan::look(context, &project, &mut transfer, &mut items) {
        Ok(steps) => steps,
        Err(error) => return Ok(transfer.end_after(Err(error))),
    };
    let steps = prove::settle(context, &mut transfer, &mut items, steps);
    Fetching::new(context, &project, &mut transfer, &mut items).run(steps);
    finish(&project, &mut transfer, &items, &manifest, args.locked);
    Ok(transfer.end())
}

fn items<'a>(project: &Project, manifest: &'a Manifest, lock: &Lock) -> Vec<Item<'a>> {
    let here = manifest.entries.iter().filter(|entry| entry.holds);
    let item = |entry: &'a Entry| Item {
        entry,
        path: entry.target.below(&project.dir),
        pin: project::covering(lock, entry).cloned(),
        outcome: None,
    };
    here.map(item).collect()
}

/// Prints what there is now, and writes the lock.
fn finish(
    project: &Project,
    transfer: &mut Transfer<'_>,
    items: &[Item<'_>],
    manifest: &Manifest,
    is_locked: bool,
) {
    for item in items {
        let pin = item
            .outcome
            .as_ref()
            .and_then(|outcome| outcome.pin.as_ref());
        if pin.is_some() {
            transfer.print_path(&item.path);
        }
    }
    let rows: Vec<SyncedView> = items.iter().map(view).collect();
    transfer.reporter.words(&table::synced(&rows, None));
    if !is_locked {
        let pins = items.iter().filter_map(|item| {
            let pin = item.outcome.as_ref()?.pin.clone()?;
            Some((item.entry, pin))
        });
        if let Err(error) = project.write_lock(manifest, pins) {
            transfer.refused(&project.lock_file.to_string_lossy(), error);
        }
    }
    if let Err(error) = project.require_same_manifest() {
        transfer.refused(&project.manifest_file.to_string_lossy(), error);
    }
}

fn view(item: &Item<'_>) -> SyncedView {
    let outcome = item.outcome.as_ref();
    SyncedView {
        fate: outcome.map_or(Fate::Failed, |outcome| outcome.fate),
        target: item.entry.target.as_str().to_owned(),
        size: outcome.and_then(|outcome| Some(outcome.pin.as_ref()?.size)),
        note: outcome.and_then(|outcome| outcome.note.clone()),
    }
}
