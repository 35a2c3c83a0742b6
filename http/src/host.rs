//! The syntax of a host, as in `Host` and in a target (RFC 3986, 3.2).

use std::net::Ipv6Addr;

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
