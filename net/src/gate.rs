//! A gate that lets so many through at a time.

use std::cell::Cell;
use std::rc::Rc;

use evy_runtime::lowlevel::{WaitQueue, WaitReason};

/// Shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Rc<State>);

#[derive(Debug)]
struct State {
    free: Cell<usize>,
    waiting: WaitQueue,
}

impl Gate {
    pub(crate) fn new(passes: usize) -> Self {
        Self(Rc::new(State {
            free: Cell::new(passes),
            waiting: WaitQueue::new(),
        }))
    }

    /// Parks until there is a pass. First come, first served.
    pub(crate) fn enter(&self) -> Pass {
        let state = &self.0;
        match state.free.get() {
            0 => {
                let reason = WaitReason::Other("a connection of its server to end");
                state
                    .waiting
                    .wait_or_else(reason, None, || state.give_back());
            }
            free => state.free.set(free - 1),
        }
        Pass(self.clone())
    }
}

impl State {
    /// A pass goes to whoever waits, or back to the heap.
    fn give_back(&self) {
        if !self.waiting.wake_one() {
            self.free.set(self.free.get() + 1);
        }
    }
}

/// Given back when dropped.
#[derive(Debug)]
pub(crate) struct Pass(Gate);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.0.give_back();
    }
}
