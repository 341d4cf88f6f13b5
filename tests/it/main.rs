//! The integration tests: one binary, against the real process, real sockets and a real disk.

mod fixtures_car;
mod fixtures_cid;
mod support;
mod support_self;
mod tidy;
