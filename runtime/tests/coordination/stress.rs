//! A million operations on queues and semaphores. Their green threads are killed and timed out all
//! the time. No item is lost or received twice, and no permit leaks.
//!
//! The order is random, from a seed. The clock is paused, so that it jumps to the next deadline.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::test::explore_schedules;
use evy_runtime::thread::{JoinHandle, KillHandle};
use evy_runtime::{Queue, Semaphore, sleep, spawn, spawn_n, timeout, yield_now};
use evy_test_support::{Item, ItemTracker};

const OPERATIONS: usize = 1_000_000;

/// The number of random orders. The operations are divided equally among them.
const SEEDS: usize = 4;

/// The capacities of the queues; `None` is unbounded.
const CAPACITIES: [Option<usize>; 5] = [Some(0), Some(1), Some(3), Some(50), None];

/// The numbers of permits of the semaphores.
const PERMITS: [usize; 3] = [1, 2, 10];

const QUEUES_AND_SEMAPHORES: usize = CAPACITIES.len() + PERMITS.len();

/// The number of workers of each queue and semaphore.
const WORKERS: usize = 6;

#[test]
fn a_million_operations_lose_no_item_and_no_permit() {
    let slow = std::env::var_os("EVY_UNDER_QEMU").is_some();
    let operations = if slow { OPERATIONS / 50 } else { OPERATIONS };
    let share = operations / SEEDS;
    explore_schedules(0..SEEDS as u64, || {
        let counts = run_operations(share / QUEUES_AND_SEMAPHORES);
        assert_eq!(counts.operations.get(), share);
        let (killed, late) = (counts.killed.get(), counts.late.get());
        assert!(killed > share / 200, "{killed} of {share} were killed");
        assert!(late > share / 20, "{late} of {share} were not done in time");
    });
}

/// The numbers of operations that were begun, of workers that were killed, and of operations that
/// were not done in time.
#[derive(Default)]
struct Counts {
    operations: Cell<usize>,
    killed: Cell<usize>,
    late: Cell<usize>,
}

fn increment(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

/// Runs `share` operations on each queue and semaphore.
fn run_operations(share: usize) -> Rc<Counts> {
    // Seeds the generator of this OS thread. Together with the seed of the order, this makes each
    // run the same.
    fastrand::seed(share as u64);
    let mut workers = Workers::default();
    let queues = CAPACITIES.map(|capacity| {
        let queue = capacity.map_or_else(Queue::unbounded, Queue::bounded);
        let (tracker, left) = (ItemTracker::default(), Rc::new(Cell::new(share)));
        for worker in 0..WORKERS {
            let (queue, tracker) = (queue.clone(), tracker.clone());
            match worker % 2 {
                0 => workers.spawn_worker(&left, move || put(&queue, &tracker)),
                _ => workers.spawn_worker(&left, move || get(&queue)),
            }
        }
        (queue, tracker)
    });
    let semaphores = PERMITS.map(|max| {
        let permits = Semaphore::new(max);
        let (held, left) = (Rc::default(), Rc::new(Cell::new(share)));
        for _ in 0..WORKERS {
            let (permits, held) = (permits.clone(), Rc::clone(&held));
            workers.spawn_worker(&left, move || hold_permit(&permits, &held, max));
        }
        (permits, max)
    });
    let counts = workers.finish();

    for (queue, tracker) in queues {
        assert_eq!((queue.getting(), queue.putting()), (0, 0));
        while let Some(item) = queue.try_get() {
            item.take();
        }
        let (got, _) = tracker.check_all_accounted();
        assert_eq!(queue.unfinished(), got);
        assert!(got > share / 4, "{got} got of {queue:?}");
    }
    for (permits, max) in semaphores {
        assert_eq!(permits.balance(), max.cast_signed());
        assert_eq!((0..).take_while(|_| permits.try_acquire()).count(), max);
    }
    counts
}

/// A set of workers. They are killed at random, and each killed worker is replaced by a new one.
#[derive(Default)]
struct Workers {
    counts: Rc<Counts>,
    /// Green threads that join one worker each, and replace it if it was killed.
    supervisors: Vec<JoinHandle<()>>,
    /// The handle that kills the current worker of each supervisor.
    kill_handles: Rc<RefCell<Vec<KillHandle>>>,
}

impl Workers {
    /// Spawns a worker that calls `operation` for as long as any operations are `left`. `operation`
    /// returns whether it was done in time.
    fn spawn_worker(
        &mut self,
        left: &Rc<Cell<usize>>,
        operation: impl Fn() -> bool + Clone + 'static,
    ) {
        let (counts, left) = (Rc::clone(&self.counts), Rc::clone(left));
        let work = move || {
            while left.get() > 0 {
                left.set(left.get() - 1);
                increment(&counts.operations);
                if !operation() {
                    increment(&counts.late);
                }
                pause();
            }
        };
        let mut worker = spawn(work.clone());
        let index = self.supervisors.len();
        self.kill_handles.borrow_mut().push(worker.kill_handle());
        let (counts, kill_handles) = (Rc::clone(&self.counts), Rc::clone(&self.kill_handles));
        self.supervisors.push(spawn(move || {
            while let Err(error) = worker.join() {
                assert!(error.is_killed(), "{error}");
                increment(&counts.killed);
                worker = spawn(work.clone());
                kill_handles.borrow_mut()[index] = worker.kill_handle();
            }
        }));
    }

    /// Kills workers at random until all operations are done, and returns the counts.
    fn finish(self) -> Rc<Counts> {
        let kill_handles = Rc::clone(&self.kill_handles);
        spawn_n(move || {
            loop {
                sleep(ticks(1));
                // The clock advances only while every green thread is parked, so without these
                // yields every kill would hit a parked worker.
                (0..fastrand::u32(..8)).for_each(|_| yield_now());
                let victim = fastrand::choice(&*kill_handles.borrow()).cloned();
                victim.expect("there is at least one worker").kill();
            }
        });
        for supervisor in self.supervisors {
            supervisor.join().expect("only workers are killed");
        }
        self.counts
    }
}

/// Returns a random duration of at most `max` microseconds. There are only a few different
/// durations, so deadlines often coincide.
fn ticks(max: u32) -> Duration {
    Duration::from_micros(fastrand::u32(..=max).into())
}

fn pause() {
    match fastrand::u32(..8) {
        0 => sleep(ticks(3)),
        1..4 => yield_now(),
        _ => {}
    }
}

fn put(queue: &Queue<Item>, tracker: &ItemTracker) -> bool {
    match fastrand::u32(..4) {
        0 => tracker.track_put(|item| queue.try_put(item)),
        1 => tracker.track_put(|item| queue.put_timeout(item, ticks(3))),
        _ => {
            let put = |item| {
                queue.put(item);
                Ok(())
            };
            timeout(ticks(30), || tracker.track_put(put)).is_ok()
        }
    }
}

fn get(queue: &Queue<Item>) -> bool {
    let item = match fastrand::u32(..4) {
        0 => queue.try_get(),
        1 => queue.get_timeout(ticks(3)),
        _ => timeout(ticks(30), || queue.get()).ok(),
    };
    item.map(Item::take).is_some()
}

/// Acquires a permit and holds it for a moment.
fn hold_permit(permits: &Semaphore, held: &Cell<usize>, max: usize) -> bool {
    let acquired = match fastrand::u32(..4) {
        0 => permits.try_acquire(),
        1 => permits.acquire_timeout(ticks(3)),
        _ => timeout(ticks(30), || permits.acquire()).is_ok(),
    };
    if acquired {
        let _held = Held::new(permits, held);
        assert!(held.get() <= max, "{} of {max} are held", held.get());
        pause();
    }
    acquired
}

/// A permit that is released when dropped, also if its holder unwinds.
struct Held<'a>(&'a Semaphore, &'a Cell<usize>);

impl<'a> Held<'a> {
    fn new(permits: &'a Semaphore, held: &'a Cell<usize>) -> Self {
        increment(held);
        Self(permits, held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.1.set(self.1.get() - 1);
        self.0.release();
    }
}
