//! What stands at a path, and what it should be: as the ledger knows it, or as the user says.

use std::path::{Path, PathBuf};

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::{self, Recorded};
use crate::commands::providers;
use crate::commands::select;
use crate::commands::transfer::Transfer;
use crate::content::cid::{self, Cid};
use crate::content::source::{self, Source};
use crate::disk::inspect;
use crate::disk::place::Target;
use crate::download::{DownloadId, Proof, RunId, Status, quoted_path};
use crate::engine::{self, Blocks, Filter, Known};
use crate::exit::ExitKind;
use crate::store::{DownloadRow, LedgerEntry};

/// Something on disk, and what it should be.
pub struct Subject {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// What it should be.
    pub should: Should,
    /// The line of the ledger for this very path and content.
    pub file: Option<LedgerEntry>,
    /// The download that made the tree that it is, or is in, and where in that.
    pub tree: Option<(DownloadId, String)>,
    /// What the download that made it was asked for with, and the gateways of this command.
    pub recorded: Recorded,
    /// The download, and the run that owns it, for which nodes are kept that providers bring.
    pub keeps_for: Option<(DownloadId, RunId)>,
}

/// What something should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Should {
    /// This content.
    Content(Cid),
    /// A file with this SHA-256; what proved it when it came.
    Sum([u8; 32], Option<Proof>),
}

impl Subject {
    /// What is known of it: that the store has its nodes.
    pub fn known(&self) -> Option<Known> {
        match (&self.file, &self.tree) {
            (Some(entry), _) => Some(Known {
                size: Some(entry.install.size),
                // The sum of what the user took as it came proves nothing.
                sha256: (entry.install.sha256).filter(|_| entry.proof != Some(Proof::Unverified)),
            }),
            (None, Some(_)) => Some(Known::default()),
            (None, None) => None,
        }
    }

    /// As it is typed: what no record names has to be named again.
    pub fn typed(&self) -> String {
        let path = quoted_path(&self.path);
        match (&self.file, &self.tree, self.should) {
            (None, None, Should::Content(root)) => format!("{path} {}", cid::text(&root)),
            _ => path,
        }
    }

    /// What of it should be there.
    pub fn filter(&self) -> Filter {
        Filter::new(&self.recorded.include, &self.recorded.exclude)
    }

    /// Where it is below what the filter is about.
    pub fn below(&self) -> &str {
        self.tree.as_ref().map_or("", |(_, below)| below)
    }

    /// One line of the ledger.
    ///
    /// # Errors
    /// Code 77 if nothing is recorded that could prove it.
    pub fn of(entry: LedgerEntry, gateways: &[String]) -> Result<Self, CommandError> {
        let path = entry.install.path.clone();
        let root = entry.install.cid.as_deref().map(cid::parse);
        let should = match (root, entry.install.sha256) {
            (Some(Ok(root)), _) => Should::Content(root),
            (_, Some(sha256)) => Should::Sum(sha256, entry.proof),
            (_, None) => return Err(nothing_proves(&path)),
        };
        let recorded = Recorded::from_json(entry.options_json.as_deref().unwrap_or("{}"));
        Ok(Self {
            tree: Some((entry.download, String::new())).filter(|_| inspect::is_directory(&path)),
            path,
            should,
            file: Some(entry),
            recorded: with_gateways(recorded, gateways),
            keeps_for: None,
        })
    }
}

/// What is meant by `PATH|ID [CID]`.
///
/// # Errors
/// Code 2 if nothing is known of it; as a download fails, if the names after a CID lead nowhere.
pub fn find(
    context: &Context,
    transfer: &mut Transfer<'_>,
    text: &str,
    cid: Option<&str>,
    gateways: &[String],
) -> Result<Subject, CommandError> {
    let (path, row) = place(context, text, cid.is_some())?;
    if let Some(text) = cid {
        return given(context, transfer, path, text, gateways);
    }
    let entry = context.store.ledger_at(&path).wait()?;
    match (entry, row) {
        (Some(entry), None) => Subject::of(entry, gateways),
        (Some(entry), Some(row)) if entry.download == row.id => Subject::of(entry, gateways),
        (_, Some(row)) => of_row(context, transfer, path, &row, gateways),
        (None, None) => {
            let within = within(context, &path, gateways)?;
            within.ok_or_else(|| unknown(&path))
        }
    }
}

/// The path that is meant, and the record where an id or a CID was given for it.
fn place(
    context: &Context,
    text: &str,
    has_cid: bool,
) -> Result<(PathBuf, Option<DownloadRow>), CommandError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit())
        && let Some(path) = typed(Path::new(text))
    {
        let is_known = |path: &Path| -> Result<bool, CommandError> {
            Ok(context.store.ledger_at(path).wait()?.is_some())
        };
        if is_known(&path)? {
            return Ok((path, None));
        }
        // What is typed may lead through links to what is known.
        if let Some(real) = inspect::real_path(&path) {
            let is_link = real != path && !inspect::is_directory(&path);
            let path = match is_link || is_known(&real)? {
                true => real,
                false => path,
            };
            return Ok((path, None));
        }
        if has_cid || inspect::exists(&path) {
            return Ok((path, None));
        }
    }
    let row = select::one(context, text)?;
    let id = row.id;
    match (row.status, row.path.clone()) {
        (Status::Success, Some(path)) => Ok((path, Some(row))),
        (Status::Success, None) => Err(CommandError::usage(format!(
            "download {id} went to standard output: nothing of it is on disk"
        ))
        .hint("name the file that was made of it: fetchd verify PATH CID")),
        (status, _) => Err(CommandError::usage(format!(
            "download {id} is not finished: it is {status}"
        ))
        .hint(format!("go on with: fetchd resume {id}"))),
    }
}

/// A path as a user typed it, absolute, be it that of a directory with a slash at its end.
fn typed(path: &Path) -> Option<PathBuf> {
    let absolute: PathBuf = std::path::absolute(path).ok()?.components().collect();
    Some(Target::at(&absolute).ok()?.path().to_path_buf())
}

/// The content that the user names.
fn given(
    context: &Context,
    transfer: &mut Transfer<'_>,
    path: PathBuf,
    text: &str,
    gateways: &[String],
) -> Result<Subject, CommandError> {
    let content = match source::parse(text)? {
        Source::Content(content) => content,
        Source::Url(_) | Source::Catalog(_) => {
            return Err(CommandError::usage(format!("{text:?} is no CID"))
                .hint("compare the file with a checksum by: sha256sum"));
        }
    };
    let named = transfer.resolve(&content, gateways)?;
    let recorded = Recorded {
        hints: content.hint.into_iter().collect(),
        ..with_gateways(Recorded::default(), gateways)
    };
    let root = content_root(context, transfer, named.cid, named.path, &recorded)?;
    let entry = context.store.ledger_at(&path).wait()?;
    let is_same = |entry: &LedgerEntry| {
        let known = entry.install.cid.as_deref().map(cid::parse);
        known.is_some_and(|known| known.is_ok_and(|known| cid::is_same(&known, &root)))
    };
    if let Some(entry) = entry.filter(is_same) {
        return Subject::of(entry, gateways);
    }
    Ok(Subject {
        path,
        should: Should::Content(root),
        file: None,
        tree: None,
        recorded,
        keeps_for: None,
    })
}

/// A finished download whose line in the ledger has gone to another one.
fn of_row(
    context: &Context,
    transfer: &mut Transfer<'_>,
    path: PathBuf,
    row: &DownloadRow,
    gateways: &[String],
) -> Result<Subject, CommandError> {
    let recorded = Recorded::from_json(&row.options_json);
    let recorded = with_gateways(recorded, gateways);
    let root = row.root_cid.as_deref().map(cid::parse);
    let should = match (root, row.sha256) {
        (Some(Ok(root)), _) if row.kind != "car" => {
            let names = row.content_path.split('/').filter(|name| !name.is_empty());
            let names = names.map(str::to_owned).collect();
            Should::Content(content_root(context, transfer, root, names, &recorded)?)
        }
        (_, Some(sha256)) => Should::Sum(sha256, row.proof),
        (_, None) => return Err(nothing_proves(&path)),
    };
    Ok(Subject {
        path,
        should,
        file: None,
        tree: None,
        recorded,
        keeps_for: None,
    })
}

/// Something in a tree that the ledger knows.
fn within(
    context: &Context,
    path: &Path,
    gateways: &[String],
) -> Result<Option<Subject>, CommandError> {
    for above in path.ancestors().skip(1) {
        let Some(entry) = context.store.ledger_at(above).wait()? else {
            continue;
        };
        let root = entry.install.cid.as_deref().map(cid::parse);
        let names = path.strip_prefix(above).ok().and_then(Path::to_str);
        let (Some(Ok(root)), Some(names)) = (root, names) else {
            return Ok(None);
        };
        let names: Vec<String> = Path::new(names)
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        let below = names.join("/");
        let root = engine::content_root(&context.store, root, names)?;
        let recorded = Recorded::from_json(entry.options_json.as_deref().unwrap_or("{}"));
        return Ok(root.map(|root| Subject {
            path: path.to_path_buf(),
            should: Should::Content(root),
            file: None,
            tree: Some((entry.download, below)),
            recorded: with_gateways(recorded, gateways),
            keeps_for: None,
        }));
    }
    Ok(None)
}

/// What names below a root mean: from the store, else from the providers.
fn content_root(
    context: &Context,
    transfer: &mut Transfer<'_>,
    root: Cid,
    names: Vec<String>,
    recorded: &Recorded,
) -> Result<Cid, CommandError> {
    if let Some(here) = engine::content_root(&context.store, root, names.clone())? {
        return Ok(here);
    }
    let mut blocks = blocks(context, transfer, recorded)?;
    Ok(transfer.wait_for(blocks.resolve(root, names))??)
}

/// Nodes from the providers.
pub fn blocks(
    context: &Context,
    transfer: &mut Transfer<'_>,
    recorded: &Recorded,
) -> Result<Blocks, CommandError> {
    let providers = transfer.providers(recorded)?;
    for notice in &providers.notices {
        transfer.reporter.notice(notice);
    }
    let options = options::engine(&context.settings, recorded, None)?;
    Ok(Blocks::new(providers.list, options))
}

fn with_gateways(recorded: Recorded, gateways: &[String]) -> Recorded {
    match gateways {
        [] => recorded,
        given => Recorded {
            gateways: providers::recordable(given),
            ..recorded
        },
    }
}

fn unknown(path: &Path) -> CommandError {
    CommandError::usage(format!("nothing is known of {}", path.display())).hint(format!(
        "say what it should be: fetchd verify {} CID",
        quoted_path(path)
    ))
}

fn nothing_proves(path: &Path) -> CommandError {
    CommandError::new(
        ExitKind::Refused,
        format!("nothing is recorded that could prove {}", path.display()),
    )
    .hint("give its CID as well")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_record_names_is_typed_with_what_it_should_be() {
        let text = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        let mut subject = Subject {
            path: "/data/old file".into(),
            should: Should::Content(cid::parse(text).expect("a CID")),
            file: None,
            tree: None,
            recorded: Recorded::default(),
            keeps_for: None,
        };
        assert_eq!(subject.typed(), format!("'/data/old file' {text}"));
        subject.should = Should::Sum([0; 32], None);
        assert_eq!(subject.typed(), "'/data/old file'");
    }
}
