//! `gateways`: the providers that fetchd knows, and what the user wants of them.

mod check;

use jiff::{SignedDuration, Timestamp};

use crate::cli::GatewaysCommand;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::providers;
use crate::exit::ExitKind;
use crate::gateway::defaults;
use crate::settings::{BaseUrl, GatewayEntry};
use crate::store::{GatewayRow, Origin};
use crate::ui::table;
use crate::ui::view::{GatewayList, GatewayState, GatewayView};

/// How long a gateway that nobody names is listed after it was asked.
const LISTED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What a gateway is named by.
const A_URL: &str = "give the base URL of a gateway, as in https://gateway.example.org";

/// Lists them, or changes what is recorded of them.
pub fn run(context: &Context, command: &GatewaysCommand) -> Result<ExitKind, CommandError> {
    match command {
        GatewaysCommand::List => return list(context),
        GatewaysCommand::Check(wanted) => return check::run(context, wanted),
        GatewaysCommand::Add(gateways) => each(&gateways.urls, |url| add(context, url))?,
        GatewaysCommand::Remove(gateways) => each(&gateways.urls, |url| remove(context, url))?,
        GatewaysCommand::Enable(gateways) => each(&gateways.urls, |url| set(context, url, true))?,
        GatewaysCommand::Disable(gateways) => each(&gateways.urls, |url| set(context, url, false))?,
        GatewaysCommand::Reset(some) if some.urls.is_empty() => {
            context.store.reset_gateways().wait()?;
        }
        GatewaysCommand::Reset(some) => each(&some.urls, |url| reset(context, url))?,
    }
    if context.wants_json() {
        return list(context);
    }
    Ok(ExitKind::Success)
}

fn each(
    urls: &[String],
    mut action: impl FnMut(&str) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    // All are checked before any is changed.
    let bases = urls
        .iter()
        .map(|url| BaseUrl::new(url).map_err(|reason| bad_url(url, &reason)))
        .collect::<Result<Vec<_>, _>>()?;
    bases.iter().try_for_each(|base| action(base.as_str()))
}

/// What the configuration names is enabled; anything else becomes known.
fn add(context: &Context, url: &str) -> Result<(), CommandError> {
    if configured(context, url).is_some() {
        return set(context, url, true);
    }
    context.store.upsert_gateway(url, Origin::User).wait()?;
    context.store.set_gateway_enabled(url, None).wait()?;
    Ok(())
}

/// What the user added is forgotten; what the configuration names stays in it, disabled.
fn remove(context: &Context, url: &str) -> Result<(), CommandError> {
    let was_known = context.store.remove_gateway(url).wait()?;
    if configured(context, url).is_some() {
        set(context, url, false)
    } else if was_known {
        Ok(())
    } else {
        Err(unknown(url))
    }
}

/// The word of the configuration counts again, and the past does not.
fn reset(context: &Context, url: &str) -> Result<(), CommandError> {
    let was_known = context.store.reset_gateway(url).wait()?;
    if was_known || configured(context, url).is_some() {
        Ok(())
    } else {
        Err(unknown(url))
    }
}

fn set(context: &Context, url: &str, enabled: bool) -> Result<(), CommandError> {
    if let Some(entry) = configured(context, url) {
        let origin = providers::origin(entry.origin);
        context.store.upsert_gateway(url, origin).wait()?;
    }
    let enabled = context.store.set_gateway_enabled(url, Some(enabled));
    if enabled.wait()? {
        Ok(())
    } else {
        Err(unknown(url))
    }
}

fn configured<'a>(context: &'a Context, url: &str) -> Option<&'a GatewayEntry> {
    let gateways = &context.settings.gateways;
    gateways.iter().find(|entry| entry.url == url)
}

fn bad_url(url: &str, reason: &str) -> CommandError {
    CommandError::usage(format!("{url:?} is no gateway: {reason}")).hint(A_URL)
}

fn unknown(url: &str) -> CommandError {
    CommandError::usage(format!("no gateway {url} is known"))
        .hint("see them all with: fetchd gateways list")
}

fn list(context: &Context) -> Result<ExitKind, CommandError> {
    let known = context.store.gateways().wait()?;
    let mut views = Vec::new();
    for row in known.iter().filter(|row| row.origin == Origin::User) {
        views.push(view(row, true));
    }
    for entry in &context.settings.gateways {
        let row = known.iter().find(|row| row.url == entry.url);
        let fresh = || GatewayRow::fresh(&entry.url, providers::origin(entry.origin));
        if !views.iter().any(|view| view.url == entry.url) {
            views.push(view(row.unwrap_or(&fresh()), entry.enabled));
        }
    }
    for row in known.iter().filter(|row| is_worth_listing(row)) {
        if !views.iter().any(|view| view.url == row.url) {
            views.push(unnamed(row));
        }
    }
    context.show(&GatewayList { gateways: &views }, || {
        table::gateways(&views, context.width())
    })?;
    Ok(ExitKind::Success)
}

/// One that neither the configuration nor the user names any more, or ever did.
fn unnamed(row: &GatewayRow) -> GatewayView {
    let mut view = view(row, true);
    let was_configured = matches!(row.origin, Origin::Config | Origin::Default);
    if was_configured && view.reason.is_none() {
        view.reason = Some("not configured any more, and not asked".to_owned());
    }
    view
}

/// Whether a gateway that nobody names any more is worth a line: somebody has said something about
/// it, it was of use lately, or it asks to be left alone.
fn is_worth_listing(row: &GatewayRow) -> bool {
    let now = Timestamp::now();
    let is_recent = |used: Timestamp| now.duration_since(used) < LISTED;
    let was_used = row.requests > 0 && row.last_used.is_some_and(is_recent);
    let is_http = row.url.starts_with("http");
    let is_marked = row.enabled.is_some() || row.retired_since.is_some();
    is_http && (is_marked || was_used || row.rests_until(now).is_some())
}

/// Whether it did what it was asked to the last time. Nothing that nobody has tried is sound.
fn is_sound(row: &GatewayRow) -> bool {
    let has_served = row.bytes > 0 || row.learnt.iter().any(|learnt| learnt.is_yes);
    has_served && row.requests > row.errors && row.errors_in_row == 0
}

fn view(row: &GatewayRow, is_enabled: bool) -> GatewayView {
    let enabled = row.enabled.unwrap_or(is_enabled);
    let cooling = row.rests_until(Timestamp::now());
    let host = url::Url::parse(&row.url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    let retired = host.as_deref().and_then(defaults::retired);
    let state = if !enabled {
        GatewayState::Disabled
    } else if row.retired_since.is_some() || retired.is_some() {
        GatewayState::Retired
    } else if cooling.is_some() {
        GatewayState::Cooling
    } else if is_sound(row) {
        GatewayState::Ok
    } else {
        GatewayState::Unknown
    };
    // What a sound one did wrong once is no reason for anything.
    let last_error = row.last_error.clone().filter(|_| state != GatewayState::Ok);
    GatewayView {
        url: row.url.clone(),
        origin: row.origin.name().to_owned(),
        enabled,
        state,
        until: cooling.map(Into::into),
        reason: retired
            .map(|retired| retired.advice.to_owned())
            .or_else(|| row.retired_reason.clone())
            .or(last_error),
        requests: row.requests,
        bytes: row.bytes,
        errors: row.errors,
        rejected: row.rejected,
        capabilities: (&row.capabilities(Timestamp::now())).into(),
        latency: row.latency,
        throughput: row.throughput,
    }
}
