//! How a table gets into a width: columns are dropped by rank, names and sentences are cut.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use crate::ui::fit;

/// Columns that a name or sentence keeps before other columns are dropped for it.
const LEAST: usize = 16;
/// Columns of the gap between two columns.
const GAP: usize = 2;

/// A table before it is fitted.
pub(super) struct Draft {
    /// From left to right.
    pub columns: Vec<Column>,
    /// A cell for each column.
    pub rows: Vec<Vec<String>>,
}

/// A column, and what may be done to it where there is no room.
#[derive(Clone, Copy)]
pub(super) struct Column {
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

/// A column whose cells are never cut.
pub(super) const fn column(title: &'static str, rank: u8) -> Column {
    Column {
        title,
        is_number: false,
        rank,
        cut: Cut::Never,
    }
}

/// A column of numbers, to the right.
pub(super) const fn number(title: &'static str, rank: u8) -> Column {
    Column {
        is_number: true,
        ..column(title, rank)
    }
}

/// A column of names, which are cut in the middle and never dropped.
pub(super) const fn name(title: &'static str) -> Column {
    Column {
        cut: Cut::Middle,
        ..column(title, 0)
    }
}

/// A column of sentences, cut at their end, and dropped if there are none.
pub(super) const fn sentence(title: &'static str, rank: u8) -> Column {
    Column {
        cut: Cut::End,
        ..column(title, rank)
    }
}

/// The table in this width, without a line feed at its end.
pub(super) fn draw(mut draft: Draft, width: Option<u16>) -> String {
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
