//! One exchange with one source of bytes: an HTTP gateway, or a CAR file on disk.
//!
//! Responsible for asking rightly, for checking every header that an answer carries before its
//! body is read, and for saying what a failure means ([`error::Advice`]). It proves no byte, picks
//! no provider, retries nothing and keeps no state between requests but connections: all that is
//! the engine's.
//!
//! Invariant: a body ends with `None` only where everything that its headers and the request
//! promised has arrived; no length, header or text from outside is believed beyond that.

pub mod address;
pub mod backoff;
pub mod body;
pub mod capability;
pub mod car_file;
pub mod client;
pub mod defaults;
pub mod dnslink;
pub mod error;
pub mod ipns;
pub mod multiaddr;
pub mod netrc;
pub mod pace;
pub mod plain;
pub mod probe;
pub mod rate;
pub mod redirect;
pub mod request;
mod resolver;
mod response;
pub mod retry_after;
pub mod routing;
pub mod validator;

#[cfg(test)]
mod tests;
