//! The commands: open the store, build options, run, choose the outcome.
//!
//! One file a subcommand. Nothing here moves bytes or decides about content; everything that a
//! user reads on success goes through [`crate::ui`], every failure is one `CommandError`.

mod catalog;
mod cid;
mod claim;
pub mod completions;
pub mod config;
mod context;
mod control;
mod demand;
mod dry_run;
mod enqueue;
mod error;
mod export;
mod gateways;
mod get;
mod history;
mod import;
mod in_place;
mod input;
mod list;
mod liveness;
mod looks;
mod ls;
pub mod man;
mod options;
mod providers;
mod prune;
mod repair;
pub mod resolve;
mod resume;
mod run;
mod select;
mod show;
mod signals;
mod subject;
mod sums;
mod sync;
mod transfer;
mod typed;
mod unbegun;
mod verify;
mod wait;
mod watch;

use crate::cli::{Cli, Command, ConfigCommand, GatewaysCommand};
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::unbegun::Unbegun;
use crate::download::Action;
use crate::exit::ExitKind;
use crate::settings::{self, Environment};
use crate::ui;

/// Runs what was asked for and says how it ended. Errors have been printed by then.
pub fn run(cli: Cli) -> ExitKind {
    signals::survive_file_size_limit();
    let color = context::wants_color(cli.global.color);
    if cli.global.verbose > 1 {
        trace(color);
    }
    let unbegun = Unbegun::of(&cli);
    match dispatch(cli) {
        Ok(kind) => kind,
        Err(error) if error.kind == ExitKind::Closed => ExitKind::Closed,
        Err(error) => {
            ui::out::error(&error.message, error.next_step().as_deref(), color);
            match unbegun.map(|events| events.end(&error)) {
                Some(Err(closed)) => closed.kind(),
                Some(Ok(())) | None => error.kind,
            }
        }
    }
}

/// Developers' traces on stderr, for `-vv`.
fn trace(color: bool) {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let ours =
        tracing_subscriber::filter::Targets::new().with_target("fetchd", tracing::Level::TRACE);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(color);
    // A second subscriber would be refused: then there is one already.
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(ours)
        .try_init();
}

fn dispatch(cli: Cli) -> Result<ExitKind, CommandError> {
    let environment = Environment::of_process();
    match &cli.command {
        Command::Completions { shell } => {
            context::print_raw(&completions::script(*shell))?;
            return Ok(ExitKind::Success);
        }
        Command::Man(man) => return man::run(man),
        Command::Cid(args) => return cid::run(&cli.global, args),
        Command::Config { command } => return run_config(&cli, *command, &environment),
        _ => {}
    }
    let settings = settings::Settings::resolve(&cli, &environment)?;
    if let Command::Catalog { command } = &cli.command {
        return catalog::run(&cli.global, &settings, command);
    }
    let only_looks = matches!(
        cli.command,
        Command::List(_)
            | Command::Show(_)
            | Command::History(_)
            | Command::Gateways {
                command: GatewaysCommand::List
            }
    );
    let context = if only_looks {
        Context::open_to_look(&cli.global, settings)?
    } else {
        Context::open(&cli.global, settings)?
    };
    match cli.command {
        Command::Get(get) => get::run(context, get),
        Command::Resume(resume) => resume::run(context, &resume),
        Command::Run(args) => run::run(&context, &args),
        Command::Watch(args) => watch::run(&context, &args),
        Command::Pause(pause) => control::run(&context, &pause.ids, Action::Pause),
        Command::Cancel(cancel) => {
            let keep_partial = cancel.keep_partial;
            control::run(&context, &cancel.ids, Action::Cancel { keep_partial })
        }
        Command::Checkpoint(it) => control::run(&context, &it.ids, Action::Checkpoint),
        Command::Export(export) => export::run(&context, &export),
        Command::Import(import) => import::run(context, &import),
        Command::Sync(args) => sync::run(&context, &args),
        Command::Ls(ls) => ls::run(&context, &ls),
        Command::Verify(verify) => verify::run(&context, &verify),
        Command::Repair(repair) => repair::run(&context, &repair),
        Command::List(list) => list::run(&context, &list),
        Command::History(history) => history::run(&context, &history),
        Command::Prune(prune) => prune::run(&context, &prune),
        Command::Show(show) => show::run(&context, &show.id),
        Command::Gateways { command } => gateways::run(&context, &command),
        Command::Catalog { .. }
        | Command::Cid(_)
        | Command::Config { .. }
        | Command::Completions { .. }
        | Command::Man(_) => Ok(ExitKind::Success),
    }
}

fn run_config(
    cli: &Cli,
    command: ConfigCommand,
    environment: &Environment,
) -> Result<ExitKind, CommandError> {
    let json = cli.global.json;
    let text = match command {
        ConfigCommand::Show => {
            let settings = settings::Settings::resolve(cli, environment)?;
            if json {
                config::show_json(&settings).to_string()
            } else {
                config::show(&settings)
            }
        }
        ConfigCommand::Path => {
            let path = config::path(&cli.global, environment)?;
            if json {
                config::path_json(&path).to_string()
            } else {
                path.display().to_string()
            }
        }
        ConfigCommand::Init => {
            let path = config::init(&cli.global, environment)?;
            if json {
                config::path_json(&path).to_string()
            } else {
                path.display().to_string()
            }
        }
    };
    context::print(&text)?;
    Ok(ExitKind::Success)
}
