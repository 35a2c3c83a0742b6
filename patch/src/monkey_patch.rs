//! Patching, for the process and for one closure.

use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;

use evy_runtime::lowlevel::hooks;

use crate::state::{self, BY_THREAD, Choice, PATCHED, with_choice};
use crate::{Categories, PatchError};

/// Patches everything: from now on, blocking calls park the green thread.
///
/// It holds for all OS threads that run green threads, and cannot be undone. Green threads that are
/// spawned from now on have a pthread identity of their own. Those that were spawned before are not
/// concerned, also if one of them is the caller. So call it first in `main`. Another call changes
/// nothing.
///
/// # Errors
///
/// Returns an error, with the reason, if blocking calls cannot be patched in this program.
pub fn monkey_patch() -> Result<(), PatchError> {
    monkey_patch_only(Categories::all())
}

/// Patches the functions of some categories, like [`monkey_patch`]. Categories that are patched already
/// stay so.
///
/// # Errors
///
/// Returns an error as `monkey_patch` does.
///
/// # Examples
///
/// ```
/// use evy::patch::{self, Categories};
///
/// if let Err(error) = patch::monkey_patch_only(Categories::TIME | Categories::SOCKET) {
///     println!("{error}");
/// }
/// ```
pub fn monkey_patch_only(categories: Categories) -> Result<(), PatchError> {
    prepare()?;
    let categories = categories & Categories::all();
    if categories.is_empty() {
        return Ok(());
    }
    hooks::give_identities_to_all().map_err(|error| PatchError::new(error.to_string()))?;
    set_patched(categories.bits());
    Ok(())
}

/// Whether any category is patched for the running green thread. [`doctor`](crate::doctor) says why not.
#[must_use]
pub fn is_patched() -> bool {
    state::why_not_here().is_none()
}

/// Runs `f` with all blocking calls patched for this green thread, whatever holds for the process.
///
/// A green thread without a pthread identity of its own runs `f` on another one that has it, and joins
/// that. It has the same name and a stack of the same size, but other thread locals and green locals.
/// The root green thread runs `f` itself.
///
/// Green threads that `f` spawns are not patched, unless [`monkey_patch`] has been called. They can call
/// `patched` themselves.
///
/// Parks until `f` has returned, if it runs on another green thread.
///
/// # Errors
///
/// Returns an error, with the reason, if blocking calls cannot be patched in this program.
///
/// # Panics
///
/// Panics if `f` does.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let slept = evy::patch::patched(|| std::thread::sleep(Duration::from_millis(1)));
/// if let Err(error) = slept {
///     println!("{error}");
/// }
/// ```
#[track_caller]
pub fn patched<R>(f: impl FnOnce() -> R) -> Result<R, PatchError> {
    prepare()?;
    hooks::check_identities().map_err(|error| PatchError::new(error.to_string()))?;
    set_patched(BY_THREAD);
    if hooks::can_have_hooks() {
        return Ok(with_choice(Choice::Patched, f));
    }
    hooks::with_identity(Location::caller(), || with_choice(Choice::Patched, f))
        .map_err(|error| PatchError::new(error.to_string()))
}

/// Runs `f` with no blocking call patched for this green thread: each blocks the OS thread, as always.
///
/// Calls of evy itself park as usual. Green threads that `f` spawns are not concerned.
///
/// # Examples
///
/// ```
/// evy::patch::unpatched(|| std::thread::sleep(std::time::Duration::from_millis(1)));
/// ```
pub fn unpatched<R>(f: impl FnOnce() -> R) -> R {
    if !hooks::can_have_hooks() {
        return f();
    }
    set_patched(BY_THREAD);
    with_choice(Choice::Unpatched, f)
}

/// Sets bits of [`PATCHED`].
///
/// A function that wakes reads `PATCHED` after it has changed what a waiter checks, without a fence
/// between the two. So all OS threads are made to pass one here, before any green thread can wait:
/// they have made their change visible, or they will see the new bits.
fn set_patched(bits: u32) {
    if PATCHED.fetch_or(bits, Relaxed) == 0 {
        #[cfg(evy_hooks)]
        crate::hooks::fence_all_threads();
    }
}

/// Checks that the hooks are in effect.
fn prepare() -> Result<(), PatchError> {
    #[cfg(evy_hooks)]
    return crate::hooks::prepare();
    // The crate is empty where there are no identities, and for the same reason.
    #[cfg(not(evy_hooks))]
    hooks::check_identities().map_err(|error| PatchError::new(error.to_string()))
}
