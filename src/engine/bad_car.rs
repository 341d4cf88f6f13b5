//! What a CAR that does not hold what it should says of whoever sent or holds it, for downloads
//! and for single blocks alike. Pure.

use crate::content::car::CarError;
use crate::gateway::car_file::CarFileError;
use crate::gateway::error::Advice;

/// A CAR in an answer broke off, or is none. Blocks that came before are good.
pub fn sent(error: &CarError, has_brought: bool) -> Advice {
    match error {
        _ if has_brought => Advice::Retry { after: None },
        // Not even a header came: whatever that was, it was no CAR.
        CarError::Truncated { offset: 0, .. } => Advice::Elsewhere,
        CarError::Truncated { .. } => Advice::Retry { after: None },
        _ => Advice::Unsupported,
    }
}

/// A CAR file on this machine could not give a block.
pub fn on_disk(error: &CarFileError) -> Advice {
    match error {
        CarFileError::TooLarge { .. } => Advice::Unprovable,
        CarFileError::Disk(_) | CarFileError::NotCar { .. } => Advice::Stop,
    }
}
