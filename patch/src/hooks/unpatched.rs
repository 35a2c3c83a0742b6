//! Calls that are never patched, and that green threads have made all the same.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use crate::Categories;

/// Each call has a bit: its place in this list.
const NAMES: [&str; 3] = [
    "futex: FUTEX_LOCK_PI",
    "futex: FUTEX_LOCK_PI2",
    "futex: FUTEX_WAIT_REQUEUE_PI",
];

/// A call that is never patched.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    LockPi,
    LockPi2,
    WaitRequeuePi,
}

static MADE: AtomicU32 = AtomicU32::new(0);

/// Notes that the calling thread makes such a call, if it is a green thread that is patched.
#[cold]
pub(super) fn note(call: Call) {
    if super::caller::current(Categories::THREAD).is_some() {
        MADE.fetch_or(1 << call as u32, Relaxed);
    }
}

/// Returns the names of the calls that have been noted.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let made = MADE.load(Relaxed);
    let all = NAMES.iter().enumerate();
    all.filter(move |(place, _)| made >> place & 1 == 1)
        .map(|(_, name)| *name)
}
