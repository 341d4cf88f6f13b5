//! Sources that end without the engine, told as the engine would.

use crate::commands::error::CommandError;
use crate::download::Receipt;
use crate::event::{Event, What};
use crate::store::DownloadRow;

/// A source that needs no work: it is there already, as its record says.
pub fn there(row: &DownloadRow) -> Option<Event> {
    let receipt = Receipt::from_json(row.receipt_json.as_deref()?)?;
    let path = row.path.clone().unwrap_or_else(|| receipt.path.clone());
    let what = What::Finished {
        source: row.source.clone(),
        receipt: Box::new(Receipt { path, ..receipt }),
        was_there: true,
    };
    Some(Event {
        id: Some(row.id),
        what,
    })
}

/// A source that could not be begun.
pub fn refused(source: &str, error: &CommandError) -> Event {
    Event {
        id: error.download,
        what: What::Failed {
            source: source.to_owned(),
            resumable: error.is_resumable(),
            failure: error.failure(),
        },
    }
}
