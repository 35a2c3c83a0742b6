//! Sections of the runtime in which functions of the C library must not park.
//!
//! A program can replace functions of the C library by ones that park (`lowlevel::hooks`). std calls
//! them too, when a lock is contended. Where the runtime has a borrow open, or is about to switch, the
//! real function must be called.

use std::cell::Cell;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Whether the calling code is in such a section.
#[inline]
pub(crate) fn is_unhooked() -> bool {
    DEPTH.get() > 0
}

/// Runs `f`, which does not switch, in such a section.
#[inline]
pub(crate) fn unhooked<R>(f: impl FnOnce() -> R) -> R {
    struct Section;
    impl Drop for Section {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _section = Section;
    f()
}
