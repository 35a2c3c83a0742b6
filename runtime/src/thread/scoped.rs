//! Green threads that borrow from their spawner's frame.
//!
//! # Why this is sound
//!
//! A scoped closure may hold references of lifetime `'scope`, and is run as if it were `'static`. So
//! no child may run, or be suspended with its frames intact, once `scope` has returned or unwound.
//! That is what `scope` sees to, and it takes all of these:
//!
//! 1. *Closure form.* There is no guard that a program could leak: `scope` is a call, and its frame
//!    is left only when it says so.
//! 2. *Every way out is caught.* The body runs in `catch`, and so does the wait for the
//!    children. A panic, a kill or a timeout that comes through becomes: kill the children, wait
//!    again, throw it on.
//! 3. *The last wait is shielded.* Nothing is thrown into it.
//! 4. *A child counts as gone* when its closure and all that it captured are dropped, which may park
//!    in between; its entry is the last thing to be dropped. Results lie on the heap, and a `ScopedJoinHandle`
//!    cannot outlive `'scope`.
//! 5. *No child is abandoned.* If the OS thread ends while a scope is open, so has its stack: the
//!    scope's frame was left by `process::exit` or not at all. A scope on a green thread that is
//!    abandoned is never continued, so its frame, and what children borrow, stay.
//! 6. *With `panic = "abort"`* nothing unwinds, and only 1 and 4 are needed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::panic::Location;
use std::rc::Rc;

use super::interrupt::kill;
use super::join_error::{JoinError, Result};
use super::join_handle::JoinHandle;
use super::packet::Job;
use super::shield::shield;
use super::thread::Thread;
use super::unwinding::{catch, rethrow};
use super::wait_queue::WaitQueue;
use crate::green::{GreenRef, WaitReason};
use crate::sched::{self, SpawnOptions, unwrap_spawn};

/// The children of one scope.
#[derive(Default)]
struct Children {
    /// Those that are not gone, by number; without a reference while they are being spawned.
    /// ([live-ref]: a child takes its own out.)
    running: RefCell<BTreeMap<u64, Option<GreenRef>>>,
    spawned: Cell<u64>,
    /// How many have panicked without anybody having been told.
    panicked: Cell<usize>,
    all_gone: WaitQueue,
}

impl Children {
    fn wait(&self) {
        while !self.running.borrow().is_empty() {
            self.all_gone.wait(WaitReason::Scope);
        }
    }

    /// Kills one after the other. Each may end others, or spawn more, while it unwinds.
    fn kill(&self) {
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

/// A child's entry; dropped last.
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

/// What a child runs. The order of the fields is the order in which they are dropped if it does not.
struct Body<F, T> {
    job: Job<F, T>,
    child: Child,
}

impl<F: FnOnce() -> T, T> Body<F, T> {
    fn run(self) {
        let Self { job, child } = self;
        if job.run() {
            let panicked = &child.children.panicked;
            panicked.set(panicked.get() + 1);
        }
        drop(child);
    }
}

/// Spawns green threads that may borrow from outside [`scope`]. As [`std::thread::Scope`].
pub struct Scope<'scope, 'env: 'scope> {
    children: Rc<Children>,
    /// Invariant in both: a shorter `'scope` would let a borrow from inside the body in.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f`, which may spawn green threads that borrow from the caller's frame, and parks until all
/// of them have ended. As [`std::thread::scope`].
///
/// If the caller is killed, times out or panics meanwhile, the children are killed first.
///
/// # Panics
///
/// If a child has panicked that was not joined, or whose result was dropped; or as `f` does.
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
            shield(|| {
                children.kill();
                children.wait();
            });
            rethrow(payload)
        }
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a child. Never parks.
    ///
    /// # Panics
    ///
    /// If there is no memory for a stack.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        unwrap_spawn(self.start(SpawnOptions::new(Location::caller()), f))
    }

    fn start<F, T>(
        &'scope self,
        options: SpawnOptions,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
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
        let body = Body { job, child };
        let body: Box<dyn FnOnce() + 'scope> = Box::new(move || body.run());
        // SAFETY: only the lifetime changes. `scope` does not return or unwind before the body is
        // dropped: see the top of this file.
        let body = unsafe {
            mem::transmute::<Box<dyn FnOnce() + 'scope>, Box<dyn FnOnce() + 'static>>(body)
        };
        let green = scheduler.spawn(options, None, body)?;
        handle.attach(green);
        children.running.borrow_mut().insert(number, Some(green));
        Ok(ScopedJoinHandle {
            handle,
            children: Rc::clone(children),
            scope: PhantomData,
        })
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("running", &self.children.running.borrow().len())
            .finish_non_exhaustive()
    }
}

/// The handle of a child. As [`std::thread::ScopedJoinHandle`].
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    children: Rc<Children>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Parks until the child has ended, and returns its result.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if it panicked or was killed.
    ///
    /// # Panics
    ///
    /// If a child joins itself.
    pub fn join(self) -> Result<T> {
        let result = self.handle.join();
        if result.as_ref().is_err_and(JoinError::is_panic) {
            self.children.panicked.set(self.children.panicked.get() - 1);
        }
        result
    }

    /// Whether the child has ended. Never parks.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Kills the child; see [`JoinHandle::kill`].
    ///
    /// # Panics
    ///
    /// A child that kills itself unwinds in here.
    pub fn kill(&self) {
        self.handle.kill();
    }

    /// Who it is. Never parks.
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
