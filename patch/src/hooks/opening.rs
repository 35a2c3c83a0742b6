//! Opening a pipe by its name, a FIFO, which waits for the other end.
//!
//! No event says that the other end was opened, so a helper OS thread waits. A kill or an enclosing
//! `timeout` does not end the wait: the descriptor could be opened in that moment, and stay open.
//!
//! The functions of the C library are variadic, see [`fcntl`](super::fcntl).

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::Caller;
use libc::mode_t;

use super::helper::{Helpers, Lent};
use super::system::{returned, system_call};

/// The waits. Each must be able to wait at once, because it may wait for another one.
static WAITS: Helpers = Helpers::new(usize::MAX);

hooks! {
    OS: fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        |caller| opened(caller, &"open", libc::AT_FDCWD, path, flags, || real::open(path, flags, mode))
    }

    OS: fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        |caller| {
            let real = || real::open64(path, flags, mode);
            opened(caller, &"open64", libc::AT_FDCWD, path, flags, real)
        }
    }

    OS: fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        |caller| {
            let real = || real::openat(folder, path, flags, mode);
            opened(caller, &"openat", folder, path, flags, real)
        }
    }

    OS: fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        |caller| {
            let real = || real::openat64(folder, path, flags, mode);
            opened(caller, &"openat64", folder, path, flags, real)
        }
    }

    OS: fn creat(path: *const c_char, mode: mode_t) -> c_int {
        |_caller| open(path, CREATE, mode)
    }

    OS: fn creat64(path: *const c_char, mode: mode_t) -> c_int {
        |_caller| open64(path, CREATE, mode)
    }

    OS: fn __open_2(path: *const c_char, flags: c_int) -> c_int {
        |caller| {
            let real = || real::__open_2(path, flags);
            opened(caller, &"open", libc::AT_FDCWD, path, flags, real)
        }
    }

    OS: fn __open64_2(path: *const c_char, flags: c_int) -> c_int {
        |caller| {
            let real = || real::__open64_2(path, flags);
            opened(caller, &"open64", libc::AT_FDCWD, path, flags, real)
        }
    }

    OS: fn __openat_2(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
        |caller| {
            let real = || real::__openat_2(folder, path, flags);
            opened(caller, &"openat", folder, path, flags, real)
        }
    }

    OS: fn __openat64_2(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
        |caller| {
            let real = || real::__openat64_2(folder, path, flags);
            opened(caller, &"openat64", folder, path, flags, real)
        }
    }
}

/// The flags of `creat`.
const CREATE: c_int = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;

/// Opens a pipe with a helper OS thread, and anything else with `real`.
///
/// # Safety
///
/// As for `openat`.
unsafe fn opened(
    caller: Caller,
    name: &'static &'static str,
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    real: impl FnOnce() -> c_int,
) -> c_int {
    // SAFETY: as for `openat` (caller).
    if !unsafe { waits_for_other_end(folder, path, flags) } {
        return real();
    }
    // SAFETY: as for `openat` (caller), which waits for the end.
    let lent = unsafe { Lent::new(path) };
    let reason = WaitReason::CallOnObject(name, path.addr());
    returned(WAITS.run(caller, reason, move || {
        // SAFETY: as for `openat` (caller). The pipe exists, so it needs no mode.
        unsafe { system_call!(SYS_openat, folder, lent.get(), flags, 0_u32) }
    })) as c_int
}

/// Whether opening the file waits for the other end of a pipe.
///
/// # Safety
///
/// As for `openat`.
unsafe fn waits_for_other_end(folder: c_int, path: *const c_char, flags: c_int) -> bool {
    /// Flags of which each says that the call does not wait, or fails for a pipe.
    const NEVER: c_int = libc::O_NONBLOCK | libc::O_PATH | libc::O_DIRECTORY | libc::O_EXCL;
    if flags & NEVER != 0 || flags & libc::O_ACCMODE == libc::O_RDWR {
        return false;
    }
    let links = match flags & libc::O_NOFOLLOW {
        0 => 0,
        _ => libc::AT_SYMLINK_NOFOLLOW,
    };
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel checks the path. All zeros is a valid value.
    unsafe {
        let found = system_call!(SYS_newfstatat, folder, path, stat.as_mut_ptr(), links);
        found == 0 && stat.assume_init().st_mode & libc::S_IFMT == libc::S_IFIFO
    }
}
