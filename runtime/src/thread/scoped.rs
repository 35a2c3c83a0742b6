//! `scope`: green threads that borrow from the frame of their spawner.
//!
//! # Why this is sound
//!
//! A scoped closure may hold references of lifetime `'scope`, and runs as if it were `'static`.
//! Once `scope` has returned or unwound, therefore, no child may run, or be suspended with its
//! frames intact. `scope` ensures that by all of the following:
//!
//! 1. *Closure form.* There is no guard that a program could leak. `scope` is a call, and only
//!    `scope` itself decides when its frame is left.
//! 2. *Every exit is caught.* The body runs in `catch`, and so does the wait for the children. If a
//!    panic, a kill or a timeout arrives there, `scope` kills the children, waits again, and
//!    rethrows.
//! 3. *The last wait does not unwind.* A shield defers kills and timeouts, so that they are not
//!    thrown into it. If anything else unwinds from it, for example a panic of the scheduler, the
//!    process is aborted.
//! 4. *A child counts as gone* only when its closure and all captures have been dropped. Their
//!    destructors may park. The child's entry is dropped last. Results lie on the heap. One that
//!    borrows has a type that cannot outlive `'scope`, and neither can a handle that owns it.
//! 5. *No child is abandoned* while its scope can continue. An OS thread may end while a scope is
//!    open on its own stack. Then that stack has ended too: the frame of the scope was left by
//!    `process::exit`, or not at all. A scope on an abandoned green thread never continues. So its
//!    frame stays, and everything that the children borrow stays too.
//! 6. *With `panic = "abort"`* nothing unwinds, and only 1 and 4 are needed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::mem;
use std::panic::{Location, RefUnwindSafe};
use std::process;
use std::rc::Rc;

use super::interrupt::kill;
use super::join_error::{JoinError, Result};
use super::join_handle::JoinHandle;
use super::packet::Job;
use super::shield::shield;
use super::thread::Thread;
use super::unwinding::{catch, rethrow};
use super::wait_queue::WaitQueue;
use crate::green::{GreenRef, MAX_INLINE_CLOSURE, SpawnSite, StaysOnItsOsThread, WaitReason};
use crate::sched::{self, SpawnOptions, unwrap_spawn};

/// The children of one scope.
#[derive(Default)]
struct Children {
    /// The children that are not gone, by number. A child that is being spawned has no reference
    /// yet. ([live-ref]: a child removes its own entry.)
    running: RefCell<BTreeMap<u64, Option<GreenRef>>>,
    spawned: Cell<u64>,
    /// The scope unwinds. Children that are spawned from now on are killed before they start.
    dying: Cell<bool>,
    /// The number of panics that no `join` has returned.
    panicked: Cell<usize>,
    all_gone: WaitQueue,
}

impl Children {
    fn wait(&self) {
        while !self.running.borrow().is_empty() {
            self.all_gone.wait(WaitReason::Scope);
        }
    }

    /// Kills the children one after the other, and those that they spawn from now on. Each may end
    /// others or spawn more while it unwinds.
    fn kill(&self) {
        self.dying.set(true);
        let mut last = 0;
        loop {
            let next = self
                .running
                .borrow()
                .range(last + 1..)
                .next()
                .map(|(n, green)| (*n, *green));
            let Some((number, green)) = next else { return };
            last = number;
            if let Some(green) = green {
                kill(green, None);
            }
        }
    }
}

/// The entry of a child. Dropped last.
struct Child {
    children: Rc<Children>,
    number: u64,
}

impl Drop for Child {
    fn drop(&mut self) {
        let mut running = self.children.running.borrow_mut();
        running.remove(&self.number);
        if running.is_empty() {
            self.children.all_gone.wake_all();
        }
    }
}

/// The closure that a child runs. If it does not run, the fields are dropped in this order.
struct Body<F, T> {
    job: Job<F, T>,
    /// Whether a panic of the child is one of the scope, unless it is joined.
    counts_panic: bool,
    child: Child,
}

impl<F: FnOnce() -> T, T> Body<F, T> {
    fn run(self) {
        let Self {
            job,
            counts_panic,
            child,
        } = self;
        if job.run() && counts_panic {
            let panicked = &child.children.panicked;
            panicked.set(panicked.get() + 1);
        }
        drop(child);
    }
}

/// Spawns green threads that may borrow from outside of [`scope`], like [`std::thread::Scope`].
pub struct Scope<'scope, 'env: 'scope> {
    owner: PhantomData<*const StaysOnItsOsThread>,
    children: Rc<Children>,
    /// Invariant in both lifetimes. With a shorter `'scope`, a child could borrow from inside the
    /// body.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f`, which may spawn green threads that borrow from the caller's frame, and waits for all
/// of them. Like [`std::thread::scope`].
///
/// Parks until all children have finished.
///
/// # Differences from std
///
/// - If the caller is killed, times out or panics meanwhile, the children are killed first.
///
/// # Panics
///
/// Panics if a child panicked and no [`join`](ScopedJoinHandle::join) has returned its panic, or if
/// `f` panics. Panics on the root green thread if a deadlock is detected.
///
/// # Examples
///
/// ```
/// let mut words = vec!["a", "b"];
/// let mut count = 0;
/// evy::scope(|s| {
///     s.spawn(|| count += words.len());
///     s.spawn(|| println!("{words:?}"));
/// });
/// words.push("c");
/// assert_eq!(count, 2);
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let children = Rc::new(Children::default());
    let scope = Scope {
        owner: PhantomData,
        children: Rc::clone(&children),
        scope: PhantomData,
        env: PhantomData,
    };
    let outcome = catch(|| {
        let value = f(&scope);
        children.wait();
        value
    });
    match outcome {
        Ok(value) => {
            assert!(
                children.panicked.get() == 0,
                "a scoped green thread panicked"
            );
            value
        }
        Err(payload) => {
            let abort = AbortOnUnwind;
            shield(|| {
                children.kill();
                children.wait();
            });
            mem::forget(abort);
            rethrow(payload)
        }
    }
}

/// Aborts the process when dropped, because the children of a scope would outlive what they borrow.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        let message = "evy: a panic in the last wait of a scope with live green threads";
        writeln!(io::stderr(), "{message}").ok();
        process::abort();
    }
}

// The cells of a scope are changed by `scope` and by its children's ends, never by a closure that
// unwinds in the middle.
impl RefUnwindSafe for Scope<'_, '_> {}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a child of the scope.
    ///
    /// While the scope unwinds, it kills its children, and a child that is spawned then is killed
    /// before it starts.
    ///
    /// # Panics
    ///
    /// Panics if no stack can be allocated.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        unwrap_spawn(self.start(SpawnOptions::new(Location::caller()), f))
    }

    pub(super) fn start<F, T>(
        &'scope self,
        options: SpawnOptions,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        Ok(ScopedJoinHandle {
            handle: self.start_child(options, true, f)?,
            children: Rc::clone(&self.children),
            scope: PhantomData,
        })
    }

    /// Spawns a child like [`spawn`](Self::spawn), at `site`. Only its handle learns of its panic.
    pub(crate) fn spawn_at<F, T>(&'scope self, site: SpawnSite, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        unwrap_spawn(self.start_child(SpawnOptions::new(site), false, f))
    }

    fn start_child<F, T>(
        &'scope self,
        options: SpawnOptions,
        counts_panic: bool,
        f: F,
    ) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        if size_of::<F>() > MAX_INLINE_CLOSURE {
            // As in `Builder::start`.
            let f: Box<dyn FnOnce() -> T + 'scope> = Box::new(f);
            return self.start_child(options, counts_panic, f);
        }
        let scheduler = sched::try_current()?;
        let children = &self.children;
        let number = children.spawned.get() + 1;
        children.spawned.set(number);
        children.running.borrow_mut().insert(number, None);
        let child = Child {
            children: Rc::clone(children),
            number,
        };
        let (job, handle) = JoinHandle::new(f);
        let body = Body {
            job,
            counts_panic,
            child,
        };
        let body: Box<dyn FnOnce() + 'scope> = Box::new(move || body.run());
        // SAFETY: only the lifetime changes. `scope` neither returns nor unwinds before the body is
        // dropped; see the top of this file.
        let body = unsafe {
            mem::transmute::<Box<dyn FnOnce() + 'scope>, Box<dyn FnOnce() + 'static>>(body)
        };
        let green = scheduler.spawn(options, None, body)?;
        handle.attach(green);
        if children.dying.get() {
            // It is dropped at its turn, without having run.
            green.killed.set(true);
            green.update_interrupt_pending();
        }
        children.running.borrow_mut().insert(number, Some(green));
        Ok(handle)
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("running", &self.children.running.borrow().len())
            .finish_non_exhaustive()
    }
}

/// An owned permission to join or kill a scoped green thread, like
/// [`std::thread::ScopedJoinHandle`].
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    children: Rc<Children>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the child to finish and returns its result.
    ///
    /// Parks until the child has finished.
    ///
    /// # Errors
    ///
    /// Returns a [`JoinError`] if the child panicked or was killed.
    ///
    /// # Panics
    ///
    /// Panics if a child joins itself, and on the root green thread if a deadlock is detected.
    pub fn join(self) -> Result<T> {
        let result = self.handle.join();
        if result.as_ref().is_err_and(JoinError::is_panic) {
            self.children.panicked.set(self.children.panicked.get() - 1);
        }
        result
    }

    /// Returns `true` if the child has finished.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Kills the child, like [`JoinHandle::kill`].
    ///
    /// # Panics
    ///
    /// A child that kills itself unwinds from here.
    pub fn kill(&self) {
        self.handle.kill();
    }

    /// Returns the [`Thread`] handle of the child.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.handle.thread()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}
