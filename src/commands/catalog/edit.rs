//! `catalog add` and `catalog remove`: changes of the user's own catalogue.

use crate::cli::{AddEntry, Global};
use crate::commands::catalog::library::{CatalogFile, Listed};
use crate::commands::catalog::{open, update, view};
use crate::commands::context::{Context, show};
use crate::commands::error::CommandError;
use crate::exit::ExitKind;
use crate::settings::Settings;
use crate::settings::catalog::{self, Catalog, CatalogEntry, RemoteCatalog, USER};
use crate::ui::view::{EntryShown, RemovedView};

/// Adds an entry; or a catalogue from elsewhere, if it can be had.
pub(super) fn add(
    global: &Global,
    settings: &Settings,
    args: &AddEntry,
) -> Result<ExitKind, CommandError> {
    let file = CatalogFile::read(settings)?;
    if args.catalog {
        return add_remote(global, settings, &file, args);
    }
    add_entry(global, settings, &file, args)?;
    Ok(ExitKind::Success)
}

fn add_entry(
    global: &Global,
    settings: &Settings,
    file: &CatalogFile,
    args: &AddEntry,
) -> Result<(), CommandError> {
    let name = args.name.strip_prefix('@').unwrap_or(&args.name);
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
    let is_there = |file: &CatalogFile| file.catalog.find(name) == Some(&entry);
    if is_new(file, name, &is_there)? {
        CatalogFile::change(settings, |file| {
            Ok(match is_new(file, name, &is_there)? {
                true => Some(catalog::add(&file.path, &file.text, &entry)?),
                false => None,
            })
        })?;
    }
    let view = view(&Listed {
        entry: &entry,
        origin: USER,
        hidden_by: None,
    });
    show(global, &EntryShown { entry: &view }, String::new)
}

fn add_remote(
    global: &Global,
    settings: &Settings,
    file: &CatalogFile,
    args: &AddEntry,
) -> Result<ExitKind, CommandError> {
    let name = &args.name;
    catalog::check_remote_name(name).map_err(wrong)?;
    catalog::check_remote_source(&args.source, args.sha256.is_some()).map_err(wrong)?;
    let remote = RemoteCatalog {
        name: name.clone(),
        source: args.source.clone(),
        sha256: args.sha256,
        note: args.note.clone(),
    };
    let is_there = |file: &CatalogFile| file.catalog.find_remote(name) == Some(&remote);
    let has_to_be_added = is_new(file, name, &is_there)?;
    update::one(global, settings, &remote, &args.gateway, || {
        if !has_to_be_added {
            return Ok(());
        }
        // It may have been changed while the network was waited for.
        CatalogFile::change(settings, |file| {
            Ok(match is_new(file, name, &is_there)? {
                true => Some(catalog::add_remote(&file.path, &file.text, &remote)?),
                false => None,
            })
        })
    })
}

fn wrong(what: String) -> CommandError {
    CommandError::usage(what).hint("see what an entry takes with: fetchd catalog add --help")
}

/// Whether it has to be added: twice is harmless.
///
/// # Errors
/// Something else is called so already.
fn is_new(
    file: &CatalogFile,
    name: &str,
    is_there: &dyn Fn(&CatalogFile) -> bool,
) -> Result<bool, CommandError> {
    let what = match (file.catalog.find(name), file.catalog.find_remote(name)) {
        (None, None) => return Ok(true),
        _ if is_there(file) => return Ok(false),
        (Some(_), _) => "the catalogue has another entry called",
        (None, Some(_)) => "the catalogue names another catalogue",
    };
    Err(CommandError::usage(format!("{what} {name:?}"))
        .hint(format!("look at it with: fetchd catalog show {name}")))
}

/// Removes entries, and catalogues from elsewhere with what is kept of them.
pub(super) fn remove(
    global: &Global,
    settings: &Settings,
    names: &[String],
) -> Result<(), CommandError> {
    let mut removed: Vec<String> = Vec::new();
    let mut forgotten = None;
    CatalogFile::change(settings, |file| {
        let mut text = file.text.clone();
        for name in names {
            let name =
                own_name(&file.catalog, name).ok_or_else(|| no_own(global, settings, name))?;
            if removed.iter().all(|known| known != name) {
                text = catalog::remove(&file.path, &text, name)?;
                removed.push(name.to_owned());
            }
        }
        let unused = unused_by(&file.catalog, &removed);
        if !unused.is_empty() {
            // If the records cannot be used, nothing is changed.
            forgotten = Some((Context::open(global, settings.clone())?.store, unused));
        }
        Ok(Some(text))
    })?;
    if let Some((store, unused)) = forgotten {
        for (source, pin) in unused {
            store.forget_catalog(&source, pin).wait()?;
        }
    }
    show(global, &RemovedView { removed: &removed }, String::new)
}

/// What an entry, or a catalogue from elsewhere, is called in the user's own catalogue.
fn own_name<'a>(own: &'a Catalog, text: &str) -> Option<&'a str> {
    let text = text.strip_prefix('@').unwrap_or(text);
    match text.split_once('/') {
        Some((USER, name)) => Some(&own.find(name)?.name),
        Some(_) => None,
        None => {
            let entry = own.find(text).map(|entry| &entry.name);
            let name = entry.or_else(|| Some(&own.find_remote(text)?.name));
            name.map(String::as_str)
        }
    }
}

/// Why nothing of this name can be removed.
fn no_own(global: &Global, settings: &Settings, name: &str) -> CommandError {
    let library = match open(global, settings) {
        Ok(library) => library,
        Err(error) => return error,
    };
    match library.find(name) {
        Ok(found) => of_another(&found.entry.name, found.origin),
        Err(error) => error,
    }
}

/// The sources and pins to which only these lead: what is kept of them is of no use any more.
fn unused_by(own: &Catalog, removed: &[String]) -> Vec<(String, Option<[u8; 32]>)> {
    let key = |remote: &RemoteCatalog| (remote.source.clone(), remote.sha256);
    let is_removed = |remote: &&RemoteCatalog| removed.contains(&remote.name);
    let (gone, left): (Vec<_>, Vec<_>) = own.remotes.iter().partition(is_removed);
    let left: Vec<_> = left.into_iter().map(key).collect();
    let gone = gone.into_iter().map(key);
    gone.filter(|key| !left.contains(key)).collect()
}

fn of_another(name: &str, origin: &str) -> CommandError {
    CommandError::usage(format!("{name:?} is an entry of the catalogue {origin}")).hint(format!(
        "remove all of that with: fetchd catalog remove {origin}; or give the name another \
         meaning with: fetchd catalog add {name} SOURCE"
    ))
}
