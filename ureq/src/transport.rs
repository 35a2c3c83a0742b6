//! `StreamTransport`: a stream of evy as a transport of ureq.

use std::fmt::Debug;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};

use evy_net::Duplex;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};

use crate::deadline::Deadline;

/// A stream of evy as a transport of ureq: what a connector that opens sockets of its own returns.
///
/// # Examples
///
/// Requests to a server behind a Unix socket:
///
/// ```
/// use evy::os::unix::net::{UnixListener, UnixStream};
/// use evy::ureq::ureq::unversioned::transport::{ConnectionDetails, Connector};
/// use evy::ureq::ureq::{Agent, Error};
/// use evy::ureq::{DnsResolver, StreamTransport};
///
/// #[derive(Debug)]
/// struct UnixConnector(std::path::PathBuf);
///
/// impl Connector for UnixConnector {
///     type Out = StreamTransport<UnixStream>;
///
///     fn connect(
///         &self,
///         details: &ConnectionDetails<'_>,
///         _: Option<()>,
///     ) -> Result<Option<Self::Out>, Error> {
///         let stream = UnixStream::connect(&self.0)?;
///         StreamTransport::new(stream, details).map(Some)
///     }
/// }
///
/// # let folder = std::env::temp_dir().join(format!("evy-ureq-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("socket");
/// let listener = UnixListener::bind(&path)?;
/// evy::spawn_n(move || evy::http::serve(listener, |_| "hello").unwrap());
///
/// let agent = Agent::with_parts(Default::default(), UnixConnector(path), DnsResolver::new());
/// let page = agent.get("http://127.0.0.1/").call()?.body_mut().read_to_string()?;
/// assert_eq!(page, "hello");
/// # evy::shutdown(std::time::Duration::ZERO);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StreamTransport<S> {
    stream: S,
    buffers: LazyBuffers,
    /// The agent has a weak reference to it.
    _shutdown: Arc<ShutdownSocket<S>>,
}

impl<S> StreamTransport<S>
where
    S: Duplex + AsFd + Debug + Send + Sync,
{
    /// Creates a transport, which `ureq::Agent::shutdown` ends, and which has buffers of the sizes
    /// that the configuration of the request sets.
    ///
    /// # Errors
    ///
    /// Returns the error of the stream, and an error if the agent has been shut down.
    pub fn new(stream: S, details: &ConnectionDetails<'_>) -> Result<Self, Error> {
        let config = details.config;
        let shutdown = Arc::new(ShutdownSocket(stream.try_clone()?));
        let weak = Arc::downgrade(&shutdown);
        (details.register_shutdown)(weak as Weak<dyn ShutdownHandle>)?;
        Ok(Self {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            _shutdown: shutdown,
        })
    }
}

impl<S> Transport for StreamTransport<S>
where
    S: Duplex + AsFd + Debug + Send + Sync,
{
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let deadline = Deadline::after(timeout.for_write());
        let mut output = &self.buffers.output()[..amount];
        // Each write gets only the time that is left, so that a peer that takes a few bytes at a
        // time gains none.
        while !output.is_empty() {
            self.stream.set_write_timeout(deadline.left()?)?;
            match self.stream.write(output) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => output = &output[written..],
                Err(error) => return Err(deadline.error(error)),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let deadline = Deadline::after(timeout.for_read());
        self.stream.set_read_timeout(deadline.left()?)?;
        let input = self.buffers.input_append_buf();
        let read = self.stream.read(input).map_err(|e| deadline.error(e))?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    /// Whether there is neither input nor the end of the stream.
    ///
    /// ureq holds the lock of its pool meanwhile, so this must not park, nor yield because a budget
    /// is spent: another green thread could wait for the lock, and block the OS thread. The system
    /// call is therefore made directly.
    fn is_open(&mut self) -> bool {
        let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        rustix::net::recv(&self.stream, &mut [0], peek).is_err_and(|e| e == Errno::WOULDBLOCK)
    }
}

/// Ends a connection from any OS thread. Operations on it return then.
#[derive(Debug)]
struct ShutdownSocket<S>(S);

impl<S: AsFd + Send + Sync> ShutdownHandle for ShutdownSocket<S> {
    fn shutdown(&self) {
        // If that fails, the connection is gone already.
        rustix::net::shutdown(&self.0, Shutdown::Both).ok();
    }
}
