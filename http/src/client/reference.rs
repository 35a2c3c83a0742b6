//! References to URLs, as they stand in `Location` (RFC 3986, 5).

use http::Uri;

use super::request_head::write_encoded;

/// Returns the URL that `reference` means, seen from `base`, which has a scheme and a host. The
/// fragment is left out. Returns `None` if it is malformed.
pub(super) fn resolve(base: &Uri, reference: &[u8]) -> Option<Uri> {
    let mut encoded = Vec::with_capacity(reference.len());
    write_encoded(&mut encoded, reference);
    let reference = String::from_utf8(encoded).ok()?;
    let reference = reference.split('#').next()?;
    let scheme = base.scheme_str()?;
    if let Some(rest) = after_scheme(reference) {
        // A reference such as `http:path` is obsolete.
        return absolute(reference, rest.strip_prefix("//")?);
    }
    if let Some(rest) = reference.strip_prefix("//") {
        return absolute(&format!("{scheme}:{reference}"), rest);
    }
    let (path, query) = split_query(reference);
    let (path, query) = match path {
        "" => (base.path().to_owned(), query.or(base.query())),
        _ if path.starts_with('/') => (path.to_owned(), query),
        _ => {
            let folder = base.path().rfind('/').map_or("", |at| &base.path()[..at]);
            (format!("{folder}/{path}"), query)
        }
    };
    let authority = base.authority()?;
    parse(&format!("{scheme}://{authority}"), &path, query)
}

/// Parses an absolute URL, of which `rest` follows the two slashes.
fn absolute(url: &str, rest: &str) -> Option<Uri> {
    let authority = rest.find(['/', '?']).unwrap_or(rest.len());
    let (origin, rest) = url.split_at(url.len() - rest.len() + authority);
    let (path, query) = split_query(rest);
    parse(origin, path, query)
}

fn parse(origin: &str, path: &str, query: Option<&str>) -> Option<Uri> {
    let path = remove_dot_segments(path);
    let query = query.map_or(String::new(), |query| format!("?{query}"));
    format!("{origin}{path}{query}").parse().ok()
}

/// Returns what follows the scheme and its colon, if there is a scheme.
fn after_scheme(reference: &str) -> Option<&str> {
    let (scheme, rest) = reference.split_once(':')?;
    let is_scheme_char = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    (is_scheme && scheme.chars().all(is_scheme_char)).then_some(rest)
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

/// Resolves the segments `.` and `..` of an absolute path.
fn remove_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
        if is_last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn the_examples_of_rfc_3986_are_resolved_as_it_says() {
        let base = "http://a/b/c/d;p?q".parse().unwrap();
        for (reference, expected) in [
            ("http://g", "http://g/"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("g;x", "http://a/b/c/g;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("//g?y", "http://g/?y"),
            ("https://g/x/../y?z", "https://g/y?z"),
            ("/a b", "http://a/a%20b"),
            ("/ä", "http://a/%C3%A4"),
            ("x:1/../y", ""),
            ("http:g", ""),
            ("http://", ""),
            ("mailto:a@b", ""),
        ] {
            let found = resolve(&base, reference.as_bytes());
            let found = found.map_or(String::new(), |uri| uri.to_string());
            assert_eq!(found, expected, "{reference:?}");
        }
    }
}
