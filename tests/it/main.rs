//! The integration tests: one binary, against the real process, real sockets and a real disk.

mod crash;
mod dag_self;
mod faults;
mod fixtures_car;
mod fixtures_cid;
mod gateway_self;
mod get;
mod refusals;
mod support;
mod tidy;
