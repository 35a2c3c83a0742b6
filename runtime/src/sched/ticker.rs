//! The ticker: one OS thread for the process, which reminds busy schedulers of the time.
//!
//! A scheduler cannot read the clock at every turn and at every operation, because that would cost
//! as much as the turn itself. So it counts turns and operations. A count alone is unfair when each
//! turn takes long: 64 turns of 20 ms are more than a second. The ticker closes that gap. Every
//! [`TICK`] it requests maintenance from each scheduler that is busy, by storing to a few atomics of
//! that scheduler. The scheduler pays nothing for that: it reads those atomics anyway.
//!
//! The ticker is started when a scheduler first has been busy for [`WARM_UP`](super::pace) without a pause, and
//! sleeps while no scheduler is busy. A program that only waits therefore has no ticker, and is
//! woken no more often than without one.

use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::helper_thread;
use crate::primitive;

/// The time between two ticks.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// The number of ticks without a busy scheduler after which the ticker sleeps, and the number of
/// ticks that a scheduler may leave unanswered before it is no longer counted as busy. Its OS thread
/// may have left evy for good, in a blocking call.
const IDLE_TICKS: u32 = 20;

/// The part of a scheduler that the ticker writes. All accesses are relaxed: each field is a hint,
/// and a store that is overwritten is repeated by the next tick.
#[derive(Debug)]
pub(super) struct TickTarget {
    /// See [`Attention`](super::attention::Attention).
    pub(super) mask: AtomicUsize,
    /// The ticker has requested maintenance.
    pub(super) is_due: AtomicBool,
    /// The scheduler runs green threads, and relies on the ticker.
    pub(super) is_busy: AtomicBool,
}

impl TickTarget {
    pub(super) const fn new(mask: usize) -> Self {
        Self {
            mask: AtomicUsize::new(mask),
            is_due: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
        }
    }

    fn tick(&self) {
        self.is_due.store(true, Relaxed);
        self.mask.store(0, Relaxed);
    }
}

/// The targets of one scheduler.
struct Listed {
    ticks: NonNull<TickTarget>,
    /// The number of operations until the budget of the OS thread is checked (`budget`).
    until_check: NonNull<AtomicU32>,
    /// The number of ticks since the scheduler has answered one.
    unanswered: u32,
}

// SAFETY: both targets consist of atomics, and may be accessed from any OS thread.
unsafe impl Send for Listed {}

struct State {
    /// `[ticked-while-listed]` Targets are valid while they are in this list: `remove` takes them out,
    /// under the lock, before their scheduler is freed and their OS thread has ended.
    targets: Vec<Listed>,
    is_started: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    targets: Vec::new(),
    is_started: false,
});
static WOKEN: Condvar = Condvar::new();
static AWAKE: AtomicBool = AtomicBool::new(false);

fn lock() -> std::sync::MutexGuard<'static, State> {
    primitive::lock(&STATE)
}

/// Whether the ticker ticks at present.
#[inline]
pub(super) fn is_awake() -> bool {
    AWAKE.load(SeqCst)
}

/// Adds the targets of a scheduler, which then receive ticks while it is busy.
///
/// # Safety
///
/// Both targets stay valid until `ticks` is given to [`remove`].
pub(super) unsafe fn add(ticks: &TickTarget, until_check: NonNull<AtomicU32>) {
    lock().targets.push(Listed {
        ticks: NonNull::from(ticks),
        until_check,
        unanswered: 0,
    });
}

/// Removes the targets of a scheduler. They receive no more ticks.
pub(super) fn remove(ticks: &TickTarget) {
    let ticks = NonNull::from(ticks);
    lock().targets.retain(|listed| listed.ticks != ticks);
}

/// Starts or wakes the ticker. Returns `false` if the system has no OS thread for it.
pub(super) fn wake() -> bool {
    let mut state = lock();
    if !state.is_started {
        // The stack is small, because the ticker calls little.
        state.is_started = helper_thread::start("evy-ticker", Some(64 << 10), run).is_ok();
    }
    if state.is_started {
        AWAKE.store(true, Relaxed);
        WOKEN.notify_one();
    }
    state.is_started
}

#[expect(
    clippy::disallowed_methods,
    reason = "the ticker is an OS thread without green threads"
)]
fn run() {
    block_signals();
    leave_descriptors();
    let mut idle_ticks = 0;
    loop {
        std::thread::sleep(TICK);
        let mut state = lock();
        let mut any_busy = false;
        for listed in &mut state.targets {
            // SAFETY: they are listed, and the lock is held ([ticked-while-listed]).
            let (ticks, until_check) =
                unsafe { (listed.ticks.as_ref(), listed.until_check.as_ref()) };
            if !ticks.is_busy.load(SeqCst) {
                continue;
            }
            listed.unanswered = match ticks.is_due.load(Relaxed) {
                true => listed.unanswered + 1,
                false => 0,
            };
            if listed.unanswered < IDLE_TICKS {
                any_busy = true;
                ticks.tick();
                until_check.store(1, Relaxed);
            } else {
                ticks.is_busy.store(false, Relaxed);
                listed.unanswered = 0;
            }
        }
        if any_busy {
            idle_ticks = 0;
            // A scheduler may have become busy between the last tick before the sleep and the
            // moment at which it could see that the ticker sleeps.
            AWAKE.store(true, Relaxed);
            continue;
        }
        idle_ticks += 1;
        if idle_ticks == IDLE_TICKS {
            // The ticker sleeps only after one more tick.
            AWAKE.store(false, SeqCst);
        } else if idle_ticks > IDLE_TICKS && !is_awake() {
            drop(
                WOKEN
                    .wait_while(state, |_| !is_awake())
                    .unwrap_or_else(PoisonError::into_inner),
            );
            idle_ticks = 0;
        }
    }
}

/// Leaves all signals to the OS threads of the program.
pub(crate) fn block_signals() {
    // SAFETY: the set is initialized by `sigfillset` before it is used, and lives on this stack.
    unsafe {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut());
    }
}

/// Stops sharing the table of descriptors with the process. The ticker needs none of them.
///
/// The kernel counts references to a descriptor in every system call that uses it if another OS
/// thread could close it meanwhile. With the ticker as the only other OS thread, no other could.
#[cfg(target_os = "linux")]
fn leave_descriptors() {
    // SAFETY: the call gives this OS thread a table of its own, which is empty. It closes no
    // descriptor of the process. If the kernel does not know the call, nothing changes.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            0,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_UNSHARE,
        );
    }
}

#[cfg(not(target_os = "linux"))]
fn leave_descriptors() {}
