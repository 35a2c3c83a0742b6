//! Calls that must be made under the OS thread's own thread pointer.
//!
//! glibc makes all threads of the process change the user, by a signal, when one of them does. Its
//! handler answers for the thread of the thread pointer, and a lock of the list of threads is held until
//! each kernel task has answered. A green thread with an identity answers as soon as it parks. But it
//! must not wait for that lock meanwhile. So an OS thread is created under the thread pointer of the
//! one that creates it.

use std::cell::Cell;

use super::machine::ThreadPointer;
use crate::unhooked::unhooked;

thread_local! {
    /// Under an identity, the thread pointer of the OS thread that it belongs to.
    static OS_THREAD: Cell<Option<ThreadPointer>> = const { Cell::new(None) };
}

/// Returns the thread pointer of the OS thread that runs this.
pub(super) fn pointer() -> ThreadPointer {
    OS_THREAD.get().unwrap_or_else(ThreadPointer::current)
}

/// Records that the current identity belongs to the OS thread with this thread pointer.
pub(super) fn remember(os_thread: ThreadPointer) {
    OS_THREAD.set(Some(os_thread));
}

/// Records that the current identity belongs to no OS thread any more.
pub(super) fn forget() {
    OS_THREAD.set(None);
}

/// Runs `f` under the OS thread's own thread pointer. Hooks that `f` calls do not park.
///
/// # Safety
///
/// `f` calls nothing of evy that parks, does not unwind, and uses no address of a thread local that was
/// computed outside.
pub(crate) unsafe fn as_os_thread<R>(f: impl FnOnce() -> R) -> R {
    // The section counts in a thread local of the OS thread.
    let f = || unhooked(f);
    match OS_THREAD.get() {
        // SAFETY: this identity belongs to that OS thread, which runs this. `f` is as required (caller).
        Some(os_thread) => unsafe { under(os_thread, f) },
        None => f(),
    }
}

#[inline(never)]
unsafe fn under<R>(os_thread: ThreadPointer, f: impl FnOnce() -> R) -> R {
    let own = ThreadPointer::current();
    // SAFETY: nothing else runs under either of them now (caller). This function uses no thread local.
    unsafe { os_thread.set() };
    let value = call(f);
    // SAFETY: as above.
    unsafe { own.set() };
    value
}

/// Calls `f` in a function of its own, which computes its own addresses of thread locals.
#[inline(never)]
fn call<R>(f: impl FnOnce() -> R) -> R {
    f()
}
