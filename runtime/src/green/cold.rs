//! `ColdState`: the state that most green threads never need, such as a name, exit hooks and
//! locals.
//!
//! It is allocated when it is first used, so that the control block stays small.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// An exit hook: a closure to call when the green thread ends.
pub(crate) type ExitHook = Box<dyn FnOnce()>;

/// The payload of a panic, such as the error that a green thread is killed with.
pub(crate) type Payload = Box<dyn Any + Send>;

/// A green local: the id of its key, and its value, which is `None` once it is being dropped.
pub(crate) type Local = (usize, Option<Rc<dyn Any>>);

/// The rarely used state of a green thread.
#[derive(Default)]
pub(crate) struct ColdState {
    pub(crate) name: Option<Box<str>>,
    pub(crate) next_exit_hook: Cell<u64>,
    /// The exit hooks by number, called in this order when the green thread ends.
    pub(crate) on_exit: RefCell<BTreeMap<u64, ExitHook>>,
    /// The payload to unwind with, instead of that of an ordinary kill.
    pub(crate) error: Cell<Option<Payload>>,
    /// The locals, in the order of their first use.
    pub(crate) locals: RefCell<Vec<Local>>,
}

impl ColdState {
    /// Creates the cold state of a green thread with this name.
    #[cold]
    pub(super) fn named(name: Option<Box<str>>) -> Box<Self> {
        Box::new(Self {
            name,
            ..Self::default()
        })
    }

    /// Drops the locals of a green thread that ends, newest first, including those that a
    /// destructor creates.
    ///
    /// A panic in a destructor has been reported by the panic hook. It does not keep the other
    /// locals from being dropped.
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
