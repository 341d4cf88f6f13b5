//! `catalog add` and `catalog remove`: changes of the user's own catalogue.

use crate::cli::{AddEntry, Global};
use crate::commands::catalog::library::{CatalogFile, Listed};
use crate::commands::catalog::{open, update, view};
use crate::commands::context::{Context, show};
use crate::commands::error::CommandError;
use crate::exit::ExitKind;
use crate::settings::Settings;
use crate::settings::catalog::{self, CatalogEntry, RemoteCatalog, USER};
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
    add_entry(global, &file, args)?;
    Ok(ExitKind::Success)
}

fn add_entry(global: &Global, file: &CatalogFile, args: &AddEntry) -> Result<(), CommandError> {
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
    // Twice is harmless.
    if file.catalog.find(name) != Some(&entry) {
        check_free(file, name)?;
        file.write(&catalog::add(&file.path, &file.text, &entry)?)?;
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
    let is_there = file.catalog.find_remote(name) == Some(&remote);
    if !is_there {
        check_free(file, name)?;
    }
    update::one(global, settings, &remote, &args.gateway, || {
        if is_there {
            return Ok(());
        }
        // It may have been changed while the network was waited for.
        let file = CatalogFile::read(settings)?;
        check_free(&file, name)?;
        file.write(&catalog::add_remote(&file.path, &file.text, &remote)?)
    })
}

fn wrong(what: String) -> CommandError {
    CommandError::usage(what).hint("see what an entry takes with: fetchd catalog add --help")
}

/// Fails if something is called so already.
fn check_free(file: &CatalogFile, name: &str) -> Result<(), CommandError> {
    let what = match (file.catalog.find(name), file.catalog.find_remote(name)) {
        (None, None) => return Ok(()),
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
    let library = open(global, settings)?;
    let file = &library.file;
    let mut text = file.text.clone();
    let mut removed: Vec<String> = Vec::new();
    for name in names {
        let name = name.strip_prefix('@').unwrap_or(name);
        if removed.iter().any(|known| known == name) {
            continue;
        }
        if file.catalog.find_remote(name).is_none() {
            let found = library.find(name)?;
            if found.origin != USER {
                return Err(of_another(name, found.origin));
            }
        }
        text = catalog::remove(&file.path, &text, name)?;
        removed.push(name.to_owned());
    }
    file.write(&text)?;
    let (gone, left): (Vec<_>, Vec<_>) = file
        .catalog
        .remotes
        .iter()
        .partition(|remote| removed.contains(&remote.name));
    forget(global, settings, &gone, &left)?;
    show(global, &RemovedView { removed: &removed }, String::new)
}

/// Forgets what is kept of these, but for what others lead to as well.
fn forget(
    global: &Global,
    settings: &Settings,
    gone: &[&RemoteCatalog],
    left: &[&RemoteCatalog],
) -> Result<(), CommandError> {
    if gone.is_empty() {
        return Ok(());
    }
    let key = |remote: &RemoteCatalog| (remote.source.clone(), remote.sha256);
    let left: Vec<_> = left.iter().copied().map(key).collect();
    let context = Context::open(global, settings.clone())?;
    for (source, pin) in gone.iter().copied().map(key) {
        if !left.contains(&(source.clone(), pin)) {
            context.store.forget_catalog(&source, pin).wait()?;
        }
    }
    Ok(())
}

fn of_another(name: &str, origin: &str) -> CommandError {
    CommandError::usage(format!("{name:?} is an entry of the catalogue {origin}")).hint(format!(
        "remove all of that with: fetchd catalog remove {origin}; or give the name another \
         meaning with: fetchd catalog add {name} SOURCE"
    ))
}
