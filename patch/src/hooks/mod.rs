//! The functions that replace those of the C library.
//!
//! Each has the name and the signature of the function that it replaces, and the linker prefers it to
//! the one in a shared library, also for calls from other shared libraries. It makes the *real* call,
//! through `dlsym(RTLD_NEXT)`, unless the calling green thread may park here and has its category
//! patched ([`caller`]).
//!
//! # Rules for a hook
//!
//! - It takes the decision first, and does nothing before: the real call of an OS thread must cost
//!   hardly more than without the hook.
//! - It unwinds never, and allocates nothing while it holds a lock of its own.
//! - It uses no lock of std, which would call a hook again.
//! - It tries with a bare system call ([`system`]), so that neither a hook nor a cancellation point is
//!   involved, and leaves `errno` alone unless it fails.
//! - It leaves no trace on a descriptor that others share: `O_NONBLOCK` is never seen changed.

#[macro_use]
mod real;
mod blocking_mode;
mod caller;
mod descriptors;
mod dns;
mod fcntl;
mod file_locks;
mod files;
mod fork;
mod futex;
mod futex2;
mod helper;
mod identity;
mod ipc;
mod kinds;
mod masks;
mod on_helper;
mod opening;
mod pointers;
mod process;
mod pthread;
mod readiness;
mod repeats;
mod scheduling;
mod signal_stacks;
mod signals;
mod sockets;
mod spin;
mod splice;
mod system;
mod thread;
mod time;
pub(crate) mod unpatched;
mod vfork;
mod wait;
mod wait_table;
mod waits;

use std::ffi::CStr;
use std::sync::Once;

use real::Hook;
use system::system_call;

use crate::PatchError;

/// The lists of all hooks.
static ALL: &[&[Hook]] = &[
    descriptors::HOOKS,
    dns::HOOKS,
    fcntl::HOOKS,
    file_locks::HOOKS,
    files::HOOKS,
    fork::HOOKS,
    identity::HOOKS,
    ipc::HOOKS,
    on_helper::HOOKS,
    opening::HOOKS,
    process::HOOKS,
    pthread::barrier::HOOKS,
    pthread::c11::HOOKS,
    pthread::condvar::HOOKS,
    pthread::creation::HOOKS,
    pthread::join::HOOKS,
    pthread::mutex::HOOKS,
    pthread::once::HOOKS,
    pthread::rwlock::HOOKS,
    pthread::semaphore::HOOKS,
    readiness::HOOKS,
    scheduling::HOOKS,
    signal_stacks::HOOKS,
    signals::HOOKS,
    sockets::HOOKS,
    splice::HOOKS,
    time::HOOKS,
];

/// Returns the functions whose calls do not reach their hooks.
pub(crate) fn unreached() -> impl Iterator<Item = &'static CStr> {
    let all = ALL.iter().flat_map(|hooks| hooks.iter());
    all.filter(|hook| !hook.is_reached()).map(|hook| hook.name)
}

/// Checks that calls reach the hooks, and makes them notice `fork`.
pub(crate) fn prepare() -> Result<(), PatchError> {
    match unreached().next() {
        None => {
            static NOTICE_FORKS: Once = Once::new();
            NOTICE_FORKS.call_once(fork::notice);
            Ok(())
        }
        Some(name) => Err(PatchError::new(format!(
            "calls of `{}` do not reach this crate, as in a library that another program has loaded",
            name.to_string_lossy()
        ))),
    }
}

/// Makes every OS thread of the process pass a full fence.
///
/// Before Linux 4.16, and where a sandbox forbids it, nothing happens. Then only the time that it takes
/// to spawn the first green thread separates what the fence would have.
pub(crate) fn fence_all_threads() {
    const PRIVATE_EXPEDITED: u32 = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: u32 = 1 << 4;
    for command in [REGISTER_PRIVATE_EXPEDITED, PRIVATE_EXPEDITED] {
        // SAFETY: the call takes no pointers.
        unsafe { system_call!(SYS_membarrier, command, 0_u32, 0_u32) };
    }
}
