//! `OnError`: the callback for errors that a server survives, and the request that each is about.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use evy_runtime::lowlevel::contain_panic;

use super::access_log::Escaped;

/// The callback for errors that a server survives.
#[derive(Clone)]
pub(super) struct OnError(Arc<dyn Fn(&io::Error) + Send + Sync>);

impl OnError {
    pub(super) fn new(report: impl Fn(&io::Error) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// Calls the callback. If it panics, the panic hook reports that, and nothing else is affected.
    pub(super) fn report(&self, error: &io::Error) {
        contain_panic(|| (self.0)(error));
    }

    /// Reports what went wrong with the request that began with `line`.
    #[cold]
    pub(super) fn report_request(&self, line: &[u8], source: Box<dyn Error + Send + Sync>) {
        let kind = match source.downcast_ref::<io::Error>() {
            Some(error) => error.kind(),
            None => io::ErrorKind::Other,
        };
        let line = Escaped(line).to_string();
        self.report(&io::Error::new(kind, RequestError { line, source }));
    }
}

impl fmt::Debug for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnError")
    }
}

/// What went wrong with a request.
#[derive(Debug)]
struct RequestError {
    /// Escaped, because reports end up in logs and terminals.
    line: String,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}", self.line, self.source)
    }
}

impl Error for RequestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
