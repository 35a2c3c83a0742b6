//! The interface to the scheduler for crates that build on it, such as `evy-net` and `evy-pool`.
//!
//! A synchronization primitive needs one thing: a queue of parked green threads that are woken one
//! by one. [`WaitQueue`] is such a queue, and with it no `unsafe` is needed. For descriptors, there
//! is [`Green`](crate::io::Green).

pub mod hooks;

use std::any::Any;
use std::panic::Location;

use crate::thread::{JoinHandle, Scope};

pub use crate::green::{MAX_INLINE_CLOSURE, StaysOnItsOsThread, WaitReason};
pub use crate::helper_pool::HelperPool;
pub use crate::io::wait_any::wait_any;
pub use crate::thread::background::background;
pub use crate::thread::wait_queue::WaitQueue;

/// Charges an operation that may park to the budget of the current green thread.
///
/// A synchronization primitive calls it before an operation that succeeds without parking. Otherwise
/// a green thread that repeats the operation would starve the others. After 128 operations in one
/// turn, or after a few milliseconds, `charge` yields.
///
/// A pending kill or timeout is thrown here, so the operation must not have begun.
///
/// # Examples
///
/// ```
/// # use std::cell::Cell;
/// # let available = Cell::new(1);
/// # let park_until_available = || ();
/// if available.get() > 0 {
///     evy::lowlevel::charge();
/// }
/// // The others may have run meanwhile.
/// while available.get() == 0 {
///     park_until_available();
/// }
/// available.set(available.get() - 1);
/// ```
pub fn charge() {
    crate::thread::charge(|| false);
}

/// Charges an operation that has failed instead of parking, and may be repeated until it succeeds.
///
/// Yields after 128 failures in one turn, so that another green thread can make it succeed. A pending
/// kill or timeout is thrown here then.
pub fn charge_failure() {
    crate::thread::charge_failure();
}

/// Resumes the unwinding of a caught panic, like [`std::panic::resume_unwind`].
///
/// Unlike std's function, it records that the current green thread unwinds. While another green
/// thread is parked in the middle of unwinding, nothing else shows that.
pub fn resume_unwind(payload: Box<dyn Any + Send>) -> ! {
    crate::thread::rethrow(payload)
}

/// Runs a callback and ends its panic, which the panic hook has reported. A kill passes.
///
/// # Examples
///
/// ```
/// evy::lowlevel::contain_panic(|| panic!("a callback has failed"));
/// ```
pub fn contain_panic(f: impl FnOnce()) {
    match crate::thread::catch(f) {
        Err(payload) if crate::thread::is_kill(&*payload) => resume_unwind(payload),
        // The destructor of the payload could panic too.
        Err(payload) => std::mem::forget(payload),
        Ok(()) => {}
    }
}

/// Spawns a green thread like [`spawn`](crate::spawn). Reports name `site` as its spawn site.
///
/// For code that spawns on behalf of its caller, later or inside a closure.
///
/// # Panics
///
/// Panics if no stack can be allocated.
///
/// # Examples
///
/// ```
/// use std::panic::Location;
///
/// let site = Location::caller();
/// let job = evy::lowlevel::spawn_at(site, || evy::thread::current().spawned_at());
/// assert_eq!(job.join().unwrap(), site);
/// ```
#[track_caller]
pub fn spawn_at<F, T>(site: &'static Location<'static>, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    crate::thread::spawn_at(site, f)
}

/// Spawns a child of `scope` like [`Scope::spawn`]. Reports name `site` as its spawn site.
///
/// Unlike that of other children, its panic does not make the scope panic. Only the handle, which
/// need not be joined, returns it.
///
/// # Panics
///
/// Panics if no stack can be allocated.
///
/// # Examples
///
/// ```
/// use std::panic::Location;
///
/// let words = ["a", "b"];
/// let site = Location::caller();
/// let count = evy::scope(|s| {
///     let job = evy::lowlevel::spawn_scoped_at(s, site, || words.len());
///     job.join().unwrap()
/// });
/// assert_eq!(count, 2);
/// ```
pub fn spawn_scoped_at<'scope, F, T>(
    scope: &'scope Scope<'scope, '_>,
    site: &'static Location<'static>,
    f: F,
) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'scope,
    T: 'scope,
{
    scope.spawn_at(site, f)
}

/// Returns the id of the current green thread.
#[must_use]
pub fn current_id() -> u64 {
    crate::sched::current().running().id()
}

/// Returns the memory of the current green thread's stack that is not in use to the system.
///
/// A green thread that is about to park for long calls it where few frames lie on its stack. The
/// memory comes back, page by page, when it is used again; that takes longer than the call. Does
/// nothing on a root green thread.
///
/// # Examples
///
/// ```
/// evy::spawn(|| {
///     let deep = [0_u8; 64 * 1024];
///     drop(std::hint::black_box(deep));
///     evy::lowlevel::release_stack();
/// })
/// .join()
/// .unwrap();
/// ```
pub fn release_stack() {
    if let Some(scheduler) = crate::sched::if_current()
        && let Some(stack) = &scheduler.running().stack
    {
        stack.release_unused();
    }
}

/// Returns the current time on the scheduler's clock, which deadlines are measured by.
///
/// In a test the clock may be paused; see [`test`](crate::test).
#[must_use]
pub fn now() -> std::time::Instant {
    crate::thread::now_any_thread()
}

/// The context-switch backend: `"native"` for evy's own assembly, or `"corosensei"`.
pub const SWITCH_BACKEND: &str = if cfg!(evy_context = "native") {
    "native"
} else {
    "corosensei"
};
