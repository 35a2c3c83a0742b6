//! Tests without sleeping, and without luck: time that jumps, an order drawn from a seed, and an
//! interruption at every parking point.
//!
//! Each of these runs its body on an OS thread of its own, whose clock is held still. When every
//! green thread is parked, no descriptor is awaited and no [`Unparker`](crate::thread::Unparker) is
//! held, time jumps to the next deadline: a test of a ten-minute timeout takes microseconds. While a
//! descriptor is awaited, time passes as it really does. [`lowlevel::now`](crate::lowlevel::now)
//! tells the time; `Instant::now` knows nothing of this.
//!
//! When the body returns, the green threads that are left are killed.

use std::io::Write;
use std::ops::Range;
use std::panic::resume_unwind;
use std::time::Duration;

use crate::sched::{self, Fault, Scheduler};
use crate::thread::{Elapsed, JoinHandle, shutdown, spawn, timeout_never, yield_now};

/// Runs `body` with a clock that is held still, on an OS thread of its own, and waits for it.
///
/// # Panics
///
/// As `body` does, or if a green thread that is left over cannot be killed.
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
    on_an_os_thread(|scheduler| scheduler.clock.pause(), body)
}

/// Runs `body` once for each seed, as [`virtual_time`] does, with the order in which ready green
/// threads run drawn from the seed. If a run fails, its seed is printed; with that in the
/// environment variable `EVY_SEED`, it alone is run.
///
/// What evy promises of the order holds only as far as the draw allows: each ready green thread runs
/// at some time.
///
/// # Panics
///
/// As `body` does, at the first seed that fails; and if `EVY_SEED` is not a number.
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
    let wanted = wanted.map(|seed| seed.parse().expect("EVY_SEED is a number"));
    let seeds = wanted.map_or(seeds, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let _told = TellIfPanicking(format!("seed {seed} fails: EVY_SEED={seed} runs it alone"));
        let prepare = |scheduler: &Scheduler| {
            scheduler.clock.pause();
            scheduler.randomize_order(seed);
        };
        on_an_os_thread(prepare, &body);
    }
}

/// Runs `round` again and again, as [`virtual_time`] does, and interrupts what it gives to
/// [`FaultInjector::spawn`]: at its first parking point in the first run, at its second in the second, and
/// so on until it has no more of them. All that is done in four ways: killed while parked, killed
/// after it was woken but before it runs, timed out, and panicking as soon as it is woken. Returns
/// how often it has struck.
///
/// So a tool of coordination can be shown to lose nothing, whatever becomes of those who use it.
///
/// # Panics
///
/// As `round` does; where it was struck is printed.
///
/// # Examples
///
/// ```
/// use evy::{Semaphore, spawn_n, test};
///
/// let struck = test::inject_faults(|injector| {
///     let permits = Semaphore::new(0);
///     let (wanted, given) = (permits.clone(), permits.clone());
///     let victim = injector.spawn(move || drop(wanted.acquire_guard()));
///     spawn_n(move || given.release());
///     victim.join().ok();
///     test::wait_all_parked();
///     assert_eq!(permits.balance(), 1);
/// });
/// assert!(struck >= 4);
/// ```
pub fn inject_faults(round: impl Fn(&FaultInjector) + Sync) -> usize {
    let mut struck = 0;
    for fault in [
        Fault::Kill,
        Fault::KillAfterWake,
        Fault::Timeout,
        Fault::Panic,
    ] {
        for after in 0.. {
            let _told = TellIfPanicking(format!("struck at parking point {after}: {fault:?}"));
            let landed = virtual_time(|| {
                round(&FaultInjector { fault, after });
                sched::current().planned_fault.get().is_none()
            });
            if !landed {
                break;
            }
            struck += 1;
        }
    }
    struck
}

/// Interrupts one green thread, once; see [`inject_faults`].
#[derive(Debug)]
pub struct FaultInjector {
    fault: Fault,
    after: usize,
}

impl FaultInjector {
    /// Spawns the green thread that is to be interrupted. `Elapsed` is its result if it timed out.
    #[track_caller]
    pub fn spawn<T: 'static>(
        &self,
        f: impl FnOnce() -> T + 'static,
    ) -> JoinHandle<Result<T, Elapsed>> {
        let victim = spawn(move || timeout_never(f));
        sched::current()
            .planned_fault
            .set(Some(sched::PlannedFault {
                victim: victim.thread().number(),
                after: self.after,
                fault: self.fault,
            }));
        victim
    }
}

/// Lets all others run until none of them is ready. It does not wait for time or descriptors.
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
        thread.expect("the system has an OS thread to give").join()
    });
    outcome.unwrap_or_else(|payload| resume_unwind(payload))
}

/// Says what went wrong, while a panic passes by.
struct TellIfPanicking(String);

impl Drop for TellIfPanicking {
    fn drop(&mut self) {
        if crate::thread::panicking() {
            // A destructor has nobody to return an error to.
            drop(writeln!(std::io::stderr(), "evy::test: {}", self.0));
        }
    }
}
