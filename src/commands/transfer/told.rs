//! Sources that end without the engine, told as the engine would.

use crate::commands::error::CommandError;
use crate::commands::transfer::record::receipt;
use crate::event::{Event, What};
use crate::store::DownloadRow;
use crate::ui::state::Recorded;

/// A source that needs no work: it is there already, as its record says.
pub fn there(row: &DownloadRow) -> Option<Event> {
    let what = What::Finished {
        source: row.source.clone(),
        receipt: Box::new(receipt(row)?),
        was_there: true,
    };
    Some(Event {
        id: Some(row.id),
        what,
    })
}

/// How far a download is, as its record says.
pub fn recorded(row: &DownloadRow) -> Recorded {
    Recorded {
        path: row.path.clone(),
        bytes: row.bytes_verified,
        total: row.bytes_total,
    }
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
