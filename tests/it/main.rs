//! The integration tests: one binary, against the real process, real sockets and a real disk.

mod crash;
mod faults;
mod fixtures_car;
mod fixtures_cid;
mod get;
mod support;
mod support_self;
mod tidy;
