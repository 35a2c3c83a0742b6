//! `pthread_once`.
//!
//! A green thread calls the initializer itself, because a wait inside of the real function would block.
//! It marks the control word as the C library does, so OS threads and green threads see each other.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use evy_runtime::lowlevel::hooks::Caller;

use super::super::system::system_call;
use super::super::wait_table::{self, Key};
use super::Wait;
use crate::Categories;

/// The control word of `pthread_once`.
type Control = c_int;
pub(super) type Initializer = extern "C-unwind" fn();

/// The bit of the control word that says that the initializer has returned. Another says that it runs,
/// and the others count the forks, so that a child does not wait for a thread of its parent.
const DONE: c_int = 2;

hooks! {
    @always fn pthread_once(control: *mut Control, initializer: Initializer) -> c_int {
        once(control, initializer)
    }
}

/// # Safety
///
/// As for `pthread_once`.
#[inline]
pub(super) unsafe fn once(control: *mut Control, initializer: Initializer) -> c_int {
    // SAFETY: the word is valid, and every access is atomic.
    let word = unsafe { &*control.cast::<AtomicI32>() };
    if word.load(Acquire) & DONE != 0 {
        return 0;
    }
    match crate::hooks::caller::current(Categories::THREAD) {
        Some(caller) => green_once(caller, word, initializer),
        None => {
            // Dropped also if the initializer throws an exception.
            let _wake = WakeGreenThreads(word);
            // SAFETY: as for the hook (caller).
            unsafe { real::pthread_once(control, initializer) }
        }
    }
}

fn green_once(caller: Caller, word: &AtomicI32, initializer: Initializer) -> c_int {
    let in_progress = in_progress();
    let wait = Wait {
        thread: caller.into(),
        name: &"pthread_once",
        object: address(word),
        deadline: None,
        is_shared: false,
    };
    loop {
        let value = word.load(Acquire);
        if value & DONE != 0 {
            return 0;
        }
        if value == in_progress {
            wait.once(|| word.load(Acquire) == value, || ());
        } else if word
            .compare_exchange(value, in_progress, AcqRel, Acquire)
            .is_ok()
        {
            // An exception undoes the mark.
            let mut finish = Finish { word, value: 0 };
            initializer();
            finish.value = DONE;
            return 0;
        }
    }
}

fn address(word: &AtomicI32) -> usize {
    std::ptr::from_ref(word).addr()
}

/// Sets the control word when dropped, and wakes all that wait for it.
struct Finish<'a> {
    word: &'a AtomicI32,
    value: c_int,
}

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.word.store(self.value, Release);
        let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        let word = std::ptr::from_ref(self.word);
        // SAFETY: a wake reads no memory.
        unsafe { system_call!(SYS_futex, word, wake, i32::MAX) };
        drop(WakeGreenThreads(self.word));
    }
}

/// Wakes all green threads that wait for a control word when dropped.
struct WakeGreenThreads<'a>(&'a AtomicI32);

impl Drop for WakeGreenThreads<'_> {
    fn drop(&mut self) {
        wait_table::wake(Key::Object(address(self.0)), usize::MAX, u32::MAX);
    }
}

thread_local! {
    static TRIAL: AtomicI32 = const { AtomicI32::new(0) };
    static SEEN: Cell<c_int> = const { Cell::new(0) };
}

/// Returns the control word of an initialization that is in progress in this process. Only a trial
/// shows how many forks the C library has counted.
fn in_progress() -> c_int {
    extern "C-unwind" fn see() {
        SEEN.set(TRIAL.with(|trial| trial.load(Acquire)));
    }
    TRIAL.with(|trial| {
        trial.store(0, Release);
        // SAFETY: the control word is valid, and is used by this thread alone.
        unsafe { real::pthread_once(trial.as_ptr(), see) };
    });
    SEEN.get()
}
