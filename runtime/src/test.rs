//! Tools for tests that neither sleep nor depend on chance. They offer a paused clock, a random
//! order that can be repeated from its seed, and a fault at every parking point.
//!
//! [`virtual_time`], [`explore_schedules`] and [`inject_faults`] run their body on a separate OS
//! thread, with a paused clock. The clock advances to the next deadline when every green thread
//! is parked, no descriptor is awaited and no [`Unparker`](crate::thread::Unparker) is held. A test
//! of a ten-minute timeout thus takes microseconds. While a descriptor is awaited, time passes at
//! its normal pace. [`lowlevel::now`](crate::lowlevel::now) returns the time on this clock;
//! `Instant::now` is not affected by it.
//!
//! When the body returns, the remaining green threads are killed.

use std::io::Write;
use std::ops::Range;
use std::panic::resume_unwind;
use std::time::Duration;

use crate::sched::{self, Fault, Scheduler};
use crate::thread::{Elapsed, JoinHandle, shutdown, spawn, timeout_never, yield_now};

/// Runs `body` on a paused clock, which advances when every green thread is parked.
///
/// `body` runs on a separate OS thread. The calling OS thread blocks until it has returned.
///
/// # Panics
///
/// Panics if `body` panics, or if a green thread that it leaves behind cannot be killed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use evy::{lowlevel, sleep, test};
///
/// test::virtual_time(|| {
///     let start = lowlevel::now();
///     sleep(Duration::from_secs(600));
///     assert_eq!(lowlevel::now() - start, Duration::from_secs(600));
/// });
/// ```
pub fn virtual_time<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    on_an_os_thread(|scheduler| scheduler.pause_clock(), body)
}

/// Runs `body` once for each seed, with ready green threads in a random order that follows from the
/// seed.
///
/// Each run has a paused clock, like one of [`virtual_time`]. If a run fails, its seed is printed.
/// To repeat that run alone, set the environment variable `EVY_SEED` to the seed.
///
/// Ordering guarantees are suspended here; only eventual progress of every ready green thread is
/// guaranteed.
///
/// # Panics
///
/// Panics if `body` panics, at the first seed for which it does, and if `EVY_SEED` is not a number.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use evy::{spawn, test, yield_now};
///
/// test::explore_schedules(0..100, || {
///     let count = Rc::new(Cell::new(0));
///     let adders: Vec<_> = (0..3)
///         .map(|_| {
///             let count = Rc::clone(&count);
///             spawn(move || {
///                 let seen = count.get();
///                 // With a `yield_now()` here, some seed would fail.
///                 count.set(seen + 1);
///             })
///         })
///         .collect();
///     adders.into_iter().for_each(|adder| adder.join().unwrap());
///     assert_eq!(count.get(), 3);
/// });
/// # yield_now();
/// ```
pub fn explore_schedules(seeds: Range<u64>, body: impl Fn() + Sync) {
    let wanted = std::env::var("EVY_SEED").ok();
    let wanted = wanted.map(|seed| seed.parse().expect("EVY_SEED must be a number"));
    let seeds = wanted.map_or(seeds, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let _printed =
            PrintIfPanicking(format!("seed {seed} failed; EVY_SEED={seed} runs it alone"));
        let prepare = |scheduler: &Scheduler| {
            scheduler.pause_clock();
            scheduler.randomize_order(seed);
        };
        on_an_os_thread(prepare, &body);
    }
}

/// Runs `round` repeatedly, and interrupts a green thread at each of its parking points in turn.
///
/// The interrupted green thread is the one that `round` spawns with [`FaultInjector::spawn`]. In
/// the first run it is interrupted at its first parking point, in the second run at its second one.
/// This continues until it has no more of them. All of this is repeated for each fault:
///
/// - a kill while it is parked;
/// - a kill after it was woken, and before it runs;
/// - a timeout while it is parked;
/// - a panic as soon as it is woken.
///
/// Each run has a paused clock, like one of [`virtual_time`]. Returns the number of runs in which a
/// fault happened.
///
/// Use it to show that a synchronization primitive loses no wake-up, permit or item when its users
/// are interrupted.
///
/// # Panics
///
/// Panics if `round` panics. The fault and the parking point are printed.
///
/// # Examples
///
/// ```
/// use evy::{Semaphore, spawn_n, test};
///
/// let faults = test::inject_faults(|injector| {
///     let permits = Semaphore::new(0);
///     let (wanted, given) = (permits.clone(), permits.clone());
///     let victim = injector.spawn(move || drop(wanted.acquire_guard()));
///     spawn_n(move || given.release());
///     victim.join().ok();
///     test::wait_all_parked();
///     assert_eq!(permits.balance(), 1);
/// });
/// assert!(faults >= 4);
/// ```
pub fn inject_faults(round: impl Fn(&FaultInjector) + Sync) -> usize {
    let mut faults = 0;
    for fault in [
        Fault::Kill,
        Fault::KillAfterWake,
        Fault::Timeout,
        Fault::Panic,
    ] {
        for after in 0.. {
            let _printed = PrintIfPanicking(format!("fault at parking point {after}: {fault:?}"));
            let happened = virtual_time(|| {
                round(&FaultInjector { fault, after });
                !sched::current().is_fault_planned()
            });
            if !happened {
                break;
            }
            faults += 1;
        }
    }
    faults
}

/// Injects one fault into one green thread; see [`inject_faults`].
#[derive(Debug)]
pub struct FaultInjector {
    fault: Fault,
    after: usize,
}

impl FaultInjector {
    /// Spawns the green thread that is to be interrupted. If the fault is a timeout, its result is
    /// [`Elapsed`].
    #[track_caller]
    pub fn spawn<T: 'static>(
        &self,
        f: impl FnOnce() -> T + 'static,
    ) -> JoinHandle<Result<T, Elapsed>> {
        let victim = spawn(move || timeout_never(f));
        sched::current().plan_fault(Some(sched::PlannedFault {
            victim: victim.thread().raw_id(),
            after: self.after,
            fault: self.fault,
        }));
        victim
    }
}

/// Lets all other green threads run until none of them is ready.
///
/// It yields, and does not wait for timers or descriptors.
pub fn wait_all_parked() {
    let scheduler = sched::current();
    yield_now();
    while scheduler.has_ready() {
        yield_now();
    }
}

fn on_an_os_thread<T: Send>(
    prepare: impl FnOnce(&Scheduler) + Send,
    body: impl FnOnce() -> T + Send,
) -> T {
    let run = || {
        let scheduler = sched::current();
        prepare(scheduler);
        let value = body();
        scheduler.restore_fifo();
        let left = shutdown(Duration::ZERO);
        assert!(left == 0, "{left} green threads cannot be killed");
        value
    };
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let outcome = std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name(name);
        let thread = builder.spawn_scoped(scope, run);
        thread.expect("failed to spawn an OS thread").join()
    });
    outcome.unwrap_or_else(|payload| resume_unwind(payload))
}

/// Prints a message to stderr if it is dropped by a panic.
struct PrintIfPanicking(String);

impl Drop for PrintIfPanicking {
    fn drop(&mut self) {
        if crate::thread::panicking() {
            // A destructor cannot return an error.
            drop(writeln!(std::io::stderr(), "evy::test: {}", self.0));
        }
    }
}
