//! The only module that touches the file system: part files, durable rename, locks, names, room.
//!
//! Plain blocking code that knows no download, no gateway and no database. It decides nothing
//! about content: whether bytes may be written, or a part may be installed, is proved above.
//!
//! Invariants: a final name appears only by rename of a complete, synced file in the same
//! directory; nothing is replaced unless the caller says so; no symlink is followed to a file
//! that is written. What differs between operating systems sits in `platform` and nowhere else.

pub mod error;
mod fingerprint;
pub mod host;
pub mod inspect;
pub mod install;
pub mod lock;
pub mod memory;
pub mod mend;
pub mod part;
pub mod place;
mod platform;
pub mod private;
pub mod random_file;
pub mod room;
pub mod tree;
pub mod whole_file;

pub use error::DiskError;
pub use fingerprint::Fingerprint;
