//! The scheduler of one OS thread: the only code that switches.
//!
//! There is no scheduler loop and no green thread of its own. Whoever parks takes the next ready
//! green thread and switches straight to it; where none is ready, it drives the reactor itself,
//! on its own stack, until one is. See `README.md` beside this file for the protocols.
//!
//! Invariants, besides those of [`crate::green`]:
//!
//! `[no-borrow-across-switch]` No `RefCell` of a scheduler is borrowed while it switches.
//!
//! `[no-migration]` A green thread runs on the OS thread that spawned it, for ever. A reference to
//! the scheduler therefore stays right across a switch, and so does the address of a thread local.

mod attention;
mod current;
mod deadlock;
mod idle;
mod monitor;
mod os_thread_exit;
mod overflow;
mod panic_hook;
mod park;
mod run_queue;
mod spawn;
mod test_hooks;

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

pub(crate) use current::{current, deadline_after, if_current, try_current};
pub(crate) use monitor::RunMonitor;
pub(crate) use spawn::{SpawnOptions, run_exit_hooks, unwrap_spawn};
pub(crate) use test_hooks::{Fault, PlannedFault};

use crate::clock::Clock;
use crate::green::{GreenRef, GreenThread, Identity, ThreadTable};
use crate::green::{RemoteHandle, SchedulerHandle};
use crate::reactor::Reactor;
use crate::timer::Timers;
use attention::Attention;
use run_queue::RunQueue;

/// So many ids a scheduler takes at once from what all share.
const IDS_AT_ONCE: u64 = 1 << 10;

/// So many operations of one green thread may succeed at once before the others get a turn.
const BUDGET: u32 = 128;

/// One for each OS thread that uses evy.
pub(crate) struct Scheduler {
    run_queue: RunQueue,
    running: Cell<NonNull<GreenThread>>,
    attention: Attention,
    /// Operations left that the running green thread may do without parking, in that turn.
    budget: Cell<(u32, usize)>,
    pub(crate) clock: Clock,
    /// When the clock was last read.
    last_now: Cell<Instant>,
    /// The next look is to read it: somebody waits under a timeout.
    pub(crate) clock_read_requested: Cell<bool>,
    pub(crate) timers: Timers,
    pub(crate) reactor: Reactor,
    pub(crate) own_handle: Arc<SchedulerHandle>,
    /// All green threads but the root.
    threads: ThreadTable,
    /// Scratch of a look around; empty otherwise.
    ready_buf: RefCell<Vec<GreenRef>>,
    /// Waits for others to end.
    exit_waiter: Cell<Option<GreenRef>>,
    /// Depth of `no_park`.
    no_park: Cell<u32>,
    /// Green threads parked on what other OS threads may have a hand on.
    pub(crate) cross_thread_waiters: Cell<usize>,
    /// Green threads that are parked in the middle of unwinding.
    pub(crate) unwinding: Cell<usize>,
    /// Grows whenever that rises from zero.
    pub(crate) unwinding_period: Cell<u64>,
    /// Somebody has parked meanwhile, and nothing may be thrown at it.
    pub(crate) interrupts_deferred: Cell<bool>,
    random: RefCell<fastrand::Rng>,
    pub(crate) planned_fault: Cell<Option<PlannedFault>>,
    last_id: Cell<u64>,
    monitor: monitor::MonitorState,
    /// The OS thread's own stack.
    root: GreenThread,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler")
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}

impl Scheduler {
    /// Makes the calling OS thread's stack the root green thread of a new scheduler.
    ///
    /// # Errors
    ///
    /// The system's, where no poller can be had.
    #[track_caller]
    fn start() -> io::Result<NonNull<Self>> {
        let own_handle = Arc::new(SchedulerHandle::new()?);
        let first_id = take_ids();
        let site = std::panic::Location::caller();
        let identity = Identity {
            id: first_id,
            parent: 0,
            site,
        };
        let name = std::thread::current().name().map(Box::from);
        let root = GreenThread::root(identity, name);
        let clock = Clock::new();
        let scheduler = Box::new(Self {
            run_queue: RunQueue::new(),
            running: Cell::new(NonNull::dangling()),
            attention: Attention::new(),
            budget: Cell::new((BUDGET, 0)),
            last_now: Cell::new(clock.now()),
            clock_read_requested: Cell::new(false),
            clock,
            timers: Timers::new(),
            reactor: Reactor::new(Arc::clone(&own_handle)),
            own_handle,
            threads: ThreadTable::new(),
            ready_buf: RefCell::new(Vec::new()),
            exit_waiter: Cell::new(None),
            no_park: Cell::new(0),
            cross_thread_waiters: Cell::new(0),
            unwinding: Cell::new(0),
            unwinding_period: Cell::new(1),
            interrupts_deferred: Cell::new(false),
            random: RefCell::new(fastrand::Rng::new()),
            planned_fault: Cell::new(None),
            last_id: Cell::new(first_id),
            monitor: monitor::MonitorState::default(),
            root,
        });
        let scheduler = NonNull::from(Box::leak(scheduler));
        // SAFETY: leaked just now: pinned, and nobody else knows it. `exit` frees it, if ever.
        unsafe {
            let root = NonNull::from(&mut (*scheduler.as_ptr()).root);
            (*root.as_ptr()).scheduler = scheduler.as_ptr().cast::<()>();
            GreenThread::pin(root);
            scheduler.as_ref().running.set(root);
        }
        overflow::install();
        panic_hook::install();
        Ok(scheduler)
    }

    /// An id that no other green thread of the process has had.
    #[inline]
    fn next_id(&self) -> u64 {
        let next = self.last_id.get() + 1;
        let next = if next.is_multiple_of(IDS_AT_ONCE) {
            take_ids()
        } else {
            next
        };
        self.last_id.set(next);
        next
    }

    /// The green thread that runs.
    #[inline(always)]
    pub(crate) fn running(&self) -> GreenRef {
        // SAFETY: it runs, so it lives ([one-runs]).
        unsafe { GreenRef::new(self.running.get()) }
    }

    pub(crate) fn root(&self) -> GreenRef {
        // SAFETY: it lives as long as the scheduler, and is pinned with it.
        unsafe { GreenRef::new(NonNull::from(&self.root)) }
    }

    /// When the clock was last read: no later than now.
    pub(crate) fn last_now(&self) -> Instant {
        self.last_now.get()
    }

    /// How many green threads live, the root not counted.
    pub(crate) fn live(&self) -> usize {
        self.threads.live()
    }

    /// The live green threads but the root, oldest first.
    pub(crate) fn all_live(&self) -> Vec<GreenRef> {
        self.threads.all_live()
    }

    /// How many green threads live besides `me` and the root.
    pub(crate) fn others(&self, me: GreenRef) -> usize {
        self.live() - usize::from(me != self.root())
    }

    /// Has `exit_waiter` unparked whenever a green thread has ended, until the guard is dropped.
    pub(crate) fn wait_for_exits(&self, exit_waiter: GreenRef) -> ExitWaiterGuard<'_> {
        assert!(
            self.exit_waiter.get().is_none(),
            "another green thread is shutting down already"
        );
        self.exit_waiter.set(Some(exit_waiter));
        ExitWaiterGuard(self)
    }

    /// Returns the handle that other OS threads hold of `green`.
    pub(crate) fn remote_handle(&self, green: GreenRef) -> Arc<RemoteHandle> {
        green.remote_handle(&self.own_handle)
    }

    /// Whether `handle` belongs to this scheduler.
    #[inline]
    pub(crate) fn is_own(&self, handle: &Arc<SchedulerHandle>) -> bool {
        Arc::ptr_eq(&self.own_handle, handle)
    }

    /// Returns the live green thread behind `handle`, if this scheduler owns it.
    pub(crate) fn own_green(&self, handle: &RemoteHandle) -> Option<GreenRef> {
        if !self.is_own(&handle.scheduler) {
            return None;
        }
        // SAFETY: a scheduler never leaves its OS thread, so this is the owner's.
        unsafe { GreenRef::of_remote(handle) }
    }

    /// Counts an operation that succeeded without parking. `true`: it is somebody else's turn.
    #[inline]
    pub(crate) fn consume_budget(&self) -> bool {
        // Told apart in here, so that a switch need not write: turns that happen to begin with the
        // same number share a budget, which does no harm.
        let turn = self.run_queue.turns();
        let left = match self.budget.get() {
            (left, of) if of == turn => left - 1,
            _ => BUDGET,
        };
        self.budget
            .set((if left == 0 { BUDGET } else { left }, turn));
        left == 0
    }

    /// Forbids parking until the guard is dropped.
    pub(crate) fn no_park(&self) -> NoPark<'_> {
        self.no_park.set(self.no_park.get() + 1);
        NoPark(self)
    }
}

/// See [`Scheduler::wait_for_exits`].
#[derive(Debug)]
pub(crate) struct ExitWaiterGuard<'a>(&'a Scheduler);

impl Drop for ExitWaiterGuard<'_> {
    fn drop(&mut self) {
        self.0.exit_waiter.set(None);
    }
}

/// See [`Scheduler::no_park`].
#[derive(Debug)]
pub(crate) struct NoPark<'a>(&'a Scheduler);

impl Drop for NoPark<'_> {
    fn drop(&mut self) {
        self.0.no_park.set(self.0.no_park.get() - 1);
    }
}

/// Ids that no other scheduler of the process has had: so many, from here on.
fn take_ids() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(IDS_AT_ONCE, Ordering::Relaxed)
}
