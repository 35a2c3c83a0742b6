//! Calls that only an OS thread can wait in, made by a helper.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use evy_runtime::lowlevel::hooks::Caller;

use super::super::wait_table::{self, Key};
use super::Wait;

/// The result of a call, which the helper writes before it sets `is_done`.
struct Call<R> {
    result: UnsafeCell<Option<R>>,
    is_done: AtomicBool,
}

/// A pointer that the helper may use.
struct Shared<R>(*const Call<R>);

// SAFETY: see `call_on_helper`.
unsafe impl<R: Send> Send for Shared<R> {}

impl<R> Shared<R> {
    fn get(&self) -> *const Call<R> {
        self.0
    }
}

/// Runs `f` on an OS thread of its own. Parks until it has returned.
///
/// An OS thread for each call means that the calls never wait for each other. Returns `None` if there
/// can be no further OS thread.
///
/// # Safety
///
/// `f` may run on another OS thread.
pub(super) unsafe fn call_on_helper<R: Send>(
    caller: Caller,
    name: &'static &'static str,
    f: impl FnOnce() -> R,
) -> Option<R> {
    let call = Call {
        result: UnsafeCell::new(None),
        is_done: AtomicBool::new(false),
    };
    let shared = Shared(&raw const call);
    let run = MovedCall(f);
    let helper = move || {
        let result = run.call();
        let call = shared.get();
        // SAFETY: the frame with the call is not left before `is_done`. If its OS thread ends, the
        // frame is leaked. Until `is_done`, only the helper uses the result.
        unsafe {
            (*call).result.get().write(Some(result));
            (*call).is_done.store(true, Release);
        }
        // The frame may be gone from here on.
        wait_table::wake(Key::Object(call.addr()), 1, u32::MAX);
    };
    let builder = std::thread::Builder::new().name("evy-helper".into());
    // SAFETY: what the closure borrows is valid until `is_done`, or for ever.
    let spawned = with_signals_blocked(|| unsafe { builder.spawn_unchecked(helper) });
    drop(spawned.ok()?);
    let wait = Wait {
        caller,
        name,
        object: (&raw const call).addr(),
        deadline: None,
        is_shared: false,
    };
    while !call.is_done.load(Acquire) {
        wait.park(|| !call.is_done.load(Acquire), || ());
    }
    call.result.into_inner()
}

/// A call that may be made on another OS thread.
struct MovedCall<F>(F);

// SAFETY: the creator says so, see `call_on_helper`.
unsafe impl<F> Send for MovedCall<F> {}

impl<F: FnOnce() -> R, R> MovedCall<F> {
    fn call(self) -> R {
        (self.0)()
    }
}

/// Runs `f`, whose new OS threads inherit the mask: handlers of the program must not run there.
fn with_signals_blocked<R>(f: impl FnOnce() -> R) -> R {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: each set is initialized before it is used.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let result = f();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        result
    }
}
