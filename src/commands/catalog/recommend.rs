//! `catalog recommend`: the largest entry that fits this machine.

use crate::cli::{Global, Recommend};
use crate::commands::catalog::library::Listed;
use crate::commands::catalog::{notice, notice_troubles, open, view};
use crate::commands::context::show;
use crate::commands::error::CommandError;
use crate::disk::memory;
use crate::settings::Settings;
use crate::settings::catalog::{CatalogEntry, largest};
use crate::ui::human;
use crate::ui::view::RecommendedView;

/// Names it, and says why.
pub(super) fn run(
    global: &Global,
    settings: &Settings,
    args: &Recommend,
) -> Result<(), CommandError> {
    let library = open(global, settings)?;
    let memory = args.memory.or_else(memory::usable).ok_or_else(|| {
        CommandError::usage("this system does not say how much memory there is")
            .hint("say it with: fetchd catalog recommend --memory 16GiB")
    })?;
    let kind = args.kind.as_deref();
    let listed = library.listed();
    let can_be_named =
        |listed: &&Listed<'_>| listed.hidden_by.is_none() && listed.entry.is_of(kind);
    let of_kind: Vec<&Listed<'_>> = listed.iter().filter(can_be_named).collect();
    let found = largest(of_kind.iter().copied(), |listed| listed.entry, memory);
    let reason = reason(&of_kind, kind, memory, found.map(|found| found.entry));
    let recommended = found.map(view);
    let document = RecommendedView {
        recommended: recommended.as_ref(),
        memory,
        reason: &reason,
    };
    notice_troubles(global, &library);
    notice(global, &reason);
    show(global, &document, || {
        let name = recommended.as_ref().map(|entry| entry.name.clone());
        name.unwrap_or_default()
    })
}

/// Why this one of these, or none.
fn reason(
    listed: &[&Listed<'_>],
    kind: Option<&str>,
    memory: u64,
    found: Option<&CatalogEntry>,
) -> String {
    let room = human::size(memory);
    let among = match kind {
        Some(kind) => format!("of type {kind:?}"),
        None => "in the catalogue".to_owned(),
    };
    let mut least = listed
        .iter()
        .filter_map(|listed| listed.entry.least_memory());
    if let Some((entry, needs)) = found.and_then(|entry| Some((entry, entry.least_memory()?))) {
        let others = match least.filter(|least| *least > memory).count() {
            0 => String::new(),
            1 => "; 1 other needs more than there is".to_owned(),
            larger => format!("; {larger} others need more than there is"),
        };
        return format!(
            "{} is the largest {among} that fits: it needs {} of {room}{others}",
            entry.name,
            human::size(needs)
        );
    }
    match (least.next(), listed.is_empty()) {
        (Some(first), _) => format!(
            "nothing {among} fits into {room}: the smallest needs {}",
            human::size(least.fold(first, u64::min))
        ),
        (None, false) => {
            format!("nothing {among} says how large it is, or how much memory it needs")
        }
        (None, true) => format!("there is nothing {among}"),
    }
}
