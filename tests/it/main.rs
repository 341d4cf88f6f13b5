//! The integration tests: one binary, against the real process, real sockets and a real disk.

mod control;
mod crash;
mod dag_self;
mod dnslink;
mod faults;
mod fixtures_car;
mod fixtures_cid;
mod fixtures_dirs;
mod fixtures_ipns;
mod gateway_self;
mod gateways;
mod get;
mod kubo_names;
mod records;
mod refusals;
mod snapshots;
mod support;
mod tidy;
