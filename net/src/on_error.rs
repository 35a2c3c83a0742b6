//! `OnError`: the callback for errors that a server survives.

use std::fmt;
use std::io;
use std::rc::Rc;

use evy_runtime::lowlevel::contain_panic;

/// The callback for errors that a server survives.
#[derive(Clone)]
pub(crate) struct OnError(Rc<dyn Fn(&io::Error)>);

impl OnError {
    pub(crate) fn new(report: impl Fn(&io::Error) + 'static) -> Self {
        Self(Rc::new(report))
    }

    /// Calls the callback. If it panics, the panic hook reports that, and nothing else is affected.
    pub(crate) fn report(&self, error: &io::Error) {
        contain_panic(|| (self.0)(error));
    }
}

impl fmt::Debug for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnError")
    }
}
