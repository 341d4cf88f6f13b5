//! `catalog`: names for sources, and which of them fits this machine.
//!
//! Needs the configuration's directory, and no state.

use std::path::{Path, PathBuf};

use crate::cli::{AddEntry, CatalogCommand, Get, Global, Recommend};
use crate::commands::context::{self, show};
use crate::commands::error::CommandError;
use crate::content::hash::hex;
use crate::content::source::{self, Source};
use crate::disk::whole_file::{self, Access};
use crate::disk::{memory, place};
use crate::download::{chain, quoted_path};
use crate::exit::ExitKind;
use crate::settings::catalog::{self, Catalog, CatalogEntry, MAX_BYTES};
use crate::settings::{Document, Settings};
use crate::ui::out::Stderr;
use crate::ui::view::{CatalogView, EntryShown, EntryView, RecommendedView, RemovedView};
use crate::ui::{human, messages, table, text};

/// Runs a command on the catalogue.
pub fn run(
    global: &Global,
    settings: &Settings,
    command: &CatalogCommand,
) -> Result<ExitKind, CommandError> {
    let file = CatalogFile::read(settings)?;
    match command {
        CatalogCommand::List => {
            let entries: Vec<EntryView> = file.catalog.entries.iter().map(view).collect();
            let width = context::width();
            let text = || table::catalog(&entries, width);
            show(global, &CatalogView { entries: &entries }, text)?;
        }
        CatalogCommand::Show(args) => {
            let entry = view(file.find(&args.name)?);
            show(global, &EntryShown { entry: &entry }, || {
                text::entry(&entry)
            })?;
        }
        CatalogCommand::Add(args) => add(global, &file, args)?,
        CatalogCommand::Remove(args) => remove(global, &file, &args.names)?,
        CatalogCommand::Recommend(args) => recommend(global, &file.catalog, args)?,
    }
    Ok(ExitKind::Success)
}

/// What `get` is to do for `@NAME`: the source of the entry, with the checksum that it has. For
/// anything else, what was asked for.
pub fn look_up(settings: &Settings, get: &Get, text: &str) -> Result<(Get, String), CommandError> {
    let Ok(Source::Catalog(name)) = source::parse(text) else {
        return Ok((get.clone(), text.to_owned()));
    };
    let file = CatalogFile::read(settings)?;
    let entry = file.find(&name)?;
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

/// The catalogue on disk.
struct CatalogFile {
    path: PathBuf,
    text: String,
    catalog: Catalog,
}

impl CatalogFile {
    /// Reads it; one that is not there is empty.
    fn read(settings: &Settings) -> Result<Self, CommandError> {
        let Some(path) = settings.catalog_file.clone() else {
            let message = "there is no place for the catalogue: no home directory is known";
            return Err(CommandError::new(ExitKind::Config, message)
                .hint("name a configuration file with --config: the catalogue lies beside it"));
        };
        let bytes = match whole_file::read_small(&path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => Vec::new(),
            Err(error) => {
                let message = format!("cannot read the catalogue: {}", chain(&error));
                return Err(CommandError::new(ExitKind::Config, message)
                    .hint(format!("make it readable: {}", quoted_path(&path))));
            }
        };
        let document = Document {
            path: &path,
            bytes: &bytes,
        };
        let catalog = Catalog::parse(&document)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self {
            path,
            text,
            catalog,
        })
    }

    fn find(&self, name: &str) -> Result<&CatalogEntry, CommandError> {
        let name = name.strip_prefix('@').unwrap_or(name);
        self.catalog.find(name).ok_or_else(|| {
            let file = self.path.display();
            CommandError::usage(format!("no entry of the catalogue is called {name:?}")).hint(
                format!("see them all with: fetchd catalog list (they are in {file})"),
            )
        })
    }

    fn write(&self, text: &str) -> Result<(), CommandError> {
        place::ensure_dir(self.path.parent().unwrap_or(Path::new(".")))?;
        Ok(whole_file::write_atomic(
            &self.path,
            text.as_bytes(),
            Access::Umask,
        )?)
    }
}

fn add(global: &Global, file: &CatalogFile, args: &AddEntry) -> Result<(), CommandError> {
    let name = args.name.strip_prefix('@').unwrap_or(&args.name);
    let wrong = |what| {
        CommandError::usage(what).hint("see what an entry takes with: fetchd catalog add --help")
    };
    catalog::check_name(name).map_err(wrong)?;
    catalog::check_source(&args.source).map_err(wrong)?;
    let entry = CatalogEntry {
        name: name.to_owned(),
        source: args.source.clone(),
        size: args.size,
        sha256: args.sha256,
        kind: args.kind.clone(),
        memory: args.memory,
        licence: args.licence.clone(),
        note: args.note.clone(),
    };
    match file.catalog.find(name) {
        // Twice is harmless.
        Some(there) if *there == entry => {}
        Some(_) => {
            let message = format!("the catalogue has another entry called {name:?}");
            return Err(CommandError::usage(message)
                .hint(format!("look at it with: fetchd catalog show {name}")));
        }
        None => file.write(&catalog::add(&file.path, &file.text, &entry)?)?,
    }
    let view = view(&entry);
    show(global, &EntryShown { entry: &view }, String::new)
}

fn remove(global: &Global, file: &CatalogFile, names: &[String]) -> Result<(), CommandError> {
    let mut text = file.text.clone();
    let mut removed = Vec::new();
    for name in names {
        let name = &file.find(name)?.name;
        text = catalog::remove(&file.path, &text, name)?;
        removed.push(name.clone());
    }
    file.write(&text)?;
    show(global, &RemovedView { removed: &removed }, String::new)
}

fn recommend(global: &Global, catalog: &Catalog, args: &Recommend) -> Result<(), CommandError> {
    let memory = args.memory.or_else(memory::usable).ok_or_else(|| {
        CommandError::usage("this system does not say how much memory there is")
            .hint("say it with: fetchd catalog recommend --memory 16GiB")
    })?;
    let kind = args.kind.as_deref();
    let found = catalog.largest(kind, memory);
    let reason = reason(catalog, kind, memory, found);
    let recommended = found.map(view);
    let document = RecommendedView {
        recommended: recommended.as_ref(),
        memory,
        reason: &reason,
    };
    if !global.json && !global.quiet {
        let color = context::wants_color(global.color);
        Stderr::default().line(&messages::notice(&reason, color));
    }
    let name = || {
        recommended
            .as_ref()
            .map_or(String::new(), |entry| entry.name.clone())
    };
    show(global, &document, name)
}

/// Why this one, or none.
fn reason(
    catalog: &Catalog,
    kind: Option<&str>,
    memory: u64,
    found: Option<&CatalogEntry>,
) -> String {
    let room = human::size(memory);
    let among = match kind {
        Some(kind) => format!("of type {kind:?}"),
        None => "in the catalogue".to_owned(),
    };
    let least = |entry: &CatalogEntry| entry.least_memory();
    if let Some((entry, needs)) = found.and_then(|entry| Some((entry, least(entry)?))) {
        let is_too_large = |entry: &&CatalogEntry| least(entry).is_some_and(|least| least > memory);
        let larger = catalog.of_kind(kind).filter(is_too_large).count();
        let others = match larger {
            0 => String::new(),
            1 => "; 1 other needs more than there is".to_owned(),
            larger => format!("; {larger} others need more than there is"),
        };
        return format!(
            "{} is the largest {among} that fits: it needs {} of {room}{others}",
            entry.name,
            human::size(needs)
        );
    }
    match catalog.of_kind(kind).filter_map(least).min() {
        Some(smallest) => format!(
            "nothing {among} fits into {room}: the smallest needs {}",
            human::size(smallest)
        ),
        None if catalog.of_kind(kind).next().is_some() => {
            format!("nothing {among} says how large it is, or how much memory it needs")
        }
        None => format!("there is nothing {among}"),
    }
}

fn view(entry: &CatalogEntry) -> EntryView {
    EntryView {
        name: entry.name.clone(),
        source: entry.source.clone(),
        size: entry.size,
        sha256: entry.sha256.map(|sum| hex(&sum)),
        kind: entry.kind.clone(),
        memory: entry.memory,
        licence: entry.licence.clone(),
        note: entry.note.clone(),
    }
}
