//! `cid`: what a file or tree on disk is called under importer profiles, and its blocks as a CAR.
//!
//! Needs neither state nor configuration.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime;

use crate::cli::{CidOf, Global};
use crate::commands::context;
use crate::commands::error::CommandError;
use crate::commands::signals::{Asked, Signals};
use crate::content::cid;
use crate::content::hash::hex;
use crate::content::importer::{Profile, Root};
use crate::disk::inspect;
use crate::disk::part::PartFile;
use crate::disk::place::{Nonce, Target};
use crate::disk::private::{self, Privacy};
use crate::disk::random_file::RandomFile;
use crate::disk::tree::{self, TreeView};
use crate::download::chain;
use crate::engine::{CarOf, Namer, Names, NamingError};
use crate::exit::ExitKind;
use crate::ui::out::Stderr;
use crate::ui::view::{CidsView, ProfileCidView};
use crate::ui::{json, text};

/// The profiles that most content was imported with.
const USUAL: usize = 3;
/// Bytes that are copied at once.
const PIECE: usize = 256 << 10;

/// Prints the CIDs, and writes the CAR.
pub fn run(global: &Global, args: &CidOf) -> Result<ExitKind, CommandError> {
    let usual = &Profile::ALL[..USUAL];
    let profiles = match (args.profiles.as_slice(), &args.car) {
        ([], None) => usual,
        ([], Some(_)) => &usual[..1],
        ([_, _, ..], Some(_)) => {
            return Err(CommandError::usage("a CAR holds the blocks of one profile")
                .hint("choose one with --profile, and run it again for each further one"));
        }
        (asked, _) => asked,
    };
    let to_stdout = args.car.as_deref() == Some(Path::new("-"));
    let names = match &args.car {
        Some(_) if to_stdout => car_to_stdout(args, &profiles[0])?,
        Some(car) => with_car(args, &profiles[0], car)?,
        None => names(&args.path, profiles, None).map_err(failed)?,
    };
    let is_stream = args.path == Path::new("-");
    let path = std::path::absolute(&args.path).unwrap_or_else(|_| args.path.clone());
    let one = |(profile, root): (&Profile, &Option<Root>)| ProfileCidView {
        profile: profile.name(),
        cid: root.map(|root| cid::text(&root.cid)),
    };
    let view = CidsView {
        path: Some(path).filter(|_| !is_stream),
        size: names.size,
        sha256: names.sha256.map(|sha256| hex(&sha256)),
        cids: profiles.iter().zip(&names.roots).map(one).collect(),
    };
    let text = match global.json {
        true => json::document(&view)
            .map_err(|error| CommandError::new(ExitKind::Internal, error.to_string()))?,
        false => text::cids(&view),
    };
    match to_stdout {
        true => Stderr::default().line(text.trim_end()),
        false => context::print(&text)?,
    }
    Ok(ExitKind::Success)
}

fn names(path: &Path, profiles: &[Profile], car: Option<&mut CarOf>) -> Result<Names, NamingError> {
    let mut namer = Namer::new(profiles, car);
    if path == Path::new("-") {
        return namer.stream(&mut std::io::stdin().lock());
    }
    if inspect::is_directory(path)
        && let Some(view) = TreeView::open(path)?
    {
        return namer.tree(&view, path);
    }
    namer.file(&RandomFile::open(path)?)
}

/// Names it on a thread of its own, so that a signal leaves no part of a CAR behind.
fn with_car(args: &CidOf, profile: &Profile, car: &Path) -> Result<Names, CommandError> {
    let target = Target::at(car)?;
    let creatable = target.check_creatable(args.force);
    creatable.map_err(|error| CommandError::from(error).hint("choose another name, or --force"))?;
    if inspect::is_directory(&args.path) && inspect::is_within(target.dir(), &args.path) {
        let message = "the CAR cannot lie in the directory whose blocks it holds";
        return Err(CommandError::usage(message).hint("name another place with --car"));
    }
    let part = target.scratch_path();
    let is_stopped = Arc::new(AtomicBool::new(false));
    let work = {
        let (path, profile, force) = (args.path.clone(), *profile, args.force);
        let (part, is_stopped) = (part.clone(), is_stopped.clone());
        move || {
            let (car, names) = write_car(&path, &profile, &part, is_stopped)?;
            car.install(target.path(), force)?;
            Ok(names)
        }
    };
    let written = or_signal(work, &is_stopped);
    if written.is_err() {
        PartFile::discard(&part)?;
    }
    written
}

/// The root stands at the beginning of a CAR and is known at the end: the CAR is made whole among
/// the temporary files, where nobody else can read it, then copied to standard output.
fn car_to_stdout(args: &CidOf, profile: &Profile) -> Result<Names, CommandError> {
    let dir = std::env::temp_dir().join(format!("fetchd-{}", Nonce::random()));
    if private::create_private_dir(&dir)? != Privacy::Private {
        tree::remove_tree(&dir)?;
        let message = format!("{} would be open to others", dir.display());
        return Err(CommandError::new(ExitKind::Disk, message)
            .hint("name a place for temporary files that keeps permissions, with TMPDIR"));
    }
    let is_stopped = Arc::new(AtomicBool::new(false));
    let work = {
        let (source, profile, part) = (args.path.clone(), *profile, dir.join("car"));
        let is_stopped = is_stopped.clone();
        move || {
            let (car, names) = write_car(&source, &profile, &part, is_stopped.clone())?;
            // Its lock keeps readers away on some systems.
            drop(car);
            print_file(&part, &is_stopped)?;
            Ok(names)
        }
    };
    let written = or_signal(work, &is_stopped);
    tree::remove_tree(&dir)?;
    written
}

fn print_file(path: &Path, is_stopped: &AtomicBool) -> Result<(), CommandError> {
    let file = RandomFile::open(path)?;
    let (mut at, mut piece) = (0, vec![0; PIECE]);
    loop {
        let len = file.read_at(at, &mut piece)?;
        if len == 0 || is_stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
        context::print_raw(&piece[..len])?;
        at += len as u64;
    }
}

/// Names it, and writes its blocks to a part, whole but not durable.
fn write_car(
    path: &Path,
    profile: &Profile,
    part: &Path,
    is_stopped: Arc<AtomicBool>,
) -> Result<(CarOf, Names), CommandError> {
    let mut car = CarOf::create(part, profile, is_stopped)?;
    let profiles = std::slice::from_ref(profile);
    let names = names(path, profiles, Some(&mut car)).map_err(failed)?;
    let Some(Some(root)) = names.roots.first() else {
        let message = format!("it is more than {} can hold", profile.name());
        return Err(CommandError::new(ExitKind::Refused, message).hint("choose another profile"));
    };
    car.finish(root)?;
    Ok((car, names))
}

/// Waits for the work or for a signal. The work hears of the signal; work that waits for its
/// input does not, and ends with the process.
fn or_signal<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CommandError> + Send + 'static,
    is_stopped: &AtomicBool,
) -> Result<T, CommandError> {
    let internal = |error: std::io::Error| CommandError::new(ExitKind::Internal, error.to_string());
    let mut signals = Signals::watch().map_err(internal)?;
    let runtime = runtime::Builder::new_current_thread()
        .build()
        .map_err(internal)?;
    let outcome = runtime.block_on(async {
        let mut work = tokio::task::spawn_blocking(work);
        loop {
            tokio::select! {
                done = &mut work => break done.unwrap_or_else(|panicked| {
                    std::panic::resume_unwind(panicked.into_panic())
                }),
                asked = signals.next() => if let Asked::End(kind) = asked {
                    is_stopped.store(true, Ordering::Relaxed);
                    break Err(CommandError::new(kind, "stopped, and no CAR was written"));
                }
            }
        }
    });
    runtime.shutdown_background();
    outcome
}

fn failed(error: NamingError) -> CommandError {
    match error {
        // What is named is what the user typed.
        NamingError::Disk(error) if error.is_absent() => CommandError::usage(chain(&error))
            .hint("name a file or a directory, or - for standard input"),
        NamingError::Disk(error) => CommandError::new(ExitKind::Disk, chain(&error)),
        NamingError::Stopped => CommandError::new(ExitKind::Interrupted, chain(&error)),
        NamingError::Stream(_) => CommandError::new(ExitKind::Disk, chain(&error)),
        NamingError::Directory { .. } => CommandError::new(ExitKind::Refused, chain(&error)),
    }
}
