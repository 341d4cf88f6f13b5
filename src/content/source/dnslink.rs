//! IPNS names: keys, DNSLink domains, and domains inlined into one DNS label.

use crate::content::cid::{self, Cid, Multihash, codec};
use cid::Base;

/// Limits of RFC 1035.
const MAX_LABEL: usize = 63;
const MAX_DOMAIN: usize = 253;

/// Most characters of a key in base58 (an RSA key's hash has 46, an Ed25519 key 52), generously.
const MAX_PEER_ID: usize = 128;

/// The key that an IPNS name is, in whatever form: as a CID, or as a bare base58 multihash
/// (`12D3Koo…`, `Qm…`). [`cid::text`] of it is the canonical name. `None` for a domain.
pub fn ipns_key(name: &str) -> Option<Cid> {
    if name.starts_with('1') || name.starts_with("Qm") {
        return peer_id(name);
    }
    cid::parse(name)
        .ok()
        .filter(|cid| cid.codec() == codec::LIBP2P_KEY)
}

fn peer_id(name: &str) -> Option<Cid> {
    if name.len() > MAX_PEER_ID {
        return None;
    }
    let bytes = Base::Base58Btc.decode(name).ok()?;
    let mut cid = vec![1, u8::try_from(codec::LIBP2P_KEY).ok()?];
    cid.extend(bytes);
    // An identity hash holds the key itself, SHA-256 its hash; there are no others.
    cid::parse_bytes(&cid)
        .ok()
        .filter(|cid| is_key_hash(cid.hash()))
}

fn is_key_hash(hash: &Multihash) -> bool {
    matches!((hash.code(), hash.size()), (0x00, 1..) | (0x12, 32))
}

/// Whether this can be resolved: a key, or a domain of at least two labels.
pub(super) fn is_name(name: &str) -> bool {
    ipns_key(name).is_some() || is_domain(name)
}

fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= MAX_DOMAIN && name.contains('.') && name.split('.').all(is_label)
}

/// A domain as one DNS label, for subdomain gateways; `None` if it does not fit.
pub fn inline_domain(domain: &str) -> Option<String> {
    let label = domain.replace('-', "--").replace('.', "-");
    (label.len() <= MAX_LABEL).then_some(label)
}

/// The domain that was inlined into a label: `--` is a dash, a lone `-` is a dot.
pub fn uninline_domain(label: &str) -> String {
    let dashes_apart: Vec<String> = label
        .split("--")
        .map(|part| part.replace('-', "."))
        .collect();
    dashes_apart.join("-")
}

/// The name in the labels left of `ipns` in a host name.
pub(super) fn name_in_host(labels: &str) -> Option<String> {
    if is_name(labels) {
        return Some(labels.into());
    }
    let is_inlined = labels.contains('-') && !labels.contains('.');
    is_inlined
        .then(|| uninline_domain(labels))
        .filter(|domain| is_domain(domain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_in_every_form_are_the_same_key() {
        let canonical = |name: &str| ipns_key(name).map(|key| cid::text(&key));
        let ed25519 = "k51qzi5uqu5dk3v4rmjber23h16xnr23bsggmqqil9z2gduiis5se8dht36dam";
        let peer_id = "12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d";
        assert_eq!(canonical(ed25519).as_deref(), Some(ed25519));
        assert_eq!(canonical(peer_id).as_deref(), Some(ed25519));
        let rsa = "k2k4r8m7xvggw5pxxk3abrkwyer625hg01hfyggrai7lk1m63fuihi7w";
        let hash = "QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa3";
        assert_eq!(canonical(hash).as_deref(), Some(rsa));
        assert_eq!(ipns_key("docs.example"), None);
        assert_eq!(ipns_key("1"), None);
    }

    #[test]
    fn domains() {
        assert!(is_domain("_dnslink.docs.example") && is_domain("a.b"));
        assert!(
            !is_domain("nodots") && !is_domain("a..b") && !is_domain(".a") && !is_domain("a b.c")
        );
        assert!(!is_domain(&format!("{}.example", "x".repeat(64))));
    }

    proptest! {
        #[test]
        fn inlining_is_undone(domain in "[a-z0-9]{1,4}([.-]{1,3}[a-z0-9]{1,4}){0,5}") {
            // A dot beside a dash is ambiguous in the scheme itself; no registrable name has one.
            prop_assume!(!domain.contains("..") && !domain.contains(".-") && !domain.contains("-."));
            let label = inline_domain(&domain).unwrap();
            prop_assert!(!label.contains('.'));
            prop_assert_eq!(uninline_domain(&label), domain);
        }

        #[test]
        fn names_never_panic(name in "\\PC{0,60}") {
            let _ = (is_name(&name), name_in_host(&name), uninline_domain(&name));
        }
    }
}
