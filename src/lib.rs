//! fetchd downloads content by its CID from any HTTP source that will hand over bytes, trusts none
//! of them, proves every byte, survives being killed at any moment, and keeps all state in one
//! SQLite file, so that any later invocation can list, resume, pause or cancel the work.
//!
//! # The map
//!
//! A module imports only modules of lower layers, and modules of one layer do not import each
//! other; `tests/it/tidy.rs` proves it.
//!
//! | layer | module | responsible for |
//! |---|---|---|
//! | 0 | [`content`] | bytes in, proven facts out: CIDs, hashes, dag-pb, UnixFS, leaves, CAR. Pure |
//! | 0 | [`disk`] | part files, install, locks, names, room: the only place that touches the file system |
//! | 0 | [`exit`] | the exit codes and their meaning |
//! | 1 | [`download`] | what was asked for, and the status machine. Pure |
//! | 1 | [`gateway`] | one exchange with one source of bytes |
//! | 2 | [`store`] | all durable state, the only SQL |
//! | 2 | [`event`] | what the engine announces |
//! | 3 | [`engine`] | what is missing, from whom, when durable, when done: the only place that decides |
//! | 3 | [`ui`] | events and records to terminal, table or JSON |
//! | 4 | [`cli`] | flags and help |
//! | 5 | [`settings`] | flags, environment and file, resolved |
//! | 6 | [`commands`] | one file a subcommand |
//!
//! The way of the data: `cli → settings → commands → engine (plan → fetch → prove → checkpoint →
//! install) → store`, and `engine → event → ui`.
//!
//! # Glossary
//!
//! *CID*: the name of content, a hash with a codec. *Block*: bytes that one CID names. *Link*: a
//! CID inside a block. *Node*: a block that holds links. *Leaf*: a block that holds file bytes and
//! no links. *DAG*: all blocks below a root. *CAR*: a file or stream of blocks. *Gateway*: an HTTP
//! server of content by CID; *trustless* if it hands out blocks that prove themselves, a *path
//! gateway* if it hands out plain file bytes. *Provider*: any source of bytes, a gateway or a CAR
//! file. *Rung*: how strongly bytes are proved. *Window*: consecutive bytes of a file asked for in
//! one request. *Part*: the file that proved bytes are written to until it gets its final name,
//! the *target*. *Checkpoint*: what is known to survive a power cut. *Run*: one invocation that
//! owns work. *Download*: one record of the store.

pub mod cli;
pub mod commands;
pub mod content;
pub mod disk;
pub mod download;
pub mod engine;
pub mod event;
pub mod exit;
pub mod gateway;
pub mod settings;
pub mod store;
pub mod ui;
