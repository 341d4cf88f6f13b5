//! What can go wrong in one exchange, and what to do about it.
//!
//! The producer classifies: [`GatewayError::advice`] is the only thing that a caller decides by.
//! Texts from the other side are shortened and escaped before they get in here.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;

use crate::gateway::redirect::RedirectFault;

/// A failed exchange.
#[derive(Debug)]
pub struct GatewayError {
    /// The URL that was asked, without credentials.
    pub url: String,
    /// What happened.
    pub fault: Fault,
}

/// What happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The base URL cannot be used.
    #[error("is not usable as a gateway: {0}")]
    BadUrl(String),
    /// A configured header is not a legal one; its value is never shown.
    #[error("the configured header `{0}` is not a legal HTTP header")]
    BadHeader(String),
    /// No HTTP client can be built here.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
    /// The name has no address.
    #[error("the host name has no address")]
    Dns(#[source] reqwest::Error),
    /// A host that nobody named, in a network that it must not lead into.
    #[error("{0} is in a private network, where no router may send fetchd")]
    Private(String),
    /// No connection: refused, unreachable, timed out, or TLS failed.
    #[error("no connection")]
    Connect(#[source] reqwest::Error),
    /// Nothing came back in time.
    #[error("no answer within {0:?}")]
    FirstByte(Duration),
    /// The body stopped arriving.
    #[error("no byte for {stall:?} after {received} bytes")]
    Stalled {
        /// How long we waited.
        stall: Duration,
        /// Body bytes that had come.
        received: u64,
    },
    /// The connection broke, before the headers or in the body.
    #[error("the connection broke after {received} bytes")]
    Broken {
        /// Body bytes that had come.
        received: u64,
        /// How.
        source: reqwest::Error,
    },
    /// The body ended properly, but too early.
    #[error("the answer ended after {received} of {expected} bytes")]
    Truncated {
        /// Body bytes that had to come.
        expected: u64,
        /// Body bytes that came.
        received: u64,
    },
    /// The body goes on after its promised end.
    #[error("the answer goes on past the {expected} bytes it should have")]
    TooLong {
        /// Body bytes that had to come.
        expected: u64,
    },
    /// The body is larger than the caller allows.
    #[error("the answer is larger than {max} bytes")]
    TooLarge {
        /// The caller's cap.
        max: u64,
    },
    /// `Content-Length` contradicts what was asked for.
    #[error("announces {announced} bytes where {expected} were asked for")]
    WrongLength {
        /// What it should be.
        expected: u64,
        /// What the header says.
        announced: u64,
    },
    /// The media type is not what was asked for.
    #[error("sends {got} instead of {wanted}{}", quoted(excerpt))]
    WrongType {
        /// The media type asked for.
        wanted: &'static str,
        /// The one received, lower case, without parameters.
        got: String,
        /// The beginning of the body.
        excerpt: String,
    },
    /// `Content-Range` is not exactly what was asked for.
    #[error("answers the range {wanted} with {}", got.as_deref().map_or("no Content-Range".into(), |g| format!("`{g}`")))]
    WrongRange {
        /// What was asked, as `bytes a-b/total`.
        wanted: String,
        /// The header, if there was one.
        got: Option<String>,
        /// Whether it speaks of a file of another size.
        other_file: bool,
    },
    /// 200 and the whole file where a part was asked for.
    #[error("ignores Range and sends the whole file")]
    RangeIgnored,
    /// The answer cannot be understood.
    #[error("sends what is no {0}")]
    Malformed(&'static str),
    /// The body is compressed although identity was asked for.
    #[error("sends the body with Content-Encoding `{0}`")]
    Encoded(String),
    /// A redirect that must not be followed.
    #[error("redirects where fetchd does not follow: {0}")]
    Redirect(RedirectFault),
    /// A redirect to a host that has closed to programs.
    #[error("redirects to {host}, closed since {since}; {hint}")]
    Retired {
        /// The closed host.
        host: String,
        /// Since when, `YYYY-MM-DD`.
        since: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// Any status but the one asked for.
    #[error("answered {status}{}{}", retired_note(*retired), quoted(excerpt))]
    Status {
        /// The status.
        status: StatusCode,
        /// The beginning of the body: one line, escaped, at most 120 characters.
        excerpt: String,
        /// The wait that it asks for, capped.
        retry_after: Option<Duration>,
        /// Whether a `Sunset` date was given and is reached.
        retired: bool,
    },
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The same request to the same provider may succeed later.
    Retry {
        /// The wait that the provider asked for.
        after: Option<Duration>,
    },
    /// Too many requests came, or the provider has too much to do: later, and slower from then on.
    SlowDown {
        /// The wait that the provider asked for.
        after: Option<Duration>,
    },
    /// This request will not succeed here; another provider, or another form, may.
    Elsewhere,
    /// The provider says that it does not have it.
    Absent,
    /// The provider does not serve this form of request; drop the capability.
    Unsupported,
    /// What it sends in this form cannot be what was asked for; another form may do better.
    Unprovable,
    /// This provider never for this CID.
    Never,
    /// This provider may not serve this CID, for legal reasons.
    Withheld,
    /// This provider is closed for good.
    Retired,
    /// This provider wants other credentials than it was given.
    Credentials,
    /// Nothing will help: our own configuration is at fault.
    Stop,
}

impl GatewayError {
    pub(super) fn new(url: &str, fault: Fault) -> Self {
        Self {
            url: without_credentials(url),
            fault,
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> Advice {
        match &self.fault {
            Fault::BadUrl(_) | Fault::BadHeader(_) | Fault::Client(_) => Advice::Stop,
            Fault::FirstByte(_)
            | Fault::Stalled { .. }
            | Fault::Broken { .. }
            | Fault::Truncated { .. }
            | Fault::Dns(_)
            | Fault::Connect(_) => Advice::Retry { after: None },
            Fault::TooLong { .. } | Fault::TooLarge { .. } | Fault::WrongLength { .. } => {
                Advice::Unprovable
            }
            Fault::Private(_) | Fault::Malformed(_) | Fault::Redirect(_) => Advice::Elsewhere,
            Fault::RangeIgnored | Fault::Encoded(_) => Advice::Unsupported,
            Fault::WrongRange {
                other_file: true, ..
            } => Advice::Never,
            Fault::WrongRange {
                other_file: false, ..
            } => Advice::Unsupported,
            // A page instead of data is a challenge or a parking site; anything else is a file
            // sent by a server that ignores `format`.
            Fault::WrongType { got, .. } if is_page(got) => Advice::Elsewhere,
            Fault::WrongType { .. } => Advice::Unsupported,
            Fault::Retired { .. } | Fault::Status { retired: true, .. } => Advice::Retired,
            Fault::Status {
                status,
                excerpt,
                retry_after,
                retired: false,
            } => status_advice(*status, excerpt, *retry_after),
        }
    }

    /// Whether the answer was larger than the caller allows.
    pub fn is_too_large(&self) -> bool {
        matches!(&self.fault, Fault::TooLarge { .. })
    }

    /// Whether the provider was not even reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            &self.fault,
            Fault::Dns(_)
                | Fault::Private(_)
                | Fault::Connect(_)
                | Fault::BadUrl(_)
                | Fault::Client(_)
        )
    }

    /// The HTTP status, where one other than the wanted came.
    pub fn status(&self) -> Option<u16> {
        match &self.fault {
            Fault::Status { status, .. } => Some(status.as_u16()),
            _ => None,
        }
    }

    /// The wait that the provider asked for, capped at [`crate::gateway::retry_after::MAX`].
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.fault {
            Fault::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for GatewayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.source()
    }
}

/// How servers that answer 500 say "I do not have it" (Filecoin providers, mostly).
const DISGUISED_NOT_FOUND: [&str; 4] = [
    "ipld: could not find node",
    "peer does not have",
    "getting pieces containing cid",
    "failed to load root node",
];

/// The table of status codes.
fn status_advice(status: StatusCode, excerpt: &str, after: Option<Duration>) -> Advice {
    match status.as_u16() {
        404 | 412 => Advice::Absent,
        500 if DISGUISED_NOT_FOUND
            .iter()
            .any(|phrase| excerpt.starts_with(phrase)) =>
        {
            Advice::Absent
        }
        410 => Advice::Never,
        451 => Advice::Withheld,
        401..=403 => Advice::Credentials,
        400 | 405 | 406 | 416 | 501 => Advice::Unsupported,
        429 | 503 => Advice::SlowDown { after },
        408 | 425 | 500..=599 => Advice::Retry { after },
        _ => Advice::Elsewhere,
    }
}

/// Whether a media type is that of a page for people.
pub(super) fn is_page(media_type: &str) -> bool {
    matches!(media_type, "text/html" | "application/xhtml+xml")
}

fn quoted(excerpt: &str) -> String {
    if excerpt.is_empty() {
        String::new()
    } else {
        format!(": {excerpt}")
    }
}

fn retired_note(retired: bool) -> &'static str {
    if retired {
        " and has announced its end"
    } else {
        ""
    }
}

/// The URL as it may be shown and stored: no user, no password.
pub fn without_credentials(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            // These fail only for URLs without a host, which have no credentials.
            let _ = parsed.set_username("");
            let _ = parsed.set_password(None);
            parsed.into()
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, excerpt: &str, retired: bool) -> Advice {
        let status = StatusCode::from_u16(code).unwrap();
        let fault = Fault::Status {
            status,
            excerpt: excerpt.into(),
            retry_after: None,
            retired,
        };
        GatewayError::new("http://g", fault).advice()
    }

    #[test]
    fn advice_for_each_status() {
        let retry = Advice::Retry { after: None };
        let slow_down = Advice::SlowDown { after: None };
        let table = [
            (204, Advice::Elsewhere),
            (300, Advice::Elsewhere),
            (304, Advice::Elsewhere),
            (400, Advice::Unsupported),
            (401, Advice::Credentials),
            (402, Advice::Credentials),
            (403, Advice::Credentials),
            (404, Advice::Absent),
            (405, Advice::Unsupported),
            (406, Advice::Unsupported),
            (408, retry),
            (410, Advice::Never),
            (412, Advice::Absent),
            (416, Advice::Unsupported),
            (418, Advice::Elsewhere),
            (425, retry),
            (429, slow_down),
            (451, Advice::Withheld),
            (500, retry),
            (501, Advice::Unsupported),
            (502, retry),
            (503, slow_down),
            (504, retry),
            (520, retry),
            (529, retry),
        ];
        for (code, advice) in table {
            assert_eq!(refused(code, "", false), advice, "{code}");
        }
        assert_eq!(refused(429, "", true), Advice::Retired);
        assert_eq!(refused(500, "peer does not have it", false), Advice::Absent);
        assert_eq!(refused(500, "no peer does not have it", false), retry);
    }

    #[test]
    fn shows_what_happened_and_no_password() {
        let error = GatewayError::new(
            "https://me:secret@g.example/ipfs/x",
            Fault::Status {
                status: StatusCode::NOT_FOUND,
                excerpt: "no such block".into(),
                retry_after: None,
                retired: false,
            },
        );
        assert_eq!(error.to_string(), "answered 404 Not Found: no such block");
        assert_eq!(error.url, "https://g.example/ipfs/x");
        assert_eq!(error.status(), Some(404));
    }
}
