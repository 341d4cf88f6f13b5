//! Records as tables for people.
//!
//! A table never gets wider than it is told to: a narrow one drops columns and cuts names in the
//! middle. Without a width, nothing is dropped or cut, for the reader is a program or a pager.

mod catalog;
mod draft;

use std::time::Duration;

use crate::download::Status;
use crate::ui::escape;
use crate::ui::human;
use crate::ui::text;
use crate::ui::view::{AttemptView, CheckedView, DownloadView, Fate, GatewayView, SyncedView};
pub use catalog::{catalog, updated_catalogs};
use draft::{Draft, column, draw, name, number, sentence};

/// Entries of a manifest that are all listed; of more only those that were not kept.
const MOST_KEPT: usize = 20;

/// The table of `list`, without a line feed at its end.
pub fn downloads(rows: &[DownloadView], width: Option<u16>) -> String {
    let columns = vec![
        number("ID", 0),
        column("STATUS", 0),
        number("DONE", 1),
        number("SIZE", 2),
        name("NAME"),
        sentence("NOTE", 3),
    ];
    let rows = rows.iter().map(download_row).collect();
    draw(Draft { columns, rows }, width)
}

fn download_row(view: &DownloadView) -> Vec<String> {
    let percent = view
        .bytes_total
        .map(|total| human::percent(view.bytes_verified, total));
    let file = view.path.as_deref().and_then(|path| path.file_name());
    let name = file.map_or(view.source.clone().into(), |name| name.to_string_lossy());
    vec![
        view.id.to_string(),
        view.status.to_string(),
        percent.map_or("-".to_owned(), |percent| format!("{percent}%")),
        view.bytes_total.map_or("-".to_owned(), human::size),
        escape::text(&name).into_owned(),
        escape::text(&note(view)).into_owned(),
    ]
}

/// What a person wants to know of it first.
fn note(view: &DownloadView) -> String {
    let mut notes = Vec::new();
    if view.status == Status::Pending {
        notes.extend((view.priority != 0).then(|| format!("priority {}", view.priority)));
        notes.extend(
            view.next_attempt_at
                .map(|next| format!("next try at {next}")),
        );
    }
    notes.extend(view.error.as_ref().map(|error| error.message.clone()));
    notes.join("; ")
}

/// The table of `gateways list`, without a line feed at its end.
pub fn gateways(rows: &[GatewayView], width: Option<u16>) -> String {
    let columns = vec![
        name("URL"),
        column("STATE", 0),
        column("ORIGIN", 4),
        column("CAN", 3),
        number("RECEIVED", 2),
        number("RATE", 5),
        number("REQUESTS", 6),
        number("ERRORS", 2),
        number("REJECTED", 2),
        sentence("NOTE", 1),
    ];
    let rows = rows.iter().map(gateway_row).collect();
    draw(Draft { columns, rows }, width)
}

fn gateway_row(view: &GatewayView) -> Vec<String> {
    let until = view.until.map(|until| format!("until {until}"));
    let note: Vec<String> = until.into_iter().chain(view.reason.clone()).collect();
    vec![
        escape::text(&view.url).into_owned(),
        view.state.name().to_owned(),
        escape::text(&view.origin).into_owned(),
        text::can(&view.capabilities),
        human::size(view.bytes),
        view.throughput.map_or("-".to_owned(), human::rate),
        view.requests.to_string(),
        view.errors.to_string(),
        view.rejected.to_string(),
        escape::text(&note.join(", ")).into_owned(),
    ]
}

/// The table of `gateways check`, without a line feed at its end.
pub fn checked(rows: &[CheckedView], width: Option<u16>) -> String {
    let columns = vec![
        name("URL"),
        column("WORKS", 0),
        column("CAN", 1),
        number("LATENCY", 2),
        sentence("NOTE", 0),
    ];
    let rows = rows.iter().map(checked_row).collect();
    draw(Draft { columns, rows }, width)
}

fn checked_row(view: &CheckedView) -> Vec<String> {
    let latency = view.gateway.latency.map(Duration::try_from_secs_f64);
    let latency = latency.and_then(Result::ok);
    let notes: Vec<&str> = view
        .error
        .iter()
        .chain(&view.notes)
        .map(String::as_str)
        .collect();
    vec![
        escape::text(&view.gateway.url).into_owned(),
        if view.error.is_none() { "yes" } else { "no" }.to_owned(),
        text::can(&view.gateway.capabilities),
        latency.map_or("-".to_owned(), |latency| {
            format!("{} ms", latency.as_millis())
        }),
        escape::text(&notes.join(", ")).into_owned(),
    ]
}

/// The table of `history`, without a line feed at its end.
pub fn attempts(rows: &[AttemptView], width: Option<u16>) -> String {
    let columns = vec![
        column("ENDED", 1),
        number("ID", 0),
        name("PROVIDER"),
        column("REQUEST", 2),
        number("OFFSET", 4),
        number("RECEIVED", 3),
        sentence("OUTCOME", 0),
    ];
    let row = |view: &AttemptView| {
        vec![
            view.ended_at.to_string(),
            view.download.to_string(),
            escape::text(&view.provider).into_owned(),
            escape::text(&view.request).into_owned(),
            view.offset.map_or("-".to_owned(), |at| at.to_string()),
            human::size(view.bytes),
            escape::text(&view.outcome).into_owned(),
        ]
    };
    let rows = rows.iter().map(row).collect();
    draw(Draft { columns, rows }, width)
}

/// The table of `sync` and a line that sums it up, without a line feed at its end. Where there are
/// many, what was kept is only counted.
pub fn synced(rows: &[SyncedView], width: Option<u16>) -> String {
    let columns = vec![
        column("RESULT", 0),
        number("SIZE", 1),
        name("TARGET"),
        sentence("NOTE", 2),
    ];
    let is_listed = |row: &&SyncedView| rows.len() <= MOST_KEPT || row.fate != Fate::Kept;
    let row = |row: &SyncedView| {
        vec![
            row.fate.name().to_owned(),
            row.size.map_or("-".to_owned(), human::size),
            escape::text(&row.target).into_owned(),
            escape::text(row.note.as_deref().unwrap_or_default()).into_owned(),
        ]
    };
    let listed: Vec<Vec<String>> = rows.iter().filter(is_listed).map(row).collect();
    let counts = Fate::ALL.into_iter().filter_map(|fate| {
        let count = rows.iter().filter(|row| row.fate == fate).count();
        (count > 0).then(|| format!("{count} {}", fate.name()))
    });
    let sum = counts.collect::<Vec<_>>().join(", ");
    let sum = match rows {
        [] => "nothing is asked for".to_owned(),
        _ => sum,
    };
    match listed.as_slice() {
        [] => sum,
        _ => {
            let rows = listed;
            format!("{}\n{sum}", draw(Draft { columns, rows }, width))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::fit;
    use crate::ui::samples::{checked_rows, failed, gateway_rows, rows};
    use proptest::prelude::*;

    #[test]
    fn a_list_fits_the_terminal() {
        insta::assert_snapshot!(downloads(&rows(), None), @r"
        ID  STATUS       DONE   SIZE  NAME                                  NOTE
         3  in_progress   45%  1 GiB  model.bin
         7  pending         -      -  bafy\u{1b}[2J
        12  paused        45%  1 GiB  a-rather-long-model-name-q4_k_m.gguf  every provider is unreachable: connection refused
        ");
        insta::assert_snapshot!(downloads(&rows(), Some(80)), @r"
        ID  STATUS       DONE   SIZE  NAME                              NOTE
         3  in_progress   45%  1 GiB  model.bin
         7  pending         -      -  bafy\u{1b}[2J
        12  paused        45%  1 GiB  a-rather-long-mo…ame-q4_k_m.gguf  every provider …
        ");
        insta::assert_snapshot!(downloads(&rows(), Some(40)), @r"
        ID  STATUS       DONE  NAME
         3  in_progress   45%  model.bin
         7  pending         -  bafy\u{1b}[2J
        12  paused        45%  a-rather…k_m.gguf
        ");
        insta::assert_snapshot!(downloads(&[], Some(40)), @r"ID  STATUS  DONE  SIZE  NAME");
    }

    #[test]
    fn gateways_fit_the_terminal() {
        insta::assert_snapshot!(gateways(&gateway_rows(), None), @r"
        URL                      STATE    ORIGIN   CAN        RECEIVED        RATE  REQUESTS  ERRORS  REJECTED  NOTE
        http://127.0.0.1:8080    ok       default  raw,range     5 MiB  12.3 MiB/s        12       1         0
        https://gateway.example  cooling  default  raw,range     5 MiB  12.3 MiB/s        12       1         0  until 2023-11-14T22:13:20Z, answered 429
        ");
        insta::assert_snapshot!(gateways(&gateway_rows(), Some(80)), @r"
        URL                      STATE    RECEIVED  ERRORS  REJECTED  NOTE
        http://127.0.0.1:8080    ok          5 MiB       1         0
        https://gateway.example  cooling     5 MiB       1         0  until 2023-11-14T…
        ");
    }

    #[test]
    fn checked_gateways_say_what_is_wrong() {
        insta::assert_snapshot!(checked(&checked_rows(), None), @r"
        URL                      WORKS  CAN        LATENCY  NOTE
        http://127.0.0.1:8080    yes    raw,range    20 ms  its clock is 2 h behind ours
        https://gateway.example  no     -                -  no connection: connection refused
        ");
    }

    proptest! {
        #[test]
        fn no_row_is_too_wide(name in "[a-z模]{1,90}", note in "[a-z ]{0,90}", width in 40u16..200) {
            let mut row = failed(12);
            row.path = Some(name.into());
            row.error.as_mut().unwrap().message = note;
            for line in downloads(&[row], Some(width)).lines() {
                prop_assert!(fit::columns(line) <= usize::from(width), "{}", line);
            }
        }
    }
}
