//! Catalogues and their entries.

use crate::ui::escape;
use crate::ui::human;
use crate::ui::table::draft::{Draft, column, draw, name, number, sentence};
use crate::ui::view::{EntryView, UpdatedView};

/// The table of `catalog list`, without a line feed at its end; `with_origins` where not all are
/// the user's own.
pub fn catalog(rows: &[EntryView], with_origins: bool, width: Option<u16>) -> String {
    let mut columns = vec![
        name("NAME"),
        column("TYPE", 2),
        number("SIZE", 0),
        number("MEMORY", 1),
        column("LICENCE", 4),
    ];
    columns.extend(with_origins.then(|| column("ORIGIN", 3)));
    columns.push(sentence("NOTE", 5));
    let text = |text: &Option<String>| escape::text(text.as_deref().unwrap_or("-")).into_owned();
    let size = |size: Option<u64>| size.map_or("-".to_owned(), human::size);
    let row = |view: &EntryView| {
        let mut cells = vec![
            escape::text(&view.name).into_owned(),
            text(&view.kind),
            size(view.size),
            size(view.memory),
            text(&view.licence),
        ];
        cells.extend(with_origins.then(|| escape::text(&view.origin).into_owned()));
        cells.push(match &view.hidden_by {
            Some(by) => {
                let full = format!("{}/{}", view.origin, view.name);
                escape::text(&format!("hidden by that of {by}; get it with @{full}")).into_owned()
            }
            None => text(&view.note),
        });
        cells
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    match rows.as_slice() {
        [] => String::new(),
        _ => draw(Draft { columns, rows }, width),
    }
}

/// The table of `catalog update`, without a line feed at its end.
pub fn updated_catalogs(rows: &[UpdatedView], width: Option<u16>) -> String {
    let columns = vec![
        name("CATALOG"),
        column("RESULT", 0),
        number("ENTRIES", 0),
        name("SOURCE"),
    ];
    let row = |view: &UpdatedView| {
        let result = match (&view.error, view.changed) {
            (Some(_), _) => "failed",
            (None, true) => "fetched",
            (None, false) => "unchanged",
        };
        let catalog = &view.catalog;
        let entries = catalog.entries.map(|entries| entries.to_string());
        vec![
            escape::text(&catalog.name).into_owned(),
            result.to_owned(),
            entries.unwrap_or("-".to_owned()),
            escape::text(&catalog.source).into_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    match rows.as_slice() {
        [] => String::new(),
        _ => draw(Draft { columns, rows }, width),
    }
}
