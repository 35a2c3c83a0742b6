//! A million operations on queues and semaphores, by green threads that are killed and timed out all
//! the time, in an order drawn from a seed and on a clock that jumps: nothing is lost, nothing is got
//! twice, no permit leaks.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::test::explore_schedules;
use evy_runtime::thread::{JoinHandle, KillHandle};
use evy_runtime::{Queue, Semaphore, sleep, spawn, spawn_n, timeout, yield_now};
use evy_test_support::{Item, ItemTracker};

const OPERATIONS: usize = 1_000_000;

/// In so many orders, each of which has its share of the operations.
const SEEDS: usize = 4;

/// `None` is without bounds.
const CAPACITIES: [Option<usize>; 5] = [Some(0), Some(1), Some(3), Some(50), None];

const PERMITS: [usize; 3] = [1, 2, 10];

const TOOLS: usize = CAPACITIES.len() + PERMITS.len();

/// At each tool.
const WORKERS: usize = 6;

#[test]
fn a_million_operations_lose_nothing() {
    let slow = std::env::var_os("EVY_UNDER_QEMU").is_some();
    let operations = if slow { OPERATIONS / 50 } else { OPERATIONS };
    let share = operations / SEEDS;
    explore_schedules(0..SEEDS as u64, || {
        let tally = work(share / TOOLS);
        assert_eq!(tally.operations.get(), share);
        let (killed, late) = (tally.killed.get(), tally.late.get());
        assert!(killed > share / 200, "{killed} of {share} were killed");
        assert!(late > share / 20, "{late} of {share} were not done in time");
    });
}

/// What has become of the operations.
#[derive(Default)]
struct Tally {
    operations: Cell<usize>,
    killed: Cell<usize>,
    late: Cell<usize>,
}

fn count(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

/// Has so many operations done with each tool.
fn work(share: usize) -> Rc<Tally> {
    // The generator of this OS thread: with the order, all choices are the same each time.
    fastrand::seed(share as u64);
    let mut office = Office::default();
    let queues = CAPACITIES.map(|capacity| {
        let queue = capacity.map_or_else(Queue::unbounded, Queue::bounded);
        let (tracker, left) = (ItemTracker::default(), Rc::new(Cell::new(share)));
        for worker in 0..WORKERS {
            let (queue, tracker) = (queue.clone(), tracker.clone());
            match worker % 2 {
                0 => office.employ(&left, move || put(&queue, &tracker)),
                _ => office.employ(&left, move || get(&queue)),
            }
        }
        (queue, tracker)
    });
    let semaphores = PERMITS.map(|most| {
        let permits = Semaphore::new(most);
        let (held, left) = (Rc::default(), Rc::new(Cell::new(share)));
        for _ in 0..WORKERS {
            let (permits, held) = (permits.clone(), Rc::clone(&held));
            office.employ(&left, move || hold(&permits, &held, most));
        }
        (permits, most)
    });
    let tally = office.close();

    for (queue, tracker) in queues {
        assert_eq!((queue.getting(), queue.putting()), (0, 0));
        while let Some(item) = queue.try_get() {
            item.take();
        }
        let (got, _) = tracker.settle();
        assert_eq!(queue.unfinished(), got);
        assert!(got > share / 4, "{got} got of {queue:?}");
    }
    for (permits, most) in semaphores {
        assert_eq!(permits.balance(), most.cast_signed());
        assert_eq!((0..).take_while(|_| permits.try_acquire()).count(), most);
    }
    tally
}

/// Workers, of whom one or another is killed all the time; then somebody else takes the desk.
#[derive(Default)]
struct Office {
    tally: Rc<Tally>,
    desks: Vec<JoinHandle<()>>,
    /// How to kill who sits there.
    killers: Rc<RefCell<Vec<KillHandle>>>,
}

impl Office {
    /// A desk at which `operation` is done for as long as there are any `left`. It says whether it
    /// was done in time.
    fn employ(&mut self, left: &Rc<Cell<usize>>, operation: impl Fn() -> bool + Clone + 'static) {
        let (tally, left) = (Rc::clone(&self.tally), Rc::clone(left));
        let work = move || {
            while left.get() > 0 {
                left.set(left.get() - 1);
                count(&tally.operations);
                if !operation() {
                    count(&tally.late);
                }
                pause();
            }
        };
        let mut worker = spawn(work.clone());
        let desk = self.desks.len();
        self.killers.borrow_mut().push(worker.kill_handle());
        let (tally, killers) = (Rc::clone(&self.tally), Rc::clone(&self.killers));
        self.desks.push(spawn(move || {
            while let Err(error) = worker.join() {
                assert!(error.is_killed(), "{error}");
                count(&tally.killed);
                worker = spawn(work.clone());
                killers.borrow_mut()[desk] = worker.kill_handle();
            }
        }));
    }

    /// Sees all work done.
    fn close(self) -> Rc<Tally> {
        let killers = Rc::clone(&self.killers);
        spawn_n(move || {
            loop {
                sleep(ticks(1));
                // When all are parked time passes, and kills would find them parked only.
                (0..fastrand::u32(..8)).for_each(|_| yield_now());
                let victim = fastrand::choice(&*killers.borrow()).cloned();
                victim.expect("some are employed").kill();
            }
        });
        for desk in self.desks {
            desk.join().expect("only workers are killed");
        }
        self.tally
    }
}

/// Some time, in which few things happen: so deadlines often come together.
fn ticks(most: u32) -> Duration {
    Duration::from_micros(fastrand::u32(..=most).into())
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
fn hold(permits: &Semaphore, held: &Cell<usize>, most: usize) -> bool {
    let acquired = match fastrand::u32(..4) {
        0 => permits.try_acquire(),
        1 => permits.acquire_timeout(ticks(3)),
        _ => timeout(ticks(30), || permits.acquire()).is_ok(),
    };
    if acquired {
        let _held = Held::new(permits, held);
        assert!(held.get() <= most, "{} of {most} are held", held.get());
        pause();
    }
    acquired
}

/// A permit that is released however its holder ends.
struct Held<'a>(&'a Semaphore, &'a Cell<usize>);

impl<'a> Held<'a> {
    fn new(permits: &'a Semaphore, held: &'a Cell<usize>) -> Self {
        count(held);
        Self(permits, held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.1.set(self.1.get() - 1);
        self.0.release();
    }
}
