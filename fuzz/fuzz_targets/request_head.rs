//! The head of a request, and perhaps more.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    evy_fuzz::check_requests(bytes);
});
