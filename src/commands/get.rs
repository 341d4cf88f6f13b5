//! `get`: records what is wanted and fetches it.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cli::Get;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::providers;
use crate::commands::transfer::Transfer;
use crate::content::cid::{self, Cid};
use crate::content::source::{self, ContentSource, Root, Source};
use crate::disk::place::{self, Nonce, SafeName, Target};
use crate::disk::{host, inspect, whole_file};
use crate::download::{DownloadId, Status};
use crate::exit::ExitKind;
use crate::store::{Claim, DownloadRow, NewDownload, StoreError};

/// The largest list of sources that is read.
const MAX_INPUT_BYTES: u64 = 64 << 20;

/// What one source on the command line asks for.
struct Wanted {
    source: String,
    root: Cid,
    path: Option<PathBuf>,
    hint: Option<String>,
}

/// Fetches every source; one failure does not stop the others.
pub fn run(context: Context, get: Get) -> Result<ExitKind, CommandError> {
    let sources = sources(&get)?;
    if sources.len() > 1 && get.output.is_some() {
        return Err(
            CommandError::usage("-o names one file, and there are several sources")
                .hint("use -d DIR for several"),
        );
    }
    let mut transfer = Transfer::begin(&context, get.max_time)?;
    for text in &sources {
        if transfer.is_over() {
            break;
        }
        if let Err(error) = one(&context, &mut transfer, &get, text) {
            transfer.refused(text, None, error);
        }
    }
    transfer.end()
}

fn one(
    context: &Context,
    transfer: &mut Transfer<'_>,
    get: &Get,
    text: &str,
) -> Result<(), CommandError> {
    let wanted = wanted(context, get, text)?;
    if let Some(row) = in_place(context, &wanted)? {
        transfer.already_there(&row);
        return Ok(());
    }
    check_target(get, &wanted)?;
    let row = take(context, transfer, get, &wanted)?;
    transfer.run(&row);
    Ok(())
}

/// The sources of the command line and of `-i`.
fn sources(get: &Get) -> Result<Vec<String>, CommandError> {
    let mut sources = get.sources.clone();
    let Some(input) = &get.input else {
        return Ok(sources);
    };
    let text = if input == Path::new("-") {
        let lines = std::io::stdin()
            .lock()
            .lines()
            .collect::<Result<Vec<_>, _>>();
        lines
            .map_err(|error| {
                CommandError::usage(format!(
                    "cannot read the sources from standard input: {error}"
                ))
            })?
            .join("\n")
    } else {
        let bytes = whole_file::read_small(input, MAX_INPUT_BYTES).map_err(|error| {
            CommandError::usage(format!(
                "cannot read the list of sources: {}",
                crate::ui::messages::chain(&error)
            ))
        })?;
        String::from_utf8(bytes)
            .map_err(|_| CommandError::usage(format!("{} is not text", input.display())))?
    };
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    sources.extend(lines.map(str::to_owned));
    Ok(sources)
}

fn wanted(context: &Context, get: &Get, text: &str) -> Result<Wanted, CommandError> {
    let content = match source::parse(text)? {
        Source::Content(content) => content,
        Source::Url(_) => return Err(later("a plain https file by its checksum")),
        Source::Catalog(_) => return Err(later("a name from the catalogue")),
    };
    let Root::Ipfs(root) = content.root else {
        return Err(later("an IPNS or DNSLink name")
            .hint("resolve it first, for example with: ipfs resolve"));
    };
    if !content.path.is_empty() {
        return Err(later("a path below a CID").hint("give the CID of the file itself"));
    }
    let path = match get.output.as_deref() {
        Some(output) if output == Path::new("-") => None,
        output => Some(target(context, get, output, &content, &root)?),
    };
    Ok(Wanted {
        source: text.to_owned(),
        root,
        path,
        hint: content.hint,
    })
}

fn later(what: &str) -> CommandError {
    CommandError::usage(format!("this version of fetchd cannot fetch {what} yet"))
}

/// Where the file goes: `-o`, else a name from the source, in `-d`, the configured directory or
/// the current one.
fn target(
    context: &Context,
    get: &Get,
    output: Option<&Path>,
    content: &ContentSource,
    root: &Cid,
) -> Result<PathBuf, CommandError> {
    let dir = get
        .dir
        .clone()
        .or_else(|| context.settings.keys.download_dir.clone());
    if let Some(dir) = &dir {
        place::ensure_dir(dir)?;
    }
    let dir = dir.unwrap_or_else(|| PathBuf::from("."));
    if let Some(output) = output {
        return Ok(Target::at(&dir.join(output))?.path().to_path_buf());
    }
    let offered = content.filename.as_deref().and_then(place::sanitize_name);
    let name = match offered {
        Some(name) => name,
        None => SafeName::new(&name_of(root))?,
    };
    Ok(Target::new(&dir, &name)?.path().to_path_buf())
}

/// The CID as a file name: an inlined one may be longer than a name can be.
fn name_of(root: &Cid) -> String {
    let mut name = cid::text(root);
    name.truncate(200);
    name
}

/// The record of an earlier download of the same thing to the same place, if what it installed is
/// still there unchanged.
fn in_place(context: &Context, wanted: &Wanted) -> Result<Option<DownloadRow>, CommandError> {
    let Some(path) = &wanted.path else {
        return Ok(None);
    };
    let Some(install) = context.store.install_at(path).wait()? else {
        return Ok(None);
    };
    let is_same = install.cid.as_deref() == Some(cid::text(&wanted.root).as_str())
        && inspect::fingerprint(path) == Some((install.size, install.mtime_ns));
    if !is_same {
        return Ok(None);
    }
    for id in context.store.find_by_path(path).wait()? {
        if let Some(row) = context.store.download(id).wait()?
            && row.status == Status::Success
            && row.root_cid == install.cid
        {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

fn check_target(get: &Get, wanted: &Wanted) -> Result<(), CommandError> {
    let Some(path) = &wanted.path else {
        return Ok(());
    };
    // A file that exists may hold the very content: the engine judges it when it knows the size.
    Target::at(path)?
        .check_creatable(true)
        .map_err(|error| CommandError::from(error).hint("choose another place with -o or -d"))?;
    let _ = get;
    Ok(())
}

/// Makes a record, or takes up the one that is under way to the same place; claimed either way.
fn take(
    context: &Context,
    transfer: &Transfer<'_>,
    get: &Get,
    wanted: &Wanted,
) -> Result<DownloadRow, CommandError> {
    let recorded = Recorded {
        gateways: providers::recordable(&get.gateway),
        hints: wanted.hint.iter().cloned().collect(),
        force: get.force,
        max_size: get.max_size.and_then(|limit| limit.0),
    };
    let new = NewDownload {
        source: wanted.source.clone(),
        root_cid: Some(cid::text(&wanted.root)),
        content_path: String::new(),
        path: wanted.path.clone(),
        nonce: Nonce::random().to_string(),
        kind: "file".to_owned(),
        options_json: recorded.to_json(),
        expected_sha256: get.sha256,
        priority: 0,
        uid: host::uid(),
        created: Timestamp::now(),
    };
    let id = match context
        .store
        .create_download(new, Some(transfer.run_id()))
        .wait()
    {
        Ok(id) => id,
        Err(StoreError::ActiveExists { id }) => {
            return take_up(context, transfer, get, wanted, id, &recorded);
        }
        Err(error) => return Err(error.into()),
    };
    let row = context.store.download(id).wait()?;
    row.ok_or_else(|| CommandError::new(ExitKind::Internal, "a record that was just made is gone"))
}

/// Goes on with an unfinished download to the same place, if it is of the same content.
fn take_up(
    context: &Context,
    transfer: &Transfer<'_>,
    get: &Get,
    wanted: &Wanted,
    id: DownloadId,
    recorded: &Recorded,
) -> Result<DownloadRow, CommandError> {
    let row = context.store.download(id).wait()?;
    let same = row
        .as_ref()
        .is_some_and(|row| row.root_cid.as_deref() == Some(cid::text(&wanted.root).as_str()));
    if !same {
        return Err(CommandError::new(
            ExitKind::Exists,
            format!("download {id} of something else is under way to the same place"),
        )
        .hint(format!(
            "choose another place with -o, or give that one up with: fetchd cancel {id}"
        )));
    }
    let claimed = claim(context, transfer, id)?;
    context
        .store
        .set_options(
            id,
            transfer.run_id(),
            recorded.to_json(),
            get.sha256.or(claimed.expected_sha256),
        )
        .wait()?;
    let row = context.store.download(id).wait()?;
    row.ok_or_else(|| {
        CommandError::new(ExitKind::Internal, "a record that was just claimed is gone")
    })
}

/// Makes this run the owner of an unfinished download.
pub fn claim(
    context: &Context,
    transfer: &Transfer<'_>,
    id: DownloadId,
) -> Result<DownloadRow, CommandError> {
    let store = &context.store;
    let now = Timestamp::now();
    let (run, rest) = (transfer.run_id(), [Status::Paused, Status::Failed]);
    match store.claim(id, run, &rest, Status::Resuming, now).wait()? {
        Claim::Taken(row) => Ok(*row),
        Claim::Owned { .. } => Err(CommandError::new(
            ExitKind::Retry,
            format!("another process is working on download {id}"),
        )
        .hint(format!("see who it is with: fetchd show {id}"))),
        Claim::Elsewhere {
            status: Status::Pending,
        } => match store
            .claim(id, run, &[Status::Pending], Status::InProgress, now)
            .wait()?
        {
            Claim::Taken(row) => Ok(*row),
            _ => Err(CommandError::new(
                ExitKind::Retry,
                format!("another process has just taken download {id}"),
            )),
        },
        Claim::Elsewhere { status } => Err(CommandError::usage(format!(
            "download {id} cannot be gone on with: it is {status}"
        ))),
    }
}
