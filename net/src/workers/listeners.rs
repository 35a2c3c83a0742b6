//! `WorkerListeners`: the listening sockets of the workers, which outlive each of them.

use std::fmt;
use std::io;
use std::net::{self, Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::system;
use super::worker::Worker;
use crate::accept_error::AcceptError;
use crate::addr::{ToSocketAddrs, each_addr};
use crate::tcp::{BACKLOG, TcpListener};

/// The listening sockets of workers at one address. Returned by
/// [`Workers::listen`](super::Workers::listen).
///
/// It is another handle to the same sockets when it is cloned. They are closed when the workers are
/// stopped, or when nothing uses them any more.
#[derive(Clone)]
pub struct WorkerListeners(Arc<Sockets>);

struct Sockets {
    addr: SocketAddr,
    /// The process that serves with them.
    owner: u32,
    /// A lock of std, because it is never held across a wait.
    state: Mutex<State>,
}

struct State {
    /// One for each worker, or one for all. `None` once it is closed.
    sockets: Vec<Option<net::TcpListener>>,
    /// The number of workers that may still accept.
    accepting: usize,
}

impl WorkerListeners {
    /// Binds `sockets` sockets to one address, for `workers` workers.
    pub(super) fn bind(
        addr: impl ToSocketAddrs,
        sockets: usize,
        workers: usize,
    ) -> io::Result<Self> {
        each_addr(addr, |addr| {
            let first = bind(addr, false)?;
            if sockets > 1 {
                // The first socket has the address for itself. Only then it is shared, so that two
                // programs that are started by mistake do not share their clients.
                system::share_port(&first)?;
            }
            let bound = first.local_addr()?;
            let addr = bound.as_socket().unwrap_or(addr);
            let mut all = vec![first];
            for _ in 1..sockets {
                all.push(bind(addr, true)?);
            }
            for socket in &all {
                socket.listen(BACKLOG)?;
            }
            Ok(Self(Arc::new(Sockets {
                addr,
                owner: std::process::id(),
                state: Mutex::new(State {
                    sockets: all.into_iter().map(|socket| Some(socket.into())).collect(),
                    accepting: workers,
                }),
            })))
        })
    }

    /// Returns the address of the sockets.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// Returns a listener for a worker, which has a descriptor of its own.
    ///
    /// # Errors
    ///
    /// Returns an error if no descriptor is available, and `NotConnected` if the workers were
    /// stopped.
    pub fn on(&self, worker: &Worker) -> io::Result<TcpListener> {
        let state = self.lock();
        let socket = &state.sockets[worker.index() % state.sockets.len()];
        let socket = socket.as_ref().ok_or_else(|| {
            let message = "the workers were stopped, and the listener is closed";
            io::Error::new(io::ErrorKind::NotConnected, message)
        })?;
        TcpListener::from_std(socket.try_clone()?)
    }

    /// Makes all sockets refuse new handshakes.
    pub(super) fn refuse_handshakes(&self) {
        if !self.is_own() {
            return;
        }
        let state = self.lock();
        for socket in state.sockets.iter().flatten() {
            system::refuse_handshakes(socket);
        }
    }

    /// Whether connections wait to be accepted by the worker with this index.
    pub(super) fn has_queued(&self, index: usize) -> bool {
        let state = self.lock();
        let socket = &state.sockets[index % state.sockets.len()];
        socket.as_ref().is_some_and(|socket| {
            let mut polled = [PollFd::new(socket, PollFlags::IN)];
            poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
        })
    }

    /// Closes the socket of the worker with this index, or that of all after the last one. Returns
    /// the number of connections that were still queued.
    pub(super) fn close(&self, index: usize) -> usize {
        let mut state = self.lock();
        state.accepting = state.accepting.saturating_sub(1);
        let is_shared = state.sockets.len() == 1;
        if is_shared && state.accepting > 0 {
            return 0;
        }
        let index = if is_shared { 0 } else { index };
        close(&mut state.sockets[index])
    }

    /// Closes all sockets, and returns the number of connections that were still queued.
    ///
    /// On Linux, the address can be bound again then, even while workers still have a listener.
    /// Those accept nothing more.
    pub fn close_all(&self) -> usize {
        if !self.is_own() {
            return 0;
        }
        self.lock().sockets.iter_mut().map(close).sum()
    }

    /// Whether they are those of this process. In the child of a `fork` they are still those of its
    /// parent, which serves on, and another OS thread of the parent may have held the lock.
    fn is_own(&self) -> bool {
        self.0.owner == std::process::id()
    }

    pub(super) fn downgrade(&self) -> WeakListeners {
        WeakListeners(Arc::downgrade(&self.0))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind(addr: SocketAddr, shares_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shares_port {
        system::share_port(&socket)?;
    }
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Counts what is queued, and closes a socket although a worker may still have a descriptor of it.
fn close(slot: &mut Option<net::TcpListener>) -> usize {
    let Some(socket) = slot.take() else {
        return 0;
    };
    let mut queued = 0;
    loop {
        match socket.accept() {
            Ok(_) => queued += 1,
            Err(error) if AcceptError::of(&error) == AcceptError::Connection => {}
            Err(_) => break,
        }
    }
    // Some systems cannot do that. There the worker's own descriptor keeps the socket open.
    SockRef::from(&socket).shutdown(Shutdown::Both).ok();
    queued
}

impl fmt::Debug for WorkerListeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerListeners")
            .field("addr", &self.0.addr)
            .finish_non_exhaustive()
    }
}

/// The supervisor's reference. It does not keep sockets open that no service uses.
pub(super) struct WeakListeners(Weak<Sockets>);

impl WeakListeners {
    pub(super) fn upgrade(&self) -> Option<WorkerListeners> {
        self.0.upgrade().map(WorkerListeners)
    }
}
