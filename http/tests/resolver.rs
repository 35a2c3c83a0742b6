//! A client with a resolver that does not answer. `getaddrinfo` is replaced in this binary.
#![expect(
    clippy::disallowed_methods,
    reason = "real time is measured, and the resolver blocks"
)]

use std::ffi::{c_char, c_int};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use evy_http::Client;
use evy_test_support::within;

const SHORT: Duration = Duration::from_millis(100);

/// Blocks for much longer than a client waits, and fails.
///
/// # Safety
///
/// None of the arguments is used.
#[unsafe(no_mangle)]
unsafe extern "C" fn getaddrinfo(
    _host: *const c_char,
    _service: *const c_char,
    _hints: *const (),
    _result: *mut *mut (),
) -> c_int {
    const EAI_AGAIN: c_int = -3;
    std::thread::sleep(SHORT * 20);
    EAI_AGAIN
}

#[test]
fn both_timeouts_of_a_client_cover_the_resolution_of_its_host() {
    within(|| {
        let clients = [
            Client::builder().timeout(SHORT).build(),
            Client::builder().connect_timeout(SHORT).build(),
        ];
        for client in clients {
            let start = Instant::now();
            let error = client.get("http://silent.invalid/").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            assert!(start.elapsed() < SHORT * 10);
        }
    });
}
