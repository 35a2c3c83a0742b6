//! The path of a request, decoded.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

/// Returns the path of `uri` with its percent-encoding decoded.
///
/// Use [`Uri::path`] for the path as it was sent. The result consists of bytes, because a path need
/// not be UTF-8. What is not UTF-8 is kept, and so is a `%` that two hexadecimal digits do not
/// follow. A `+` is no space in a path. Nothing is removed or normalized: `//`, `.` and `..` are kept
/// too.
///
/// A `%2F` becomes a `/` like any separator. Where that matters, split [`Uri::path`] at `/` first,
/// and decode each segment. A router should match the path as it was sent, too. A path of the file
/// system must be checked after it was decoded, because `..` and NUL may be encoded.
///
/// # Examples
///
/// ```
/// use evy::http::{Uri, decoded_path};
///
/// let uri = Uri::from_static("http://example.com/caf%C3%A9//a%20b?c=%64");
/// assert_eq!(decoded_path(&uri), "/café//a b".as_bytes());
/// assert_eq!(String::from_utf8_lossy(&decoded_path(&uri)), "/café//a b");
/// ```
#[must_use]
pub fn decoded_path(uri: &Uri) -> Cow<'_, [u8]> {
    percent_decode_str(uri.path()).into()
}

#[cfg(test)]
mod tests {
    use super::decoded_path;
    use http::Uri;
    use std::borrow::Cow;

    #[test]
    fn each_percent_sequence_is_decoded_once_and_a_bad_one_is_kept() {
        for (target, path) in [
            ("/", &b"/"[..]),
            ("/a%20b", b"/a b"),
            ("/%41%4a%4A", b"/AJJ"),
            ("/a+b", b"/a+b"),
            ("/%2541", b"/%41"),
            ("/%2F%2f", b"///"),
            ("/%2e%2E/%00", b"/../\0"),
            ("/%", b"/%"),
            ("/%4", b"/%4"),
            ("/%4/", b"/%4/"),
            ("/%zz%4g", b"/%zz%4g"),
            ("/%%41", b"/%A"),
            ("//a///b//", b"//a///b//"),
            ("/a/../b/./c", b"/a/../b/./c"),
            ("/?a=%41", b"/"),
            ("/a%3Fb?c", b"/a?b"),
            ("*", b"*"),
            ("http://a/%41", b"/A"),
            ("http://a", b"/"),
            ("a:1", b""),
        ] {
            let uri: Uri = target.parse().unwrap();
            assert_eq!(*decoded_path(&uri), *path, "{target}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_kept() {
        let uri = Uri::from_static("/caf%E9/%C3%A9/%FF%80");
        assert_eq!(*decoded_path(&uri), *b"/caf\xe9/\xc3\xa9/\xff\x80");
    }

    #[test]
    fn a_path_without_percent_sequences_is_borrowed() {
        let uri = Uri::from_static("/a%zz/b");
        assert!(matches!(decoded_path(&uri), Cow::Borrowed(_)));
    }
}
