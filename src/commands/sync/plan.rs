//! What is to be done about each entry, as far as ledger, lock and names on disk tell: no file is
//! read, and nothing is changed.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::in_place::{self, TreeFound, Wrong};
use crate::commands::options::Recorded;
use crate::commands::sync::project::Project;
use crate::commands::sync::{Item, Outcome};
use crate::commands::transfer::{self, Transfer};
use crate::content::cid::{self, Cid};
use crate::content::hash::hex;
use crate::disk::inspect::{self, Seen};
use crate::download::{Proof, Receipt};
use crate::exit::ExitKind;
use crate::settings::manifest::{Entry, Pin};
use crate::store::{DownloadRow, Install};
use crate::ui::view::Fate;

/// What is to be done about an entry.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing any more: its outcome is known.
    Done,
    /// What is there may be it: its bytes decide. If they say no, this is to be fetched.
    Prove(Expected, Fetch),
    /// All of it.
    Fetch(Expected, Fetch),
    /// These parts of a tree.
    Mend(Pin, Wrong),
}

/// What is to be fetched, and what may be replaced for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fetch {
    /// What it is called afterwards.
    pub(super) fate: Fate,
    /// Whether what is at the target came from fetchd, and may be replaced.
    pub(super) replaces: bool,
    /// What is said of it.
    pub(super) note: Option<&'static str>,
}

/// What an entry is known to be before anybody is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) cid: Option<Cid>,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) size: Option<u64>,
    /// Whether CID and checksum are known to be those of one content: the lock has both.
    pub(super) is_pinned: bool,
}

impl Expected {
    fn of(entry: &Entry, pin: Option<&Pin>) -> Self {
        if let Some(pin) = pin {
            return Self {
                cid: pin.cid,
                sha256: entry.sha256.or(pin.sha256),
                size: Some(pin.size),
                is_pinned: true,
            };
        }
        Self {
            cid: entry.named_cid(),
            sha256: entry.sha256,
            size: None,
            is_pinned: false,
        }
    }

    /// Whether there is anything to prove content by.
    pub(super) fn is_known(&self) -> bool {
        self.cid.is_some() || self.sha256.is_some()
    }
}

/// What fetchd wrote below one directory, as the store has it.
pub(super) struct Ledger<'a> {
    context: &'a Context,
    dir: &'a Path,
    installs: HashMap<PathBuf, Install>,
    records: OnceCell<HashMap<PathBuf, DownloadRow>>,
}

impl<'a> Ledger<'a> {
    fn read(context: &'a Context, dir: &'a Path) -> Result<Self, CommandError> {
        let installs = context.store.installs_below(dir).wait()?;
        let by_path = installs.into_iter().map(|row| (row.path.clone(), row));
        Ok(Self {
            context,
            dir,
            installs: by_path.collect(),
            records: OnceCell::new(),
        })
    }

    /// The newest finished download to a path, unless it is forgotten.
    fn record(&self, path: &Path) -> Result<Option<&DownloadRow>, CommandError> {
        if self.records.get().is_none() {
            let rows = self.context.store.finished_below(self.dir).wait()?;
            let by_path = rows
                .into_iter()
                .filter_map(|row| Some((row.path.clone()?, row)));
            // Oldest first: the newest stays.
            let _ = self.records.set(by_path.collect());
        }
        Ok(self.records.get().and_then(|records| records.get(path)))
    }

    fn install(&self, path: &Path) -> Option<Install> {
        self.installs.get(path).cloned()
    }
}

/// Looks at every entry. What is in place already, as the ledger says, is done with.
pub(super) fn look(
    context: &Context,
    project: &Project,
    transfer: &mut Transfer<'_>,
    items: &mut [Item<'_>],
) -> Result<Vec<Step>, CommandError> {
    let ledger = Ledger::read(context, &project.dir)?;
    let mut passed = HashSet::new();
    let mut steps = Vec::with_capacity(items.len());
    for item in items {
        let step = match check_way(&project.dir, &item.path, &mut passed) {
            Ok(()) => step(&ledger, item),
            Err(error) => Err(error),
        };
        steps.push(match step {
            Ok(Look::Kept(pin)) => {
                keep(&ledger, transfer, item, &pin)?;
                item.outcome = Some(Outcome::in_place(Fate::Kept, pin));
                Step::Done
            }
            Ok(Look::Todo(step)) => step,
            Err(error) => {
                item.refuse(transfer, error);
                Step::Done
            }
        });
    }
    Ok(steps)
}

/// A symlink on the way to a target could lead anywhere.
fn check_way(dir: &Path, path: &Path, passed: &mut HashSet<PathBuf>) -> Result<(), CommandError> {
    let parents = path.ancestors().skip(1);
    let new: Vec<&Path> = parents
        .take_while(|above| *above != dir && !passed.contains(*above))
        .collect();
    for above in &new {
        if inspect::look(above) == Seen::Symlink {
            let message = format!(
                "{} is a symlink, and targets are not written through one",
                above.display()
            );
            return Err(CommandError::new(ExitKind::Refused, message).hint(
                "put the manifest where the files are to be, or replace the link by a directory",
            ));
        }
    }
    // Only a way that is sound to its end is not looked at again.
    passed.extend(new.into_iter().map(Path::to_path_buf));
    Ok(())
}

/// What one look says.
enum Look {
    Kept(Pin),
    Todo(Step),
}

fn step(ledger: &Ledger<'_>, item: &Item<'_>) -> Result<Look, CommandError> {
    let expected = Expected::of(item.entry, item.pin.as_ref());
    let install = ledger.installs.get(&item.path);
    let fetch = |fate, replaces, note| Fetch {
        fate,
        replaces,
        note,
    };
    let todo = |fetch| Ok(Look::Todo(Step::Fetch(expected.clone(), fetch)));
    let prove = |fetch| {
        Ok(Look::Todo(match expected.is_known() {
            true => Step::Prove(expected.clone(), fetch),
            false => Step::Fetch(expected.clone(), fetch),
        }))
    };
    let changed = fetch(Fate::Repaired, true, Some("had changed on disk"));
    match (inspect::look(&item.path), install) {
        (Seen::Nothing, Some(_)) => todo(fetch(Fate::Repaired, false, Some("was gone"))),
        (Seen::Nothing, None) => todo(fetch(Fate::Fetched, false, None)),
        (Seen::File { .. } | Seen::Directory, None) => prove(fetch(Fate::Fetched, false, None)),
        (Seen::Symlink, Some(install)) if is_that_link(ledger, item, install, &expected)? => {
            Ok(Look::Kept(pin_of(install)))
        }
        (Seen::Symlink | Seen::Other, _) => todo(fetch(Fate::Fetched, false, None)),
        (Seen::File { size, mtime_ns }, Some(install)) => {
            if (size, mtime_ns) != (install.size, install.mtime_ns) {
                return prove(changed);
            }
            match same(&expected, install)? {
                Some(true) => {
                    check_size(&expected, install)?;
                    Ok(Look::Kept(pin_of(install)))
                }
                Some(false) => todo(fetch(Fate::Replaced, true, None)),
                None if expected.is_known() => prove(fetch(Fate::Replaced, true, None)),
                None => todo(fetch(Fate::Replaced, true, None)),
            }
        }
        (Seen::Directory, Some(install)) => match same(&expected, install)? {
            Some(true) => tree(ledger, item, install, &expected, changed),
            _ => todo(fetch(Fate::Replaced, true, None)),
        },
    }
}

/// Whether a symlink is what is expected, and as fetchd made it.
fn is_that_link(
    ledger: &Ledger<'_>,
    item: &Item<'_>,
    install: &Install,
    expected: &Expected,
) -> Result<bool, CommandError> {
    let is_same = same(expected, install)? == Some(true);
    match ledger.record(&item.path)?.filter(|_| is_same) {
        Some(row) => in_place::is_link_unchanged(&ledger.context.store, row.id, &item.path),
        None => Ok(false),
    }
}

/// Whether the ledger says that this is what is expected; `None` if it does not know enough.
fn same(expected: &Expected, install: &Install) -> Result<Option<bool>, CommandError> {
    let found = install
        .cid
        .as_deref()
        .and_then(|text| cid::parse(text).ok());
    let sums = expected.sha256.zip(install.sha256);
    let has_sum = sums.map(|(expected, found)| expected == found);
    let has_cid = expected.cid.zip(found).map(|(one, two)| one == two);
    if has_cid == Some(true) && has_sum == Some(false) {
        return Err(contradiction(&install.path, sums));
    }
    Ok(match (has_cid, has_sum) {
        // Nobody has looked at its checksum yet.
        (Some(true), None) if expected.sha256.is_some() => None,
        (Some(true), _) => Some(true),
        // The same bytes, and what their CIDs are is not known: a file has many.
        (_, Some(true)) if expected.cid.is_some() => None,
        (_, Some(true)) => Some(true),
        (Some(false), _) | (_, Some(false)) => Some(false),
        (None, None) => None,
    })
}

/// The right content, and another size than the lock says.
fn check_size(expected: &Expected, install: &Install) -> Result<(), CommandError> {
    match expected.size {
        Some(size) if size != install.size => {
            let path = install.path.display();
            let message = format!(
                "{path} is {} bytes long, and the lock says {size}",
                install.size
            );
            Err(CommandError::new(ExitKind::Verification, message).hint(
                "somebody has edited the lock: restore it, or delete it to have it written anew",
            ))
        }
        _ => Ok(()),
    }
}

fn contradiction(path: &Path, sums: Option<([u8; 32], [u8; 32])>) -> CommandError {
    let sums = sums.map(|(expected, found)| {
        format!(" has the SHA-256 {}, not {}", hex(&found), hex(&expected))
    });
    let message = format!(
        "{} is what the CID names, and{}",
        path.display(),
        sums.unwrap_or_default()
    );
    CommandError::new(ExitKind::Verification, message)
        .hint("the CID and the checksum contradict each other: ask where they come from")
}

fn tree(
    ledger: &Ledger<'_>,
    item: &Item<'_>,
    install: &Install,
    expected: &Expected,
    changed: Fetch,
) -> Result<Look, CommandError> {
    if item.entry.sha256.is_some() {
        return Err(no_sum(&item.path));
    }
    let Some(row) = ledger.record(&item.path)? else {
        if inspect::tree_fingerprint(&item.path) == Some(install.mtime_ns) {
            return Ok(Look::Kept(pin_of(install)));
        }
        return Ok(Look::Todo(Step::Prove(expected.clone(), changed)));
    };
    if row.kind != "directory" {
        // Somebody put a directory where fetchd had written a file: it is not ours to replace.
        let fetch = Fetch {
            replaces: false,
            ..changed
        };
        return Ok(Look::Todo(Step::Fetch(expected.clone(), fetch)));
    }
    let recorded = Recorded::from_json(&row.options_json);
    let wanted = Recorded {
        preserve: item.entry.preserve,
        ..Recorded::default()
    };
    if !recorded.takes_the_same(&wanted) {
        return Ok(Look::Todo(Step::Fetch(expected.clone(), changed)));
    }
    let alone = |path: &Path| ledger.install(path);
    let found = in_place::tree(&ledger.context.store, row.id, &item.path, &alone)?;
    Ok(match found {
        TreeFound::Unchanged => Look::Kept(pin_of(install)),
        TreeFound::Unknown => Look::Todo(Step::Prove(expected.clone(), changed)),
        TreeFound::Wrong(wrong) => Look::Todo(Step::Mend(pin_of(install), wrong)),
        TreeFound::Changed => Look::Todo(Step::Fetch(expected.clone(), changed)),
    })
}

/// A checksum was asked for of what is a directory.
fn no_sum(path: &Path) -> CommandError {
    let message = format!("{} is a directory, and has no SHA-256", path.display());
    CommandError::new(ExitKind::Refused, message)
        .hint("take the sha256 out of the manifest: the CID proves every file")
}

fn pin_of(install: &Install) -> Pin {
    Pin {
        cid: install
            .cid
            .as_deref()
            .and_then(|text| cid::parse(text).ok()),
        size: install.size,
        sha256: install.sha256,
    }
}

/// Counts what is in place, and tells scripts of it.
fn keep(
    ledger: &Ledger<'_>,
    transfer: &mut Transfer<'_>,
    item: &Item<'_>,
    pin: &Pin,
) -> Result<(), CommandError> {
    if !ledger.context.wants_json() {
        transfer.kept();
        return Ok(());
    }
    let row = ledger.record(&item.path)?;
    let receipt = row.and_then(transfer::receipt);
    // The record may be forgotten; the ledger has what counts, and as proof the least that holds.
    let receipt = receipt.unwrap_or_else(|| Receipt {
        path: item.path.clone(),
        cid: pin.cid.as_ref().map(cid::text),
        size: pin.size,
        sha256: pin.sha256,
        checksum: None,
        proof: match pin.cid {
            Some(_) => Proof::Profile,
            None => Proof::Sha256,
        },
        bytes_fetched: 0,
        bytes_wasted: 0,
        resumed_from: pin.size,
        elapsed: 0.0,
        providers: Vec::new(),
    });
    transfer.found_in_place(row.map(|row| row.id), &item.entry.source, receipt);
    Ok(())
}
