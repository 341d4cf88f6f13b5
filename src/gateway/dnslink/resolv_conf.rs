//! The name servers of the system: `/etc/resolv.conf`, as resolver(5) describes it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

use crate::disk::whole_file::read_small;
use crate::gateway::dnslink::DnsError;
use crate::gateway::dnslink::server::Servers;

const PATH: &str = "/etc/resolv.conf";
/// More than any real one has.
const MAX_BYTES: u64 = 64 << 10;
/// As in the C library: further ones are never asked.
const MAX_SERVERS: usize = 3;
const PORT: u16 = 53;
/// Where an option does not say otherwise, and the most that one may say.
const PATIENCE: u64 = 5;
const MAX_PATIENCE: u64 = 30;
const ATTEMPTS: u32 = 2;
const MAX_ATTEMPTS: u32 = 5;

/// The name servers of this system.
pub(super) fn servers() -> Result<Servers, DnsError> {
    if cfg!(windows) {
        return Err(DnsError::NoServers);
    }
    match read_small(Path::new(PATH), MAX_BYTES) {
        Ok(bytes) => Ok(parse(&String::from_utf8_lossy(&bytes))),
        // Without the file the server of this machine is meant.
        Err(error) if error.is_missing() => Ok(parse("")),
        Err(error) => Err(DnsError::Config(error)),
    }
}

/// Lines that say nothing about servers, and what cannot be understood, do not count. Search
/// domains do not either: all our names are whole.
fn parse(text: &str) -> Servers {
    let mut servers = Servers {
        addresses: Vec::new(),
        patience: Duration::from_secs(PATIENCE),
        attempts: ATTEMPTS,
    };
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") if servers.addresses.len() < MAX_SERVERS => {
                servers.addresses.extend(words.next().and_then(address));
            }
            Some("options") => words.for_each(|word| option(&mut servers, word)),
            _ => {}
        }
    }
    if servers.addresses.is_empty() {
        servers
            .addresses
            .push((IpAddr::V4(Ipv4Addr::LOCALHOST), PORT).into());
    }
    servers
}

/// An IP address; behind `%` may stand the number of an interface. By its name we cannot use it.
fn address(text: &str) -> Option<SocketAddr> {
    match text.split_once('%') {
        None => Some((text.parse::<IpAddr>().ok()?, PORT).into()),
        Some((ip, scope)) => {
            Some(SocketAddrV6::new(ip.parse().ok()?, PORT, 0, scope.parse().ok()?).into())
        }
    }
}

fn option(servers: &mut Servers, word: &str) {
    match word.split_once(':') {
        Some(("timeout", seconds)) => {
            if let Ok(seconds) = seconds.parse::<u64>() {
                servers.patience = Duration::from_secs(seconds.clamp(1, MAX_PATIENCE));
            }
        }
        Some(("attempts", count)) => {
            if let Ok(count) = count.parse::<u32>() {
                servers.attempts = count.clamp(1, MAX_ATTEMPTS);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_options() {
        let servers = parse(
            "# made by something\nsearch example.org\nnameserver 192.0.2.1 # first\n\
             nameserver 2001:db8::1\nnameserver fe80::1%3\nnameserver 192.0.2.4\n\
             options edns0 timeout:1 attempts:99 trust-ad timeout:x",
        );
        let expected: [SocketAddr; 3] = [
            "192.0.2.1:53".parse().unwrap(),
            "[2001:db8::1]:53".parse().unwrap(),
            SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, 3).into(),
        ];
        assert_eq!(servers.addresses, expected);
        assert_eq!(servers.patience, Duration::from_secs(1));
        assert_eq!(servers.attempts, MAX_ATTEMPTS);
    }

    #[test]
    fn nothing_said_means_this_machine() {
        for text in ["", "nameserver", "nameserver fe80::1%eth0", "\0\u{fffd}"] {
            let servers = parse(text);
            assert_eq!(servers.addresses, ["127.0.0.1:53".parse().unwrap()]);
            assert_eq!(servers.patience, Duration::from_secs(5));
        }
    }
}
