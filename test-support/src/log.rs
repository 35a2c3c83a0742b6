//! `Log`: a list that green threads append to.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// A list of lines that green threads share; a clone is another handle to it.
pub struct Log<T>(Rc<RefCell<Vec<T>>>);

impl<T> Log<T> {
    /// Creates an empty log.
    #[must_use]
    pub fn new() -> Self {
        Self(Rc::default())
    }

    /// Appends a line.
    pub fn add(&self, line: T) {
        self.0.borrow_mut().push(line);
    }

    /// Takes all lines, leaving the log empty.
    #[must_use]
    pub fn take(&self) -> Vec<T> {
        self.0.take()
    }
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Log<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.borrow().fmt(f)
    }
}
