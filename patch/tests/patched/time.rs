//! Sleeps of std and of C.

use std::time::Duration;

use evy_test_support::within;

use crate::{at_once, is_patched};

#[test]
fn a_sleep_of_std_parks() {
    if !is_patched() {
        return;
    }
    within(|| {
        at_once(20, Duration::from_millis(200), |_| {
            std::thread::sleep(Duration::from_millis(200))
        })
    });
}
