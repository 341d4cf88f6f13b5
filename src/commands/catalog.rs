//! `catalog`: names for sources, and which of them fits this machine.
//!
//! Needs the configuration's directory, and the store only for what is kept of catalogues from
//! elsewhere.

mod edit;
mod library;
mod recommend;
mod update;

use std::cell::OnceCell;

use crate::cli::{CatalogCommand, EntryName, Get, Global};
use crate::commands::catalog::library::{Library, Listed, Shelf, Unusable};
use crate::commands::context::{self, Context, show};
use crate::commands::error::CommandError;
use crate::content::hash::hex;
use crate::content::source::{self, Source};
use crate::exit::ExitKind;
use crate::settings::Settings;
use crate::ui::human::Time;
use crate::ui::out::Stderr;
use crate::ui::view::{CatalogView, EntryShown, EntryView, RemoteShown, RemoteState, RemoteView};
use crate::ui::{messages, table, text};

/// Runs a command on the catalogue.
pub fn run(
    global: &Global,
    settings: &Settings,
    command: &CatalogCommand,
) -> Result<ExitKind, CommandError> {
    match command {
        CatalogCommand::List => list(global, settings)?,
        CatalogCommand::Show(args) => show_one(global, settings, args)?,
        CatalogCommand::Add(args) => return edit::add(global, settings, args),
        CatalogCommand::Remove(args) => edit::remove(global, settings, &args.names)?,
        CatalogCommand::Update(args) => return update::run(global, settings, args),
        CatalogCommand::Recommend(args) => recommend::run(global, settings, args)?,
    }
    Ok(ExitKind::Success)
}

/// The catalogue for one invocation, whose sources may name many entries: it is read when the first
/// of them does.
pub struct Lookup<'a> {
    context: &'a Context,
    library: OnceCell<Library>,
}

impl<'a> Lookup<'a> {
    /// Reads nothing yet.
    pub fn new(context: &'a Context) -> Self {
        Self {
            context,
            library: OnceCell::new(),
        }
    }

    /// What `get` is to do for `@NAME`: the source of the entry, with the checksum that it has. For
    /// anything else, what was asked for.
    ///
    /// # Errors
    /// Code 2 if there is no such entry, 78 if a catalogue cannot be read.
    pub fn look_up(&self, get: &Get, text: &str) -> Result<(Get, String), CommandError> {
        let Ok(Source::Catalog(name)) = source::parse(text) else {
            return Ok((get.clone(), text.to_owned()));
        };
        let entry = self.library()?.find(&name)?.entry;
        let asks_for_sum = get.sha256.is_some() || get.checksum.is_some() || get.car;
        let get = Get {
            sha256: match asks_for_sum {
                true => get.sha256,
                false => entry.sha256,
            },
            ..get.clone()
        };
        Ok((get, entry.source.clone()))
    }

    fn library(&self) -> Result<&Library, CommandError> {
        if let Some(library) = self.library.get() {
            return Ok(library);
        }
        let context = self.context;
        let library = Library::open(&context.settings, || Ok(context.store.clone()))?;
        Ok(self.library.get_or_init(|| library))
    }
}

/// The user's catalogue with all that it names, to be looked at.
fn open(global: &Global, settings: &Settings) -> Result<Library, CommandError> {
    Library::open(settings, || {
        Ok(Context::open_to_look(global, settings.clone())?.store)
    })
}

fn list(global: &Global, settings: &Settings) -> Result<(), CommandError> {
    let library = open(global, settings)?;
    let entries: Vec<EntryView> = library.listed().iter().map(view).collect();
    let catalogs: Vec<RemoteView> = library.shelves.iter().map(remote_view).collect();
    notice_troubles(global, &library);
    let document = CatalogView {
        entries: &entries,
        catalogs: &catalogs,
    };
    show(global, &document, || {
        table::catalog(&entries, !catalogs.is_empty(), context::width())
    })
}

/// Shows an entry, or a catalogue from elsewhere.
fn show_one(global: &Global, settings: &Settings, args: &EntryName) -> Result<(), CommandError> {
    let library = open(global, settings)?;
    let is_it = |shelf: &&Shelf| shelf.remote.name == args.name;
    if let Some(shelf) = library.shelves.iter().find(is_it) {
        let catalog = remote_view(shelf);
        return show(global, &RemoteShown { catalog: &catalog }, || {
            text::remote_catalog(&catalog)
        });
    }
    let entry = view(&library.find(&args.name)?);
    show(global, &EntryShown { entry: &entry }, || {
        text::entry(&entry)
    })
}

/// Says which catalogues could not be looked into.
fn notice_troubles(global: &Global, library: &Library) {
    for trouble in library.shelves.iter().filter_map(Shelf::trouble) {
        notice(global, &trouble);
    }
}

/// Tells a person something, unless silence or JSON is asked for.
fn notice(global: &Global, text: &str) {
    if !global.json && !global.quiet {
        let color = context::wants_color(global.color);
        Stderr::default().line(&messages::notice(text, color));
    }
}

fn view(listed: &Listed<'_>) -> EntryView {
    let entry = listed.entry;
    EntryView {
        name: entry.name.clone(),
        source: entry.source.clone(),
        size: entry.size,
        sha256: entry.sha256.map(|sum| hex(&sum)),
        kind: entry.kind.clone(),
        memory: entry.memory,
        licence: entry.licence.clone(),
        note: entry.note.clone(),
        origin: listed.origin.to_owned(),
        hidden_by: listed.hidden_by.map(str::to_owned),
    }
}

fn remote_view(shelf: &Shelf) -> RemoteView {
    let (remote, contents) = (&shelf.remote, shelf.contents.as_ref());
    let kept = contents.ok().map(|contents| &contents.kept);
    RemoteView {
        name: remote.name.clone(),
        source: remote.source.clone(),
        sha256: remote.sha256.map(|sum| hex(&sum)),
        note: remote.note.clone(),
        state: match contents {
            Ok(_) => RemoteState::Ok,
            Err(Unusable::Missing) => RemoteState::Missing,
            Err(Unusable::Damaged(_)) => RemoteState::Damaged,
        },
        entries: contents.ok().map(|contents| contents.entries.len()),
        cid: kept.and_then(|kept| kept.cid.clone()),
        content_path: kept
            .map(|kept| kept.content_path.clone())
            .filter(|path| !path.is_empty()),
        sequence: kept.and_then(|kept| kept.sequence),
        fetched_at: kept.map(|kept| Time::from(kept.fetched)),
    }
}
