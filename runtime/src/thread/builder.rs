//! `Builder`: spawns green threads with a name or a stack size.

use std::io;
use std::panic::Location;
use std::time::Duration;

use super::join_handle::JoinHandle;
use super::scoped::{Scope, ScopedJoinHandle};
use crate::green::{MAX_INLINE_CLOSURE, SpawnSite};
use crate::sched::{self, SpawnOptions};

/// Configures a green thread before it is spawned, like [`std::thread::Builder`].
///
/// # Examples
///
/// ```
/// use evy::thread;
///
/// let deep = thread::Builder::new().name("deep".into()).stack_size(1 << 20).spawn(|| {
///     thread::current().name().map(str::to_owned)
/// })?;
/// assert_eq!(deep.join().unwrap().as_deref(), Some("deep"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder spawns nothing until `spawn` is called"]
pub struct Builder {
    pub(super) options: SpawnOptions,
}

impl Builder {
    /// Creates a builder for a green thread without a name and with the default stack.
    ///
    /// The default stack is 256 KiB of address space, of which only touched pages use memory.
    #[track_caller]
    pub fn new() -> Self {
        Self {
            options: SpawnOptions::new(Location::caller()),
        }
    }

    /// Sets the name, which appears in panic messages and in overflow and deadlock reports, and is
    /// returned by [`Thread::name`](super::Thread::name).
    ///
    /// # Differences from std
    ///
    /// - Any string is allowed, since no system call receives it.
    pub fn name(mut self, name: String) -> Self {
        self.options.name = Some(name.into_boxed_str());
        self
    }

    /// Sets the size of the stack in bytes. It is rounded up to a power of two, and to at least 32
    /// KiB.
    pub fn stack_size(mut self, size: usize) -> Self {
        self.options.stack = self.options.stack.with_size(size);
        self
    }

    /// Gives the green thread a pthread identity of its own.
    ///
    /// All green threads of an OS thread normally share what std and C keep for the current thread.
    /// With an identity of its own, a green thread has its own thread locals, its own
    /// [`std::thread::current`], its own panic count, `errno` and `pthread_self`. So code that relies
    /// on those works as on an OS thread of its own, even if it parks in between.
    ///
    /// Destructors of thread locals run at the end of the green thread, before it is joined.
    ///
    /// std does not know the name of the green thread, so `std::thread::current` has none.
    ///
    /// An identity costs about 50 microseconds and 5 KiB, and is reused together with its stack. An
    /// allocator may add a cache, as for each thread. A switch from and to such a green thread takes
    /// several times as long as one between others.
    ///
    /// # Errors
    ///
    /// [`spawn`](Self::spawn) returns `Unsupported`, with the reason, where identities do not work.
    /// They need Linux with glibc on `x86_64` or aarch64, linked dynamically, and evy's own context
    /// switch. They do not work under sanitizers and valgrind.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// thread_local!(static VISITS: Cell<u32> = const { Cell::new(0) });
    ///
    /// let visit = || {
    ///     evy::yield_now();
    ///     VISITS.set(VISITS.get() + 1);
    ///     VISITS.get()
    /// };
    /// let spawn = || evy::thread::Builder::new().own_identity().spawn(visit);
    /// match (spawn(), spawn()) {
    ///     (Ok(a), Ok(b)) => assert_eq!((a.join().unwrap(), b.join().unwrap()), (1, 1)),
    ///     (Err(error), _) | (_, Err(error)) => println!("{error}"),
    /// }
    /// ```
    pub fn own_identity(mut self) -> Self {
        self.options.stack = self.options.stack.with_identity();
        self
    }

    /// Spawns the green thread. It starts when the caller parks or yields.
    ///
    /// # Differences from std
    ///
    /// - Neither the closure nor its result needs to be `Send`.
    ///
    /// # Errors
    ///
    /// Returns `OutOfMemory`, or the error of the system, if no stack can be allocated.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.spawn_at(Location::caller(), f)
    }

    /// Spawns the green thread like [`spawn`](Self::spawn). Reports name `site` as its spawn site.
    ///
    /// # Errors
    ///
    /// Returns an error as `spawn` does.
    #[inline]
    pub(super) fn spawn_at<F, T>(mut self, site: SpawnSite, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.options.site = site;
        self.start(None, f)
    }

    /// Spawns the green thread as a child of `scope`, like [`Scope::spawn`].
    ///
    /// # Differences from std
    ///
    /// - Neither the closure nor its result needs to be `Send`.
    ///
    /// # Errors
    ///
    /// Returns an error as [`spawn`](Self::spawn) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::thread;
    ///
    /// let mut words = vec!["a", "b"];
    /// thread::scope(|s| {
    ///     let writer = thread::Builder::new().name("writer".into());
    ///     writer.spawn_scoped(s, || words.push("c")).unwrap();
    /// });
    /// assert_eq!(words.len(), 3);
    /// ```
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        mut self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        self.options.site = Location::caller();
        scope.start(self.options, f)
    }

    /// Spawns the green thread, to start after `delay`. See [`spawn_after`](super::spawn_after).
    ///
    /// # Errors
    ///
    /// Returns an error as [`spawn`](Self::spawn) does.
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
        if size_of::<F>() > MAX_INLINE_CLOSURE {
            // A large closure is called where it lies, on the heap. Otherwise each function that
            // passes it on may copy it to the stack of the green thread, which has less room.
            let f: Box<dyn FnOnce() -> T> = Box::new(f);
            return self.start_small(delay, f);
        }
        self.start_small(delay, f)
    }

    #[inline]
    fn start_small<F, T>(self, delay: Option<Duration>, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let scheduler = sched::try_current()?;
        let (job, handle) = JoinHandle::new(f);
        // A delay beyond the range of the clock becomes a century, and not zero. A delay of zero
        // sets no timer: the green thread is queued behind those that are ready.
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        let start = delay
            .filter(|delay| !delay.is_zero())
            .and_then(|delay| scheduler.clock.deadline_after(delay.min(century)));
        let green = scheduler.spawn(self.options, start, move || {
            job.run();
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
