//! `get`: records what is wanted and fetches it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cli::Get;
use crate::commands::claim::Refused;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::providers::{self, Providers};
use crate::commands::transfer::Transfer;
use crate::commands::{catalog, claim, dry_run, enqueue, in_place, input, select, sums, wait};
use crate::content::cid::{self, Cid};
use crate::content::hash::hex;
use crate::content::names::Resolved;
use crate::content::source::{self, ContentSource, Root, Source};
use crate::disk::place::{self, Nonce, SafeName, Target};
use crate::disk::random_file::RandomFile;
use crate::disk::{DiskError, host, inspect};
use crate::download::{Status, chain};
use crate::engine;
use crate::exit::ExitKind;
use crate::store::{DownloadRow, Looked, NewDownload};

/// What one source on the command line asks for.
pub struct Wanted {
    /// As the user typed it.
    pub source: String,
    /// Where the way begins; `None` for a plain file at a URL, and for a name that nobody has
    /// looked up.
    pub root: Option<Cid>,
    /// The names along it.
    pub names: Vec<String>,
    /// Whether it is a plain file at a URL.
    is_plain: bool,
    /// Whether its blocks are wanted, as a CAR.
    is_car: bool,
    /// Where it goes; `None` for standard output.
    pub path: Option<PathBuf>,
    hint: Option<String>,
}

impl Wanted {
    /// A root that a source is known to lead to, all of it.
    pub fn pinned(source: &str, parsed: &Source, root: Cid, path: PathBuf) -> Self {
        let hint = match parsed {
            Source::Content(content) => content.hint.clone(),
            Source::Url(_) | Source::Catalog(_) => None,
        };
        Self {
            source: source.to_owned(),
            root: Some(root),
            names: Vec::new(),
            is_plain: false,
            is_car: false,
            path: Some(path),
            hint,
        }
    }

    /// A root, all of it, to where the flags say.
    pub fn of_root(context: &Context, get: &Get, root: Cid) -> Result<Self, CommandError> {
        let content = ContentSource {
            root: Root::Ipfs(root),
            path: Vec::new(),
            filename: None,
            hint: None,
        };
        let name = || SafeName::new(&name_of(&content));
        Ok(Self {
            source: cid::text(&root),
            root: Some(root),
            names: Vec::new(),
            is_plain: false,
            is_car: false,
            path: Some(target(context, get, get.output.as_deref(), name)?),
            hint: None,
        })
    }
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
    transfer.take_headers(headers(&get));
    for text in &sources {
        if transfer.is_over(text, None) {
            continue;
        }
        let done = match &sums {
            None => one(&context, &mut transfer, &get, text),
            Some(sums) => listed_names(&get, text)
                .and_then(|names| sums::with_sum(&get, sums, &names))
                .and_then(|get| one(&context, &mut transfer, &get, text)),
        };
        if let Err(error) = done {
            transfer.refused(text, error);
        }
    }
    Ok(transfer.end())
}

/// The names that a source may have in a list of checksums: its own, then the one that it gets.
pub fn listed_names(get: &Get, text: &str) -> Result<Vec<String>, CommandError> {
    let mut names = Vec::new();
    match source::parse(text)? {
        Source::Content(content) => {
            names.extend(content.path.last().cloned());
            names.extend(content.filename.clone());
            names.push(name_of(&content));
        }
        Source::Url(url) => names.push(file_name(&url)?.as_str().to_owned()),
        Source::Catalog(name) => names.push(name),
    }
    let output = get.output.as_deref().and_then(Path::file_name);
    names.extend(output.map(|name| name.to_string_lossy().into_owned()));
    Ok(names)
}

fn headers(get: &Get) -> Vec<(String, String)> {
    get.header.iter().map(|header| header.0.clone()).collect()
}

fn one(
    context: &Context,
    transfer: &mut Transfer<'_>,
    get: &Get,
    text: &str,
) -> Result<(), CommandError> {
    let (get, text) = &catalog::look_up(context, get, text)?;
    if get.dry_run {
        return dry_run::one(context, transfer, get, text);
    }
    let wanted = wanted(context, transfer, get, text)?;
    let Some(looked) = look(context, transfer, get, &wanted)? else {
        return Ok(());
    };
    let recorded = recorded(get, &wanted);
    // The providers come first: bad ones are a mistake of typing, and leave no record.
    let providers = transfer.providers(&recorded)?;
    begin(
        context, transfer, get, &wanted, &recorded, providers, looked,
    )
}

/// Looks whether it is in place already, which is said then: `None`. If not, it could be put there,
/// and this is what was seen.
pub fn look(
    context: &Context,
    transfer: &mut Transfer<'_>,
    get: &Get,
    wanted: &Wanted,
) -> Result<Option<Looked>, CommandError> {
    // What is finished from now on is noticed when it is recorded that this is wanted.
    let looked = context.store.look_at(wanted.path.as_deref()).wait()?;
    let found = in_place(context, wanted, &recorded(get, wanted))?;
    let expected = expected_sha256(get);
    // A URL may lead to another file by now: with --force the checksum says which one is wanted.
    let is_outdated = |row: &DownloadRow| {
        let is_other = expected.is_some_and(|expected| row.sha256 != Some(expected));
        get.force && row.root_cid.is_none() && is_other
    };
    if let Some((row, path)) = found.filter(|(row, _)| !is_outdated(row)) {
        if let Some(expected) = expected {
            check_sum(&row, &path, expected)?;
        }
        transfer.already_there(&row);
        return Ok(None);
    }
    check_target(context, wanted, get.force)?;
    Ok(Some(looked))
}

/// Records what is wanted, and fetches it.
pub fn begin(
    context: &Context,
    transfer: &mut Transfer<'_>,
    get: &Get,
    wanted: &Wanted,
    recorded: &Recorded,
    providers: Providers,
    mut looked: Looked,
) -> Result<(), CommandError> {
    let new = new_download(get, wanted, recorded);
    loop {
        if get.wait && wait::for_other(context, transfer, &new)? {
            return Ok(());
        }
        match claim::take(context, transfer, new.clone(), looked) {
            Err(Refused::DoneMeanwhile) => match look(context, transfer, get, wanted)? {
                Some(again) => looked = again,
                None => return Ok(()),
            },
            // Somebody took it a moment ago.
            Err(_) if get.wait && claim::owner_of(context, &new)?.is_some() => {}
            Err(error) => return Err(error.into()),
            Ok(row) => {
                transfer.run(&row, providers);
                return Ok(());
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

/// What a source on the command line means.
pub fn wanted(
    context: &Context,
    transfer: &mut Transfer<'_>,
    get: &Get,
    text: &str,
) -> Result<Wanted, CommandError> {
    let content = match source::parse(text)? {
        Source::Content(content) => content,
        Source::Url(url) => return wanted_file(context, get, url),
        // Looked up before; the source of an entry is none.
        Source::Catalog(name) => return Err(CommandError::usage(format!("@{name} is no source"))),
    };
    // A name is looked up once; from then on the record holds what it led to.
    let resolved = transfer.resolve(&content, &get.gateway)?;
    wanted_content(context, get, text, &content, Some(resolved))
}

/// The same without asking anybody: a name stays one.
pub fn wanted_offline(context: &Context, get: &Get, text: &str) -> Result<Wanted, CommandError> {
    match source::parse(text)? {
        Source::Content(content) => {
            let known = match content.root {
                Root::Ipfs(cid) => Some(Resolved {
                    cid,
                    path: content.path.clone(),
                    steps: Vec::new(),
                }),
                Root::Ipns(_) => None,
            };
            wanted_content(context, get, text, &content, known)
        }
        Source::Url(url) => wanted_file(context, get, url),
        Source::Catalog(name) => Err(CommandError::usage(format!("@{name} is no source"))),
    }
}

fn wanted_content(
    context: &Context,
    get: &Get,
    text: &str,
    content: &ContentSource,
    resolved: Option<Resolved>,
) -> Result<Wanted, CommandError> {
    let path = match get.output.as_deref() {
        Some(output) if output == Path::new("-") => None,
        output => {
            // A link names what it ends in before it offers another name for it.
            let offered = content
                .filename
                .as_deref()
                .filter(|_| content.path.is_empty());
            let offered = offered.and_then(place::sanitize_name);
            let name = || offered.map_or_else(|| SafeName::new(&name_of(content)), Ok);
            Some(target(context, get, output, name)?)
        }
    };
    Ok(Wanted {
        source: text.to_owned(),
        root: resolved.as_ref().map(|resolved| resolved.cid),
        names: resolved.map_or_else(|| content.path.clone(), |resolved| resolved.path),
        is_plain: false,
        is_car: get.car,
        path,
        hint: content.hint.clone(),
    })
}

/// A plain file at a URL: proved by its checksum, or, if the user consents, by nothing.
fn wanted_file(context: &Context, get: &Get, url: String) -> Result<Wanted, CommandError> {
    if get.car {
        return Err(
            CommandError::usage("a plain file has no blocks to save as a CAR")
                .hint("fetch the file itself, without --car"),
        );
    }
    let has_checksum = get.sha256.is_some() || get.checksum.is_some();
    if !has_checksum && !get.allow_unverified {
        return Err(CommandError::new(
            ExitKind::Refused,
            format!("nothing proves what {url} is"),
        )
        .hint("give its checksum with --sha256 HEX, or take it as it comes with --allow-unverified"));
    }
    let path = match get.output.as_deref() {
        Some(output) if output == Path::new("-") => None,
        output => Some(target(context, get, output, || file_name(&url))?),
    };
    Ok(Wanted {
        source: url,
        root: None,
        is_plain: true,
        is_car: false,
        names: Vec::new(),
        path,
        hint: None,
    })
}

/// The last segment of a URL's path as a file name.
fn file_name(url: &str) -> Result<SafeName, DiskError> {
    let parsed = url::Url::parse(url).ok();
    let last = parsed
        .as_ref()
        .and_then(|url| url.path_segments()?.next_back());
    let decoded = last.map(|last| percent_encoding::percent_decode_str(last).decode_utf8_lossy());
    let offered = decoded.and_then(|name| place::sanitize_name(&name));
    offered.map_or_else(|| SafeName::new("download"), Ok)
}

/// Where the file goes: `-o`, else a name from the source, in `-d`, the configured directory or
/// the current one.
fn target(
    context: &Context,
    get: &Get,
    output: Option<&Path>,
    name: impl FnOnce() -> Result<SafeName, DiskError>,
) -> Result<PathBuf, CommandError> {
    let dir = get
        .dir
        .clone()
        .or_else(|| context.settings.keys.download_dir.clone());
    if let (Some(dir), false) = (&dir, get.dry_run) {
        place::ensure_dir(dir).map_err(|error| {
            CommandError::from(error).hint("name a directory that can be made with -d")
        })?;
    }
    let dir = dir.unwrap_or_else(|| PathBuf::from("."));
    if let Some(output) = output {
        return Ok(Target::at(&dir.join(output))?.path().to_path_buf());
    }
    let name = name()?;
    let name = match get.car {
        true => SafeName::new(&format!("{}.car", name.as_str()))?,
        false => name,
    };
    Ok(Target::new(&dir, &name)?.path().to_path_buf())
}

/// The last name of the path, else the root as a file name: an inlined CID may be longer than a
/// name can be.
fn name_of(content: &ContentSource) -> String {
    if let Some(name) = content.path.last() {
        return name.clone();
    }
    let mut name = match &content.root {
        Root::Ipfs(cid) => cid::text(cid),
        Root::Ipns(name) => name.clone(),
    };
    name.truncate(name.floor_char_boundary(200));
    name
}

/// The record of an earlier download of the same thing to the same place, if what it installed is
/// still there unchanged.
pub fn in_place(
    context: &Context,
    wanted: &Wanted,
    recorded: &Recorded,
) -> Result<Option<(DownloadRow, PathBuf)>, CommandError> {
    let Some(path) = &wanted.path else {
        return Ok(None);
    };
    let root = wanted.root.as_ref().map(cid::text);
    for id in context.store.find_by_path(path).wait()? {
        if let Some(row) = context.store.download(id).wait()?
            && row.status == Status::Success
            && row.root_cid == root
            && (root.is_some() || row.source == wanted.source)
            && row.content_path == wanted.names.join("/")
            && (row.kind == "car") == wanted.is_car
        {
            let is_unchanged = match row.kind.as_str() {
                "directory" => {
                    Recorded::from_json(&row.options_json).takes_the_same(recorded)
                        && in_place::is_tree_unchanged(&context.store, &row, path)?
                }
                "symlink" => in_place::is_link_unchanged(&context.store, row.id, path)?,
                _ => in_place::is_file_unchanged(&context.store, &row, path)?,
            };
            return Ok(is_unchanged.then(|| (row, path.clone())));
        }
    }
    Ok(None)
}

/// A checksum that contradicts what is in place: nothing is fetched again for it, and what is
/// there stays.
pub fn check_sum(row: &DownloadRow, path: &Path, expected: [u8; 32]) -> Result<(), CommandError> {
    let found = match row.sha256 {
        Some(sum) => sum,
        None => sha256_of(path)?,
    };
    if found == expected {
        return Ok(());
    }
    let message = format!(
        "{} is in place, and has the SHA-256 {}, not {}",
        path.display(),
        hex(&found),
        hex(&expected)
    );
    Err(CommandError::new(ExitKind::Verification, message)
        .hint("the CID and the checksum contradict each other: ask where they come from"))
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
    let hint = match inspect::is_directory(path) {
        // The engine looks whether fetchd made all that is in it.
        true if is_forced => return Ok(()),
        true => {
            "replace a directory that fetchd made with --force, or choose another place with -o or -d"
        }
        false => "choose another place with -o or -d",
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
        max_size: get.max_size.and_then(|limit| limit.0),
        limit_rate: get.limit_rate.map(Recorded::rate),
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
