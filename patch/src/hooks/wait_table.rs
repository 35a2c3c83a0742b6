//! `WaitTable`: the green threads that wait for an address or a descriptor, on any OS thread.
//!
//! It is a hash table of queues, like the kernel's table of futexes. Its locks are spin locks: a lock
//! of std would call a hook. Under a lock nothing is allocated and nothing is called that could wait.
//!
//! A wake must cost next to nothing if there is no waiter. So each queue has a count of its waiters,
//! which a wake reads without the lock. A wait counts itself, passes a fence, and checks what it waits
//! for. A waker changes what is waited for, passes a fence, and reads the count. So one of the two sees
//! what the other has done.
//!
//! `[queued-in-frame]` A waiter lies in the frame of its wait. The wait does not unwind, and does not
//! return before the waiter is unlinked, under the lock of its queue. If its OS thread ends first, the
//! frame is leaked, and the waiter stays valid.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, compiler_fence, fence};
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption, WaitEnd, Waker};

use super::spin::SpinLock;
use super::system::{errno, set_errno};
use crate::state;

/// What a green thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A futex.
    Futex(usize),
    /// An object of the C library: a mutex, a condition variable, and the like.
    Object(usize),
    /// A descriptor to be closed.
    Descriptor(i32),
}

impl Key {
    fn hash(self) -> usize {
        let word = match self {
            Self::Futex(address) => address,
            Self::Object(address) => !address,
            Self::Descriptor(fd) => (fd as usize) << 2,
        };
        (word >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as usize) >> (usize::BITS - QUEUE_BITS)
    }
}

const QUEUE_BITS: u32 = 8;

static QUEUES: [Queue; 1 << QUEUE_BITS] = [const { Queue::new() }; 1 << QUEUE_BITS];

/// One queue. Waiters with different keys may share it.
#[repr(align(64))]
struct Queue {
    /// The number of waiters in the list, and one more while a wait checks whether it is due. It
    /// changes under the lock of the list only.
    waiters: AtomicUsize,
    list: SpinLock<List>,
}

struct List {
    first: *mut Waiter,
    last: *mut Waiter,
    /// The number that the next waiter gets.
    next_number: u64,
}

// SAFETY: the waiters are valid while they are linked ([queued-in-frame]), on any OS thread.
unsafe impl Send for List {}

struct Waiter {
    key: Key,
    /// The bits of `FUTEX_WAIT_BITSET`.
    bits: u32,
    number: Cell<u64>,
    waker: Cell<Option<Waker>>,
    /// Set when the waiter was unlinked by a wake. The last access of the waker.
    is_woken: AtomicBool,
    previous: Cell<*mut Self>,
    next: Cell<*mut Self>,
}

impl Queue {
    const fn new() -> Self {
        Self {
            waiters: AtomicUsize::new(0),
            list: SpinLock::new(List {
                first: ptr::null_mut(),
                last: ptr::null_mut(),
                next_number: 0,
            }),
        }
    }

    /// Changes the count of the waiters. The lock is held.
    fn count(&self, change: isize) {
        let waiters = self.waiters.load(Relaxed);
        self.waiters
            .store(waiters.wrapping_add_signed(change), Relaxed);
    }

    /// Unlinks the first waiter that [`List::take`] finds, and returns its waker.
    fn take(&self, key: Key, bits: u32, end: u64) -> Option<Waker> {
        self.list.with(|list| {
            let waker = list.take(key, bits, end);
            if waker.is_some() {
                self.count(-1);
            }
            waker
        })
    }
}

impl List {
    /// # Safety
    ///
    /// `waiter` is not linked, and is unlinked before it is moved or dropped ([queued-in-frame]).
    unsafe fn push(&mut self, waiter: *mut Waiter) {
        // SAFETY: valid (caller). The last waiter is linked, so it is valid.
        unsafe {
            (*waiter).number.set(self.next_number);
            self.next_number += 1;
            (*waiter).previous.set(self.last);
            (*waiter).next.set(ptr::null_mut());
            match self.last.as_ref() {
                Some(last) => last.next.set(waiter),
                None => self.first = waiter,
            }
            self.last = waiter;
        }
    }

    /// # Safety
    ///
    /// `waiter` is linked in this list.
    unsafe fn unlink(&mut self, waiter: *mut Waiter) {
        // SAFETY: it and its neighbors are linked, so they are valid ([queued-in-frame]).
        unsafe {
            let (previous, next) = ((*waiter).previous.get(), (*waiter).next.get());
            match previous.as_ref() {
                Some(previous) => previous.next.set(next),
                None => self.first = next,
            }
            match next.as_ref() {
                Some(next) => next.previous.set(previous),
                None => self.last = previous,
            }
        }
    }

    /// Unlinks the first waiter with this key, some of these bits and a number below `end`, and returns
    /// its waker.
    fn take(&mut self, key: Key, bits: u32, end: u64) -> Option<Waker> {
        let mut at = self.first;
        // SAFETY: each is linked, so it is valid ([queued-in-frame]).
        while let Some(waiter) = unsafe { at.as_ref() } {
            if waiter.number.get() >= end {
                return None;
            }
            if waiter.key == key && waiter.bits & bits != 0 {
                // SAFETY: it is linked in this list.
                unsafe { self.unlink(at) };
                let waker = waiter.waker.take();
                // From here on its frame may be left.
                waiter.is_woken.store(true, Release);
                return waker;
            }
            at = waiter.next.get();
        }
        None
    }
}

/// How a wait in the table has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// `is_due` returned `false`, so there was no wait.
    NotBegun,
    Woken,
    TimedOut,
    Deadlocked,
}

/// How long a wait lasts at most for an object that other processes share. Their wakes are not seen
/// here, so such a wait ends as if it had been woken, for nothing.
const SHARED_WAIT: Duration = Duration::from_millis(20);

/// Parks until a [`wake`] for `key`, or until `deadline`. Leaves `errno` as it was.
///
/// A wait for what other processes share, `is_shared`, may end as if it had been woken, for nothing.
/// `is_due` says whether the wait is still due. It is called under the lock of the queue. `queued` is
/// called once the waiter is in the queue, without the lock.
#[expect(
    clippy::too_many_arguments,
    reason = "each says something else of the wait"
)]
pub(super) fn wait(
    caller: Caller,
    key: Key,
    bits: u32,
    reason: WaitReason,
    deadline: Option<Instant>,
    is_shared: bool,
    is_due: impl FnOnce() -> bool,
    queued: impl FnOnce(),
) -> Outcome {
    let errno = errno();
    let limit = match is_shared {
        true => caller.deadline_after(SHARED_WAIT),
        false => None,
    };
    let first = match (deadline, limit) {
        (Some(deadline), Some(limit)) => Some(deadline.min(limit)),
        (deadline, limit) => deadline.or(limit),
    };
    let outcome = wait_for(caller, key, bits, reason, first, is_due, queued);
    set_errno(errno);
    match outcome {
        Outcome::TimedOut if first != deadline => Outcome::Woken,
        outcome => outcome,
    }
}

fn wait_for(
    caller: Caller,
    key: Key,
    bits: u32,
    reason: WaitReason,
    deadline: Option<Instant>,
    is_due: impl FnOnce() -> bool,
    queued: impl FnOnce(),
) -> Outcome {
    let parked = while_queued(caller, key, bits, is_due, |is_woken| {
        queued();
        while !is_woken.load(Acquire) {
            match caller.park(reason, deadline, Interruption::Waits) {
                WaitEnd::TimedOut => return Outcome::TimedOut,
                WaitEnd::Deadlocked => return Outcome::Deadlocked,
                _ => {}
            }
        }
        Outcome::Woken
    });
    match parked {
        None => Outcome::NotBegun,
        Some((_, true)) => Outcome::Woken,
        Some((outcome, false)) => outcome,
    }
}

/// Runs `park` while the green thread is queued, and says whether a [`wake`] for `key` has come. Returns
/// `None` at once if `is_due` returns `false`. `park` gets the flag that the wake sets, and does not
/// unwind.
pub(super) fn while_queued<R>(
    caller: Caller,
    key: Key,
    bits: u32,
    is_due: impl FnOnce() -> bool,
    park: impl FnOnce(&AtomicBool) -> R,
) -> Option<(R, bool)> {
    let waiter = Waiter {
        key,
        bits,
        number: Cell::new(0),
        waker: Cell::new(Some(caller.waker())),
        is_woken: AtomicBool::new(false),
        previous: Cell::new(ptr::null_mut()),
        next: Cell::new(ptr::null_mut()),
    };
    let this = (&raw const waiter).cast_mut();
    let queue = &QUEUES[key.hash()];
    let is_queued = queue.list.with(|list| {
        // Counted before the check, see the module's documentation.
        queue.count(1);
        fence(SeqCst);
        let is_due = is_due();
        if is_due {
            // SAFETY: it is unlinked below, or by a wake, before this function returns.
            unsafe { list.push(this) };
        } else {
            queue.count(-1);
        }
        is_due
    });
    is_queued.then(|| {
        let result = park(&waiter.is_woken);
        // A wake may have unlinked it meanwhile.
        let is_woken = queue.list.with(|list| {
            let is_woken = waiter.is_woken.load(Acquire);
            if !is_woken {
                // SAFETY: it was pushed above, and no wake has unlinked it.
                unsafe { list.unlink(this) };
                queue.count(-1);
            }
            is_woken
        });
        (result, is_woken)
    })
}

/// Wakes up to `most` green threads that wait for `key` with some of these bits. Returns their number.
#[inline]
pub(super) fn wake(key: Key, most: usize, bits: u32) -> usize {
    if !state::is_in_use() {
        return 0;
    }
    fence(SeqCst);
    wake_counted(key, most, bits)
}

/// Wakes like [`wake`] just after an atomic read-modify-write that has changed what is waited for.
#[inline]
pub(super) fn wake_after_rmw(key: Key, most: usize) -> usize {
    if !state::is_in_use() {
        return 0;
    }
    // On x86_64 that operation is a full fence itself.
    match cfg!(target_arch = "x86_64") {
        true => compiler_fence(SeqCst),
        false => fence(SeqCst),
    }
    wake_counted(key, most, u32::MAX)
}

#[inline]
fn wake_counted(key: Key, most: usize, bits: u32) -> usize {
    match QUEUES[key.hash()].waiters.load(SeqCst) {
        0 => 0,
        _ => wake_queued(key, most, bits),
    }
}

#[cold]
fn wake_queued(key: Key, most: usize, bits: u32) -> usize {
    let errno = errno();
    let queue = &QUEUES[key.hash()];
    // Those that begin to wait meanwhile are not meant.
    let end = queue.list.with(|list| list.next_number);
    let mut woken = 0;
    while woken < most {
        let Some(waker) = queue.take(key, bits, end) else {
            break;
        };
        // One whose OS thread has ended cannot pass the wake on.
        if waker.wake() {
            woken += 1;
        }
    }
    set_errno(errno);
    woken
}
