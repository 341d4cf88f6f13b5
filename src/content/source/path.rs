//! Segments of content paths: decoding, cleaning, and encoding for URLs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::content::source::SourceError;

/// Everything but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A path segment as it stands in a URL: all but `A-Za-z0-9-._~` as `%XX`.
pub fn encode_segment(segment: &str) -> String {
    utf8_percent_encode(segment, ENCODED).to_string()
}

/// Percent-decodes one segment, once.
pub(super) fn decode_segment(segment: &str) -> Result<String, SourceError> {
    let fail = |why| SourceError::Segment {
        segment: segment.into(),
        why,
    };
    let has_bad_escape = segment.split('%').skip(1).any(|behind| {
        !behind
            .as_bytes()
            .get(..2)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    if has_bad_escape {
        return Err(fail(
            "has a \"%\" that is not followed by two hexadecimal digits",
        ));
    }
    let decoded = percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| fail("does not decode to UTF-8"))?;
    if decoded.contains('/') {
        return Err(fail(
            "has an encoded \"/\", and no name in a path can have one",
        ));
    }
    Ok(decoded.into_owned())
}

/// Drops empty segments and `.`, and resolves `..` lexically, as gateways do.
pub(super) fn clean(
    segments: impl Iterator<Item = Result<String, SourceError>>,
) -> Result<Vec<String>, SourceError> {
    let mut path = Vec::new();
    for segment in segments {
        let segment = segment?;
        match segment.as_str() {
            "" | "." => {}
            ".." => {
                path.pop().ok_or(SourceError::LeavesRoot)?;
            }
            name if name.contains('\0') => {
                return Err(SourceError::Segment {
                    segment,
                    why: "has a NUL",
                });
            }
            _ => path.push(segment),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encodes_all_but_unreserved() {
        assert_eq!(encode_segment("file!'()*~.txt"), "file%21%27%28%29%2A~.txt");
        assert_eq!(encode_segment("100% sure/é"), "100%25%20sure%2F%C3%A9");
    }

    proptest! {
        #[test]
        fn encoding_is_undone_by_decoding(segment in "[^/]{0,20}") {
            prop_assert_eq!(decode_segment(&encode_segment(&segment)), Ok(segment));
        }
    }
}
