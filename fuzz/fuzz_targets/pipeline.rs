//! Requests one after another. Some bytes of the input stand for whole words of HTTP.
#![no_main]

/// What a byte from 0x80 on stands for, so that few mutations lead from one framing to another.
const WORDS: [&str; 16] = [
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\n",
    "GET / HTTP/1.0\r\n",
    "Content-Length: ",
    "Transfer-Encoding: ",
    "chunked",
    "Connection: ",
    "close\r\n",
    "keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "\r\n",
    "\r\n\r\n",
    "HEAD http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Vec::new();
    for byte in bytes {
        match byte
            .checked_sub(0x80)
            .and_then(|index| WORDS.get(usize::from(index)))
        {
            Some(word) => input.extend_from_slice(word.as_bytes()),
            None => input.push(*byte),
        }
    }
    evy_fuzz::check_requests(&input);
});
