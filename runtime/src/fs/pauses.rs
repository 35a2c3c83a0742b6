//! `Pauses`: how long to wait between two attempts, where no event shows when the next one is worth
//! it.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(20);

/// Pauses that become longer and longer, up to a limit.
#[derive(Debug)]
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) const fn new() -> Self {
        Self(FIRST)
    }

    /// Returns the next pause.
    pub(super) fn next(&mut self) -> Duration {
        let longer = LONGEST.min(2 * self.0);
        std::mem::replace(&mut self.0, longer)
    }
}
