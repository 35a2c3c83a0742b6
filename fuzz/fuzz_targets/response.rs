//! The response to a client.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    evy_fuzz::check_response(bytes);
});
