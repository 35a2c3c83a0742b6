//! A body in chunks, and a request after it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let next = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    evy_fuzz::check_requests(&[head, bytes, next].concat());
});
