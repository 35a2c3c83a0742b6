//! `Admission`: a listener that makes room for each connection that it accepts.

use std::any::Any;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evy_net::{Listener, Stream, TcpStream};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Resource, getrlimit};

use super::registry::{ConnectionGuard, Registry};

/// The maximum number of descriptors for which the table is prepared: 80 KB of the system's memory.
const MAX_TABLE: usize = 10_000;

/// A listener that registers each connection, and closes old ones if there are too many.
pub(super) struct Admission<L> {
    pub(super) listener: L,
    pub(super) registry: Rc<Registry>,
}

impl<L: Listener> Listener for Admission<L> {
    type Stream = Admitted<L::Stream>;
    type Addr = L::Addr;

    fn accept(&self) -> io::Result<(Self::Stream, Self::Addr)> {
        loop {
            match self.listener.accept() {
                Ok((stream, addr)) => {
                    let guard = self.registry.add();
                    self.registry.make_room();
                    return Ok((Admitted { stream, guard }, addr));
                }
                // Another connection gives way.
                Err(error) if is_out_of_descriptors(&error) && self.registry.close_oldest() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let full = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    full.contains(&error.raw_os_error())
}

/// Returns the number of connections that the limit of descriptors allows. A tenth of them is left
/// for what handlers open.
pub(super) fn max_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.map_or(usize::MAX, |limit| {
        (limit - limit / 10).saturating_sub(16).max(1)
    })
}

/// Makes room for `connections` in the table of descriptors, and at most for [`MAX_TABLE`].
///
/// The system doubles the table whenever it is full. If the process has several OS threads, that
/// takes 15 ms, and on a busy machine up to a second, during which `accept` does not return.
pub(super) fn grow_descriptor_table(connections: usize) {
    let last = connections.min(MAX_TABLE) as RawFd;
    // It only affects the speed. The duplicate is closed at once.
    fcntl_dupfd_cloexec(io::stderr(), last).ok();
}

/// A connection that was accepted. Its handshake is left to its own green thread, which has
/// registered itself by then.
pub(super) struct Admitted<S> {
    pub(super) stream: S,
    pub(super) guard: ConnectionGuard,
}

/// Makes small writes leave at once, where the transport is TCP.
pub(super) fn set_nodelay<S: Stream>(stream: &S) {
    if let Some(tcp) = (stream as &dyn Any).downcast_ref::<TcpStream>() {
        // It only affects the speed.
        tcp.set_nodelay(true).ok();
    }
}

impl<S: Read> Read for Admitted<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.stream.read_vectored(bufs)
    }
}

impl<S: Write> Write for Admitted<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<S: Stream> Stream for Admitted<S> {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn wait_readable(&mut self) -> io::Result<()> {
        self.stream.wait_readable()
    }

    fn close_write(&mut self) -> io::Result<()> {
        self.stream.close_write()
    }

    fn reset(&mut self) {
        self.stream.reset();
    }

    fn info(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.stream.info()
    }
}
