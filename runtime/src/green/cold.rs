//! What most green threads never have: a name, calls at the end, locals. Allocated when first used,
//! so that the control block stays small.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// A closure to call when the green thread ends, and the number under which it can be taken back.
pub(crate) type ExitHook = (u64, Box<dyn FnOnce()>);

/// What a green thread is killed with, in place of an ordinary kill.
pub(crate) type Payload = Box<dyn Any + Send>;

/// A green local: which, and its value; `None` once it is being dropped.
pub(crate) type Local = (usize, Option<Rc<dyn Any>>);

#[derive(Default)]
pub(crate) struct ColdState {
    pub(crate) name: Option<Box<str>>,
    pub(crate) next_exit_hook: Cell<u64>,
    /// Called in order when it ends.
    pub(crate) on_exit: RefCell<VecDeque<ExitHook>>,
    pub(crate) error: Cell<Option<Payload>>,
    /// In the order of their first use.
    pub(crate) locals: RefCell<Vec<Local>>,
}

impl ColdState {
    #[cold]
    pub(super) fn named(name: Option<Box<str>>) -> Box<Self> {
        Box::new(Self {
            name,
            ..Self::default()
        })
    }

    /// Drops the locals of a green thread that ends, newest first, also those that a destructor
    /// makes. A panic of a destructor has been reported by the hook, and costs the others nothing.
    pub(crate) fn drop_locals(&self) {
        let newest = || {
            let mut locals = self.locals.borrow_mut();
            let live = |local: &&mut Local| local.1.is_some();
            let (_, value) = locals.iter_mut().rev().find(live)?;
            value.take()
        };
        while let Some(value) = newest() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                std::mem::forget(payload);
            }
        }
    }
}
