//! `HelperPool`: helper OS threads for one kind of blocking call, apart from those of
//! [`unblock`](crate::unblock).
//!
//! A caller that is killed or times out gives its call up. The system cannot interrupt the call, so
//! it goes on without a waiter. Such calls must not keep others from starting, but their OS threads
//! must not multiply without bound either. There are two limits, therefore: one for the calls that
//! have a waiter, and a higher one for all that are running.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::green::{WaitReason, Wake};
use crate::helper_thread;
use crate::primitive::{Arc, Mutex, lock};
use crate::sched;
use crate::thread::{Parker, charge, current, interrupted_error, wait_or_fail};

/// Runs one kind of blocking call on helper OS threads of its own. The argument of a call is its
/// key: callers with the same key share one call.
///
/// Calls beyond the limits wait in FIFO order. A helper OS thread ends when no call is waiting.
///
/// # Examples
///
/// ```
/// use evy::lowlevel::{HelperPool, WaitReason};
///
/// static LENGTHS: HelperPool<u64> = HelperPool::new(4, 8, |path| {
///     Ok(std::fs::metadata(path)?.len())
/// });
///
/// assert!(LENGTHS.call("Cargo.toml", WaitReason::Unblock)? > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct HelperPool<T> {
    work: fn(&str) -> io::Result<T>,
    max_awaited: usize,
    max_running: usize,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    /// The calls that are queued or running.
    calls: BTreeMap<Arc<str>, Call<T>>,
    /// The keys of the calls that have not started.
    queued: VecDeque<Arc<str>>,
    /// The number of running calls that have a waiter.
    awaited: usize,
    /// The number of running calls.
    running: usize,
    /// The number of waiters so far, which numbers the next one.
    entered: u64,
}

#[derive(Debug)]
struct Call<T> {
    is_running: bool,
    waiters: BTreeMap<u64, Arc<Waiter<T>>>,
}

#[derive(Debug)]
struct Waiter<T> {
    parker: Parker,
    outcome: Mutex<Option<Arc<io::Result<T>>>>,
}

impl<T> HelperPool<T> {
    /// Creates a pool for calls of `work`. At most `max_awaited` calls that have a waiter run at a
    /// time, and at most `max_running` together with those that were given up.
    ///
    /// A call that was given up may find waiters again. Then more than `max_awaited` may run.
    #[must_use]
    pub const fn new(
        max_awaited: usize,
        max_running: usize,
        work: fn(&str) -> io::Result<T>,
    ) -> Self {
        Self {
            work,
            max_awaited,
            max_running,
            state: Mutex::new(State {
                calls: BTreeMap::new(),
                queued: VecDeque::new(),
                awaited: 0,
                running: 0,
                entered: 0,
            }),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> HelperPool<T> {
    /// Runs the call with `key` on a helper OS thread, or joins the one that is queued or running,
    /// and returns a clone of its result.
    ///
    /// If the caller is killed or times out meanwhile, the call still runs to its end, unless it is
    /// queued and has no other waiter.
    ///
    /// Parks until the call has returned.
    ///
    /// # Errors
    ///
    /// Returns an error of the same kind and with the same message as that of the call. Also
    /// returns an error if no OS thread can be started. In a program that cannot unwind, also
    /// returns an error if the caller is killed or times out.
    pub fn call(&'static self, key: &str, reason: WaitReason) -> io::Result<T> {
        let scheduler = sched::try_current()?;
        charge(|| false);
        // While it exists, the wait does not count as a deadlock, and a paused clock stands still.
        let _pending = current().unparker();
        let entry = self.enter(key);
        self.start_queued();
        loop {
            let outcome = lock(&entry.waiter.outcome).take();
            if let Some(outcome) = outcome {
                return outcome
                    .as_ref()
                    .as_ref()
                    .map_or_else(|error| Err(duplicate(error)), |value| Ok(value.clone()));
            }
            match wait_or_fail(scheduler, reason, None) {
                Wake::Unparked => {}
                Wake::TimedOut => return Err(io::ErrorKind::TimedOut.into()),
                Wake::Interrupted | Wake::Deadlocked => return Err(interrupted_error()),
            }
        }
    }

    /// Adds the caller to the waiters of the call with `key`, which is queued if there is none.
    fn enter(&'static self, key: &str) -> Entry<T> {
        let waiter = Arc::new(Waiter {
            parker: Parker::current(),
            outcome: Mutex::new(None),
        });
        let mut state = lock(&self.state);
        let key = match state.calls.get_key_value(key) {
            Some((key, _)) => Arc::clone(key),
            None => state.queue(key),
        };
        let number = state.add_waiter(&key, Arc::clone(&waiter));
        Entry {
            pool: self,
            key,
            number,
            waiter,
        }
    }

    /// Starts a helper OS thread for each queued call that the limits admit.
    fn start_queued(&'static self) {
        while let Some(key) = self.next_queued() {
            let own_key = Arc::clone(&key);
            let run = move || self.run(own_key);
            if let Err(error) = helper_thread::start("evy-helper", None, run) {
                let message = format!("no helper OS thread can be started: {error}");
                self.finish(&key, Err(io::Error::other(message)));
            }
        }
    }

    fn next_queued(&self) -> Option<Arc<str>> {
        lock(&self.state).next_queued(self.max_awaited, self.max_running)
    }

    /// Runs the call with `key`, and then those that are queued.
    fn run(&self, mut key: Arc<str>) {
        loop {
            let outcome = catch_unwind(|| (self.work)(&key));
            let outcome = outcome.unwrap_or_else(|payload| {
                // Its destructor could panic too.
                std::mem::forget(payload);
                Err(io::Error::other("a call on a helper OS thread panicked"))
            });
            // A value may be dropped here, and its destructor may panic.
            let finish = || self.finish(&key, outcome);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(finish)) {
                std::mem::forget(payload);
            }
            match self.next_queued() {
                Some(next) => key = next,
                None => return,
            }
        }
    }

    /// Ends a running call, and wakes its waiters.
    fn finish(&self, key: &str, outcome: io::Result<T>) {
        let outcome = Arc::new(outcome);
        let waiters = lock(&self.state).finish(key);
        for waiter in waiters.into_values() {
            *lock(&waiter.outcome) = Some(Arc::clone(&outcome));
            waiter.parker.unpark();
        }
    }
}

impl<T> State<T> {
    fn queue(&mut self, key: &str) -> Arc<str> {
        let key: Arc<str> = key.into();
        let call = Call {
            is_running: false,
            waiters: BTreeMap::new(),
        };
        self.calls.insert(Arc::clone(&key), call);
        self.queued.push_back(Arc::clone(&key));
        key
    }

    fn add_waiter(&mut self, key: &str, waiter: Arc<Waiter<T>>) -> u64 {
        self.entered += 1;
        if let Some(call) = self.calls.get_mut(key) {
            self.awaited += usize::from(call.is_running && call.waiters.is_empty());
            call.waiters.insert(self.entered, waiter);
        }
        self.entered
    }

    /// Removes a waiter. A queued call without waiters is removed too.
    fn remove_waiter(&mut self, key: &str, number: u64) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        // The waiter may belong to an earlier call with the same key.
        if call.waiters.remove(&number).is_none() || !call.waiters.is_empty() {
            return;
        }
        if call.is_running {
            self.awaited -= 1;
        } else {
            self.calls.remove(key);
            self.queued.retain(|queued| **queued != *key);
        }
    }

    /// Marks the first queued call as running and returns its key, if the limits admit another one.
    fn next_queued(&mut self, max_awaited: usize, max_running: usize) -> Option<Arc<str>> {
        if self.awaited >= max_awaited || self.running >= max_running {
            return None;
        }
        let key = self.queued.pop_front()?;
        if let Some(call) = self.calls.get_mut(&key) {
            call.is_running = true;
        }
        self.awaited += 1;
        self.running += 1;
        Some(key)
    }

    fn finish(&mut self, key: &str) -> BTreeMap<u64, Arc<Waiter<T>>> {
        self.running -= 1;
        let call = self.calls.remove(key);
        let waiters = call.map(|call| call.waiters).unwrap_or_default();
        self.awaited -= usize::from(!waiters.is_empty());
        waiters
    }
}

/// A waiter's part in a call. When it is dropped, the waiter leaves.
struct Entry<T: Clone + Send + Sync + 'static> {
    pool: &'static HelperPool<T>,
    key: Arc<str>,
    number: u64,
    waiter: Arc<Waiter<T>>,
}

impl<T: Clone + Send + Sync + 'static> Drop for Entry<T> {
    fn drop(&mut self) {
        lock(&self.pool.state).remove_waiter(&self.key, self.number);
        // If this was the last waiter, the call does not count against the others any more.
        self.pool.start_queued();
    }
}

/// Returns an error that does not differ from `error` in its kind and its text.
fn duplicate(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
