//! How long workers pause before another attempt of what has failed.

use std::time::Duration;

/// The first pause.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(5);

/// The longest pause.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Returns the pause after `pause`.
pub(super) fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX)
}
