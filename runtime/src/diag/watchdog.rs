//! `watchdog`: reports a green thread that keeps the others of its OS thread waiting.
//!
//! A helper OS thread samples the turn in progress four times in each `limit` (see
//! `sched::monitor`). A turn that was in progress at every sample for that long is reported, once.
//! Nothing is killed.
//!
//! The clock is not read at each switch, so the helper measures a turn from the first sample that
//! shows it. A report is therefore never wrong, and at most a quarter of the limit late. Time in
//! which the helper did not run either, because the process or the machine was stopped, does not
//! count. More exactly: the time between two samples counts for two sampling intervals at most.

use std::fmt;
use std::io::Write;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::green::{RemoteHandle, StaysOnItsOsThread};
use crate::sched::{self, RunMonitor};
use crate::thread::ThreadId;

/// Reports each green thread of this OS thread that runs for `limit` without parking or yielding.
///
/// The report is a line on stderr, once for each time that a green thread runs for so long. Nothing
/// is killed. The watchdog runs until the returned guard is dropped.
///
/// A watchdog makes each switch about ten nanoseconds slower. Without one there is no cost.
///
/// Elapsed time counts, not processor time. A call that blocks the OS thread is therefore reported
/// as well as a long computation. Both belong in [`unblock`](crate::unblock).
///
/// # Panics
///
/// Panics if the system cannot create an OS thread.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let watchdog = evy::watchdog(Duration::from_millis(100));
/// // The program.
/// drop(watchdog);
/// ```
pub fn watchdog(limit: Duration) -> Watchdog {
    Watchdog::with(limit, |report| {
        // There is no caller to return an error to.
        drop(writeln!(std::io::stderr(), "evy: {report}"));
    })
}

/// A guard that stops the watchdog when dropped; returned by [`watchdog`] and [`Watchdog::with`].
#[must_use = "the watchdog stops when it is dropped"]
pub struct Watchdog {
    monitor: Arc<RunMonitor>,
    stopped: Arc<AtomicBool>,
    helper: Option<JoinHandle<()>>,
    /// The guard belongs to the OS thread that is watched.
    owner: PhantomData<*const StaysOnItsOsThread>,
}

impl Watchdog {
    /// Starts a watchdog like [`watchdog`], which calls `report` instead of writing to stderr.
    ///
    /// `report` is called on a helper OS thread, while the reported green thread still runs. If it
    /// panics, the watchdog stops.
    ///
    /// # Panics
    ///
    /// Panics as `watchdog` does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use evy::Watchdog;
    ///
    /// let watchdog = Watchdog::with(Duration::from_millis(100), |report| {
    ///     eprintln!("{:?} hogs: {report}", report.name());
    /// });
    /// # drop(watchdog);
    /// ```
    pub fn with(limit: Duration, report: impl FnMut(&HogReport) + Send + 'static) -> Self {
        let monitor = sched::current().start_monitoring();
        let stopped = Arc::new(AtomicBool::new(false));
        let mut watchdog = Self {
            monitor,
            stopped,
            helper: None,
            owner: PhantomData,
        };
        let helper = {
            let monitor = Arc::clone(&watchdog.monitor);
            let stopped = Arc::clone(&watchdog.stopped);
            std::thread::Builder::new()
                .name("evy-watchdog".to_owned())
                .spawn(move || run_watchdog(&monitor, &stopped, limit, report))
        };
        watchdog.helper = Some(helper.expect("failed to spawn an OS thread"));
        watchdog
    }
}

impl Drop for Watchdog {
    /// Stops the watchdog. Nothing is reported after this has returned.
    fn drop(&mut self) {
        if let Some(scheduler) = sched::if_current() {
            scheduler.stop_monitoring(&self.monitor);
        }
        self.monitor.stop(&self.stopped);
        if let Some(helper) = self.helper.take() {
            // A panic of the callback was reported by the panic hook.
            drop(helper.join());
        }
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").finish_non_exhaustive()
    }
}

/// A report of a green thread that has run for longer than the watchdog allows, and still runs.
pub struct HogReport {
    hog: Arc<RemoteHandle>,
    busy_time: Duration,
}

impl HogReport {
    /// Returns the id of the green thread.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        ThreadId::of(self.hog.identity)
    }

    /// Returns the name of the green thread, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.hog.name.as_deref()
    }

    /// Returns the source location that spawned the green thread. For a root green thread, it is
    /// where its OS thread first used evy.
    #[must_use]
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.hog.identity.site
    }

    /// Returns the time for which the green thread has run at least.
    #[must_use]
    pub fn busy_time(&self) -> Duration {
        self.busy_time
    }
}

impl fmt::Display for HogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "green thread {}", self.id())?;
        if let Some(name) = self.name() {
            write!(f, " '{name}'")?;
        }
        match self.hog.identity.parent {
            0 => f.write_str(" (root)")?,
            parent => write!(f, " (spawned at {} by #{parent})", self.spawned_at())?,
        }
        write!(
            f,
            " has run for {} ms without parking or yielding; no other green thread of its OS thread could run \
             meanwhile",
            self.busy_time.as_millis()
        )
    }
}

impl fmt::Debug for HogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HogReport")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("busy_time", &self.busy_time)
            .finish_non_exhaustive()
    }
}

/// Samples and reports on the helper OS thread, until the watchdog is stopped.
fn run_watchdog(
    monitor: &RunMonitor,
    stopped: &AtomicBool,
    limit: Duration,
    mut report: impl FnMut(&HogReport),
) {
    let clock = Clock::new();
    let tick = (limit / 4).max(Duration::from_millis(1));
    let mut sampler = RunSampler::default();
    let mut last = clock.now();
    while let Some(turn) = monitor.sample_after(tick, stopped) {
        let now = clock.now();
        let passed = (now - last).min(tick * 2);
        last = now;
        let is_hog = sampler.just_exceeded(limit, turn.number, passed);
        if let Some(hog) = turn.thread.filter(|_| is_hog) {
            report(&HogReport {
                hog,
                busy_time: sampler.busy_time,
            });
        }
    }
}

/// Measures a turn from sample to sample.
#[derive(Debug, Default)]
struct RunSampler {
    turn: u64,
    busy_time: Duration,
    is_reported: bool,
}

impl RunSampler {
    /// Takes a sample that shows `turn`, `passed` after the previous sample. Returns `true` if
    /// it is the first one at which the turn has lasted for `limit`.
    fn just_exceeded(&mut self, limit: Duration, turn: u64, passed: Duration) -> bool {
        if turn != self.turn {
            *self = Self {
                turn,
                ..Self::default()
            };
            return false;
        }
        self.busy_time += passed;
        let is_over = self.busy_time >= limit;
        is_over && !std::mem::replace(&mut self.is_reported, is_over)
    }
}

#[cfg(test)]
mod tests {
    use super::RunSampler;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_millis(100);

    #[test]
    fn a_long_turn_is_reported_once() {
        let mut sampler = RunSampler::default();
        let samples = [30, 30, 30, 30, 30, 30, 300].map(|ms| {
            let passed = Duration::from_millis(ms);
            sampler.just_exceeded(LIMIT, 7, passed)
        });
        assert_eq!(samples, [false, false, false, false, true, false, false]);
        assert_eq!(sampler.busy_time, Duration::from_millis(450));
    }

    #[test]
    fn short_turns_do_not_add_up() {
        let mut sampler = RunSampler::default();
        for sample in 0..100 {
            // Each turn is seen at three samples.
            let passed = Duration::from_millis(40);
            assert!(!sampler.just_exceeded(LIMIT, 1 + sample / 3, passed));
        }
    }

    #[test]
    fn the_next_long_turn_is_reported_too() {
        let mut sampler = RunSampler::default();
        for turn in 1..4 {
            assert!(!sampler.just_exceeded(LIMIT, turn, LIMIT));
            assert!(sampler.just_exceeded(LIMIT, turn, LIMIT));
            assert!(!sampler.just_exceeded(LIMIT, turn, LIMIT));
        }
    }
}
