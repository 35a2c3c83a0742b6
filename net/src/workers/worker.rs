//! `Worker`: names one of the workers.

use std::fmt;
use std::sync::Arc;

use super::control::Control;
use super::handle::WorkersHandle;

/// One of the OS threads of [`Workers`](super::Workers).
#[derive(Clone)]
pub struct Worker {
    pub(super) control: Arc<Control>,
    index: usize,
}

impl Worker {
    pub(super) const fn new(control: Arc<Control>, index: usize) -> Self {
        Self { control, index }
    }

    /// Returns the index of the worker, from zero. One that replaces another has the same index.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns the number of workers.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.control.threads
    }

    /// Returns the size of the handlers' stacks, if
    /// [`WorkersBuilder::stack_size`](super::WorkersBuilder::stack_size) has set it.
    #[must_use]
    pub fn stack_size(&self) -> Option<usize> {
        self.control.stack_size
    }

    /// Returns a handle that stops all workers.
    #[must_use]
    pub fn handle(&self) -> WorkersHandle {
        WorkersHandle::new(Arc::clone(&self.control))
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
