//! `O_NONBLOCK` of a description: whether it is set, and calls that need it for a moment.
//!
//! The flag belongs to the description, which other descriptors, OS threads and processes share.
//! Only `connect` and `accept` have no other way to try without blocking. For the moment of their
//! system call, all of them see the flag. Other hooks do not, because the lock keeps them out. Only those
//! in a signal handler that has interrupted the holder of the lock do.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::compiler_fence;

use super::spin::SpinLock;
use super::system::system_call;

/// Held while some description has the flag for a moment. The call meanwhile does not block.
static CHANGING: SpinLock<()> = SpinLock::new(());

thread_local! {
    /// Whether this thread holds the lock, or waits for it.
    static IS_CHANGING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` under the lock. In a signal handler that has interrupted the holder, it runs at once.
fn locked<R>(f: impl FnOnce() -> R) -> R {
    if IS_CHANGING.replace(true) {
        return f();
    }
    compiler_fence(SeqCst);
    let result = CHANGING.with(|()| f());
    compiler_fence(SeqCst);
    IS_CHANGING.set(false);
    result
}

/// Whether the program has made the description non-blocking.
pub(super) fn is_nonblocking(fd: c_int) -> bool {
    // Without the flag there is nothing to wait for. With it, it may be another hook's.
    has_flag(fd) && locked(|| has_flag(fd))
}

fn has_flag(fd: c_int) -> bool {
    // SAFETY: the call reads flags, and fails if `fd` is not open.
    let flags = unsafe { system_call!(SYS_fcntl, fd, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK as isize != 0
}

/// Makes a call without blocking. Returns what the kernel returns.
pub(super) fn without_blocking(fd: c_int, call: impl FnOnce() -> isize) -> isize {
    // SAFETY: the calls read and write flags, and fail if `fd` is not open.
    locked(|| unsafe {
        let flags = system_call!(SYS_fcntl, fd, libc::F_GETFL);
        if flags < 0 {
            return flags;
        }
        let nonblocking = flags | libc::O_NONBLOCK as isize;
        system_call!(SYS_fcntl, fd, libc::F_SETFL, nonblocking);
        let result = call();
        system_call!(SYS_fcntl, fd, libc::F_SETFL, flags);
        result
    })
}
