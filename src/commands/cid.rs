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
use crate::disk::part::PartFile;
use crate::disk::place::{Nonce, Target};
use crate::disk::random_file::RandomFile;
use crate::disk::tree::TreeView;
use crate::disk::{inspect, install};
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
        move || write_car(&path, &profile, &part, &target, force, is_stopped)
    };
    let written = or_signal(work, &is_stopped);
    if written.is_err() {
        PartFile::discard(&part)?;
    }
    written
}

/// The root stands at the beginning of a CAR and is known at the end: the CAR is made whole among
/// the temporary files, then copied to standard output.
fn car_to_stdout(args: &CidOf, profile: &Profile) -> Result<Names, CommandError> {
    let name = format!("fetchd-{}.car", Nonce::random());
    let target = Target::at(&std::env::temp_dir().join(name))?;
    let (path, part) = (target.path().to_owned(), target.scratch_path());
    let is_stopped = Arc::new(AtomicBool::new(false));
    let work = {
        let (source, profile) = (args.path.clone(), *profile);
        let (part, is_stopped) = (part.clone(), is_stopped.clone());
        move || {
            let names = write_car(&source, &profile, &part, &target, false, is_stopped.clone())?;
            print_file(target.path(), &is_stopped)?;
            Ok(names)
        }
    };
    let written = or_signal(work, &is_stopped);
    install::remove(&part)?;
    install::remove(&path)?;
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

fn write_car(
    path: &Path,
    profile: &Profile,
    part: &Path,
    target: &Target,
    force: bool,
    is_stopped: Arc<AtomicBool>,
) -> Result<Names, CommandError> {
    let mut car = CarOf::create(part, profile, is_stopped)?;
    let profiles = std::slice::from_ref(profile);
    let names = names(path, profiles, Some(&mut car)).map_err(failed)?;
    let Some(Some(root)) = names.roots.first() else {
        let message = format!("it is more than {} can hold", profile.name());
        return Err(CommandError::new(ExitKind::Refused, message).hint("choose another profile"));
    };
    car.install(root, target.path(), force)?;
    Ok(names)
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
