//! What a server has answered, in the words of the table.

use httparse::{EMPTY_HEADER, Status};

/// Returns the outcome that the bytes from a server show. The handler answers a request with its
/// target, a space and its body.
pub(super) fn outcome(mut bytes: &[u8]) -> String {
    let mut words = Vec::new();
    while !bytes.is_empty() {
        let Some((word, rest)) = answer(bytes) else {
            words.push("malformed".to_owned());
            break;
        };
        words.push(word);
        bytes = rest;
    }
    if words.is_empty() {
        words.push("-".to_owned());
    }
    words.join(" ")
}

fn answer(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut table = [EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut table);
    let Ok(Status::Complete(length)) = head.parse(bytes) else {
        return None;
    };
    let (code, rest) = (head.code?, &bytes[length..]);
    let value = |name: &str| {
        let mut headers = head.headers.iter();
        headers.find_map(|header| {
            header
                .name
                .eq_ignore_ascii_case(name)
                .then_some(header.value)
        })
    };
    if let 100..200 | 204 | 304 = code {
        return Some((code.to_string(), rest));
    }
    let (body, rest) = if value("transfer-encoding").is_some() {
        chunks(rest)?
    } else if rest.starts_with(b"HTTP/1.") || (code >= 400 && rest.is_empty()) {
        // The request was HEAD.
        (Vec::new(), rest)
    } else if let Some(length) = value("content-length") {
        let length: usize = str::from_utf8(length).ok()?.parse().ok()?;
        (rest.get(..length)?.to_vec(), &rest[length..])
    } else {
        (rest.to_vec(), &rest[rest.len()..])
    };
    let body = String::from_utf8_lossy(&body);
    let word = match body.split_once(' ') {
        Some(("/next", "")) if code == 200 => "next".to_owned(),
        Some((_, body)) if code == 200 && !body.is_empty() => format!("200={}", escape(body)),
        _ => code.to_string(),
    };
    Some((word, rest))
}

fn chunks(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let Ok(Status::Complete((start, size))) = httparse::parse_chunk_size(bytes) else {
            return None;
        };
        let size = usize::try_from(size).ok()?;
        body.extend_from_slice(bytes.get(start..start + size)?);
        bytes = bytes[start + size..].strip_prefix(b"\r\n")?;
        if size == 0 {
            return Some((body, bytes));
        }
    }
}

/// Writes a body without spaces, as in the table.
pub(super) fn escape(body: &str) -> String {
    let body = body.escape_default().to_string();
    body.replace(' ', "\\x20")
}

/// Whether an outcome is one that the table allows.
pub(super) fn allows(expected: &str, outcome: &str) -> bool {
    match expected.rsplit_once("reject") {
        _ if expected == "any" => true,
        Some((before, "")) => {
            let rest = outcome.strip_prefix(before).unwrap_or("?");
            rest == "-" || (rest.len() == 3 && rest.starts_with(['4', '5']))
        }
        _ => expected == outcome,
    }
}
