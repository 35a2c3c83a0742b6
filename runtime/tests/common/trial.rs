//! What the tests of the tools of coordination have in common.

use std::cell::RefCell;
use std::rc::Rc;

use evy_runtime::test;

/// Runs `body` first come, first served, and then in a hundred other orders: its result must not
/// depend on who runs when.
pub(crate) fn in_any_order(body: impl Fn() + Sync) {
    test::virtual_time(&body);
    test::explore_schedules(0..100, body);
}

/// A log that green threads share.
pub(crate) struct Log<T>(Rc<RefCell<Vec<T>>>);

impl<T> Log<T> {
    pub(crate) fn new() -> Self {
        Self(Rc::default())
    }

    pub(crate) fn add(&self, line: T) {
        self.0.borrow_mut().push(line);
    }

    pub(crate) fn take(&self) -> Vec<T> {
        self.0.take()
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}
