//! Spawning with choices: a name, a stack size.

use std::io;
use std::panic::Location;
use std::time::Duration;

use super::join_handle::{JoinHandle, packet};
use crate::sched::{self, SpawnOptions};

/// Chooses how a green thread is spawned, as [`std::thread::Builder`] does.
///
/// # Examples
///
/// ```
/// use evy_runtime::thread;
///
/// let deep = thread::Builder::new().name("deep").stack_size(1 << 20).spawn(|| {
///     thread::current().name().map(str::to_owned)
/// })?;
/// assert_eq!(deep.join().unwrap().as_deref(), Some("deep"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder spawns nothing by itself"]
pub struct Builder {
    options: SpawnOptions,
}

impl Builder {
    /// No name, and the default stack of 256 KiB of address space, of which touched pages alone
    /// cost memory. Never parks.
    #[track_caller]
    pub fn new() -> Self {
        Self {
            options: SpawnOptions::new(Location::caller()),
        }
    }

    /// Names it: for panics, overflows, stall reports, and [`Thread::name`](super::Thread::name).
    ///
    /// Differs from std: any string will do, since no system call gets it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into().into_boxed_str());
        self
    }

    /// The stack's size in bytes, rounded up to a power of two, 32 KiB at least.
    pub fn stack_size(mut self, size: usize) -> Self {
        self.options.stack_size = size;
        self
    }

    /// Spawns it. Never parks: it starts when the caller parks or yields.
    ///
    /// Differs from std: nothing needs to be `Send`.
    ///
    /// # Errors
    ///
    /// `OutOfMemory`, or what the system says, if no stack can be had.
    #[track_caller]
    pub fn spawn<F, T>(mut self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.options.site = Location::caller();
        self.start(None, f)
    }

    /// Spawns it to start when `delay` has passed; see [`spawn_after`](super::spawn_after).
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_after<F, T>(mut self, delay: Duration, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.options.site = Location::caller();
        self.start(Some(delay), f)
    }

    #[inline]
    fn start<F, T>(self, delay: Option<Duration>, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let scheduler = sched::try_current()?;
        let (completion, handle) = packet();
        // Further ahead than the clock goes is not now, but some centuries from now. No delay is
        // no timer either: it takes its turn behind those that are ready.
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        let start = delay
            .filter(|delay| !delay.is_zero())
            .and_then(|delay| scheduler.clock.deadline_after(delay.min(century)));
        let green = scheduler.spawn(self.options, start, move || {
            // Captured first, so dropped first where it does not run: links see it gone.
            let f = f;
            completion.run(f);
        })?;
        handle.attach(green);
        Ok(handle)
    }
}

impl Default for Builder {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}
