//! `catalog update`: fetches the catalogues from elsewhere that the user's own names.
//!
//! Each goes the way of any download into the state directory, is read there, and kept only if all
//! of it is understood; until then what was kept before stays in use. Invariant: what is kept was
//! proved by the CID, the key or the SHA-256 that the user's catalogue has for it, and what a key
//! leads to never goes back to an older record.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cli::values::Limit;
use crate::cli::{Get, Global, UpdateCatalogs};
use crate::commands::catalog::library::{self, CatalogFile, Shelf};
use crate::commands::catalog::{notice, remote_view};
use crate::commands::claim::{self, Refused};
use crate::commands::context::{self, Context};
use crate::commands::error::CommandError;
use crate::commands::get;
use crate::commands::transfer::{Tally, Transfer};
use crate::content::cid;
use crate::content::hash::{FileSha256, hex};
use crate::content::names::{Name, Resolved, Step, Target};
use crate::content::source::{self, Root, Source};
use crate::disk::place::Target as Place;
use crate::disk::private;
use crate::disk::tree;
use crate::disk::whole_file::read_small;
use crate::engine::Ending;
use crate::exit::ExitKind;
use crate::settings::Settings;
use crate::settings::catalog::{MAX_REMOTE_BYTES, RemoteCatalog};
use crate::store::{CatalogRow, DownloadRow, Store};
use crate::ui::table;
use crate::ui::view::{ErrorView, UpdatedView, UpdatesView};

/// The directory in the state directory to which they are fetched.
const ARRIVALS: &str = "catalogs";

/// Fetches those with these names, or all.
pub(super) fn run(
    global: &Global,
    settings: &Settings,
    args: &UpdateCatalogs,
) -> Result<ExitKind, CommandError> {
    let file = CatalogFile::read(settings)?;
    let remotes = chosen(&file, &args.names)?;
    if remotes.is_empty() {
        notice(
            global,
            "the catalogue names no others; add one with: fetchd catalog add NAME SOURCE --catalog",
        );
        return show_updates(global, &[]);
    }
    with_transfer(global, settings, &args.gateway, |work| {
        let mut tally = Tally::default();
        let mut updates = Vec::new();
        for remote in remotes {
            if tally.is_over() {
                break;
            }
            let outcome = work.fetch(remote);
            match &outcome {
                Ok(_) => tally.finished(),
                Err(failed) => {
                    tally.failed(failed.error.kind);
                    failed.tell(work.context);
                }
            }
            updates.push(updated(&work.context.store, remote, outcome)?);
        }
        show_updates(global, &updates)?;
        Ok(tally.outcome())
    })
}

/// Fetches one, and does this when it is kept.
pub(super) fn one(
    global: &Global,
    settings: &Settings,
    remote: &RemoteCatalog,
    gateways: &[String],
    then: impl FnOnce() -> Result<(), CommandError>,
) -> Result<ExitKind, CommandError> {
    with_transfer(global, settings, gateways, |work| {
        let outcome = work.fetch(remote);
        if let Err(failed) = &outcome {
            failed.tell(work.context);
            return Ok(failed.error.kind);
        }
        then()?;
        let update = updated(&work.context.store, remote, outcome)?;
        show_updates(global, &[update])
    })
}

fn chosen<'a>(
    file: &'a CatalogFile,
    names: &[String],
) -> Result<Vec<&'a RemoteCatalog>, CommandError> {
    if names.is_empty() {
        return Ok(file.catalog.remotes.iter().collect());
    }
    let find = |name: &String| {
        file.catalog.find_remote(name).ok_or_else(|| {
            let message = format!("the catalogue names no other called {name:?}");
            CommandError::usage(message).hint("see them with: fetchd --json catalog list")
        })
    };
    names.iter().map(find).collect()
}

fn with_transfer<T>(
    global: &Global,
    settings: &Settings,
    gateways: &[String],
    act: impl FnOnce(&mut Work<'_, '_>) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let context = Context::open(global, settings.clone())?;
    let mut transfer = Transfer::begin(&context, None)?;
    transfer.reporter = context.reporter_of_document();
    let done = act(&mut Work {
        context: &context,
        transfer: &mut transfer,
        gateways,
    });
    transfer.reporter.finish();
    transfer.close();
    done
}

fn show_updates(global: &Global, updates: &[UpdatedView]) -> Result<ExitKind, CommandError> {
    let document = UpdatesView { catalogs: updates };
    let table = || table::updated_catalogs(updates, context::width());
    context::show(global, &document, table)?;
    Ok(ExitKind::Success)
}

fn updated(
    store: &Store,
    remote: &RemoteCatalog,
    outcome: Result<bool, Failed>,
) -> Result<UpdatedView, CommandError> {
    let catalog = remote_view(&Shelf::open(store, remote)?);
    let changed = matches!(outcome, Ok(true));
    let error = outcome.err();
    let error = error.map(|failed| ErrorView::from(&failed.error.failure()));
    Ok(UpdatedView {
        catalog,
        changed,
        error,
    })
}

/// A catalogue that was not fetched.
struct Failed {
    error: CommandError,
    /// Whether its download has said so itself.
    is_told: bool,
}

impl Failed {
    fn tell(&self, context: &Context) {
        if !self.is_told {
            context.complain(&self.error);
        }
    }
}

impl<E: Into<CommandError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            is_told: false,
        }
    }
}

/// Where a source leads.
struct Lead {
    /// As `get` takes it; no name any more.
    source: String,
    cid: Option<String>,
    content_path: String,
    /// Of the record of the key that was named.
    sequence: Option<u64>,
}

struct Work<'a, 't> {
    context: &'a Context,
    transfer: &'a mut Transfer<'t>,
    gateways: &'a [String],
}

impl Work<'_, '_> {
    /// Brings one up to date; whether that changed anything.
    fn fetch(&mut self, remote: &RemoteCatalog) -> Result<bool, Failed> {
        let store = &self.context.store;
        let before = store.catalog(&remote.source, remote.sha256).wait()?;
        let lead = self.lead(remote, before.as_ref())?;
        let is_same = |kept: &CatalogRow| {
            (&kept.cid, &kept.content_path) == (&lead.cid, &lead.content_path)
                && library::entries(remote, kept.text.as_bytes()).is_ok()
        };
        let is_fresh = before.as_ref().is_some_and(is_same);
        let text = match before {
            Some(kept) if is_fresh => kept.text,
            _ => self.text(remote, &lead)?,
        };
        let kept = CatalogRow {
            cid: lead.cid,
            content_path: lead.content_path,
            sequence: lead.sequence,
            fetched: Timestamp::now(),
            text,
        };
        let kept = (self.context.store).keep_catalog(&remote.source, remote.sha256, kept);
        kept.wait()?;
        Ok(!is_fresh)
    }

    /// Follows names to content.
    fn lead(
        &mut self,
        remote: &RemoteCatalog,
        before: Option<&CatalogRow>,
    ) -> Result<Lead, Failed> {
        let plain = |cid: Option<String>, path: &[String]| Lead {
            source: remote.source.clone(),
            cid,
            content_path: path.join("/"),
            sequence: None,
        };
        let content = match source::parse(&remote.source)? {
            Source::Content(content) => content,
            Source::Url(_) | Source::Catalog(_) => return Ok(plain(None, &[])),
        };
        if let Root::Ipfs(root) = content.root {
            return Ok(plain(Some(cid::text(&root)), &content.path));
        }
        let resolved = self.transfer.resolve(&content, self.gateways)?;
        self.check_names(remote, &resolved, before)?;
        let target = Target {
            root: Root::Ipfs(resolved.cid),
            path: resolved.path.clone(),
        };
        Ok(Lead {
            source: target.to_string(),
            sequence: resolved.steps.first().and_then(|step| step.sequence),
            ..plain(Some(cid::text(&resolved.cid)), &resolved.path)
        })
    }

    /// Fails unless every name on the way was proved by the newest record that was ever seen of it.
    /// What has a SHA-256 of its own needs no other proof.
    fn check_names(
        &self,
        remote: &RemoteCatalog,
        resolved: &Resolved,
        before: Option<&CatalogRow>,
    ) -> Result<(), CommandError> {
        if remote.sha256.is_some() {
            return Ok(());
        }
        let mut kept = before.and_then(|kept| kept.sequence);
        for Step { name, sequence, .. } in &resolved.steps {
            let Name::Key(_) = name else {
                let message = format!(
                    "{}: it leads to the DNSLink name {name}, which proves nothing",
                    remote.source
                );
                return Err(CommandError::new(ExitKind::Verification, message)
                    .hint("its owner must let it point to a CID"));
            };
            let row = self.context.store.ipns(&name.to_string()).wait()?;
            let newest = row.map(|row| row.sequence).max(kept.take());
            if *sequence < newest {
                let shown = |sequence: Option<u64>| sequence.unwrap_or_default();
                let message = format!(
                    "{}: the record of {name} is older (sequence {}) than one seen before (sequence {})",
                    remote.source,
                    shown(*sequence),
                    shown(newest)
                );
                return Err(CommandError::new(ExitKind::Verification, message).hint(
                    "what was fetched before stays in use; its owner must publish a newer one",
                ));
            }
        }
        Ok(())
    }

    /// Fetches it and reads it; nothing is left of the download.
    fn text(&mut self, remote: &RemoteCatalog, lead: &Lead) -> Result<String, Failed> {
        let path = arrival(&self.context.settings, remote)?;
        let row = self.download(remote, lead, &path)?;
        let text = read(remote, &row, &path);
        self.discard(&row, &path)?;
        Ok(text?)
    }

    /// Fetches it to this place, unless it came there before and was not read.
    fn download(
        &mut self,
        remote: &RemoteCatalog,
        lead: &Lead,
        path: &Path,
    ) -> Result<DownloadRow, Failed> {
        let get = Get {
            sources: vec![lead.source.clone()],
            output: Some(path.to_path_buf()),
            dir: path.parent().map(Path::to_path_buf),
            gateway: self.gateways.to_vec(),
            sha256: remote.sha256,
            max_size: Some(Limit(Some(MAX_REMOTE_BYTES))),
            force: true,
            ..Get::default()
        };
        let wanted = get::wanted(self.context, self.transfer, &get, &lead.source)?;
        let recorded = get::recorded(&get, &wanted);
        let (providers, row) = loop {
            let looked = self.context.store.look_at(Some(path)).wait()?;
            if let Some(row) = get::in_place(self.context, &get, &wanted, &recorded)? {
                return Ok(row);
            }
            let providers = self.transfer.providers(&recorded)?;
            let (context, transfer) = (self.context, &*self.transfer);
            match get::claimed(context, transfer, &get, &wanted, &recorded, looked) {
                Err(Refused::DoneMeanwhile) => {}
                Err(error) => return Err(CommandError::from(error).into()),
                Ok(row) => break (providers, row),
            }
        };
        let told = |error: CommandError| Failed {
            error,
            is_told: true,
        };
        let stopped = |kind| told(CommandError::new(kind, "it was stopped"));
        self.transfer.start(&row, providers)?;
        match self.transfer.next_ended().map(|ended| ended.ending) {
            Some(Ending::Finished(_)) => Ok(claim::reread(self.context, row.id)?),
            Some(Ending::Failed { failure, .. }) => Err(told(failure.into())),
            Some(Ending::Signalled(kind)) => Err(stopped(kind)),
            Some(Ending::Paused | Ending::Cancelled) | None => Err(stopped(ExitKind::Stopped)),
        }
    }

    /// Forgets the download: what matters of it is kept elsewhere.
    fn discard(&self, row: &DownloadRow, path: &Path) -> Result<(), CommandError> {
        tree::remove_tree(path)?;
        self.context.store.forget_install(path).wait()?;
        Ok(self.context.store.forget(row.id).wait()?)
    }
}

/// Where it is fetched to before it is read and kept: a name that says what it is, should the
/// download fail and stay in the records.
fn arrival(settings: &Settings, remote: &RemoteCatalog) -> Result<PathBuf, CommandError> {
    let directory = settings.state_dir.join(ARRIVALS);
    private::create_private_dir(&settings.state_dir)?;
    private::create_private_dir(&directory)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let plain = |c: char| if is_plain(c) { c } else { '_' };
    let name: String = remote.name.chars().map(plain).collect();
    // Of source and pin: another one is another file.
    let mut key = FileSha256::new();
    key.update(remote.source.as_bytes());
    key.update(&remote.sha256.unwrap_or_default());
    let key = &hex(&key.finish())[..8];
    // Absolute, as the records have it: the state directory may be given relative to where we are.
    let place = Place::at(&directory.join(format!("{name}-{key}.toml")))?;
    Ok(place.path().to_path_buf())
}

/// What was fetched, if it is a catalogue.
fn read(remote: &RemoteCatalog, row: &DownloadRow, path: &Path) -> Result<String, CommandError> {
    if row.kind != "file" {
        let message = format!("{} is a {}, and no catalogue", remote.source, row.kind);
        return Err(CommandError::new(ExitKind::Config, message)
            .hint("name a file in it, as in: ipfs://CID/catalog.toml"));
    }
    let bytes = read_small(path, MAX_REMOTE_BYTES)?;
    library::entries(remote, &bytes).map_err(|error| {
        error.hint("what was fetched before stays in use; its author must correct this")
    })?;
    // It was read as text.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
