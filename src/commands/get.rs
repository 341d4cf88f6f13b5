//! `get`: records what is wanted and fetches it.

mod wanted;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;

use crate::cli::Get;
use crate::cli::values::Checksum;
use crate::commands::catalog::Lookup;
use crate::commands::claim::Refused;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::providers::{self, Providers};
use crate::commands::transfer::Transfer;
use crate::commands::{claim, dry_run, enqueue, in_place, input, select, sums, wait};
use crate::content::cid;
use crate::content::hash::hex;
use crate::disk::place::{Nonce, Target};
use crate::disk::random_file::RandomFile;
use crate::disk::{host, inspect};
use crate::download::{DownloadId, Proof, Status, chain};
use crate::engine;
use crate::exit::ExitKind;
use crate::store::{DownloadRow, Looked, NewDownload};

pub use wanted::{Wanted, listed_names, wanted, wanted_offline};

/// What stands where something is wanted.
pub enum Seen {
    /// What is wanted, by this download.
    There(Box<DownloadRow>),
    /// Nothing that is in its way; this was seen.
    Free(Looked),
}

/// Fetches every source; one failure does not stop the others.
pub fn run(context: Context, get: Get) -> Result<ExitKind, CommandError> {
    let sources = input::sources(&get)?;
    if sources.len() > 1 && get.output.is_some() {
        return Err(
            CommandError::usage("-o names one file, and there are several sources")
                .hint("use -d DIR for several"),
        );
    }
    providers::check_mirrors(&get.mirror)?;
    let sums = sums::list(&get)?;
    if get.queue {
        return enqueue::run(&context, &get, &sources, sums.as_ref());
    }
    let mut transfer = Transfer::begin(&context, get.max_time)?;
    check_headers(&get, &sources, &mut transfer);
    transfer.take_headers(headers(&get));
    let catalog = Lookup::new(&context);
    for text in &sources {
        if transfer.is_over(text, None) {
            continue;
        }
        let done = match &sums {
            None => one(&context, &mut transfer, &catalog, &get, text),
            Some(sums) => listed_names(&get, text)
                .and_then(|names| sums::with_sum(&get, sums, &names))
                .and_then(|get| one(&context, &mut transfer, &catalog, &get, text)),
        };
        if let Err(error) = done {
            transfer.refused(text, error);
        }
    }
    Ok(transfer.end())
}

/// Says so where nobody will get the headers: they are for whom the user named himself.
fn check_headers(get: &Get, sources: &[String], transfer: &mut Transfer<'_>) {
    let is_sent = || providers::takes_headers(sources, &get.gateway, &get.mirror);
    if !get.header.is_empty() && !is_sent() {
        transfer.reporter.notice(
            "--header is not sent: it goes to a source or a mirror that is a URL, and there is none; \
             headers for a gateway belong into the configuration, see: fetchd config path",
        );
    }
}

fn headers(get: &Get) -> Vec<(String, String)> {
    get.header.iter().map(|header| header.0.clone()).collect()
}

fn one(
    context: &Context,
    transfer: &mut Transfer<'_>,
    catalog: &Lookup<'_>,
    get: &Get,
    text: &str,
) -> Result<(), CommandError> {
    let (get, text) = &catalog.look_up(get, text)?;
    if get.dry_run {
        return dry_run::one(context, transfer, get, text);
    }
    let wanted = wanted(context, transfer, get, text)?;
    let Seen::Free(looked) = look(context, transfer, get, &wanted)? else {
        return Ok(());
    };
    let recorded = recorded(get, &wanted);
    // The providers come first: bad ones are a mistake of typing, and leave no record.
    let providers = transfer.providers(&recorded)?;
    begin(
        context, transfer, get, &wanted, &recorded, providers, looked,
    )?;
    Ok(())
}

/// Looks whether it is in place already, which is said then; if not, it could be put there.
pub fn look(
    context: &Context,
    transfer: &mut Transfer<'_>,
    get: &Get,
    wanted: &Wanted,
) -> Result<Seen, CommandError> {
    // What is finished from now on is noticed when it is recorded that this is wanted.
    let looked = context.store.look_at(wanted.path.as_deref()).wait()?;
    if let Some(row) = there(context, get, wanted, &recorded(get, wanted))? {
        transfer.already_there(&row);
        return Ok(Seen::There(Box::new(row)));
    }
    check_target(context, wanted, get.force)?;
    Ok(Seen::Free(looked))
}

/// Records what is wanted, and fetches it; which download that is, or was.
pub fn begin(
    context: &Context,
    transfer: &mut Transfer<'_>,
    get: &Get,
    wanted: &Wanted,
    recorded: &Recorded,
    providers: Providers,
    mut looked: Looked,
) -> Result<DownloadId, CommandError> {
    let new = new_download(get, wanted, recorded);
    loop {
        if get.wait {
            wait::for_other(context, transfer, &new)?;
        }
        match claim::take(context, transfer, new.clone(), looked) {
            Err(Refused::DoneMeanwhile) => match look(context, transfer, get, wanted)? {
                Seen::Free(again) => looked = again,
                Seen::There(row) => return Ok(row.id),
            },
            // Somebody took it a moment ago.
            Err(_) if get.wait && claim::owner_of(context, &new)?.is_some() => {}
            Err(error) => return Err(error.into()),
            Ok(row) => {
                transfer.run(&row, providers);
                return Ok(row.id);
            }
        }
    }
}

/// Records what is wanted, or takes up the record that there is; it is claimed then.
pub fn claimed(
    context: &Context,
    transfer: &Transfer<'_>,
    get: &Get,
    wanted: &Wanted,
    recorded: &Recorded,
    looked: Looked,
) -> Result<DownloadRow, Refused> {
    claim::take(
        context,
        transfer,
        new_download(get, wanted, recorded),
        looked,
    )
}

/// The download that put in place what is wanted.
///
/// # Errors
/// What is in place has another checksum than the one that is demanded.
pub fn there(
    context: &Context,
    get: &Get,
    wanted: &Wanted,
    recorded: &Recorded,
) -> Result<Option<DownloadRow>, CommandError> {
    let row = in_place(context, get, wanted, recorded)?;
    if let (Some(row), Some(path)) = (&row, &wanted.path) {
        match (expected_sha256(get), &get.checksum) {
            (Some(expected), _) => check_sum(row, path, expected)?,
            (None, Some(checksum)) => match check_digest(path, checksum) {
                // As of a SHA-256 that is recorded.
                Err(error) if may_be_another(get, wanted, &error) => return Ok(None),
                checked => checked?,
            },
            (None, None) => {}
        }
    }
    Ok(row)
}

/// Whether the checksum says which file of a URL is wanted in place of the one that is there.
fn may_be_another(get: &Get, wanted: &Wanted, error: &CommandError) -> bool {
    get.force && wanted.root.is_none() && error.kind == ExitKind::Verification
}

/// The record of an earlier download of the same thing to the same place, if what it installed is
/// still there unchanged. Its checksum is for the caller to judge.
pub fn in_place(
    context: &Context,
    get: &Get,
    wanted: &Wanted,
    recorded: &Recorded,
) -> Result<Option<DownloadRow>, CommandError> {
    let Some(path) = &wanted.path else {
        return Ok(None);
    };
    let root = wanted.root.as_ref().map(cid::text);
    // A URL may lead to another file by now: with --force the checksum says which one is wanted.
    let demanded = expected_sha256(get).filter(|_| get.force && root.is_none());
    let found = select::at_path(context, path, |row| {
        row.status == Status::Success
            && row.root_cid == root
            && (root.is_some() || row.source == wanted.source)
            && row.content_path == wanted.names.join("/")
            && (row.kind == "car") == wanted.is_car
            && demanded.is_none_or(|demanded| row.sha256 == Some(demanded))
            && (row.proof != Some(Proof::Unverified) || root.is_none() || get.allow_unverified)
    })?;
    let Some(row) = found else {
        return Ok(None);
    };
    let is_unchanged = match row.kind.as_str() {
        "directory" => {
            Recorded::from_json(&row.options_json).takes_the_same(recorded)
                && in_place::is_tree_unchanged(&context.store, &row, path)?
        }
        "symlink" => in_place::is_link_unchanged(&context.store, row.id, path)?,
        _ => in_place::is_file_unchanged(&context.store, &row, path)?,
    };
    Ok(is_unchanged.then_some(row))
}

/// A checksum that contradicts what is in place: nothing is fetched again for it, and what is
/// there stays.
fn check_sum(row: &DownloadRow, path: &Path, expected: [u8; 32]) -> Result<(), CommandError> {
    let found = match row.sha256 {
        Some(sum) => sum,
        None => sha256_of(path)?,
    };
    match found == expected {
        true => Ok(()),
        false => Err(contradicted(path, "SHA-256", &found, &expected)),
    }
}

/// The same for a digest that no record keeps.
fn check_digest(path: &Path, expected: &Checksum) -> Result<(), CommandError> {
    let wanted = &expected.digest;
    let goes_on = AtomicBool::new(false);
    let found = RandomFile::open(path)
        .and_then(|file| engine::digest_of(&file, file.len(), wanted.code, &goes_on))
        .map_err(|error| CommandError::new(ExitKind::Disk, chain(&error)))?
        .unwrap_or_default();
    match found == wanted.digest {
        true => Ok(()),
        false => Err(contradicted(path, expected.name, &found, &wanted.digest)),
    }
}

fn contradicted(path: &Path, name: &str, found: &[u8], wanted: &[u8]) -> CommandError {
    let message = format!(
        "{} is in place, and has the {name} {}, not {}",
        path.display(),
        hex(found),
        hex(wanted)
    );
    CommandError::new(ExitKind::Verification, message)
        .hint("the CID and the checksum contradict each other: ask where they come from")
}

fn sha256_of(path: &Path) -> Result<[u8; 32], CommandError> {
    let sum = RandomFile::open(path).and_then(|file| engine::sha256_of(&file, &mut |_| true));
    let sum = sum.map_err(|error| CommandError::new(ExitKind::Disk, chain(&error)))?;
    sum.ok_or_else(|| CommandError::new(ExitKind::Internal, "nothing was summed up"))
}

/// Whether something could be put there, as far as looking can tell.
pub fn check_target(
    context: &Context,
    wanted: &Wanted,
    is_forced: bool,
) -> Result<(), CommandError> {
    let Some(path) = &wanted.path else {
        return Ok(());
    };
    if inspect::is_directory(path) && is_under_way(context, wanted, path)? {
        // It may have been renamed, and not recorded any more: the engine looks.
        return Ok(());
    }
    let is_content = wanted.root.is_some() && !wanted.is_car;
    let hint = match inspect::is_directory(path) {
        // The engine looks whether fetchd made all that is in it, or whether it is what is wanted.
        true if is_forced || is_content => return Ok(()),
        true => {
            "repeat it with --force if fetchd made that directory, or name another place with -o or -d"
        }
        false => "name another place with -o or -d",
    };
    // A file that exists may hold the very content: the engine judges it when it knows the size.
    Target::at(path)?
        .check_creatable(true)
        .map_err(|error| CommandError::from(error).hint(hint))
}

/// Whether a download of this very directory to this place has not ended.
fn is_under_way(context: &Context, wanted: &Wanted, path: &Path) -> Result<bool, CommandError> {
    Ok(select::under_way_to(context, path)?.is_some_and(|row| {
        row.kind == "directory"
            && row.root_cid == wanted.root.as_ref().map(cid::text)
            && row.content_path == wanted.names.join("/")
    }))
}

/// What the record is to keep of the flags.
pub fn recorded(get: &Get, wanted: &Wanted) -> Recorded {
    Recorded {
        gateways: providers::recordable(&get.gateway),
        hints: wanted.hint.iter().cloned().collect(),
        force: get.force,
        max_size: get.max_size.map(Recorded::limit),
        limit_rate: get.limit_rate.map(Recorded::limit),
        url: wanted.is_plain.then(|| wanted.source.clone()),
        mirrors: providers::recordable(&get.mirror),
        checksum: get.checksum.as_ref().map(ToString::to_string),
        size: None,
        allow_unverified: get.allow_unverified,
        connections: get.connections,
        include: get.include.clone(),
        exclude: get.exclude.clone(),
        preserve: get.preserve,
        max_time: get
            .max_time
            .filter(|_| get.queue)
            .map(|limit| limit.as_secs_f64()),
        netrc: get.netrc,
    }
}

/// The SHA-256 that is demanded, however it was given.
pub fn expected_sha256(get: &Get) -> Option<[u8; 32]> {
    let other = get
        .checksum
        .as_ref()
        .filter(|checksum| checksum.name == "sha256");
    get.sha256
        .or_else(|| other?.digest.digest.as_slice().try_into().ok())
}

/// A name that cannot be looked up says nothing of those who are asked for content.
fn lane(wanted: &Wanted, recorded: &Recorded) -> String {
    let is_name = wanted.root.is_none() && !wanted.is_plain;
    let name = is_name.then(|| format!("{} by ", wanted.source));
    name.unwrap_or_default() + &recorded.lane()
}

/// The record of what is wanted.
pub fn new_download(get: &Get, wanted: &Wanted, recorded: &Recorded) -> NewDownload {
    NewDownload {
        source: wanted.source.clone(),
        root_cid: wanted.root.as_ref().map(cid::text),
        content_path: wanted.names.join("/"),
        path: wanted.path.clone(),
        nonce: Nonce::random().to_string(),
        kind: if wanted.is_car { "car" } else { "file" }.to_owned(),
        options_json: recorded.to_json(),
        expected_sha256: expected_sha256(get),
        priority: get.priority.unwrap_or(0),
        lane: get.queue.then(|| lane(wanted, recorded)),
        uid: host::uid(),
        created: Timestamp::now(),
    }
}
