//! Which categories are patched, for the process and for the running green thread.

use std::cell::Cell;
use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use evy_runtime::lowlevel::hooks;

use crate::{Categories, PatchError};

/// The categories that are patched for the process. The bit [`BY_THREAD`] says that some green thread
/// has differed from that.
pub(crate) static PATCHED: AtomicU32 = AtomicU32::new(0);
const BY_THREAD: u32 = 1 << 31;

/// What a green thread has chosen for itself. Only those that can have hooks choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    AsProcess,
    Patched,
    Unpatched,
}

thread_local! {
    // The identity of a green thread has its own. Green threads without one share that of the root, so
    // they leave it alone.
    static CHOICE: Cell<Choice> = const { Cell::new(Choice::AsProcess) };
}

/// Whether functions of `category` are patched for the running thread.
#[cfg(evy_hooks)]
#[inline(always)]
pub(crate) fn applies(category: Categories) -> bool {
    let patched = PATCHED.load(Relaxed);
    patched != 0 && applies_to_thread(patched, category)
}

#[cfg(evy_hooks)]
fn applies_to_thread(patched: u32, category: Categories) -> bool {
    match CHOICE.get() {
        Choice::AsProcess => patched & category.bits() != 0,
        Choice::Patched => true,
        Choice::Unpatched => false,
    }
}

/// Whether any green thread may wait in a function that is patched.
#[cfg(evy_hooks)]
#[inline(always)]
pub(crate) fn is_in_use() -> bool {
    PATCHED.load(Relaxed) != 0
}

/// Makes all calls block as always, for all threads, as in the child of a `fork`.
#[cfg(evy_hooks)]
pub(crate) fn turn_off() {
    PATCHED.store(0, Relaxed);
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

/// Returns the categories that are patched for the process.
pub(crate) fn categories() -> Categories {
    Categories::from_bits_truncate(PATCHED.load(Relaxed))
}

/// Whether any category is patched for the running green thread. [`doctor`](crate::doctor) says why not.
#[must_use]
pub fn is_patched() -> bool {
    why_not_here().is_none()
}

/// Returns the reason why nothing is patched for the running green thread, if nothing is.
pub(crate) fn why_not_here() -> Option<&'static str> {
    let patched = PATCHED.load(Relaxed);
    let choice = match patched != 0 && hooks::can_have_hooks() {
        true => CHOICE.get(),
        false => Choice::AsProcess,
    };
    match choice {
        Choice::Patched => None,
        Choice::Unpatched => Some("it runs in `unpatched`"),
        Choice::AsProcess if patched & !BY_THREAD == 0 => {
            Some("neither `monkey_patch` nor `patched` is in effect")
        }
        Choice::AsProcess if !hooks::can_have_hooks() => Some(
            "it was spawned before `monkey_patch`, so it has no pthread identity of its own; spawn it \
             later, or call `patched` in it",
        ),
        Choice::AsProcess => None,
    }
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

fn with_choice<R>(choice: Choice, f: impl FnOnce() -> R) -> R {
    struct Restore(Choice);
    impl Drop for Restore {
        fn drop(&mut self) {
            CHOICE.set(self.0);
        }
    }
    let _restore = Restore(CHOICE.replace(choice));
    f()
}

/// Checks that the hooks are in effect.
fn prepare() -> Result<(), PatchError> {
    #[cfg(evy_hooks)]
    return crate::hooks::prepare();
    // The crate is empty where there are no identities, and for the same reason.
    #[cfg(not(evy_hooks))]
    hooks::check_identities().map_err(|error| PatchError::new(error.to_string()))
}
