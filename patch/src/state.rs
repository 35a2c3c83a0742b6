//! Which categories are patched, for the process and for the running green thread.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use evy_runtime::lowlevel::hooks;

use crate::Categories;

/// The categories that are patched for the process. The bit [`BY_THREAD`] says that some green thread
/// has differed from that.
pub(crate) static PATCHED: AtomicU32 = AtomicU32::new(0);
pub(crate) const BY_THREAD: u32 = 1 << 31;

/// What a green thread has chosen for itself. Only those that can have hooks choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
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

/// Returns the categories that are patched for the process.
pub(crate) fn categories() -> Categories {
    Categories::from_bits_truncate(PATCHED.load(Relaxed))
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

/// Runs `f` with another choice of the running green thread, which can have hooks.
pub(crate) fn with_choice<R>(choice: Choice, f: impl FnOnce() -> R) -> R {
    struct Restore(Choice);
    impl Drop for Restore {
        fn drop(&mut self) {
            CHOICE.set(self.0);
        }
    }
    let _restore = Restore(CHOICE.replace(choice));
    f()
}
