//! What a source on the command line means: which content, and where it goes.

use std::path::{Path, PathBuf};

use crate::cli::Get;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::transfer::Transfer;
use crate::content::cid::{self, Cid};
use crate::content::names::Resolved;
use crate::content::source::{self, ContentSource, Root, Source};
use crate::disk::DiskError;
use crate::disk::place::{self, SafeName, Target};
use crate::exit::ExitKind;

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
    pub(super) is_plain: bool,
    /// Whether its blocks are wanted, as a CAR.
    pub(super) is_car: bool,
    /// Where it goes; `None` for standard output.
    pub path: Option<PathBuf>,
    /// The gateway of a URL, as a source among others.
    pub(super) hint: Option<String>,
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
