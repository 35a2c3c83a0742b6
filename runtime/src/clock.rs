//! Time: a monotonic clock, and deadlines that cannot overflow.

use std::time::{Duration, Instant};

/// The monotonic clock. The one place that reads it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is what everybody else is to call"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The moment `timeout` from now, or `None` (never) where it lies beyond what the clock can say.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}

#[cfg(test)]
mod tests {
    use super::{deadline_after, now};
    use std::time::Duration;

    #[test]
    fn a_far_future_is_never() {
        assert_eq!(deadline_after(Duration::MAX), None);
    }

    #[test]
    fn a_deadline_lies_ahead() {
        let before = now();
        let deadline = deadline_after(Duration::from_secs(1)).unwrap();
        assert!(deadline >= before + Duration::from_secs(1));
    }
}
