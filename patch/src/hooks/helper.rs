//! Calls on helper OS threads, for what can only be done by blocking.
//!
//! A helper OS thread runs no green threads, so all functions block there. All signals are blocked
//! there too, so that the handlers of the program run on its own threads. A helper ends when no
//! call is queued.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption, WaitEnd, Waker};

use super::spin::SpinLock;
use super::system::{errno, set_errno};

/// Helper OS threads for one kind of call. Calls beyond the limit wait in FIFO order.
pub(super) struct Helpers {
    most: usize,
    state: SpinLock<State>,
}

struct State {
    first: *mut Job,
    last: *mut Job,
    running: usize,
}

// SAFETY: the jobs are owned by the queue, and can be sent.
unsafe impl Send for State {}

struct Job {
    run: Box<dyn FnOnce() + Send>,
    next: *mut Self,
}

/// The result of a call, on its way to the caller.
struct Answer<T> {
    is_there: AtomicBool,
    value: UnsafeCell<Option<T>>,
    waker: Waker,
}

// SAFETY: the helper writes the value before it sets `is_there`, and the caller reads it after
// that.
unsafe impl<T: Send> Sync for Answer<T> {}

/// A value that a caller lends to its call, such as a pointer to its own memory.
#[derive(Clone, Copy)]
pub(super) struct Lent<T>(T);

// SAFETY: see `Lent::new`.
unsafe impl<T> Send for Lent<T> {}

impl<T: Copy> Lent<T> {
    /// # Safety
    ///
    /// The value may be used on another OS thread until the call has ended, and not after that.
    pub(super) unsafe fn new(value: T) -> Self {
        Self(value)
    }

    pub(super) fn get(self) -> T {
        self.0
    }
}

impl Helpers {
    /// Creates helpers for at most `most` calls at a time.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            state: SpinLock::new(State {
                first: ptr::null_mut(),
                last: ptr::null_mut(),
                running: 0,
            }),
        }
    }

    /// Runs `call` on a helper OS thread, and parks until it has ended. Leaves `errno` as it was.
    /// `call` calls functions of C, and does not panic.
    pub(super) fn run<T: Send + 'static>(
        &'static self,
        caller: Caller,
        reason: WaitReason,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        match self.run_until(caller, reason, Interruption::Waits, call) {
            Ok(value) => value,
            Err(_) => unreachable!("only an interruption ends the wait early"),
        }
    }

    /// Runs `call` like [`run`](Self::run), with the `errno` of the caller.
    pub(super) fn run_with_errno<T: Copy + 'static>(
        &'static self,
        caller: Caller,
        reason: WaitReason,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let before = errno();
        let (value, errno) = self.run(caller, reason, move || {
            set_errno(before);
            let value = call();
            // SAFETY: the caller waits for it.
            (unsafe { Lent::new(value) }, errno())
        });
        set_errno(errno);
        value.get()
    }

    /// Runs `call` like [`run`](Self::run). If the wait is interrupted, returns the `errno` for
    /// that, and the result is dropped when there is one.
    pub(super) fn run_until<T: Send + 'static>(
        &'static self,
        caller: Caller,
        reason: WaitReason,
        interruption: Interruption,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, c_int> {
        let before = errno();
        let answer = Arc::new(Answer {
            is_there: AtomicBool::new(false),
            value: UnsafeCell::new(None),
            waker: caller.waker(),
        });
        let for_helper = Arc::clone(&answer);
        self.start(Box::new(move || {
            let value = call();
            // SAFETY: the caller does not read it yet.
            unsafe { *for_helper.value.get() = Some(value) };
            for_helper.is_there.store(true, Release);
            for_helper.waker.wake();
        }));
        let result = loop {
            if answer.is_there.load(Acquire) {
                // SAFETY: the helper does not touch it any more.
                if let Some(value) = unsafe { (*answer.value.get()).take() } {
                    break Ok(value);
                }
            }
            match caller.park(reason, None, interruption) {
                WaitEnd::Killed => break Err(libc::ECANCELED),
                WaitEnd::Elapsed => break Err(libc::ETIMEDOUT),
                _ => {}
            }
        };
        if result.is_err() {
            caller.yield_now();
        }
        set_errno(before);
        result
    }

    fn start(&'static self, run: Box<dyn FnOnce() + Send>) {
        let next = ptr::null_mut();
        let job = Box::into_raw(Box::new(Job { run, next }));
        let needs_helper = self.state.with(|state| {
            match state.first.is_null() {
                true => state.first = job,
                // SAFETY: the last job is in the queue, so it is valid.
                false => unsafe { (*state.last).next = job },
            }
            state.last = job;
            let needs_helper = state.running < self.most;
            state.running += usize::from(needs_helper);
            needs_helper
        });
        if needs_helper && with_signals_blocked(|| self.spawn()).is_err() {
            // It then blocks this OS thread, as it would in another program.
            self.work();
        }
    }

    fn spawn(&'static self) -> std::io::Result<()> {
        let helper = std::thread::Builder::new().name("evy-helper".into());
        helper.spawn(|| self.work()).map(drop)
    }

    /// Runs the calls that are queued.
    fn work(&self) {
        loop {
            let job = self.state.with(|state| {
                let job = state.first;
                match job.is_null() {
                    true => state.running -= 1,
                    // SAFETY: it is in the queue, so it is valid.
                    false => state.first = unsafe { (*job).next },
                }
                job
            });
            if job.is_null() {
                return;
            }
            // SAFETY: it came from a box, and is out of the queue.
            (unsafe { Box::from_raw(job) }.run)();
        }
    }
}

/// Runs `f`, and lets OS threads that it creates begin with all signals blocked.
fn with_signals_blocked<T>(f: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: each set is initialized before it is read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let value = f();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        value
    }
}
