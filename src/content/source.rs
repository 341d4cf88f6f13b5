//! What a user may type for a download: CIDs, paths, URIs, gateway URLs, plain URLs, names of the
//! catalogue.
//!
//! Resolves nothing: an IPNS name stays a name, and whether a host is a gateway is not asked.
//!
//! Invariant: what comes out can be put into a URL or into a look-up as it is. Segments are
//! decoded, neither empty nor `.` nor `..`, and without `/` and NUL.

mod dnslink;
mod gateway_url;
mod path;

pub use crate::content::source::dnslink::{inline_domain, ipns_key, uninline_domain};
pub use crate::content::source::path::encode_segment;

use crate::content::cid::{self, Cid, CidError};
use crate::content::source::dnslink::is_name;
use crate::content::source::path::{clean, decode_segment};

/// A source, as understood.
#[expect(
    clippy::large_enum_variant,
    reason = "made once for each source typed, and content is the usual one"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Content under a CID or an IPNS name.
    Content(ContentSource),
    /// An http or https URL without a CID, without fragment.
    Url(String),
    /// `@name`, an entry of the catalogue, or `@catalogue/name`; here without the `@`.
    Catalog(String),
}

/// Content under a CID or an IPNS name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentSource {
    /// Where the path starts.
    pub root: Root,
    /// Decoded names below the root.
    pub path: Vec<String>,
    /// Output name that the URL asks for; not checked to be a safe one.
    pub filename: Option<String>,
    /// Origin of the gateway URL that was typed, such as `https://example.net:8080`.
    pub hint: Option<String>,
}

/// Where a content path starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// Content by its hash.
    Ipfs(Cid),
    /// An IPNS key or a DNSLink domain, as typed; [`ipns_key`] tells which.
    Ipns(String),
}

/// Why a text is not a source. The text is quoted in escaped form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nothing, or white space.
    #[error("the source is empty")]
    Empty,
    /// It starts with a dash.
    #[error("{text:?} looks like an option, not like a source")]
    Option {
        /// What was typed.
        text: String,
    },
    /// Not a scheme that can be fetched.
    #[error("{scheme:?} is not a scheme that can be fetched (ipfs, ipns, https and http are)")]
    Scheme {
        /// The scheme, without its colon.
        scheme: String,
    },
    /// An absolute path that is not below `/ipfs` or `/ipns`.
    #[error("{text:?} is not a content path (\"/ipfs/<CID>\" and \"/ipns/<name>\" are)")]
    Namespace {
        /// What was typed.
        text: String,
    },
    /// A namespace and nothing behind it.
    #[error("no {} follows in {text:?}", namespace.root())]
    NoRoot {
        /// The namespace.
        namespace: Namespace,
        /// What was typed.
        text: String,
    },
    /// Where only a CID may stand.
    #[error("{text:?} is not a CID")]
    NotACid {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        source: CidError,
    },
    /// Neither path nor URI nor URL, and not a CID either.
    #[error("{text:?} is neither a CID nor a path or URL that holds one")]
    NotASource {
        /// What stands where the CID should be.
        text: String,
        /// What is wrong with it as a CID.
        source: CidError,
    },
    /// Behind `/ipns/`.
    #[error("{text:?} is neither an IPNS key nor a domain name")]
    NotAName {
        /// What stands there.
        text: String,
    },
    /// A segment of a path that names nothing.
    #[error("{segment:?} in the path {why}")]
    Segment {
        /// The segment as typed.
        segment: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// `..` above the root.
    #[error("the path leaves its root by \"..\"")]
    LeavesRoot,
    /// Not an http or https URL. It is not repeated here, since it may hold a password.
    #[error("the URL is malformed")]
    Url {
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// A control character in a URL.
    #[error("the URL has a control character")]
    UrlControl,
    /// User name or password in a URL, which would be stored and shown.
    #[error("the URL holds a user name or a password (use --netrc or --header instead)")]
    Credentials,
    /// Not a name that the catalogue can have.
    #[error("\"@\" followed by {name:?} is not a name of the catalogue")]
    CatalogName {
        /// What follows the `@`.
        name: String,
    },
}

/// The two kinds of roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// Immutable, by CID.
    Ipfs,
    /// Mutable, by name.
    Ipns,
}

impl Namespace {
    const ALL: [Self; 2] = [Self::Ipfs, Self::Ipns];

    fn name(self) -> &'static str {
        match self {
            Self::Ipfs => "ipfs",
            Self::Ipns => "ipns",
        }
    }

    fn root(self) -> &'static str {
        match self {
            Self::Ipfs => "CID",
            Self::Ipns => "name",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|namespace| namespace.name() == name)
    }
}

/// Understands what a user typed; white space around it does not count.
///
/// # Errors
/// A [`SourceError`] that tells what is wrong.
pub fn parse(text: &str) -> Result<Source, SourceError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(SourceError::Empty);
    }
    if text.starts_with('-') {
        return Err(SourceError::Option { text: text.into() });
    }
    if let Some(name) = text.strip_prefix('@') {
        return catalog(name);
    }
    let Some((scheme, rest)) = split_scheme(text) else {
        return content_path(text).map(Source::Content);
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => gateway_url::parse(text),
        "ipfs" => uri(text, Some(Namespace::Ipfs), rest).map(Source::Content),
        "ipns" => uri(text, Some(Namespace::Ipns), rest).map(Source::Content),
        "dweb" => uri(text, None, rest).map(Source::Content),
        _ => Err(SourceError::Scheme {
            scheme: scheme.into(),
        }),
    }
}

fn catalog(name: &str) -> Result<Source, SourceError> {
    let is_bad = |c: char| c.is_control() || c.is_whitespace() || c == '/' || c == '\\';
    let (catalogue, entry) = name.split_once('/').unwrap_or((name, name));
    if [catalogue, entry]
        .iter()
        .any(|part| part.is_empty() || part.contains(is_bad))
    {
        return Err(SourceError::CatalogName { name: name.into() });
    }
    Ok(Source::Catalog(name.into()))
}

/// `scheme` and what follows its colon (RFC 3986, 3.1). A colon behind a slash is part of a path.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some((scheme, rest))
}

/// `[/]ipfs/<CID>[/path]`, `[/]ipns/<name>[/path]`, `<CID>[/path]`. Taken as it is: nothing is
/// decoded, and `?` and `#` are parts of names.
fn content_path(text: &str) -> Result<ContentSource, SourceError> {
    let mut segments = text
        .split('/')
        .filter(|segment| !segment.is_empty())
        .peekable();
    let first = segments.peek().copied().unwrap_or_default();
    if let Some(namespace) = Namespace::from_name(first) {
        segments.next();
        return rooted(text, namespace, segments.map(|segment| Ok(segment.into())));
    }
    if text.starts_with('/') {
        return Err(SourceError::Namespace { text: text.into() });
    }
    let cid = cid::parse(first).map_err(|source| SourceError::NotASource {
        text: first.into(),
        source,
    })?;
    segments.next();
    Ok(content(
        root_of(cid, first),
        clean(segments.map(|segment| Ok(segment.into())))?,
    ))
}

/// What follows `ipfs:`, `ipns:` or `dweb:`. Segments are percent-encoded (RFC 3986, IPIP-548);
/// of the query only `filename` counts.
fn uri(text: &str, namespace: Option<Namespace>, rest: &str) -> Result<ContentSource, SourceError> {
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let namespace = match namespace {
        Some(namespace) => namespace,
        None => segments
            .next()
            .and_then(Namespace::from_name)
            .ok_or_else(|| SourceError::Namespace { text: text.into() })?,
    };
    let filename = gateway_url::filename(query);
    let source = rooted(text, namespace, segments.map(decode_segment))?;
    Ok(ContentSource { filename, ..source })
}

/// Root and path behind a namespace. A namespace that is written twice counts once, as gateways
/// have it.
fn rooted(
    text: &str,
    namespace: Namespace,
    segments: impl Iterator<Item = Result<String, SourceError>>,
) -> Result<ContentSource, SourceError> {
    let mut segments = segments.peekable();
    segments.next_if(|segment| segment.as_deref() == Ok(namespace.name()));
    let root = segments.next().ok_or_else(|| SourceError::NoRoot {
        namespace,
        text: text.into(),
    })??;
    Ok(content(root_in(namespace, &root)?, clean(segments)?))
}

fn content(root: Root, path: Vec<String>) -> ContentSource {
    ContentSource {
        root,
        path,
        filename: None,
        hint: None,
    }
}

fn root_in(namespace: Namespace, text: &str) -> Result<Root, SourceError> {
    match namespace {
        Namespace::Ipfs => cid::parse(text)
            .map(|cid| root_of(cid, text))
            .map_err(|source| SourceError::NotACid {
                text: text.into(),
                source,
            }),
        Namespace::Ipns if is_name(text) => Ok(Root::Ipns(text.into())),
        Namespace::Ipns => Err(SourceError::NotAName { text: text.into() }),
    }
}

/// A key is never content: its CID is an IPNS name wherever it stands.
fn root_of(cid: Cid, text: &str) -> Root {
    if cid.codec() == cid::codec::LIBP2P_KEY {
        Root::Ipns(text.into())
    } else {
        Root::Ipfs(cid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V0: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
    const V1: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";
    const KEY: &str = "k51qzi5uqu5dk3v4rmjber23h16xnr23bsggmqqil9z2gduiis5se8dht36dam";

    fn content_of(text: &str) -> ContentSource {
        match parse(text) {
            Ok(Source::Content(content)) => content,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn ipfs(text: &str) -> (String, String) {
        let content = content_of(text);
        match content.root {
            Root::Ipfs(cid) => (cid::text(&cid), content.path.join("|")),
            Root::Ipns(name) => panic!("{name}"),
        }
    }

    fn message(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn forms_of_content_paths() {
        let expected = (V1.to_string(), "a b|c%20d?".to_string());
        for prefix in ["", "ipfs/", "/ipfs/", "/ipfs/ipfs/", "  /ipfs//"] {
            let text = format!("{prefix}{V1}/a b/./x/..//c%20d?/\n");
            assert_eq!(ipfs(&text), expected);
        }
    }

    #[test]
    fn uris_are_decoded_once_and_lose_query_and_fragment() {
        for prefix in ["ipfs://", "ipfs:", "IPFS://", "ipfs://ipfs/", "dweb:/ipfs/"] {
            let content = content_of(&format!("{prefix}{V0}/a%2520b?filename=n%20m&x=1#top"));
            assert_eq!(content.path, ["a%20b"]);
            assert_eq!(content.filename.as_deref(), Some("n m"));
            assert_eq!(content.hint, None);
        }
    }

    #[test]
    fn keys_are_names_wherever_they_stand() {
        for text in [
            KEY.to_string(),
            format!("/ipfs/{KEY}"),
            format!("ipns://{KEY}"),
        ] {
            assert_eq!(content_of(&text).root, Root::Ipns(KEY.into()));
        }
        assert_eq!(
            content_of("ipns:docs.example").root,
            Root::Ipns("docs.example".into())
        );
    }

    #[test]
    fn names_of_the_catalogue() {
        assert_eq!(parse("@llama-7b"), Ok(Source::Catalog("llama-7b".into())));
        assert_eq!(
            parse("@team/llama-7b"),
            Ok(Source::Catalog("team/llama-7b".into()))
        );
        for bad in ["@", "@a b", "@a/", "@/b", "@a/b/c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(message(" \t"), "the source is empty");
        assert_eq!(
            message("-rf"),
            "\"-rf\" looks like an option, not like a source"
        );
        assert!(message("mailto:x@y").starts_with("\"mailto\" is not a scheme"));
        assert!(message(&format!("/ipld/{V1}")).contains("is not a content path"));
        assert_eq!(message("/ipfs/"), "no CID follows in \"/ipfs/\"");
        assert_eq!(message("ipns://"), "no name follows in \"ipns://\"");
        assert_eq!(message("/ipfs/not-a-cid/x"), "\"not-a-cid\" is not a CID");
        assert_eq!(
            message("/ipns/nodots"),
            "\"nodots\" is neither an IPNS key nor a domain name"
        );
        assert!(message("model.bin").starts_with("\"model.bin\" is neither a CID nor"));
        assert_eq!(
            message(&format!("{V1}/..")),
            "the path leaves its root by \"..\""
        );
        for bad in ["a%2Fb", "a%zz", "a%f", "%ff", "a%00"] {
            let error = parse(&format!("ipfs://{V1}/{bad}")).expect_err(bad);
            assert!(
                matches!(error, SourceError::Segment { .. }),
                "{bad}: {error}"
            );
        }
        let lowered = parse(&format!("ipfs://{}", V0.to_lowercase()));
        assert!(matches!(
            lowered,
            Err(SourceError::NotACid {
                source: CidError::V0CaseLost,
                ..
            })
        ));
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(message("/ipfs/\u{1b}[2J"), "\"\\u{1b}[2J\" is not a CID");
        assert!(message("/ipns/x\u{202e}y").starts_with("\"x\\u{202e}y\" is neither"));
    }

    proptest! {
        /// Whatever is typed: no panic, no control character in a message, and no segment that
        /// could lead elsewhere.
        #[test]
        fn holds_the_invariant(
            prefix in prop::sample::select(vec![
                "", "/ipfs/", "ipfs://", "ipns://", "/ipns/", "https://h.example/ipfs/", "https://", "@",
            ]),
            root in prop::sample::select(vec![V0, V1, KEY, "docs.example", "x", ""]),
            rest in "(/|[.]|%2e|%2F|%|[?]|#|\\PC|\\PC|\u{0}|\u{1b}){0,12}",
        ) {
            match parse(&format!("{prefix}{root}{rest}")) {
                Ok(Source::Content(content)) => for name in content.path {
                    prop_assert!(!matches!(name.as_str(), "" | "." | ".."));
                    prop_assert!(!name.contains(['/', '\0']));
                },
                Ok(_) => {}
                Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
            }
        }
    }
}
