//! Fetching what is not in place, several at once, each to its own ending.

use std::collections::HashMap;
use std::path::Path;

use crate::cli::Get;
use crate::commands::claim::Refused;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::get::{self, Wanted};
use crate::commands::in_place::{Wrong, WrongFile};
use crate::commands::options::Recorded;
use crate::commands::select;
use crate::commands::sync::plan::{Expected, Fetch, Step};
use crate::commands::sync::project::Project;
use crate::commands::sync::{Item, NOT_OURS, Outcome};
use crate::commands::transfer::{self, Ended, Transfer};
use crate::content::cid::{self, Cid};
use crate::disk::place;
use crate::download::{DownloadId, Receipt, Status};
use crate::engine::Ending;
use crate::exit::ExitKind;
use crate::settings::manifest::Pin;
use crate::store::{DownloadRow, Looked, StoreError};
use crate::ui::view::Fate;

/// Downloads that are under way at once. Each asks all its providers, so that more of them serve
/// small files only.
const AT_ONCE: usize = 4;

/// The downloads of one `sync`.
pub(super) struct Fetching<'f, 'a, 't> {
    context: &'f Context,
    project: &'f Project,
    transfer: &'f mut Transfer<'t>,
    items: &'f mut [Item<'a>],
    /// What is under way.
    jobs: HashMap<DownloadId, Job>,
    /// Trees of which files are fetched.
    mends: HashMap<usize, Mend>,
}

/// A download under way.
enum Job {
    /// All of an entry.
    Whole { index: usize, fetch: Fetch },
    /// A file of a tree.
    Part { index: usize },
}

/// A tree that is being mended.
struct Mend {
    pin: Pin,
    files: usize,
    left: usize,
    failure: Option<ExitKind>,
}

/// One download, before it begins.
struct Wish<'w> {
    get: Get,
    wanted: Wanted,
    recorded: Recorded,
    headers: &'w [(String, String)],
    /// What was at its place when that was looked at.
    looked: Looked,
}

impl<'f, 'a, 't> Fetching<'f, 'a, 't> {
    pub(super) fn new(
        context: &'f Context,
        project: &'f Project,
        transfer: &'f mut Transfer<'t>,
        items: &'f mut [Item<'a>],
    ) -> Self {
        Self {
            context,
            project,
            transfer,
            items,
            jobs: HashMap::new(),
            mends: HashMap::new(),
        }
    }

    /// Does what is left to do, to the end of all of it.
    pub(super) fn run(mut self, steps: Vec<Step>) {
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Done => {}
                Step::Fetch(expected, fetch) | Step::Prove(expected, fetch) => {
                    self.begin_whole(index, expected, fetch);
                }
                Step::Mend(pin, wrong) => self.begin_mend(index, pin, wrong),
            }
        }
        while self.settle_one() {}
    }

    fn begin_whole(&mut self, index: usize, expected: Expected, fetch: Fetch) {
        self.make_room();
        let source = &self.items[index].entry.source;
        if self.transfer.is_over(source, None) {
            return;
        }
        match self.try_whole(index, &expected, fetch) {
            Ok(Some(id)) => {
                self.jobs.insert(id, Job::Whole { index, fetch });
            }
            Ok(None) => {}
            Err(error) => self.refuse(index, error),
        }
    }

    /// Begins a download; `None` if it turned out to be in place.
    fn try_whole(
        &mut self,
        index: usize,
        expected: &Expected,
        fetch: Fetch,
    ) -> Result<Option<DownloadId>, CommandError> {
        loop {
            match self.look_and_begin(index, expected, fetch) {
                // Another process has put it there between looking and beginning.
                Err(Refused::DoneMeanwhile) => {}
                begun => return Ok(begun?),
            }
        }
    }

    fn look_and_begin(
        &mut self,
        index: usize,
        expected: &Expected,
        fetch: Fetch,
    ) -> Result<Option<DownloadId>, Refused> {
        let item = &self.items[index];
        let (path, entry) = (item.path.clone(), item.entry);
        if let Some(parent) = path.parent() {
            place::ensure_dir(parent).map_err(CommandError::from)?;
        }
        let get = Get {
            sources: vec![entry.source.clone()],
            output: Some(path.clone()),
            dir: path.parent().map(ToOwned::to_owned),
            gateway: self.project.places(&entry.gateways),
            mirror: self.project.places(&entry.mirrors),
            sha256: expected.sha256,
            preserve: entry.preserve,
            force: fetch.replaces,
            ..Get::default()
        };
        let wanted = match expected.cid {
            Some(cid) => Wanted::pinned(&entry.source, &entry.parsed, cid, path),
            None => {
                let wanted = get::wanted(self.context, self.transfer, &get, &entry.source);
                wanted.map_err(|error| in_words_of_manifest(item, error))?
            }
        };
        let looked = self.looked(&wanted)?;
        let recorded = Recorded {
            size: expected.size,
            ..get::recorded(&get, &wanted)
        };
        // Only its resolving may have told what it is, and another process may have put it there.
        if let Some(row) = get::in_place(self.context, &get, &wanted, &recorded)?
            && (expected.sha256.is_none() || expected.sha256 == row.sha256)
            && let Some(receipt) = transfer::receipt(&row)
        {
            self.items[index].outcome = Some(Outcome::in_place(Fate::Kept, pin_of(&receipt)));
            self.transfer
                .found_in_place(Some(row.id), &entry.source, receipt);
            return Ok(None);
        }
        let headers = &entry.headers;
        let begun = self.begin(Wish {
            get,
            wanted,
            recorded,
            headers,
            looked,
        });
        begun.map(Some)
    }

    fn looked(&self, wanted: &Wanted) -> Result<Looked, StoreError> {
        self.context.store.look_at(wanted.path.as_deref()).wait()
    }

    fn begin(&mut self, wish: Wish<'_>) -> Result<DownloadId, Refused> {
        let Wish {
            get,
            wanted,
            recorded,
            headers,
            looked,
        } = wish;
        let free = get::check_target(self.context, &wanted, get.force);
        free.map_err(|error| match error.kind {
            // Flags of `get` are no way out here.
            ExitKind::Exists => error.hint(NOT_OURS),
            _ => error,
        })?;
        self.transfer.take_headers(headers.to_vec());
        let providers = self.transfer.providers(&recorded)?;
        let row = get::claimed(
            self.context,
            self.transfer,
            &get,
            &wanted,
            &recorded,
            looked,
        )?;
        self.transfer.start(&row, providers)?;
        Ok(row.id)
    }

    fn begin_mend(&mut self, index: usize, pin: Pin, wrong: Wrong) {
        let mend = Mend {
            pin,
            files: wrong.files.len(),
            // One for the directories.
            left: wrong.files.len() + 1,
            failure: None,
        };
        self.mends.insert(index, mend);
        let root = self.items[index].path.clone();
        let mut directories = wrong.directories.iter();
        let made = directories.try_for_each(|path| place::ensure_dir(&path.below(&root)));
        if let Err(error) = made {
            return self.refuse(index, error.into());
        }
        self.end_part(index, None);
        for file in wrong.files {
            self.make_room();
            let source = format!("{}/{}", self.items[index].entry.source, file.path.as_str());
            if let Some(kind) = self.transfer.ended_by() {
                self.end_part(index, Some(kind));
                continue;
            }
            match self.try_part(index, &source, &file) {
                Ok(id) => {
                    self.jobs.insert(id, Job::Part { index });
                }
                Err(error) => {
                    self.transfer.tell_refused(&source, &error);
                    self.end_part(index, Some(error.kind));
                }
            }
        }
    }

    /// Begins to fetch one file of a tree. What stands there instead was fetchd's own once; where
    /// nothing does, whatever somebody puts there later is theirs.
    fn try_part(
        &mut self,
        index: usize,
        source: &str,
        file: &WrongFile,
    ) -> Result<DownloadId, CommandError> {
        let item = &self.items[index];
        let path = file.path.below(&item.path);
        let root: Cid = cid::parse(&file.cid)
            .map_err(|error| CommandError::new(ExitKind::Config, error.to_string()))?;
        let get = Get {
            output: Some(path.clone()),
            gateway: self.project.places(&item.entry.gateways),
            preserve: item.entry.preserve,
            force: !file.is_gone,
            ..Get::default()
        };
        let wanted = Wanted::pinned(source, &item.entry.parsed, root, path);
        let headers = &item.entry.headers;
        let begun = self.begin(Wish {
            looked: self.looked(&wanted)?,
            recorded: get::recorded(&get, &wanted),
            get,
            wanted,
            headers,
        });
        Ok(begun?)
    }

    /// Waits until there is room for one more.
    fn make_room(&mut self) {
        while self.jobs.len() >= AT_ONCE && self.settle_one() {}
    }

    /// Takes in the next that ends; `false` if none is under way.
    fn settle_one(&mut self) -> bool {
        let Some(ended) = self.transfer.next_ended() else {
            return false;
        };
        let Ended { row, ending } = ended;
        match self.jobs.remove(&row.id) {
            Some(Job::Whole { index, fetch }) => self.end_whole(index, fetch, ending),
            Some(Job::Part { index }) => self.end_part(index, failure_of(&ending)),
            None => {}
        }
        true
    }

    fn end_whole(&mut self, index: usize, fetch: Fetch, ending: Ending) {
        self.transfer.count(&ending);
        self.items[index].outcome = Some(match ending {
            Ending::Finished(receipt) => Outcome {
                note: fetch.note.map(str::to_owned),
                ..Outcome::in_place(fetch.fate, pin_of(&receipt))
            },
            Ending::Failed { failure, .. } => Outcome::failed(failure.message),
            Ending::Paused => Outcome::failed("paused"),
            Ending::Cancelled => Outcome::failed("cancelled"),
            Ending::Signalled(_) => Outcome::failed("interrupted"),
        });
    }

    fn end_part(&mut self, index: usize, failure: Option<ExitKind>) {
        let Some(mend) = self.mends.get_mut(&index) else {
            return;
        };
        mend.left -= 1;
        mend.failure = mend.failure.or(failure);
        if mend.left > 0 {
            return;
        }
        let files = format!("{} of its files", mend.files);
        let outcome = match mend.failure {
            Some(kind) => {
                let why = format!("{files} were to be repaired, and not all could be");
                let source = &self.items[index].entry.source;
                match self.context.wants_json() {
                    true => {
                        let error = CommandError::new(kind, why.clone())
                            .hint("see what its files say, then run again: fetchd sync");
                        self.transfer.refused(source, error);
                    }
                    // People have read the errors of the files.
                    false => self.transfer.count_failed(kind),
                }
                Outcome::failed(why)
            }
            None => Outcome {
                note: Some(format!("{files} had changed on disk, or were gone")),
                ..Outcome::in_place(Fate::Repaired, mend.pin.clone())
            },
        };
        if outcome.pin.is_some() {
            let item = &self.items[index];
            match self.receipt_of(&item.path) {
                Some((id, receipt)) => {
                    let source = &item.entry.source;
                    self.transfer.found_in_place(Some(id), source, receipt);
                }
                None => self.transfer.kept(),
            }
        }
        self.items[index].outcome = Some(outcome);
    }

    /// What the download of a whole tree could show for itself.
    fn receipt_of(&self, path: &Path) -> Option<(DownloadId, Receipt)> {
        let is_done = |row: &DownloadRow| row.status == Status::Success;
        let row = select::at_path(self.context, path, is_done).ok()??;
        Some((row.id, transfer::receipt(&row)?))
    }

    fn refuse(&mut self, index: usize, error: CommandError) {
        self.items[index].refuse(self.transfer, error);
    }
}

/// A flag of `get` gives no checksum to an entry.
fn in_words_of_manifest(item: &Item<'_>, error: CommandError) -> CommandError {
    match error.kind {
        ExitKind::Refused if item.lacks_a_sum() => {
            error.hint("give its checksum in the manifest: sha256 = \"HEX\"")
        }
        _ => error,
    }
}

fn pin_of(receipt: &Receipt) -> Pin {
    Pin {
        cid: receipt
            .cid
            .as_deref()
            .and_then(|text| cid::parse(text).ok()),
        size: receipt.size,
        sha256: receipt.sha256,
    }
}

fn failure_of(ending: &Ending) -> Option<ExitKind> {
    match ending {
        Ending::Finished(_) => None,
        Ending::Failed { failure, .. } => Some(failure.kind),
        Ending::Paused | Ending::Cancelled => Some(ExitKind::Stopped),
        Ending::Signalled(kind) => Some(*kind),
    }
}
