//! Functions that must run as the OS thread: `fork`, and those that change the user or the group.
//!
//! `fork` changes what the C library knows of the calling thread, and the thread of the child is
//! the OS thread. A change of the user is made by all threads of the process: the caller makes it
//! itself, and signals the others. The OS thread would then be one of the others, and could not
//! answer.
//!
//! These hooks act whatever is patched, because a green thread may have an identity anyway.

use std::ffi::{c_char, c_int};

use evy_runtime::lowlevel::hooks::{as_os_thread, enter_child};
use libc::{gid_t, pid_t, size_t, uid_t};

use super::system::{errno, set_errno};
use crate::state;

/// Makes a call as the OS thread. If it fails, its `errno` becomes that of the green thread.
unsafe fn with_errno(call: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: the call is a function of the C library, which does not use a thread local of this
    // green thread. `errno` is that of the OS thread there, and functions return it, so no address
    // is kept.
    let (value, error) = unsafe {
        as_os_thread(|| {
            let value = call();
            (value, errno())
        })
    };
    if value < 0 {
        set_errno(error);
    }
    value
}

/// Makes a call that creates a process. Nothing is patched in the child: it has one OS thread, and
/// shares its poller with the parent.
unsafe fn forking(call: impl FnOnce() -> pid_t) -> pid_t {
    // SAFETY: as for `with_errno`.
    let pid = unsafe { with_errno(call) };
    if pid == 0 {
        state::turn_off();
        // SAFETY: this is the child.
        unsafe { enter_child() };
    }
    pid
}

macro_rules! identity_calls {
    ($(fn $name:ident($($arg:ident: $type:ty),*);)*) => {
        hooks! {
            @always fn fork() -> pid_t { forking(|| real::fork()) }
            @always fn _Fork() -> pid_t { forking(|| real::_Fork()) }
            @always fn daemon(no_change: c_int, no_close: c_int) -> c_int {
                // Only the child returns from it.
                forking(|| real::daemon(no_change, no_close))
            }
            $(@always fn $name($($arg: $type),*) -> c_int {
                with_errno(|| real::$name($($arg),*))
            })*
        }
    };
}

identity_calls! {
    fn setuid(user: uid_t);
    fn setgid(group: gid_t);
    fn seteuid(user: uid_t);
    fn setegid(group: gid_t);
    fn setreuid(real_user: uid_t, effective: uid_t);
    fn setregid(real_group: gid_t, effective: gid_t);
    fn setresuid(real_user: uid_t, effective: uid_t, saved: uid_t);
    fn setresgid(real_group: gid_t, effective: gid_t, saved: gid_t);
    fn setgroups(count: size_t, groups: *const gid_t);
    fn initgroups(user: *const c_char, group: gid_t);
}

/// Makes each `fork` turn the hooks off in the child, also one that the C library makes itself.
pub(super) fn notice() {
    extern "C" fn in_child() {
        state::turn_off();
    }
    // SAFETY: the function only stores a number.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}
