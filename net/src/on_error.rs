//! `OnError`: the callback for errors that a server survives.

use std::fmt;
use std::io;
use std::mem;
use std::rc::Rc;

use evy_runtime::lowlevel::{catch_unwind, resume_unwind};
use evy_runtime::thread::is_kill;

/// The callback for errors that a server survives.
#[derive(Clone)]
pub(crate) struct OnError(Rc<dyn Fn(&io::Error)>);

impl OnError {
    pub(crate) fn new(report: impl Fn(&io::Error) + 'static) -> Self {
        Self(Rc::new(report))
    }

    /// Calls the callback. If it panics, the panic hook reports that, and nothing else is affected.
    pub(crate) fn report(&self, error: &io::Error) {
        match catch_unwind(|| (self.0)(error)) {
            Err(payload) if is_kill(&*payload) => resume_unwind(payload),
            // The destructor of the payload could panic too.
            Err(payload) => mem::forget(payload),
            Ok(()) => {}
        }
    }
}

impl fmt::Debug for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnError")
    }
}
