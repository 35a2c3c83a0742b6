//! `shield`: a block that kills and timeouts do not interrupt.

use crate::green::GreenRef;
use crate::sched;

/// Runs `f`, deferring kills and timeouts until it returns.
///
/// A deferred kill or timeout is thrown at the first parking point after `shield`. A timeout that `f`
/// itself opens works as usual. Use it for a few lines that park and must not be interrupted halfway.
/// It is necessary where nothing may unwind, for example in a callback from C that parks: a kill or
/// a timeout that reaches an `extern "C"` function aborts the process.
///
/// Parks where `f` parks.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let saved = evy::timeout(Duration::from_millis(1), || {
///     evy::shield(|| evy::sleep(Duration::from_millis(5)));
///     "saved"
/// });
/// // The deadline passed inside the shield, and nothing parks after it.
/// assert_eq!(saved, Ok("saved"));
/// ```
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    let _shield = ShieldGuard::new(sched::current().running());
    f()
}

/// Runs `f` like [`shield`], on any OS thread. One without a scheduler has nothing to defer.
pub(crate) fn shield_any_thread<T>(f: impl FnOnce() -> T) -> T {
    let _shield = sched::if_current().map(|scheduler| ShieldGuard::new(scheduler.running()));
    f()
}

/// Ends a shield when dropped.
struct ShieldGuard(GreenRef);

impl ShieldGuard {
    fn new(me: GreenRef) -> Self {
        me.shields.set(me.shields.get() + 1);
        Self(me)
    }
}

impl Drop for ShieldGuard {
    fn drop(&mut self) {
        self.0.shields.set(self.0.shields.get() - 1);
    }
}
