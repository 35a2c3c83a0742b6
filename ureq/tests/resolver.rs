//! ureq with a resolver that does not answer. `getaddrinfo` is replaced in this binary.
#![expect(
    clippy::disallowed_methods,
    reason = "real time is measured, and the resolver blocks"
)]

use std::ffi::{c_char, c_int};
use std::time::{Duration, Instant};

use evy_test_support::within;
use ureq::{Agent, Error, Timeout};

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
fn the_timeouts_of_a_request_cover_the_resolution_of_its_host() {
    within(|| {
        let settings = || Agent::config_builder().proxy(None);
        for (settings, expected) in [
            (settings().timeout_resolve(Some(SHORT)), Timeout::Resolve),
            (settings().timeout_per_call(Some(SHORT)), Timeout::PerCall),
            (settings().timeout_global(Some(SHORT)), Timeout::Global),
        ] {
            let start = Instant::now();
            let late = evy_ureq::agent_with(settings.build())
                .get("http://silent.invalid/")
                .call();
            let is_expected = matches!(late, Err(Error::Timeout(reason)) if reason == expected);
            assert!(is_expected, "{late:?}");
            assert!(start.elapsed() < SHORT * 10);
        }
    });
}
