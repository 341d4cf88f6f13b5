//! Headers that a user adds to requests (`--header 'K: V'`). Pure; values are secrets and appear
//! in no message.

use reqwest::header::{HeaderName, HeaderValue};

/// Headers that say what is asked for, or how the connection works: fetchd's own business.
const OURS: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A header that cannot be sent. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No colon after a name.
    #[error("a header is written 'Name: value'")]
    NoColon,
    /// The name is not one.
    #[error("what stands before the colon is not the name of a header")]
    Name,
    /// The value holds a line end or another control character.
    #[error("the value of `{0}` cannot be sent in a header")]
    Value(String),
    /// A header that fetchd sets itself.
    #[error("`{0}` is set by fetchd itself")]
    Ours(String),
}

/// Name and value of a header as curl users write it: `Name: value`.
///
/// # Errors
/// [`HeaderError`].
pub fn header(line: &str) -> Result<(String, String), HeaderError> {
    let (name, value) = line.split_once(':').ok_or(HeaderError::NoColon)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| HeaderError::Name)?;
    let value = value.trim();
    if OURS.contains(&name.as_str()) {
        return Err(HeaderError::Ours(name.to_string()));
    }
    HeaderValue::from_str(value).map_err(|_| HeaderError::Value(name.to_string()))?;
    Ok((name.to_string(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_curl_takes_them() {
        assert_eq!(
            header("Authorization:  Bearer a:b "),
            Ok(("authorization".into(), "Bearer a:b".into()))
        );
        assert_eq!(header("X-Empty:"), Ok(("x-empty".into(), String::new())));
        assert_eq!(header("secret"), Err(HeaderError::NoColon));
        assert_eq!(header("a b: secret"), Err(HeaderError::Name));
        assert_eq!(header(": secret"), Err(HeaderError::Name));
        assert_eq!(header("X: a\nb"), Err(HeaderError::Value("x".into())));
        assert_eq!(
            header("Range: bytes=0-1"),
            Err(HeaderError::Ours("range".into()))
        );
    }
}
