//! The scheduler of one OS thread: the only code that switches.
//!
//! The scheduler has no loop and no green thread of its own. A green thread that parks takes the
//! next ready green thread and switches straight to it. If none is ready, the parking green thread
//! drives the reactor itself, on its own stack, until one is. The protocols are described in
//! `README.md` beside this file.
//!
//! # Invariants
//!
//! These are in addition to those of [`crate::green`].
//!
//! `[no-borrow-across-switch]` No `RefCell` of a scheduler is borrowed while it switches.
//!
//! `[no-migration]` A green thread runs on the OS thread that spawned it, and on no other. A
//! reference to the scheduler therefore stays correct across a switch, and so does the address of a
//! thread local.

mod attention;
mod budget;
mod call_site;
mod current;
mod deadlock;
mod fork;
mod identity;
mod idle;
mod monitor;
mod os_thread_exit;
pub(crate) mod os_threads;
mod overflow;
mod pace;
mod panic_hook;
mod park;
mod queue_index;
mod remote_calls;
mod ring;
mod run_queue;
mod spawn;
mod test_hooks;
mod ticker;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

pub(crate) use budget::charge;
pub(crate) use current::{current, deadline_after, if_current, try_current};
pub(crate) use fork::enter_child;
pub(crate) use identity::{drop_thread_locals, give_identities_to_all};
pub(crate) use monitor::RunMonitor;
pub(crate) use spawn::{SpawnOptions, run_exit_hooks, unwrap_spawn};
pub(crate) use test_hooks::{Fault, PlannedFault};
#[cfg(feature = "signal")]
pub(crate) use ticker::block_signals;

use crate::clock::Clock;
use crate::green::{
    GreenRef, GreenThread, Identity, RemoteHandle, RemoteSpawn, SchedulerHandle, ThreadTable,
};
use crate::list::List;
use crate::pthread_identity::ThreadPointer;
use crate::reactor::Reactor;
use crate::timer::Timers;
use attention::Attention;
use budget::Budget;
use run_queue::RunQueue;

/// The number of ids that a scheduler reserves at once from the counter that all schedulers share.
const IDS_AT_ONCE: u64 = 1 << 10;

/// The number of spawns that are charged to the budget at once.
const IDS_PER_CHARGE: u64 = budget::OPERATIONS_PER_CHECK as u64;
const _: () = assert!(IDS_AT_ONCE.is_multiple_of(IDS_PER_CHARGE));

/// Gives back what a green thread waits for, because its OS thread ends before it continues.
pub(crate) type AbandonHook = &'static dyn Fn();

/// The scheduler of an OS thread. Each OS thread that uses evy has one.
pub(crate) struct Scheduler {
    run_queue: RunQueue,
    running: Cell<NonNull<GreenThread>>,
    attention: Attention,
    budget: Budget,
    /// The time of the last poll, while the clock is watched (`pace`).
    last_poll: Cell<Instant>,
    /// The ticker knows this scheduler.
    has_ticker: Cell<bool>,
    pub(crate) clock: Clock,
    /// The time at which the clock was last read.
    last_now: Cell<Instant>,
    /// The next event poll must read the clock, because a green thread has parked inside a timeout
    /// scope.
    pub(crate) clock_read_requested: Cell<bool>,
    pub(crate) timers: Timers,
    pub(crate) reactor: Reactor,
    pub(crate) own_handle: Arc<SchedulerHandle>,
    /// All green threads except the root.
    threads: ThreadTable,
    /// A buffer for the green threads that one event poll makes ready. Empty between polls.
    ready_buf: RefCell<Vec<GreenRef>>,
    /// The green thread that waits for others to end, in `thread::shutdown`.
    exit_waiter: Cell<Option<GreenRef>>,
    /// The number of `no_park` guards.
    no_park: Cell<u32>,
    /// The number of green threads that are parked on something that this scheduler cannot foresee:
    /// a signal may wake them, or they sleep forever. While there are any, no deadlock is reported.
    pub(crate) unforeseen_waiters: Cell<usize>,
    /// The number of green threads whose waits do not keep a deadlock from being reported.
    pub(crate) background: Cell<usize>,
    /// The number of green threads that are parked on something that OS threads share. While there
    /// are any, a deadlock is reported only if the program has no other OS thread.
    pub(crate) shared_waiters: Cell<usize>,
    /// The hooks of waits for what OS threads share, to be called at the end of this OS thread.
    pub(crate) abandon_hooks: List<AbandonHook>,
    /// The green threads that other OS threads have spawned and that have not ended, by id.
    pub(crate) remote_spawns: RefCell<BTreeMap<u64, Arc<dyn RemoteSpawn>>>,
    /// The number of green threads that are parked in the middle of unwinding.
    pub(crate) unwinding: Cell<usize>,
    /// Incremented whenever `unwinding` rises from zero.
    pub(crate) unwinding_period: Cell<u64>,
    random: RefCell<fastrand::Rng>,
    planned_fault: Cell<Option<PlannedFault>>,
    last_id: Cell<u64>,
    monitor: monitor::MonitorState,
    /// The OS thread's own thread pointer.
    thread_pointer: ThreadPointer,
    /// The OS thread's own `UNTIL_CHECK`.
    until_check: NonNull<AtomicU32>,
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
    /// Returns the error of the system if it cannot create a poller, and an error in a child that was
    /// created with `fork`.
    #[track_caller]
    fn start() -> io::Result<NonNull<Self>> {
        crate::fork::check()?;
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
            budget: Budget::new(),
            last_poll: Cell::new(clock.now()),
            has_ticker: Cell::new(false),
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
            unforeseen_waiters: Cell::new(0),
            background: Cell::new(0),
            shared_waiters: Cell::new(0),
            abandon_hooks: List::new(),
            remote_spawns: RefCell::default(),
            unwinding: Cell::new(0),
            unwinding_period: Cell::new(1),
            random: RefCell::new(fastrand::Rng::new()),
            planned_fault: Cell::new(None),
            last_id: Cell::new(first_id),
            monitor: monitor::MonitorState::default(),
            thread_pointer: ThreadPointer::current(),
            until_check: current::UNTIL_CHECK.with(|counter| NonNull::from(counter)),
            root,
        });
        let scheduler = NonNull::from(Box::leak(scheduler));
        // SAFETY: the scheduler was leaked just now.
        // - It does not move, so the root's control block is pinned.
        // - Nothing else has a pointer to it.
        // - Only `os_thread_exit` frees it, or it is never freed.
        unsafe {
            let root = NonNull::from(&mut (*scheduler.as_ptr()).root);
            (*root.as_ptr()).scheduler = scheduler.as_ptr().cast::<()>();
            GreenThread::pin(root);
            scheduler.as_ref().running.set(root);
            scheduler.as_ref().allocate_waker(scheduler.as_ref().root());
            scheduler.as_ref().begin_work();
        }
        identity::read_environment();
        fork::install();
        overflow::install();
        panic_hook::install();
        Ok(scheduler)
    }

    /// Returns an id that no other green thread of the process has had.
    #[inline]
    fn next_id(&self) -> u64 {
        let next = self.last_id.get() + 1;
        let next = if next.is_multiple_of(IDS_PER_CHARGE) {
            self.charge_ids(next)
        } else {
            next
        };
        self.last_id.set(next);
        next
    }

    /// Charges the spawns since the last call. Returns `next`, or the first of new ids if those that
    /// are reserved are used up.
    #[cold]
    #[inline(never)]
    fn charge_ids(&self, next: u64) -> u64 {
        self.charge_many(IDS_PER_CHARGE as u32);
        match next.is_multiple_of(IDS_AT_ONCE) {
            true => take_ids(),
            false => next,
        }
    }

    /// Returns the id that was given to a green thread last.
    pub(crate) fn newest_id(&self) -> u64 {
        self.last_id.get()
    }

    /// Returns the running green thread.
    #[inline(always)]
    pub(crate) fn running(&self) -> GreenRef {
        // SAFETY: it runs, so it is live ([one-runs]).
        unsafe { GreenRef::new(self.running.get()) }
    }

    /// Returns the root green thread.
    pub(crate) fn root(&self) -> GreenRef {
        // SAFETY: the root is live as long as the scheduler, and pinned with it.
        unsafe { GreenRef::new(NonNull::from(&self.root)) }
    }

    /// Returns the time at which the clock was last read, which is never later than now.
    pub(crate) fn last_now(&self) -> Instant {
        self.last_now.get()
    }

    /// Returns the number of live green threads, without the root.
    pub(crate) fn live(&self) -> usize {
        self.threads.live()
    }

    /// Returns the live green threads except the root, oldest first.
    pub(crate) fn all_live(&self) -> Vec<GreenRef> {
        self.threads.all_live()
    }

    /// Returns the number of live green threads other than `me` and the root.
    pub(crate) fn others(&self, me: GreenRef) -> usize {
        self.live() - usize::from(me != self.root())
    }

    /// Makes every green thread that ends unpark `exit_waiter`, until the guard is dropped.
    ///
    /// # Panics
    ///
    /// Panics if there is such a green thread already.
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
        // SAFETY: a scheduler never leaves its OS thread, so this code runs on the owner's.
        unsafe { GreenRef::of_remote(handle) }
    }

    /// Whether no `no_park` guard exists.
    pub(crate) fn may_park(&self) -> bool {
        self.no_park.get() == 0
    }

    /// Forbids parking until the guard is dropped.
    pub(crate) fn no_park(&self) -> NoPark<'_> {
        self.no_park.set(self.no_park.get() + 1);
        NoPark(self)
    }
}

/// Ends [`Scheduler::wait_for_exits`] when dropped.
#[derive(Debug)]
pub(crate) struct ExitWaiterGuard<'a>(&'a Scheduler);

impl Drop for ExitWaiterGuard<'_> {
    fn drop(&mut self) {
        self.0.exit_waiter.set(None);
    }
}

/// Allows parking again when dropped. Returned by [`Scheduler::no_park`].
#[derive(Debug)]
pub(crate) struct NoPark<'a>(&'a Scheduler);

impl Drop for NoPark<'_> {
    fn drop(&mut self) {
        self.0.no_park.set(self.0.no_park.get() - 1);
    }
}

/// Reserves [`IDS_AT_ONCE`] ids that no other scheduler of the process has had. Returns the first.
fn take_ids() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(IDS_AT_ONCE, Ordering::Relaxed)
}
