//! Bytes in, proven facts out: CIDs and what users type, hash policy, dag-pb, UnixFS with its
//! sharded directories, paths, leaf rebuild, CAR, IPNS records and names.
//!
//! Pure: no I/O, no clock, no async. Nothing that comes from outside may panic in here, and only
//! [`hash::VerifiedBlock`] says that bytes are what a CID names.

pub mod car;
pub mod checksums;
pub mod cid;
pub mod dagpb;
pub mod hash;
pub mod importer;
pub mod ipns;
pub mod leaf;
pub mod links;
pub mod names;
pub mod path;
pub mod ranges;
pub mod source;
pub mod unixfs;
mod wire;
