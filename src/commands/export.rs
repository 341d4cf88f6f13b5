//! `export`: hands finished or unfinished work on as a CAR.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::Export as Args;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::transfer::{self, Transfer};
use crate::commands::{options, select, typed};
use crate::content::cid;
use crate::content::hash::hex;
use crate::disk::part::PartFile;
use crate::disk::place::Target;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::TreeView;
use crate::disk::{DiskError, inspect};
use crate::download::{Status, chain, quoted, remedy};
use crate::engine::{self, CarPart, Export, ExportError, Exported, Origin};
use crate::event::{Event, What};
use crate::exit::ExitKind;
use crate::gateway::car_file::{CarFile, CarFileError};
use crate::store::DownloadRow;
use crate::ui::human;
use crate::ui::view::ExportedView;

/// Writes the CAR of one download.
pub fn run(context: &Context, args: &Args) -> Result<ExitKind, CommandError> {
    let row = select::one(context, &args.id)?;
    let target = Target::at(&args.output)?;
    let creatable = target.check_creatable(args.force);
    creatable.map_err(|error| CommandError::from(error).hint("choose another name, or --force"))?;
    let export = export(context, &row)?;
    let mut transfer = Transfer::begin(context, None)?;
    transfer.reporter = context.reporter_of_document();
    let root = cid::text(&export.root);
    let _ = transfer.reporter.event(
        &Event {
            id: None,
            what: What::Resolved {
                cid: Some(root.clone()),
                path: Some(target.path().to_path_buf()),
                size: row.bytes_total,
            },
        },
        std::time::Instant::now(),
    );
    let written = write(&mut transfer, &row, export, &target, args.force);
    transfer.reporter.finish();
    let (done, sha256) = match written {
        Ok(written) => written,
        Err(error) => {
            transfer.close();
            return Err(error);
        }
    };
    tell(&mut transfer, &row, target.path(), &done);
    transfer.close();
    let view = ExportedView {
        id: row.id,
        cid: root,
        path: target.path().to_path_buf(),
        size: done.bytes,
        sha256: hex(&sha256),
        blocks: done.blocks,
        missing: done.missing,
        complete: done.missing == 0,
    };
    context.show(&view, String::new)?;
    Ok(ExitKind::Success)
}

/// What there is of a download, and where.
fn export(context: &Context, row: &DownloadRow) -> Result<Export, CommandError> {
    let store = context.store.clone();
    let root = row
        .root_cid
        .as_deref()
        .and_then(|text| cid::parse(text).ok());
    let names = row.content_path.split('/').filter(|name| !name.is_empty());
    let names = names.map(str::to_owned).collect();
    let root = match root {
        Some(root) => engine::content_root(&store, root, names)?,
        None => None,
    };
    let origin = origin(context, row)?;
    Ok(Export {
        root: root.ok_or_else(|| nothing(row))?,
        origin,
        store,
        max_block: options::max_block(&context.settings),
    })
}

fn nothing(row: &DownloadRow) -> CommandError {
    let id = row.id;
    CommandError::new(
        ExitKind::Retry,
        format!("nothing of download {id} is here yet that could be handed on"),
    )
    .hint(how_to_get_it(row))
}

/// How to come by what is not here.
fn how_to_get_it(row: &DownloadRow) -> String {
    let (id, source) = (row.id, quoted(&row.source));
    match row.status {
        Status::Failed => format!("try again with: fetchd resume {id} --reset"),
        // To its own place goes only what it took before.
        Status::Success if row.path.as_deref().is_some_and(inspect::exists) => {
            format!("fetch it anew with: fetchd get {source} -o NAME")
        }
        Status::Success | Status::Cancelled => {
            format!("fetch it anew with: {}", typed::anew(row))
        }
        _ => format!("go on with: fetchd resume {id}"),
    }
}

/// Where the bytes are: at the target if it is finished, else in the part.
fn origin(context: &Context, row: &DownloadRow) -> Result<Origin, CommandError> {
    let path = match row.status {
        Status::Success => row.path.clone(),
        _ => transfer::part_path(context, row)
            .filter(|part| !inspect::is_absent(part))
            .or_else(|| row.path.clone()),
    };
    let Some(path) = path.filter(|path| !inspect::is_absent(path)) else {
        return Ok(Origin::Nothing);
    };
    if row.kind == "car" && row.path.as_ref() == Some(&path) {
        let index = context.settings.state_dir.join("cars");
        return match CarFile::open(&path, &index) {
            Ok(car) => Ok(Origin::Car(Arc::new(car))),
            Err(CarFileError::Disk(error)) if !error.is_absent() => {
                Err(failed(&ExportError::Source(error)))
            }
            Err(_) => Ok(Origin::Nothing),
        };
    }
    let opened = match inspect::is_directory(&path) {
        true => TreeView::open(&path).map(|view| view.map_or(Origin::Nothing, Origin::Tree)),
        false => RandomFile::open(&path).map(Origin::File),
    };
    Ok(opened?)
}

/// Writes a part beside the target and gives it its name.
fn write(
    transfer: &mut Transfer<'_>,
    row: &DownloadRow,
    export: Export,
    target: &Target,
    force: bool,
) -> Result<(Exported, [u8; 32]), CommandError> {
    let part = target.scratch_path();
    let (path, temporary) = (target.path().to_path_buf(), part.clone());
    let work = move |watch: &transfer::Watch| {
        let mut car = CarPart::create(&temporary)?;
        let done = export.write(&mut car, &watch.is_stopped, &mut |bytes| watch.note(bytes))?;
        match done.blocks {
            0 => Ok(None),
            _ => Ok(Some((done, car.install(&path, force)?))),
        }
    };
    let written = transfer.on_a_thread(row.bytes_total, work);
    let written = written.and_then(|written| written.map_err(|error| failed(&error)));
    if let Ok(Some(done)) = written {
        return Ok(done);
    }
    let is_cleared = inspect::exists(&part) && is_discarded(transfer, &part);
    let error = written.err().unwrap_or_else(|| {
        let message = "no block of it can be proved from what is here";
        CommandError::new(ExitKind::Retry, message).hint(how_to_get_it(row))
    });
    Err(match error.next_step() {
        Some(next) if is_cleared => error.hint(format!("nothing was left behind; {next}")),
        _ => error,
    })
}

/// Removes what was written so far; whether it is gone.
fn is_discarded(transfer: &mut Transfer<'_>, part: &Path) -> bool {
    PartFile::discard(part).unwrap_or_else(|error| {
        // What went wrong before that says more.
        transfer.reporter.notice(&chain(&error));
        false
    })
}

fn failed(error: &ExportError) -> CommandError {
    let kind = match error {
        ExportError::Stopped => ExitKind::Interrupted,
        ExportError::Disk(DiskError::Exists { .. }) => ExitKind::Exists,
        ExportError::Disk(DiskError::Locked { .. }) => ExitKind::Retry,
        ExportError::Disk(error) if error.is_uncreatable() => ExitKind::Exists,
        ExportError::Disk(_) | ExportError::Source(_) => ExitKind::Disk,
        ExportError::Store(error) => error.exit_kind(),
        ExportError::Content(_) => ExitKind::Verification,
    };
    let first = match error {
        ExportError::Disk(error) | ExportError::Source(error) => remedy(error),
        ExportError::Store(error) => error.remedy().map(str::to_owned),
        ExportError::Stopped | ExportError::Content(_) => None,
    };
    CommandError::new(kind, chain(error)).hint(match first {
        Some(first) => format!("{first}, and run it again"),
        None => "run it again".to_owned(),
    })
}

fn tell(transfer: &mut Transfer<'_>, row: &DownloadRow, path: &Path, done: &Exported) {
    let Exported {
        blocks,
        bytes,
        missing,
    } = *done;
    let size = human::size(bytes);
    let path = PathBuf::from(path);
    let path = path.display();
    transfer
        .reporter
        .notice(&format!("{blocks} blocks, {size}, are in {path}"));
    if missing > 0 {
        transfer.reporter.notice(&format!(
            "{missing} blocks, and what is below them, are not here and left out; {}",
            how_to_get_it(row)
        ));
    }
}
