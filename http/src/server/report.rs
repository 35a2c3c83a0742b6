//! `OnError`: what becomes of the errors that a server survives, and the request that each is about.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;

use evy_runtime::lowlevel::contain_panic;
use log::{Level, log};

use super::access_log::Escaped;

/// The target of the lines in the `log` facade.
const TARGET: &str = "evy::http";

type Callback = Arc<dyn Fn(&io::Error) + Send + Sync>;

/// What becomes of the errors that a server survives: they are given to a callback, or logged if
/// there is none.
#[derive(Clone, Default)]
pub(super) struct OnError(Option<Callback>);

impl OnError {
    pub(super) fn new(report: impl Fn(&io::Error) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(report)))
    }

    pub(super) fn is_callback(&self) -> bool {
        self.0.is_some()
    }

    /// Reports an error of a connection, or of the accept loop.
    pub(super) fn report(&self, error: &io::Error) {
        self.report_at(Level::Warn, error);
    }

    /// Reports what went wrong with the request that began with `line`.
    #[cold]
    pub(super) fn report_request(&self, line: &[u8], source: Box<dyn Error + Send + Sync>) {
        if !self.is_callback() && log::max_level() < Level::Error {
            return;
        }
        let kind = match source.downcast_ref::<io::Error>() {
            Some(error) => error.kind(),
            None => io::ErrorKind::Other,
        };
        let line = Escaped(line).to_string();
        let error = io::Error::new(kind, RequestError { line, source });
        self.report_at(Level::Error, &error);
    }

    /// If the callback or the logger panics, the panic hook reports that, and nothing else is
    /// affected.
    fn report_at(&self, level: Level, error: &io::Error) {
        contain_panic(|| match &self.0 {
            Some(report) => report(error),
            None => log!(target: TARGET, level, "{}", OneLine(error)),
        });
    }
}

/// An error, in which a handler may have put text of a client. That text cannot begin a line of its
/// own, or control a terminal.
struct OneLine<'a>(&'a io::Error);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.to_string().chars() {
            match char.is_control() {
                true => write!(f, "{}", char.escape_default())?,
                false => f.write_char(char)?,
            }
        }
        Ok(())
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
