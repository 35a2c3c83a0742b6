//! `open`, which waits for the other end of a named pipe. That is done on a helper OS thread.
//!
//! The functions of the C library are variadic, as `fcntl` is. The mode is passed like an argument
//! of a function with that parameter.

use std::ffi::{c_char, c_int};

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::Caller;
use libc::mode_t;

use super::helper::{Helpers, Lent};
use super::system::{returned, system_call};
use crate::Categories;

/// The waits. Each must be able to wait at once, because one may end another.
static WAITS: Helpers = Helpers::new(usize::MAX);

hooks! {
    @always fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        match waiter(libc::AT_FDCWD, path, flags) {
            None => real::open(path, flags, mode),
            Some(caller) => wait(caller, libc::AT_FDCWD, path, flags, mode),
        }
    }

    @always fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        match waiter(libc::AT_FDCWD, path, flags) {
            None => real::open64(path, flags, mode),
            Some(caller) => wait(caller, libc::AT_FDCWD, path, flags, mode),
        }
    }

    @always fn __open_2(path: *const c_char, flags: c_int) -> c_int {
        match waiter(libc::AT_FDCWD, path, flags) {
            None => real::__open_2(path, flags),
            Some(caller) => wait(caller, libc::AT_FDCWD, path, flags, 0),
        }
    }

    @always fn __open64_2(path: *const c_char, flags: c_int) -> c_int {
        match waiter(libc::AT_FDCWD, path, flags) {
            None => real::__open64_2(path, flags),
            Some(caller) => wait(caller, libc::AT_FDCWD, path, flags, 0),
        }
    }

    @always fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        match waiter(folder, path, flags) {
            None => real::openat(folder, path, flags, mode),
            Some(caller) => wait(caller, folder, path, flags, mode),
        }
    }

    @always fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        match waiter(folder, path, flags) {
            None => real::openat64(folder, path, flags, mode),
            Some(caller) => wait(caller, folder, path, flags, mode),
        }
    }
}

/// Returns the running green thread if it may park, and the call may have to wait.
#[inline(always)]
unsafe fn waiter(folder: c_int, path: *const c_char, flags: c_int) -> Option<Caller> {
    let caller = super::caller(Categories::OS)?;
    let is_for_both = flags & libc::O_ACCMODE == libc::O_RDWR;
    let never_waits = is_for_both || flags & (libc::O_NONBLOCK | libc::O_PATH) != 0;
    // SAFETY: as for the function of the C library (caller).
    (!never_waits && unsafe { is_named_pipe(folder, path) }).then_some(caller)
}

unsafe fn is_named_pipe(folder: c_int, path: *const c_char) -> bool {
    // SAFETY: all zeros is a valid value. The kernel checks the path.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        let found = system_call!(SYS_newfstatat, folder, path, &raw mut stat, 0);
        found == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFIFO
    }
}

/// Opens a named pipe, which exists already.
unsafe fn wait(
    caller: Caller,
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    let reason = WaitReason::Other("the other end of a named pipe");
    // SAFETY: as for the function of the C library (caller), which waits for the end.
    let path = unsafe { Lent::new(path) };
    let result = WAITS.run(caller, reason, move || {
        // SAFETY: as above.
        unsafe { system_call!(SYS_openat, folder, path.get(), flags, mode) }
    });
    returned(result) as c_int
}
