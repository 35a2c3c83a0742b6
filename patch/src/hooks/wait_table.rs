//! `WaitTable`: the threads that wait for an address or a descriptor, green threads and others.
//!
//! It is a hash table of queues, like the kernel's table of futexes. Its locks are spin locks: a lock
//! of std would call a hook. Under a lock nothing is allocated and nothing is called that could wait.
//!
//! A wake must cost next to nothing if there is no waiter. So each queue has a count of its waiters,
//! which a wake reads without the lock. A wait counts itself, passes a fence, and checks what it waits
//! for. A waker changes what is waited for, passes a fence, and reads the count. So one of the two sees
//! what the other has done.
//!
//! A signal handler may post a semaphore and close a descriptor, which wakes. It may have interrupted code
//! that holds a lock of this table. So code that does sets a flag of its thread, and a handler that finds
//! it only notes the queue. The code that was interrupted then wakes all waiters of that queue that expect
//! to be woken for nothing.
//!
//! `[queued-in-frame]` A waiter lies in the frame of its wait. The wait does not unwind, and does not
//! return before the waiter is unlinked, under the lock of its queue. If its OS thread ends first, the
//! frame is leaked, and the waiter stays valid.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicUsize, compiler_fence, fence};

use super::spin::SpinLock;
use super::system::{errno, set_errno};
use super::thread::{Thread, Waker};
use crate::state;

/// What a thread waits for.
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

thread_local! {
    /// Whether this thread holds the lock of a queue, or is about to take it.
    static IS_LOCKING: Cell<bool> = const { Cell::new(false) };
    /// The queues that a signal handler has noted, one bit each.
    static NOTED: Noted = const { [const { Cell::new(0) }; QUEUES.len() / 64] };
    static HAS_NOTED: Cell<bool> = const { Cell::new(false) };
}

type Noted = [Cell<u64>; QUEUES.len() / 64];

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

/// A thread that waits, for one key.
pub(super) struct Waiter {
    key: Key,
    /// The bits of `FUTEX_WAIT_BITSET`.
    bits: u32,
    number: Cell<u64>,
    waker: Cell<Option<Waker>>,
    /// One when the waiter was unlinked by a wake. The last access of the waker.
    pub(super) is_woken: AtomicU32,
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

    /// Runs `f` with the list, under its lock. A signal handler that runs meanwhile wakes later.
    fn with_list<R>(&self, f: impl FnOnce(&mut List) -> R) -> R {
        IS_LOCKING.set(true);
        compiler_fence(SeqCst);
        let result = self.list.with(f);
        compiler_fence(SeqCst);
        IS_LOCKING.set(false);
        compiler_fence(SeqCst);
        if HAS_NOTED.get() {
            wake_noted();
        }
        result
    }

    /// Wakes all waiters for which `is_meant` holds, up to `most`. Returns their number.
    ///
    /// It frees nothing, so each waker stays in its waiter. That may leave its frame only under the lock.
    fn wake_linked(&self, most: usize, is_meant: impl Fn(Key) -> bool) -> usize {
        self.with_list(|list| {
            let mut woken = 0;
            let mut at = list.first;
            // SAFETY: each is linked, so it is valid ([queued-in-frame]), until the lock is released.
            while let Some(waiter) = unsafe { at.as_ref() }
                && woken < most
            {
                let next = waiter.next.get();
                if is_meant(waiter.key) {
                    // SAFETY: it is linked in this list.
                    unsafe { list.unlink(at) };
                    self.count(-1);
                    waiter.is_woken.store(1, Release);
                    // SAFETY: only the holder of the lock accesses the waker.
                    let waker = unsafe { (*waiter.waker.as_ptr()).as_ref() };
                    woken += usize::from(waker.is_some_and(Waker::wake_from_signal_handler));
                }
                at = next;
            }
            woken
        })
    }

    /// Unlinks the first waiter that [`List::take`] finds, and returns its waker.
    fn take(&self, key: Key, bits: u32, end: u64) -> Option<Waker> {
        self.with_list(|list| {
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
                waiter.is_woken.store(1, Release);
                return waker;
            }
            at = waiter.next.get();
        }
        None
    }
}

impl Waiter {
    pub(super) fn new(key: Key, bits: u32) -> Self {
        Self {
            key,
            bits,
            number: Cell::new(0),
            waker: Cell::new(None),
            is_woken: AtomicU32::new(0),
            previous: Cell::new(ptr::null_mut()),
            next: Cell::new(ptr::null_mut()),
        }
    }

    fn queue(&self) -> &'static Queue {
        &QUEUES[self.key.hash()]
    }

    /// Queues the waiter if `is_due`. Returns whether it is.
    ///
    /// # Safety
    ///
    /// If it is, [`dequeue`](Self::dequeue) is called before the waiter is moved or dropped
    /// ([queued-in-frame]).
    pub(super) unsafe fn enqueue(&self, thread: Thread, is_due: impl FnOnce() -> bool) -> bool {
        self.waker.set(Some(thread.waker(&raw const self.is_woken)));
        let queue = self.queue();
        queue.with_list(|list| {
            // Counted before the check, see the module's documentation.
            queue.count(1);
            fence(SeqCst);
            let is_due = is_due();
            if is_due {
                // SAFETY: it is unlinked by `dequeue` or by a wake (caller).
                unsafe { list.push(ptr::from_ref(self).cast_mut()) };
            } else {
                queue.count(-1);
            }
            is_due
        })
    }

    /// Ends the wait. Returns whether a wake has come. The waker may still use the waiter until then.
    pub(super) fn dequeue(&self) -> bool {
        let queue = self.queue();
        queue.with_list(|list| {
            let is_woken = self.is_woken.load(Acquire) != 0;
            if !is_woken {
                // SAFETY: it was pushed by `enqueue`, and no wake has unlinked it.
                unsafe { list.unlink(ptr::from_ref(self).cast_mut()) };
                queue.count(-1);
            }
            is_woken
        })
    }
}

/// Wakes up to `most` threads that wait for `key` with some of these bits. Returns their number.
#[inline]
pub(super) fn wake(key: Key, most: usize, bits: u32) -> usize {
    if !state::is_in_use() {
        return 0;
    }
    fence(SeqCst);
    wake_counted(key, most, bits)
}

/// Wakes up to `most` threads that wait for `key`, like [`wake`], also in a signal handler. More may be woken,
/// and others, for nothing.
pub(super) fn wake_from_signal_handler(key: Key, most: usize) {
    if state::is_in_use() {
        fence(SeqCst);
        wake_counted_from_signal_handler(key, most);
    }
}

/// Wakes like [`wake_from_signal_handler`], just after an atomic read-modify-write that has changed what
/// is waited for.
#[inline]
pub(super) fn wake_after_rmw_from_signal_handler(key: Key, most: usize) {
    if state::is_in_use() {
        fence_after_rmw();
        wake_counted_from_signal_handler(key, most);
    }
}

fn wake_counted_from_signal_handler(key: Key, most: usize) {
    let number = key.hash();
    if QUEUES[number].waiters.load(SeqCst) == 0 {
        return;
    }
    if IS_LOCKING.get() {
        NOTED.with(|noted| noted[number / 64].set(noted[number / 64].get() | 1 << (number % 64)));
        HAS_NOTED.set(true);
        return;
    }
    let errno = errno();
    QUEUES[number].wake_linked(most, |linked| linked == key);
    set_errno(errno);
}

/// Wakes in the queues that signal handlers have noted.
#[cold]
fn wake_noted() {
    HAS_NOTED.set(false);
    let errno = errno();
    let is_meant = |key| !matches!(key, Key::Futex(_));
    NOTED.with(|noted| {
        for (word, queues) in noted.iter().zip(QUEUES.chunks(64)) {
            let bits = word.take();
            let is_noted = |number: &usize| bits >> number & 1 == 1;
            for number in (0..queues.len()).filter(is_noted) {
                queues[number].wake_linked(usize::MAX, is_meant);
            }
        }
    });
    set_errno(errno);
}

/// Passes a fence. On `x86_64` an atomic read-modify-write is one itself.
#[inline]
fn fence_after_rmw() {
    match cfg!(target_arch = "x86_64") {
        true => compiler_fence(SeqCst),
        false => fence(SeqCst),
    }
}

/// Wakes like [`wake`] just after an atomic read-modify-write that has changed what is waited for.
#[inline]
pub(super) fn wake_after_rmw(key: Key, most: usize) -> usize {
    if !state::is_in_use() {
        return 0;
    }
    fence_after_rmw();
    wake_counted(key, most, u32::MAX)
}

/// Wakes like [`wake`], for a condition variable. No fence is needed, as in the C library itself.
///
/// A wait counts itself before it unlocks its mutex. A wake needs to find it only if the change that it
/// announces was made under the mutex after that. So it sees the count.
#[inline]
pub(super) fn wake_after_mutex(key: Key, most: usize) -> usize {
    match state::is_in_use() {
        true => wake_counted(key, most, u32::MAX),
        false => 0,
    }
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
    let end = queue.with_list(|list| list.next_number);
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
