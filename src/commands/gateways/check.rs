//! `gateways check`: tries gateways, tells what they can do, and remembers it.

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::runtime;
use url::Url;

use crate::cli::CheckGateways;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::gateways::{A_URL, bad_url, configured, is_worth_listing, view};
use crate::commands::providers::{self, Network};
use crate::commands::transfer::Tally;
use crate::content::cid::{self, Cid};
use crate::download::chain;
use crate::exit::ExitKind;
use crate::gateway::capability::{Capabilities, Known};
use crate::gateway::defaults;
use crate::gateway::error::{Advice, GatewayError};
use crate::gateway::probe::{Report, probe};
use crate::gateway::request::Gateway;
use crate::settings::{BaseUrl, GatewayEntry, Origin};
use crate::store::{self, GatewayRow, Observation};
use crate::ui::table;
use crate::ui::view::{CheckedList, CheckedView};

/// Gateways that are asked at the same time.
const AT_ONCE: usize = 8;

/// What to do about a gateway that has not got the probe.
const OWN_BLOCK: &str = "name a block that it should have with --cid";

/// One gateway, before and after it was asked.
struct Checked {
    entry: GatewayEntry,
    row: GatewayRow,
    outcome: Outcome,
}

enum Outcome {
    /// It is known to be closed: this says since when and why.
    Closed(String),
    /// It was asked.
    Asked(Report),
}

/// Asks all that may be asked, or those that are named whatever is recorded of them.
pub(super) fn run(context: &Context, wanted: &CheckGateways) -> Result<ExitKind, CommandError> {
    let block = wanted.cid.as_deref().map(cid::parse).transpose();
    let block = block.map_err(|error| {
        CommandError::usage(format!("--cid: {}", chain(&error)))
            .hint("give the CID of a small block, with no path below it")
    })?;
    let entries = if wanted.urls.is_empty() {
        askable(context)?
    } else {
        named(context, &wanted.urls)?
    };
    let checked = ask_all(context, entries, block.as_ref())?;
    let mut tally = Tally::default();
    let mut views = Vec::new();
    for one in &checked {
        record(context, one)?;
        match one.failure(!wanted.urls.is_empty()) {
            Some(kind) => tally.failed(kind),
            None => tally.finished(),
        }
        views.push(one.view(context, block.is_some())?);
    }
    context.show(&CheckedList { gateways: &views }, || {
        table::checked(&views, context.width())
    })?;
    Ok(tally.outcome())
}

/// What the user named, with what is configured for it.
fn named(context: &Context, urls: &[String]) -> Result<Vec<GatewayEntry>, CommandError> {
    let entry = |url: &String| {
        let url = BaseUrl::http(url).map_err(|reason| bad_url(url, &reason))?;
        let entry = configured(context, url.as_str()).cloned();
        Ok(entry.unwrap_or_else(|| GatewayEntry::plain(url.as_str().to_owned(), Origin::Flag)))
    };
    urls.iter().map(entry).collect()
}

/// Those of the user, of the configuration and of the past that are neither disabled nor retired by
/// their own word, and have not asked to be left alone for now. Of those that are known to be
/// closed it is said that they are.
fn askable(context: &Context) -> Result<Vec<GatewayEntry>, CommandError> {
    let now = Timestamp::now();
    let rows = context.store.gateways().wait()?;
    let mut entries: Vec<GatewayEntry> = context.settings.gateways.clone();
    for row in rows.iter().filter(|row| is_worth_listing(row)) {
        if entries.iter().all(|entry| entry.url != row.url) {
            entries.push(GatewayEntry::plain(row.url.clone(), Origin::Flag));
        }
    }
    entries.retain(|entry| {
        let row = rows.iter().find(|row| row.url == entry.url);
        let may_be_asked =
            row.is_none_or(|row| row.retired_since.is_none() && row.rests_until(now).is_none());
        let enabled = row.and_then(|row| row.enabled).unwrap_or(entry.enabled);
        let is_http = entry.url.starts_with("http");
        enabled && may_be_asked && is_http
    });
    Ok(entries)
}

fn ask_all(
    context: &Context,
    entries: Vec<GatewayEntry>,
    block: Option<&Cid>,
) -> Result<Vec<Checked>, CommandError> {
    let network = Network::new(context)?;
    let rows = context.store.gateways().wait()?;
    let mut asked = Vec::new();
    for entry in entries {
        let row = rows.iter().find(|row| row.url == entry.url).cloned();
        let row =
            row.unwrap_or_else(|| GatewayRow::fresh(&entry.url, providers::origin(entry.origin)));
        let gateway = Gateway::new(
            network.client().clone(),
            &entry.url,
            entry.headers.clone(),
            None,
        )
        .map_err(|error| {
            CommandError::usage(format!("{}: {}", entry.url, chain(&error))).hint(A_URL)
        })?
        .with_first_byte_timeout(context.settings.first_byte_timeout(&entry));
        asked.push((entry, row, gateway));
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        let message = format!("cannot start the runtime: {error}");
        CommandError::new(ExitKind::Internal, message)
    })?;
    let checks = asked.into_iter().map(|(entry, row, gateway)| async move {
        let outcome = match closed(&entry.url) {
            Some(why) => Outcome::Closed(why),
            None => Outcome::Asked(probe(&gateway, block).await),
        };
        Checked {
            entry,
            row,
            outcome,
        }
    });
    Ok(runtime.block_on(stream::iter(checks).buffered(AT_ONCE).collect()))
}

/// Why a host of the list of closed ones is not asked at all.
fn closed(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let retired = defaults::retired(url.host_str()?)?;
    Some(format!(
        "closed since {}: {}",
        retired.since, retired.advice
    ))
}

/// Keeps what was learnt.
fn record(context: &Context, checked: &Checked) -> Result<(), CommandError> {
    let Outcome::Asked(report) = &checked.outcome else {
        return Ok(());
    };
    let (store, url, now) = (&context.store, &checked.entry.url, Timestamp::now());
    store
        .upsert_gateway(url, providers::origin(checked.entry.origin))
        .wait()?;
    store
        .observe(url, checked.observation(report, now), now)
        .wait()?;
    if report.works() {
        store.end_cool_down(url).wait()?;
    }
    for error in &report.failures {
        refused(store, checked, error, now)?;
    }
    Ok(())
}

/// Keeps the wish of a gateway to be left alone.
fn refused(
    store: &store::Store,
    checked: &Checked,
    error: &GatewayError,
    now: Timestamp,
) -> Result<(), CommandError> {
    let url = &checked.entry.url;
    if error.advice() == Advice::Retired {
        store.retire(url, now, &chain(error)).wait()?;
    }
    if matches!(error.status(), Some(429 | 503)) {
        let pace = checked.row.pace(now).refused(None);
        store.set_pace(url, pace, now).wait()?;
    }
    let until = error
        .retry_after()
        .and_then(|wait| now.checked_add(wait).ok());
    if let Some(until) = until {
        store.cool_down(url, until, now).wait()?;
    }
    Ok(())
}

impl Checked {
    fn observation(&self, report: &Report, now: Timestamp) -> Observation {
        let is_failure = |error: &&GatewayError| error.advice() != Advice::Unsupported;
        let failures = report.failures.iter().filter(is_failure).count();
        let newer = |old: Known, new: Known| if new == Known::Unknown { old } else { new };
        let (old, new) = (self.row.capabilities(now), report.capabilities);
        let capabilities = Capabilities {
            raw: newer(old.raw, new.raw),
            car: newer(old.car, new.car),
            range: newer(old.range, new.range),
            entity_bytes: old.entity_bytes,
        };
        Observation {
            requests: report.requests,
            errors: failures as u64,
            bytes: report.bytes,
            latency: report.latency,
            error: self.error(),
            capabilities: Some(capabilities.encode()),
            ..Observation::default()
        }
    }

    /// Why it cannot be used.
    fn error(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Closed(why) => Some(why.clone()),
            Outcome::Asked(report) if report.works() => None,
            Outcome::Asked(report) => {
                let first = report.failures.first().map(|error| chain(error));
                Some(first.unwrap_or_else(|| "sends other bytes than asked for".to_owned()))
            }
        }
    }

    /// The kind of its failure. A local node of the built-in list that is not there is none,
    /// unless somebody asked for it.
    fn failure(&self, is_named: bool) -> Option<ExitKind> {
        let Outcome::Asked(report) = &self.outcome else {
            return Some(ExitKind::Retry);
        };
        let first = report.failures.first();
        let is_optional =
            !is_named && self.entry.origin == Origin::Default && self.entry.is_local();
        if report.works() || (is_optional && first.is_some_and(GatewayError::is_unreachable)) {
            return None;
        }
        Some(match first.map(GatewayError::advice) {
            Some(Advice::Credentials | Advice::Withheld) => ExitKind::Refused,
            _ => ExitKind::Retry,
        })
    }

    fn view(&self, context: &Context, is_own_block: bool) -> Result<CheckedView, CommandError> {
        let row = context.store.gateway(&self.entry.url).wait()?;
        let mut gateway = view(row.as_ref().unwrap_or(&self.row), self.entry.enabled);
        let mut notes = Vec::new();
        if let Outcome::Asked(report) = &self.outcome {
            gateway.latency = report.latency.map(|latency| latency.as_secs_f64());
            notes = strange(report);
            if !is_own_block && is_unknown(report) {
                notes.push(OWN_BLOCK.to_owned());
            }
        }
        Ok(CheckedView {
            gateway,
            error: self.error(),
            notes,
        })
    }
}

/// What is strange about a gateway: of one that works also what failed, but for the forms that it
/// merely does not serve.
fn strange(report: &Report) -> Vec<String> {
    let mut notes = report.notes.clone();
    if report.works() {
        let is_strange =
            |error: &&GatewayError| !matches!(error.advice(), Advice::Unsupported | Advice::Absent);
        let failures = report.failures.iter().filter(is_strange);
        notes.extend(failures.map(|error| chain(error)));
    }
    notes
}

/// Whether it answers, but has not got what it was asked for: a store of files knows no probes.
fn is_unknown(report: &Report) -> bool {
    let mut failures = report.failures.iter();
    !report.works() && failures.all(|error| error.advice() == Advice::Absent)
}
