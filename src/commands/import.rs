//! `import`: takes from a CAR all that proves right, without asking anybody else.

use std::path::{Path, PathBuf};

use crate::cli::{Get, Import};
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::get::{self, Seen, Wanted};
use crate::commands::options::Recorded;
use crate::commands::providers::{self, Providers};
use crate::commands::transfer::Transfer;
use crate::commands::{select, show};
use crate::content::cid::{self, Cid};
use crate::download::{DownloadId, quoted_path};
use crate::engine::{Place, Provider};
use crate::exit::ExitKind;
use crate::ui::view::{ErrorView, ImportView, ImportedView};

/// Makes a download of each root of a CAR; one failure does not stop the others.
pub fn run(context: Context, import: &Import) -> Result<ExitKind, CommandError> {
    let car = recordable(&import.car)?;
    let from_car = Recorded {
        gateways: vec![car.clone()],
        ..Recorded::default()
    };
    let mut transfer = Transfer::begin(&context, None)?;
    transfer.reporter = context.reporter_of_document();
    let unusable = |error: CommandError| match error.kind {
        ExitKind::Usage | ExitKind::Verification | ExitKind::Disk => {
            error.hint("give the path of a whole CAR file that can be read")
        }
        _ => error,
    };
    let roots = transfer
        .providers(&from_car)
        .map_err(unusable)
        .and_then(|providers| roots(&providers.list))
        .and_then(|roots| check(roots, import));
    let roots = match roots {
        Ok(roots) => roots,
        Err(error) => {
            transfer.close();
            return Err(error);
        }
    };
    let get = Get {
        output: import.output.clone(),
        dir: import.dir.clone(),
        force: import.force,
        ..Get::default()
    };
    let mut imported = Vec::with_capacity(roots.len());
    for root in roots {
        let source = cid::text(&root);
        let mut view = ImportedView::of(&source);
        if !transfer.is_over(&source, None) {
            let from_car = transfer.providers(&from_car);
            let taken = from_car
                .and_then(|from_car| one(&context, &mut transfer, &get, root, &car, from_car))
                .and_then(|id| Ok(context.store.download(id).wait()?));
            match taken {
                Ok(row) => view.download = row.as_ref().map(show::view),
                Err(error) => {
                    view.error = Some(ErrorView::from(&error.failure()));
                    transfer.refused(&source, error);
                }
            }
        }
        imported.push(view);
    }
    let outcome = transfer.end();
    let car = PathBuf::from(car);
    context.show(&ImportView { car, imported }, String::new)?;
    Ok(outcome)
}

/// The CAR as a record keeps it.
fn recordable(car: &Path) -> Result<String, CommandError> {
    let text = car.to_str().filter(|text| !text.contains("://"));
    let text = text.ok_or_else(|| {
        CommandError::usage("the name of the CAR file is no text, or a URL")
            .hint("give the path of a CAR file; of a URL, fetch it first")
    })?;
    let mut recorded = providers::recordable(&[text.to_owned()]);
    Ok(recorded.remove(0))
}

fn roots(providers: &[Provider]) -> Result<Vec<Cid>, CommandError> {
    let mut roots: Vec<Cid> = Vec::new();
    for provider in providers {
        if let Place::Car(car) = &provider.place {
            for root in car.roots() {
                if !roots.contains(root) {
                    roots.push(*root);
                }
            }
        }
    }
    Ok(roots)
}

fn check(roots: Vec<Cid>, import: &Import) -> Result<Vec<Cid>, CommandError> {
    let car = import.car.display();
    match roots.len() {
        0 => Err(CommandError::new(
            ExitKind::Verification,
            format!("the CAR {car} names no root"),
        )
        .hint(format!(
            "name what is wanted: fetchd get CID --gateway {}",
            quoted_path(&import.car)
        ))),
        1 => Ok(roots),
        _ if import.output.is_some() => Err(CommandError::usage(format!(
            "-o names one file, and the CAR {car} has several roots"
        ))
        .hint("use -d DIR for several")),
        _ => Ok(roots),
    }
}

/// Takes one root from the CAR; which download that is, or was.
fn one(
    context: &Context,
    transfer: &mut Transfer<'_>,
    get: &Get,
    root: Cid,
    car: &str,
    from_car: Providers,
) -> Result<DownloadId, CommandError> {
    let wanted = Wanted::of_root(context, get, root)?;
    let looked = match get::look(context, transfer, get, &wanted)? {
        Seen::There(row) => return Ok(row.id),
        Seen::Free(looked) => looked,
    };
    let mut recorded = under_way(context, &wanted)?;
    recorded.force |= get.force;
    // From now on the CAR is one provider more, asked last and only as long as it is there.
    if !recorded.hints.iter().any(|hint| hint == car) {
        recorded.hints.push(car.to_owned());
    }
    let from_car = Providers {
        asks_others_later: true,
        ..from_car
    };
    get::begin(context, transfer, get, &wanted, &recorded, from_car, looked)
}

/// What a download of the same to the same place was asked for with, if it is under way.
fn under_way(context: &Context, wanted: &Wanted) -> Result<Recorded, CommandError> {
    let Some(path) = &wanted.path else {
        return Ok(Recorded::default());
    };
    let row = select::under_way_to(context, path)?;
    Ok(row.map_or_else(Recorded::default, |row| {
        Recorded::from_json(&row.options_json)
    }))
}
