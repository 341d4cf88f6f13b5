//! Records as tables and as `key: value` text for people.
//!
//! A table never gets wider than it is told to: a narrow one drops columns and cuts names in the
//! middle. Without a width, nothing is dropped or cut, for the reader is a program or a pager.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use crate::download::Status;
use crate::ui::escape;
use crate::ui::fit;
use crate::ui::human;
use crate::ui::view::{
    AttemptView, CapabilitiesView, CheckedView, CidsView, DownloadDetail, DownloadView, EntryView,
    Fate, FileView, GatewayView, ListingView, NamedView, PlanView, ProfileCidView, PruneView,
    ReceiptView, SyncedView,
};

/// Columns that a name or sentence keeps before other columns are dropped for it.
const LEAST: usize = 16;
/// Files of a directory that are named; of more there is only the number.
const MOST_FILES: usize = 20;
/// Columns of the gap between two columns.
const GAP: usize = 2;

/// A table before it is fitted.
struct Draft {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Clone, Copy)]
struct Column {
    title: &'static str,
    is_number: bool,
    /// Columns with a higher rank are dropped first; 0 is never dropped.
    rank: u8,
    cut: Cut,
}

/// How cells get shorter where there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Never,
    /// Names.
    Middle,
    /// Sentences.
    End,
}

const fn column(title: &'static str, rank: u8) -> Column {
    Column {
        title,
        is_number: false,
        rank,
        cut: Cut::Never,
    }
}

const fn number(title: &'static str, rank: u8) -> Column {
    Column {
        is_number: true,
        ..column(title, rank)
    }
}

const fn name(title: &'static str) -> Column {
    Column {
        cut: Cut::Middle,
        ..column(title, 0)
    }
}

const fn sentence(title: &'static str, rank: u8) -> Column {
    Column {
        cut: Cut::End,
        ..column(title, rank)
    }
}

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
        can(&view.gateway.capabilities),
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

/// The words of `get --dry-run`, without a line feed at its end.
pub fn plan(plan: &PlanView) -> String {
    let what = match (plan.kind, plan.size, plan.entries) {
        ("directory", _, entries) => format!(
            "a directory of {} entries, about {}",
            entries.unwrap_or(0),
            human::size(plan.claimed.unwrap_or(0))
        ),
        (kind, Some(size), _) => format!("a {kind} of {size} bytes"),
        (kind, None, _) => format!("a {kind} of a size that nobody says"),
    };
    let path = plan.path.as_ref();
    let path = path.map_or("standard output".into(), |path| path.to_string_lossy());
    let path = escape::text(&path);
    let action = match plan.action {
        "none" => format!("in place already: {path}"),
        "resume" => format!("would go on with {path}"),
        _ => format!("would go to {path}"),
    };
    let mut lines = vec![format!("{}: {what}, {action}", escape::text(&plan.source))];
    for provider in &plan.providers {
        let can = match can(&provider.capabilities).as_str() {
            "-" => String::new(),
            can => format!(" ({can})"),
        };
        lines.push(format!("  would ask {}{can}", escape::text(&provider.url)));
    }
    lines.join("\n")
}

/// The lines of `ls`, without a line feed at its end: kind, exact size, name. Nothing is cut, and
/// there is no title: the lines are for other programs too.
pub fn listing(view: &ListingView) -> String {
    let size = |entry: &NamedView| entry.size.map_or("-".to_owned(), |size| size.to_string());
    let width = view.entries.iter().map(|entry| size(entry).len()).max();
    let width = width.unwrap_or(0);
    let line = |entry: &NamedView| {
        let slash = if entry.kind == "directory" { "/" } else { "" };
        let (kind, size, name) = (entry.kind, size(entry), escape::text(&entry.name));
        format!("{kind:<9}  {size:>width$}  {name}{slash}")
    };
    view.entries.iter().map(line).collect::<Vec<_>>().join("\n")
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
    let is_listed = |row: &&SyncedView| rows.len() <= MOST_FILES || row.fate != Fate::Kept;
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

/// The table of `catalog list`, without a line feed at its end.
pub fn catalog(rows: &[EntryView], width: Option<u16>) -> String {
    let columns = vec![
        name("NAME"),
        column("TYPE", 2),
        number("SIZE", 0),
        number("MEMORY", 1),
        column("LICENCE", 3),
        sentence("NOTE", 4),
    ];
    let text = |text: &Option<String>| escape::text(text.as_deref().unwrap_or("-")).into_owned();
    let size = |size: Option<u64>| size.map_or("-".to_owned(), human::size);
    let row = |view: &EntryView| {
        vec![
            escape::text(&view.name).into_owned(),
            text(&view.kind),
            size(view.size),
            size(view.memory),
            text(&view.licence),
            text(&view.note),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    match rows.as_slice() {
        [] => String::new(),
        _ => draw(Draft { columns, rows }, width),
    }
}

/// The text of `catalog show`: `key: value` lines, without a line feed at its end.
pub fn entry(view: &EntryView) -> String {
    let mut pairs = Pairs::default();
    pairs.add("name", &view.name);
    pairs.add("source", &view.source);
    pairs.add_some("size", view.size.map(human::size));
    pairs.add_some("sha256", view.sha256.as_ref());
    pairs.add_some("type", view.kind.as_ref());
    pairs.add_some("memory", view.memory.map(human::size));
    pairs.add_some("licence", view.licence.as_ref());
    pairs.add_some("note", view.note.as_ref());
    pairs.text
}

/// The lines of `cid`, without a line feed at its end: CID, profile.
pub fn cids(view: &CidsView) -> String {
    let text = |cid: &Option<String>| cid.clone().unwrap_or_else(|| "-".to_owned());
    let width = view.cids.iter().map(|one| text(&one.cid).len()).max();
    let width = width.unwrap_or(0);
    let line = |one: &ProfileCidView| format!("{:<width$}  {}", text(&one.cid), one.profile);
    view.cids.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The words of `prune`, without a line feed at its end.
pub fn pruned(view: &PruneView) -> String {
    let [forgotten, removed] = if view.dry_run {
        ["would be forgotten", "would be removed"]
    } else {
        ["forgotten", "removed"]
    };
    let downloads = view
        .forgotten
        .iter()
        .map(|id| format!("download {id}: {forgotten}"));
    let parts = view.parts.iter().map(|path| {
        let path = path.to_string_lossy();
        format!("{}: {removed}", escape::text(&path))
    });
    let lines: Vec<String> = downloads.chain(parts).collect();
    lines.join("\n")
}

/// The text of `show`: `key: value` lines, without a line feed at its end.
pub fn download(detail: &DownloadDetail) -> String {
    let view = &detail.download;
    let mut pairs = Pairs::default();
    pairs.add("id", view.id);
    pairs.add("source", &view.source);
    pairs.add_some("cid", view.cid.as_ref());
    pairs.add_some("content path", view.content_path.as_ref());
    pairs.add_some(
        "path",
        view.path.as_deref().map(|path| path.to_string_lossy()),
    );
    pairs.add_some("kind", view.kind.as_ref());
    pairs.add("status", view.status);
    pairs.add("proved", amount(view));
    pairs.add_some("sha256", view.sha256.as_ref());
    pairs.add_some("proof", view.proof.map(|proof| proof.name()));
    pairs.add("attempts", view.attempts);
    pairs.add("priority", view.priority);
    pairs.add("created", view.created_at);
    pairs.add("updated", view.updated_at);
    pairs.add_some("completed", view.completed_at);
    pairs.add_some("next attempt", view.next_attempt_at);
    if let Some(error) = &view.error {
        pairs.add("error", format!("{} ({})", error.message, error.kind));
        pairs.add_some("hint", error.hint.as_ref());
    }
    details(detail, &mut pairs);
    pairs.text
}

fn details(detail: &DownloadDetail, pairs: &mut Pairs) {
    if let Some(owner) = &detail.owner {
        let host = owner.host.as_deref().unwrap_or("this host");
        pairs.add(
            "owner",
            format!("run {}, process {} on {host}", owner.run, owner.pid),
        );
    }
    files(&detail.files, pairs);
    for provider in &detail.providers {
        let (bytes, wasted) = (human::size(provider.bytes), human::size(provider.wasted));
        let (errors, rejected) = (provider.errors, provider.rejected);
        let counts = format!(
            "{} requests, {errors} errors, {rejected} rejected",
            provider.requests
        );
        pairs.add(
            "provider",
            format!(
                "{}: {bytes} kept, {wasted} thrown away, {counts}",
                provider.url
            ),
        );
    }
    for checkpoint in &detail.checkpoints {
        let (at, bytes) = (checkpoint.created_at, human::size(checkpoint.bytes));
        let (trigger, status) = (checkpoint.trigger.name(), checkpoint.status);
        pairs.add("checkpoint", format!("{at} {bytes}, {trigger}, {status}"));
    }
    pairs.add_some("receipt", detail.receipt.as_ref().map(receipt));
}

/// The files, those that lack something first; directories and links have nothing to tell.
fn files(entries: &[FileView], pairs: &mut Pairs) {
    let is_file = |entry: &&FileView| matches!(entry.kind, "file" | "unknown");
    let files: Vec<&FileView> = entries.iter().filter(is_file).collect();
    if let [file] = files.as_slice()
        && file.path.is_empty()
    {
        // The download is this file.
        let size = file.size.map_or("?".to_owned(), human::size);
        return pairs.add(
            "file",
            format!("{} of {size}", human::size(file.bytes_verified)),
        );
    }
    if files.is_empty() {
        return;
    }
    let (done, missing): (Vec<&FileView>, Vec<&FileView>) =
        files.iter().partition(|file| file.done);
    pairs.add("files", format!("{} of {} done", done.len(), files.len()));
    for file in missing.iter().chain(&done).take(MOST_FILES) {
        pairs.add("file", format!("{} ({})", file.path, state(file)));
    }
    if files.len() > MOST_FILES {
        pairs.add("file", format!("and {} more", files.len() - MOST_FILES));
    }
}

/// How far a file is.
fn state(file: &FileView) -> String {
    match (file.size, file.done) {
        (Some(size), true) => format!("{}, done", human::size(size)),
        (Some(size), false) => format!(
            "{} of {}",
            human::size(file.bytes_verified),
            human::size(size)
        ),
        (None, _) => "not begun".to_owned(),
    }
}

fn receipt(receipt: &ReceiptView) -> String {
    let facts = &receipt.facts;
    let [fetched, wasted, resumed] =
        [facts.bytes_fetched, facts.bytes_wasted, facts.resumed_from].map(human::size);
    let elapsed = std::time::Duration::try_from_secs_f64(facts.elapsed).unwrap_or_default();
    let elapsed = human::duration(elapsed);
    format!("{fetched} fetched, {wasted} thrown away, resumed from {resumed}, {elapsed}")
}

/// `key: value` lines, each value on one line.
#[derive(Default)]
struct Pairs {
    text: String,
}

impl Pairs {
    fn add(&mut self, key: &str, value: impl ToString) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text
            .push_str(&format!("{key}: {}", escape::text(&value.to_string())));
    }

    fn add_some(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }
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

/// What a gateway is known to be able to do.
fn can(can: &CapabilitiesView) -> String {
    let can: Vec<&str> = [
        (can.raw, "raw"),
        (can.car, "car"),
        (can.entity_bytes, "entity-bytes"),
        (can.range, "range"),
    ]
    .into_iter()
    .filter(|(known, _)| *known == Some(true))
    .map(|(_, name)| name)
    .collect();
    if can.is_empty() {
        "-".to_owned()
    } else {
        can.join(",")
    }
}

fn gateway_row(view: &GatewayView) -> Vec<String> {
    let until = view.until.map(|until| format!("until {until}"));
    let note: Vec<String> = until.into_iter().chain(view.reason.clone()).collect();
    vec![
        escape::text(&view.url).into_owned(),
        view.state.name().to_owned(),
        escape::text(&view.origin).into_owned(),
        can(&view.capabilities),
        human::size(view.bytes),
        view.throughput.map_or("-".to_owned(), human::rate),
        view.requests.to_string(),
        view.errors.to_string(),
        view.rejected.to_string(),
        escape::text(&note.join(", ")).into_owned(),
    ]
}

fn amount(view: &DownloadView) -> String {
    let proved = human::size(view.bytes_verified);
    match view.bytes_total {
        Some(total) => {
            let percent = human::percent(view.bytes_verified, total);
            format!("{percent}% ({proved} of {})", human::size(total))
        }
        None => proved,
    }
}

fn draw(mut draft: Draft, width: Option<u16>) -> String {
    draft.drop_empty();
    if let Some(width) = width {
        draft.fit(usize::from(width));
    }
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(draft.columns.iter().map(|column| column.title));
    table.add_rows(&draft.rows);
    let last = draft.columns.len() - 1;
    for (index, column) in draft.columns.iter().enumerate() {
        let Some(drawn) = table.column_mut(index) else {
            continue;
        };
        drawn.set_padding((0, if index == last { 0 } else { GAP as u16 }));
        if column.is_number {
            drawn.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

impl Draft {
    /// Drops columns of sentences if there are none.
    fn drop_empty(&mut self) {
        for index in (0..self.columns.len()).rev() {
            let is_empty = self.rows.iter().all(|row| row[index].is_empty());
            if self.columns[index].cut == Cut::End && is_empty {
                self.remove(index);
            }
        }
    }

    /// Drops columns until those that can be cut have room, then cuts these.
    fn fit(&mut self, width: usize) {
        while self.least() > width {
            let ranks = self.columns.iter().map(|column| column.rank).enumerate();
            match ranks.max_by_key(|&(_, rank)| rank) {
                Some((index, 1..)) => self.remove(index),
                _ => break,
            }
        }
        // Each in turn gets what the others leave over at their least, the last one all the rest.
        let mut spare = width.saturating_sub(self.least());
        for index in 0..self.columns.len() {
            let cut = match self.columns[index].cut {
                Cut::Never => continue,
                Cut::Middle => fit::cut_middle,
                Cut::End => fit::cut_end,
            };
            let least = self.width(index).min(LEAST);
            let granted = self.width(index).min(least + spare);
            spare -= granted - least;
            for row in &mut self.rows {
                row[index] = cut(&row[index], granted);
            }
        }
    }

    /// Columns needed if each column that can be cut has its least.
    fn least(&self) -> usize {
        let least = |index: usize| match self.columns[index].cut {
            Cut::Never => self.width(index),
            Cut::Middle | Cut::End => self.width(index).min(LEAST),
        };
        let gaps = GAP * self.columns.len().saturating_sub(1);
        (0..self.columns.len()).map(least).sum::<usize>() + gaps
    }

    /// Width of the widest cell.
    fn width(&self, index: usize) -> usize {
        let cells = self.rows.iter().map(|row| fit::columns(&row[index]));
        cells
            .chain([self.columns[index].title.len()])
            .max()
            .unwrap_or(0)
    }

    fn remove(&mut self, index: usize) {
        self.columns.remove(index);
        for row in &mut self.rows {
            row.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples::{checked_rows, detail, failed, gateway_rows, rows};
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

    #[test]
    fn a_download_is_told_in_full() {
        insta::assert_snapshot!(download(&detail()), @r"
        id: 12
        source: bafy/a
        cid: bafy
        content path: a
        path: /data/a-rather-long-model-name-q4_k_m.gguf
        kind: file
        status: paused
        proved: 45% (470 MiB of 1 GiB)
        proof: blocks
        attempts: 1
        priority: 0
        created: 2023-11-14T22:13:20Z
        updated: 2023-11-14T22:14:20Z
        error: every provider is unreachable: connection refused (retry)
        hint: fetchd resume 12
        owner: run 4, process 99 on this host
        files: 0 of 1 done
        file: a (470 MiB of 1 GiB)
        provider: http://a: 470 MiB kept, 0 B thrown away, 3 requests, 1 errors, 0 rejected
        checkpoint: 2023-11-14T22:13:20.250Z 470 MiB, stop, completed
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

    #[test]
    fn files_of_a_directory_are_summed_up() {
        let entry = |n: u64, kind, done| FileView {
            path: format!("dir/{n}"),
            kind,
            cid: None,
            size: (kind == "file").then_some(n << 20),
            bytes_verified: if done { n << 20 } else { 1 << 10 },
            done,
        };
        let mut detail = detail();
        detail.files = vec![entry(0, "directory", true), entry(1, "unknown", false)];
        detail
            .files
            .extend((2..40).map(|n| entry(n, "file", n % 4 == 0)));
        let text = download(&detail);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("file"))
            .collect();
        assert_eq!(lines[0], "files: 9 of 39 done");
        assert_eq!(lines[1], "file: dir/1 (not begun)");
        assert_eq!(lines[2], "file: dir/2 (1 KiB of 2 MiB)");
        assert_eq!(lines.len(), 22);
        assert_eq!(lines[21], "file: and 19 more");
        detail.files.truncate(1);
        assert!(!download(&detail).contains("\nfile"));
    }
}
