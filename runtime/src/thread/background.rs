//! `background`: waits that do not keep a deadlock from being reported.

use super::count_guard::CountGuard;
use crate::green::GreenRef;
use crate::sched;

/// Runs `f`, whose waits do not keep a deadlock from being reported.
///
/// It is for a green thread that the program does not know of, and that no other one waits for. One
/// that closes idle connections is an example.
///
/// Parks where `f` parks.
///
/// # Examples
///
/// ```
/// use evy::lowlevel::background;
/// use std::time::Duration;
///
/// evy::spawn_n(|| background(|| evy::sleep(Duration::from_secs(3600))));
/// // Nothing is ever put into this queue. The sleeper does not hide that.
/// let panic = std::panic::catch_unwind(|| evy::Queue::<()>::unbounded().get());
/// assert!(panic.is_err());
/// ```
pub fn background<T>(f: impl FnOnce() -> T) -> T {
    let scheduler = sched::current();
    let me = scheduler.running();
    if me.is_background.get() {
        return f();
    }
    let _counted = CountGuard::new(&scheduler.background);
    let _flag = Flag::set(me);
    f()
}

/// The mark of a green thread. It is removed when this value is dropped.
struct Flag(GreenRef);

impl Flag {
    fn set(me: GreenRef) -> Self {
        me.is_background.set(true);
        Self(me)
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.is_background.set(false);
    }
}
