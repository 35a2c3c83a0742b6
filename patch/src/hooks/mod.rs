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
mod files;
mod futex;
mod readiness;
mod sockets;
mod system;
mod time;
mod wait;
mod wait_table;

use std::ffi::CStr;

use evy_runtime::lowlevel::hooks::Caller;

use real::Hook;

use crate::{Categories, PatchError, state};

/// Returns the running green thread if it may park in a function of `category`.
#[inline(always)]
fn caller(category: Categories) -> Option<Caller> {
    if state::applies(category) {
        Caller::current()
    } else {
        None
    }
}

/// The lists of all hooks.
static ALL: &[&[Hook]] = &[files::HOOKS, readiness::HOOKS, sockets::HOOKS, time::HOOKS];

/// Returns the functions whose calls do not reach their hooks.
pub(crate) fn unreached() -> impl Iterator<Item = &'static CStr> {
    let all = ALL.iter().flat_map(|hooks| hooks.iter());
    all.filter(|hook| !hook.is_reached()).map(|hook| hook.name)
}

/// Checks that calls reach the hooks.
pub(crate) fn prepare() -> Result<(), PatchError> {
    match unreached().next() {
        None => Ok(()),
        Some(name) => Err(PatchError::new(format!(
            "calls of `{}` do not reach this crate, as in a library that another program has loaded",
            name.to_string_lossy()
        ))),
    }
}
