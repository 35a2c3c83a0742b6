//! Tests with results that must not depend on the order in which green threads run.

use evy_runtime::test;

/// Runs `body` in FIFO order, and then in a hundred random orders, each on a paused clock.
pub fn in_any_order(body: impl Fn() + Sync) {
    test::virtual_time(&body);
    test::explore_schedules(0..100, body);
}
