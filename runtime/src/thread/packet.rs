//! The packet: state shared by a green thread and its `JoinHandle`.
//!
//! It lies on the heap, because a result must outlive the stack that it was computed on.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use super::interrupt;
use super::join_error::{JoinError, Result};
use super::thread::Thread;
use super::unwinding::catch;
use super::wait_queue::WaitQueue;
use crate::green::{GreenRef, Identity};
use crate::sched;

/// The result of a green thread, and the green threads that wait for it.
pub(super) struct Packet<T> {
    pub(super) result: Cell<Option<Result<T>>>,
    pub(super) stage: Cell<Stage>,
    /// `None` once the green thread has ended. ([live-ref] 4)
    pub(super) green: Cell<Option<GreenRef>>,
    pub(super) identity: Cell<Option<Identity>>,
    /// Created when requested, or when a green thread with a name ends, because its name would be
    /// lost.
    pub(super) thread: OnceCell<Thread>,
    pub(super) joiners: WaitQueue,
}

/// The progress of a green thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Running,
    /// The result is stored, and the exit hooks are running.
    RunningExitHooks,
    Finished,
}

impl<T> Packet<T> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            result: Cell::new(None),
            stage: Cell::new(Stage::Running),
            green: Cell::new(None),
            identity: Cell::new(None),
            thread: OnceCell::new(),
            joiners: WaitQueue::new(),
        })
    }

    /// Whether the packet belongs to the running green thread.
    pub(super) fn is_own(&self) -> bool {
        let running = sched::if_current().map(sched::Scheduler::running);
        running.is_some() && running == self.green.get()
    }
}

/// The start function of a green thread with a `JoinHandle`.
///
/// It may be dropped without having run, because the green thread was killed before it started. The
/// fields are then dropped in this order, so exit hooks find the closure and its captures gone.
pub(super) struct Job<F, T> {
    pub(super) f: F,
    pub(super) completion: Completion<T>,
}

impl<F: FnOnce() -> T, T> Job<F, T> {
    /// Runs the closure and stores its result. Returns `true` if it panicked.
    pub(super) fn run(self) -> bool {
        self.completion.run(self.f)
    }
}

/// The green thread's end of a packet. However it is dropped, there is a result afterwards.
pub(super) struct Completion<T>(Rc<Packet<T>>);

impl<T> Completion<T> {
    pub(super) fn new(packet: Rc<Packet<T>>) -> Self {
        Self(packet)
    }

    /// Runs `f` and stores its result. Returns `true` if it panicked.
    #[inline]
    fn run(self, f: impl FnOnce() -> T) -> bool {
        let result = catch(f).map_err(|payload| {
            if interrupt::is_kill(&*payload) {
                JoinError::killed()
            } else {
                JoinError::panicked(payload)
            }
        });
        let panicked = result.as_ref().is_err_and(JoinError::is_panic);
        self.0.result.set(Some(result));
        // Locals are dropped before any joiner continues, as in std.
        if let Some(green) = self.0.green.get() {
            green.drop_locals();
        }
        panicked
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        let packet = &self.0;
        let green = packet.green.get();
        // There is no result if the closure has not run: the green thread was killed before it
        // started.
        let error = || {
            let cold = green.as_ref().and_then(|green| green.cold());
            match cold.and_then(|cold| cold.error.take()) {
                Some(error) => JoinError::panicked(error),
                None => JoinError::killed(),
            }
        };
        let result = packet.result.take().unwrap_or_else(|| Err(error()));
        packet.result.set(Some(result));
        // There is no green thread if no stack could be allocated for it.
        if let Some(green) = green {
            packet.stage.set(Stage::RunningExitHooks);
            if green.cold().is_some() {
                sched::run_exit_hooks(green);
            }
            if green.pthread.get().is_some() {
                if Rc::strong_count(packet) == 1 {
                    // No handle will take the result, and its destructor may use thread locals.
                    packet.result.set(None);
                }
                // Last, because std's thread is at an end then.
                sched::drop_thread_locals(green);
            }
            if Rc::strong_count(packet) > 1 && green.name().is_some() {
                packet
                    .thread
                    .get_or_init(|| Thread::new(sched::current().remote_handle(green)));
            }
            packet.green.set(None);
        }
        packet.stage.set(Stage::Finished);
        packet.joiners.wake_all();
    }
}
