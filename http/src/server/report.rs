//! `OnError`: what becomes of the errors that a server survives, and the request that each is about.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;

use evy_runtime::lowlevel::contain_panic;
use log::{Level, log};

use super::access_log::Escaped;
use super::peer::Peer;
use super::status_error::Answer;

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

    /// Reports an error of the accept loop.
    pub(super) fn report(&self, error: &io::Error) {
        self.report_at(Level::Warn, error);
    }

    /// Reports that the handshake with `peer` has failed, and returns what was reported.
    #[cold]
    pub(super) fn report_handshake(&self, peer: &Peer, error: io::Error) -> io::Error {
        let error = about(peer.shown(), error.into());
        self.report_at(Level::Warn, &error);
        error
    }

    /// Reports what went wrong with the request that began with `line`.
    #[cold]
    pub(super) fn report_request(&self, line: &[u8], source: Box<dyn Error + Send + Sync>) {
        if !self.is_callback() && log::max_level() < Level::Error {
            return;
        }
        let line = format!("\"{}\"", Escaped(line));
        self.report_at(Level::Error, &about(line, source));
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

/// Returns an error about a request or a peer, of the kind of its source.
fn about(subject: String, source: Box<dyn Error + Send + Sync>) -> io::Error {
    let kind = match source.downcast_ref::<io::Error>() {
        Some(error) => error.kind(),
        None => io::ErrorKind::Other,
    };
    io::Error::new(kind, Report { subject, source })
}

/// What went wrong, and with what.
#[derive(Debug)]
struct Report {
    /// The request line, escaped, because reports end up in logs and terminals; or the peer.
    subject: String,
    source: Box<dyn Error + Send + Sync>,
}

/// Shows the causes too. Some errors, such as those of `anyhow`, show only the last context.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.source.to_string();
        write!(f, "{}: {shown}", self.subject)?;
        let mut next = self.source.source();
        while let Some(cause) = next.filter(|cause| !cause.is::<Answer>()) {
            let text = cause.to_string();
            // Many errors mention their cause themselves.
            if !shown.contains(&text) {
                write!(f, ": {text}")?;
            }
            shown = text;
            next = cause.source();
        }
        Ok(())
    }
}

impl Error for Report {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
