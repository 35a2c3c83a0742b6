//! Tells of a green thread that keeps the others of its OS thread waiting.
//!
//! A helper OS thread looks four times in each `limit` who runs (`sched::watch`). Who has been there
//! at every look for as long as that is reported, once. Nothing is killed.
//!
//! It does not ask for the time at each switch, so it counts from when it has first seen a run: what
//! it reports is true, and at most a quarter of the limit late. A time in which the helper did not
//! run either, since the process or the machine stood still, does not count.

use std::fmt;
use std::io::Write;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::green::RemoteHandle;
use crate::sched::{self, RunMonitor};
use crate::thread::ThreadId;

/// Watches the calling OS thread until the guard is dropped: each green thread that runs for `limit`
/// without parking or yielding is reported on stderr, once for each time. Nothing is killed. Never
/// parks.
///
/// While it is on, a switch costs some ten nanoseconds more; off, it costs nothing. What counts is
/// the time on the clock, so a call that blocks the OS thread is reported as well as a long
/// computation: both belong into [`unblock`](crate::unblock).
///
/// # Panics
///
/// If the system has no OS thread to give.
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
        // Nobody is there to be told of a failure.
        drop(writeln!(std::io::stderr(), "evy: {report}"));
    })
}

/// Watches an OS thread as long as it lives; made by [`watchdog`] or [`Watchdog::with`].
#[must_use = "it watches until it is dropped"]
pub struct Watchdog {
    monitor: Arc<RunMonitor>,
    stopped: Arc<AtomicBool>,
    helper: Option<JoinHandle<()>>,
    /// It belongs to the OS thread that it watches.
    not_send: PhantomData<*const ()>,
}

impl Watchdog {
    /// As [`watchdog`], with `report` called in place of the line on stderr. It is called on a helper
    /// OS thread, while the hog still runs. If it panics, the watching ends.
    ///
    /// # Panics
    ///
    /// As `watchdog`.
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
        let (its_monitor, its_stopped) = (Arc::clone(&monitor), Arc::clone(&stopped));
        let mut watchdog = Self {
            monitor,
            stopped,
            helper: None,
            not_send: PhantomData,
        };
        let helper = std::thread::Builder::new()
            .name("evy-watchdog".to_owned())
            .spawn(move || keep_watch(&its_monitor, &its_stopped, limit, report));
        watchdog.helper = Some(helper.expect("the system has an OS thread to give"));
        watchdog
    }
}

impl Drop for Watchdog {
    /// When it returns, nothing is reported any more.
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

/// A green thread that has run for longer than the watchdog allows, and still does.
pub struct HogReport {
    hog: Arc<RemoteHandle>,
    busy_time: Duration,
}

impl HogReport {
    /// Its id. Never parks.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        ThreadId(self.hog.identity.id)
    }

    /// Its name, if it has one. Never parks.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.hog.name.as_deref()
    }

    /// Where in the program it was spawned; for a root, where evy was first used. Never parks.
    #[must_use]
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.hog.identity.site
    }

    /// For how long it has run by now, at least. Never parks.
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
            " has run for {} ms without parking or yielding: all others of its OS thread wait",
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

/// What the helper does until it is dismissed.
fn keep_watch(
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

/// One run, as it is seen from look to look.
#[derive(Debug, Default)]
struct RunSampler {
    run: u64,
    busy_time: Duration,
    is_reported: bool,
}

impl RunSampler {
    /// Takes a look at the run of this number, `passed` after the last one. `true`: this is the
    /// first look at which it has run for `limit`.
    fn just_exceeded(&mut self, limit: Duration, run: u64, passed: Duration) -> bool {
        if run != self.run {
            *self = Self {
                run,
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
    fn a_long_run_is_told_once() {
        let mut sampler = RunSampler::default();
        let looks = [30, 30, 30, 30, 30, 30, 300].map(|ms| {
            let passed = Duration::from_millis(ms);
            sampler.just_exceeded(LIMIT, 7, passed)
        });
        assert_eq!(looks, [false, false, false, false, true, false, false]);
        assert_eq!(sampler.busy_time, Duration::from_millis(450));
    }

    #[test]
    fn short_runs_do_not_add_up() {
        let mut sampler = RunSampler::default();
        for look in 0..100 {
            // Each is seen three times.
            let passed = Duration::from_millis(40);
            assert!(!sampler.just_exceeded(LIMIT, 1 + look / 3, passed));
        }
    }

    #[test]
    fn the_next_long_run_is_told_again() {
        let mut sampler = RunSampler::default();
        for run in 1..4 {
            assert!(!sampler.just_exceeded(LIMIT, run, LIMIT));
            assert!(sampler.just_exceeded(LIMIT, run, LIMIT));
            assert!(!sampler.just_exceeded(LIMIT, run, LIMIT));
        }
    }
}
