//! The syntax of a host, as in `Host` and in a target (RFC 3986, 3.2).

use std::net::Ipv6Addr;

use http::HeaderValue;

/// The maximum length of a `Host` that is kept for the next request.
const MAX_KEPT: usize = 256;

/// The `Host` of the last request of a connection. The next one mostly has the same, which need not
/// be checked and copied again.
#[derive(Debug, Default)]
pub(crate) struct LastHost(Option<HeaderValue>);

impl LastHost {
    /// Returns `text` as the value of `Host`, or `None` if it is malformed.
    pub(crate) fn value(&mut self, text: &[u8]) -> Option<HeaderValue> {
        if let Some(last) = &self.0
            && last.as_bytes() == text
        {
            return Some(last.clone());
        }
        let is_valid = text.is_empty() || is_host(text);
        let value = HeaderValue::from_bytes(text).ok().filter(|_| is_valid)?;
        self.0 = Some(value.clone()).filter(|_| text.len() <= MAX_KEPT);
        Some(value)
    }
}

/// Whether `text` is a host that is not empty, and perhaps a port below 65536.
pub(crate) fn is_host(text: &[u8]) -> bool {
    let (is_name, rest) = match text.strip_prefix(b"[") {
        Some(literal) => match literal.iter().position(|&byte| byte == b']') {
            Some(end) => (is_ip_literal(&literal[..end]), &literal[end + 1..]),
            None => return false,
        },
        None => {
            let end = registered_name(text);
            (end > 0, &text[end..])
        }
    };
    is_name && (rest.is_empty() || rest.strip_prefix(b":").is_some_and(is_port))
}

/// A port may be empty.
fn is_port(text: &[u8]) -> bool {
    let mut value = 0;
    for byte in text {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        value = value * 10 + digit;
        if digit > 9 || value > u32::from(u16::MAX) {
            return false;
        }
    }
    true
}

/// Whether each byte is one of RFC 3986's `unreserved` and `sub-delims`.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_name_byte(byte as u8);
        byte += 1;
    }
    table
};

/// Returns the length of the name at the start of `text`.
fn registered_name(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        while at < text.len() && NAME_BYTES[usize::from(text[at])] {
            at += 1;
        }
        match text[at..] {
            [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => at += 3,
            _ => return at,
        }
    }
}

const fn is_name_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\''
            | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
    )
}

/// Whether `text` is an IPv6 address or a later kind of address, without brackets.
fn is_ip_literal(text: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(text) else {
        return false;
    };
    match text
        .strip_prefix(['v', 'V'])
        .and_then(|rest| rest.split_once('.'))
    {
        Some((version, address)) => {
            let is_address_byte = |byte| is_name_byte(byte) || byte == b':';
            !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !address.is_empty()
                && address.bytes().all(is_address_byte)
        }
        None => text.parse::<Ipv6Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::LastHost;

    #[test]
    fn the_last_host_excuses_only_the_same_host_from_the_check() {
        let mut last = LastHost::default();
        for (text, is_valid) in [
            ("a:80", true),
            ("a:80", true),
            ("a:80:", false),
            ("a:8", true),
            ("a b", false),
            ("a b", false),
            ("", true),
            ("a:80", true),
        ] {
            let value = last.value(text.as_bytes());
            let expected = is_valid.then_some(text.as_bytes());
            assert_eq!(value.as_ref().map(|value| value.as_bytes()), expected);
        }
    }

    #[test]
    fn a_long_host_is_not_kept() {
        let mut last = LastHost::default();
        assert!(last.value("a".repeat(257).as_bytes()).is_some());
        assert_eq!(last.0, None);
        assert!(last.value(b"a").is_some());
        assert!(last.0.is_some());
    }
}
