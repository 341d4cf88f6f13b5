//! Records as text for people: `key: value` lines, and lines of words.

use crate::ui::escape;
use crate::ui::human;
use crate::ui::view::{
    CapabilitiesView, CidsView, DownloadDetail, DownloadView, EntryView, FileView, ListingView,
    NamedView, PlanView, ProfileCidView, PruneView, ReceiptView, RemoteState, RemoteView,
};

/// Files of a directory that are named; of more there is only the number.
const MOST_FILES: usize = 20;

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
    pairs.add("origin", &view.origin);
    pairs.add_some("hidden by", view.hidden_by.as_ref());
    pairs.text
}

/// The text of `catalog show` for a catalogue from elsewhere.
pub fn remote_catalog(view: &RemoteView) -> String {
    let state = match view.state {
        RemoteState::Ok => "fetched",
        RemoteState::Missing => "not fetched yet",
        RemoteState::Damaged => "damaged",
    };
    let mut pairs = Pairs::default();
    pairs.add("catalogue", &view.name);
    pairs.add("source", &view.source);
    pairs.add_some("sha256", view.sha256.as_ref());
    pairs.add_some("note", view.note.as_ref());
    pairs.add("state", state);
    pairs.add_some("entries", view.entries);
    pairs.add_some("cid", view.cid.as_ref());
    pairs.add_some("path", view.content_path.as_ref());
    pairs.add_some("sequence", view.sequence);
    pairs.add_some("fetched", view.fetched_at.as_ref());
    pairs.text
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

/// What a gateway is known to be able to do, in one word; `-` if that is nothing.
pub fn can(can: &CapabilitiesView) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples::detail;

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
