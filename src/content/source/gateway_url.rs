//! http and https URLs: gateways in path style and in subdomain style, and everything else.
//!
//! Any site may have a folder `ipfs` (a code host's organisation of that name) or a host name with
//! such a label (`docs.ipfs.tech`), so a URL is a gateway's only if a CID or name stands where it
//! should. What is as long as a CID and is none is an error all the same: nobody wants the page
//! behind a mistyped CID.

use url::{Host, Url, form_urlencoded};

use crate::content::cid;
use crate::content::source::dnslink::{is_name, name_in_host};
use crate::content::source::path::{clean, decode_segment};
use crate::content::source::{
    ContentSource, Namespace, Root, Source, SourceError, root_in, rooted,
};

/// Shortest text that is taken for a CID meant as such: a SHA-256 in any base has more.
const CID_LIKE: usize = 40;

/// Understands an http or https URL.
pub(super) fn parse(text: &str) -> Result<Source, SourceError> {
    if text.contains(char::is_control) {
        return Err(SourceError::UrlControl);
    }
    let mut url = Url::parse(text).map_err(|source| SourceError::Url { source })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SourceError::Credentials);
    }
    let found = match path_style(&url)? {
        Some(content) => Some(content),
        None => subdomain_style(&url)?,
    };
    if let Some(content) = found {
        let filename = filename(url.query().unwrap_or_default());
        return Ok(Source::Content(ContentSource {
            filename,
            ..content
        }));
    }
    url.set_fragment(None);
    Ok(Source::Url(url.into()))
}

/// The output name that a query asks for.
pub(super) fn filename(query: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, value)| key == "filename" && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

/// `https://host/ipfs/<CID>/path`.
fn path_style(url: &Url) -> Result<Option<ContentSource>, SourceError> {
    let mut segments = segments(url);
    let Some(namespace) = segments.next().and_then(Namespace::from_name) else {
        return Ok(None);
    };
    let root = segments
        .clone()
        .find(|&segment| segment != namespace.name());
    if !root.is_some_and(|root| is_meant(namespace, root)) {
        return Ok(None);
    }
    let content = rooted(url.as_str(), namespace, segments.map(decode_segment))?;
    Ok(Some(ContentSource {
        hint: Some(origin(url, url.host_str())),
        ..content
    }))
}

/// `https://<CID>.ipfs.host/path`, `https://<name>.ipns.host/path`. The host name is in lower case
/// by now, as every browser and resolver has it, so that a version 0 CID is lost.
fn subdomain_style(url: &Url) -> Result<Option<ContentSource>, SourceError> {
    let Some(Host::Domain(host)) = url.host() else {
        return Ok(None);
    };
    for (at, _) in host.match_indices('.') {
        let (left, rest) = (&host[..at], &host[at + 1..]);
        let Some((label, gateway)) = rest.split_once('.') else {
            break;
        };
        let Some(namespace) = Namespace::from_name(label) else {
            continue;
        };
        if let Some(root) = root_in_host(namespace, left)? {
            let path = clean(segments(url).map(decode_segment))?;
            let hint = Some(origin(url, Some(gateway)));
            return Ok(Some(ContentSource {
                root,
                path,
                filename: None,
                hint,
            }));
        }
    }
    Ok(None)
}

fn root_in_host(namespace: Namespace, left: &str) -> Result<Option<Root>, SourceError> {
    match namespace {
        Namespace::Ipns => Ok(name_in_host(left).map(Root::Ipns)),
        Namespace::Ipfs if is_meant(namespace, left) => root_in(namespace, left).map(Some),
        Namespace::Ipfs => Ok(None),
    }
}

/// Whether this stands here as a CID or a name, be it a broken one.
fn is_meant(namespace: Namespace, root: &str) -> bool {
    let cid_like = root.len() >= CID_LIKE && root.bytes().all(|b| b.is_ascii_alphanumeric());
    match namespace {
        Namespace::Ipfs => cid_like || cid::parse(root).is_ok(),
        Namespace::Ipns => cid_like || is_name(root),
    }
}

fn segments(url: &Url) -> impl Iterator<Item = &str> + Clone {
    url.path().split('/').filter(|segment| !segment.is_empty())
}

fn origin(url: &Url, host: Option<&str>) -> String {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), host.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::cid::CidError;

    const V0: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
    const V1: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";

    fn content(text: &str) -> ContentSource {
        match parse(text) {
            Ok(Source::Content(content)) => content,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn both_styles_give_a_hint() {
        let path = content(&format!(
            "https://h.example:8443/ipfs/{V1}/a%2Cb?filename=x+y.bin#top"
        ));
        assert_eq!(path.hint.as_deref(), Some("https://h.example:8443"));
        assert_eq!(
            (path.path, path.filename),
            (vec!["a,b".into()], Some("x y.bin".into()))
        );
        let host = content(&format!("http://{V1}.ipfs.localhost:8080/a//b/"));
        assert_eq!(host.hint.as_deref(), Some("http://localhost:8080"));
        assert_eq!(
            (host.path, host.filename),
            (vec!["a".into(), "b".into()], None)
        );
        let six = content(&format!("http://[::1]:8080/ipfs/{V0}"));
        assert_eq!(six.hint.as_deref(), Some("http://[::1]:8080"));
    }

    #[test]
    fn names_in_hosts() {
        let root = |text: &str| content(text).root;
        let name = |name: &str| Root::Ipns(name.into());
        assert_eq!(
            root("https://my-v--long-example.ipns.h.example/p"),
            name("my.v-long.example")
        );
        assert_eq!(
            root("http://docs.ipfs.example.ipns.localhost/"),
            name("docs.ipfs.example")
        );
        assert_eq!(
            root("https://h.example/ipns/docs.example/x"),
            name("docs.example")
        );
    }

    #[test]
    fn other_sites_stay_urls() {
        for text in [
            "https://h.example/file.iso?x=1",
            "https://code.example/ipfs/kubo/releases/download/v1/kubo.tar.gz",
            "https://docs.ipfs.example/install",
            "https://h.example/ipfs/",
            "http://127.0.0.1:5001/100%",
        ] {
            assert_eq!(parse(&format!("{text}#top")), Ok(Source::Url(text.into())));
        }
    }

    #[test]
    fn mistyped_cids_are_errors() {
        let lost = |text: String| {
            matches!(
                parse(&text),
                Err(SourceError::NotACid {
                    source: CidError::V0CaseLost,
                    ..
                })
            )
        };
        assert!(lost(format!("https://{V0}.ipfs.h.example/")));
        assert!(lost(format!(
            "https://h.example/ipfs/{}/x",
            V0.to_lowercase()
        )));
        assert!(parse(&format!("https://h.example/ipns/{V1}")).is_err());
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for text in [
            "https://me:hush@h.example/f",
            "https://me:hush@h ost/",
            "https://me:hush@h/\u{1}",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
    }
}
