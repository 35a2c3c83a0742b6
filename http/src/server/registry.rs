//! `Registry`: the connections of a server on one OS thread, what each is doing, and which of them
//! can be closed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_runtime::lowlevel::{WaitQueue, WaitReason, now};
use evy_runtime::thread::{self, Builder, Thread};
use evy_runtime::{sleep, yield_now};

use super::control::Counts;

/// How long a connection stays open after its last response when the server stops, because another
/// request may be on its way. That one is answered with `connection: close`.
const LAST_REQUEST: Duration = Duration::from_millis(100);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits for another request, or for the client to close it.
    Idle,
    /// It has sent its last response, and discards what the client still sends. If it were closed,
    /// the client might miss that response. It ends by its own limits.
    Lingering,
    /// It has not begun its first request. That may be on its way, so it gives way like a head.
    New,
    /// It waits for the rest of a head, or of a handshake.
    Head,
    /// It cannot be closed without loss.
    Busy,
}

/// The connections of a server on one OS thread.
pub(super) struct Registry {
    entries: RefCell<Vec<Rc<Entry>>>,
    /// Connections that could be closed when they were last searched for, the oldest ones last.
    candidates: RefCell<Vec<(Phase, Instant, Rc<Entry>)>>,
    max: usize,
    counts: Arc<Counts>,
    /// Whether `serve` has ended although the server was not stopped.
    is_closing: Cell<bool>,
    /// The waits for a connection to end, or to become one that can be closed.
    changed: WaitQueue,
}

struct Entry {
    /// The index in the list of entries.
    index: Cell<usize>,
    thread: RefCell<Option<Thread>>,
    phase: Cell<Phase>,
    since: Cell<Instant>,
}

impl Registry {
    pub(super) fn new(max: usize, counts: Arc<Counts>) -> Rc<Self> {
        Rc::new(Self {
            entries: RefCell::default(),
            candidates: RefCell::default(),
            max,
            counts,
            is_closing: Cell::new(false),
            changed: WaitQueue::new(),
        })
    }

    /// Adds a connection. Until it has a green thread it cannot be closed.
    pub(super) fn add(self: &Rc<Self>) -> ConnectionGuard {
        let mut entries = self.entries.borrow_mut();
        let entry = Rc::new(Entry {
            index: Cell::new(entries.len()),
            thread: RefCell::default(),
            phase: Cell::new(Phase::Busy),
            since: Cell::new(now()),
        });
        entries.push(Rc::clone(&entry));
        self.counts.set_connections(entries.len());
        ConnectionGuard {
            registry: Rc::clone(self),
            entry,
        }
    }

    fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Closes connections until there are no more than allowed.
    ///
    /// Parks until others have ended, if none can be closed.
    pub(super) fn make_room(&self) {
        while self.len() > self.max {
            if !self.close_oldest() {
                self.changed.wait(WaitReason::Other("a connection to end"));
            }
        }
    }

    /// Closes the connection that has been without a request for the longest time or, if there is
    /// none, has waited for its head for the longest time. Returns `false` if there is none either.
    pub(super) fn close_oldest(&self) -> bool {
        loop {
            let candidate = self.candidates.borrow_mut().pop();
            match candidate {
                Some((phase, since, entry)) => {
                    if (entry.phase.get(), entry.since.get()) == (phase, since) && entry.close() {
                        return true;
                    }
                }
                None if self.find_candidates() => {}
                None => return false,
            }
        }
    }

    /// Lists the connections that can be closed. Each closing uses one up, so the search does not
    /// make a server that is full slower than one that is not.
    fn find_candidates(&self) -> bool {
        let entries = self.entries.borrow();
        let mut found: Vec<_> = entries
            .iter()
            .filter(|entry| entry.phase.get() != Phase::Busy)
            .map(|entry| (entry.phase.get(), entry.since.get(), Rc::clone(entry)))
            .collect();
        found.sort_by_key(|(phase, since, _)| {
            let has_begun = matches!(phase, Phase::New | Phase::Head);
            std::cmp::Reverse((has_begun, *since))
        });
        *self.candidates.borrow_mut() = found;
        !self.candidates.borrow().is_empty()
    }

    /// Waits for the connections to end, when the server stops. Idle ones are closed. At the
    /// deadline, which is asked for again after [`wake`](Self::wake), all others are killed.
    pub(super) fn drain(&self, deadline: impl Fn() -> Option<Instant>) {
        let is_over = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now());
        while self.len() > 0 {
            let time = now();
            self.read_arrived_requests(|| is_over(deadline()));
            // It may park, so it is asked for before the phases are read.
            let deadline = deadline();
            if is_over(deadline) {
                break;
            }
            let next = self.close_idle(time);
            let next = [next, deadline].into_iter().flatten().min();
            if self.len() > 0 {
                let reason = WaitReason::Other("the connections of its server to end");
                self.changed.wait_deadline(reason, next);
            }
        }
        for entry in self.all() {
            entry.close();
        }
    }

    /// Makes `drain` ask for its deadline again.
    pub(super) fn wake(&self) {
        self.changed.wake_all();
    }

    /// Lets the connections read the requests that have arrived already, so that none of them counts
    /// as idle. While the OS thread was held up, many may have arrived. Clients that keep sending
    /// requests do not extend the deadline.
    fn read_arrived_requests(&self, is_over: impl Fn() -> bool) {
        while !is_over() {
            let requests = self.counts.requests();
            sleep(Duration::from_millis(1));
            // What became ready together with this green thread runs first.
            yield_now();
            if self.counts.requests() == requests {
                return;
            }
        }
    }

    /// Closes each connection as soon as it is idle, when `serve` has failed or was killed. Handlers
    /// that run are left alone until the deadline of a stop. It never parks, because a kill may be
    /// unwinding.
    pub(super) fn close(self: &Rc<Self>, deadline: Option<Instant>) {
        self.is_closing.set(true);
        if self.len() == 0 {
            return;
        }
        let registry = Rc::clone(self);
        // Without a stack for it, the connections end by their timeouts.
        let draining = Builder::new().spawn(move || registry.drain(|| deadline));
        drop(draining);
    }

    /// Whether connections are to be closed after their current response.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// Closes the connections without a request. Returns when the next one is to be closed.
    fn close_idle(&self, time: Instant) -> Option<Instant> {
        let mut next = None;
        for entry in self.all() {
            if !matches!(entry.phase.get(), Phase::Idle | Phase::New) {
                continue;
            }
            let at = entry.since.get() + LAST_REQUEST;
            if at <= time {
                entry.close();
            } else {
                next = Some(next.map_or(at, |next: Instant| next.min(at)));
            }
        }
        next
    }

    fn all(&self) -> Vec<Rc<Entry>> {
        self.entries.borrow().clone()
    }
}

impl Entry {
    /// Kills the green thread of the connection. Returns `false` if it has none.
    fn close(&self) -> bool {
        let thread = self.thread.borrow_mut().take();
        // It may not end at once. Until then it is not to be killed again.
        self.phase.set(Phase::Busy);
        thread.inspect(Thread::kill).is_some()
    }
}

/// A connection in the registry. It is removed when this is dropped.
pub(super) struct ConnectionGuard {
    registry: Rc<Registry>,
    entry: Rc<Entry>,
}

impl ConnectionGuard {
    /// Makes the current green thread the one of the connection.
    pub(super) fn begin(&self) {
        self.entry.thread.replace(Some(thread::current()));
        self.set_phase(Phase::Head, now());
    }

    /// Records that the connection can be closed, and since when.
    pub(super) fn set_phase(&self, phase: Phase, since: Instant) {
        self.entry.phase.set(phase);
        self.entry.since.set(since);
        if !self.registry.changed.is_empty() {
            self.registry.changed.wake_all();
        }
    }

    pub(super) fn set_busy(&self) {
        self.entry.phase.set(Phase::Busy);
    }

    pub(super) fn count_request(&self) {
        self.registry.counts.add_request();
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let registry = &*self.registry;
        {
            let mut entries = registry.entries.borrow_mut();
            let index = self.entry.index.get();
            entries.swap_remove(index);
            if let Some(moved) = entries.get(index) {
                moved.index.set(index);
            }
            registry.counts.set_connections(entries.len());
        }
        registry.changed.wake_all();
    }
}
