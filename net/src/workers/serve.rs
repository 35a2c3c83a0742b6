//! `serve_on` and `serve_each`: `Server::serve` on all workers.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use evy_runtime::lowlevel::{WaitQueue, WaitReason};

use super::service::{Service, Serving};
use super::worker::Worker;
use super::{Workers, run_service};
use crate::addr::ToSocketAddrs;
use crate::listener::Listener;
use crate::server::{HandlerResult, Server, ServerHandle};
use crate::tcp::TcpStream;

/// Accepts connections at `addr` on all workers, and runs a handler for each, like
/// [`serve`](crate::serve). Returns the address.
///
/// `make` is called on each worker and returns its handler, which stays there. So a handler may use
/// `Rc`, `Cell` and what else stays on its OS thread. `make` may park, for example to connect to a
/// database.
///
/// The connections are served until the workers are stopped. Each worker handles up to 1000 of them
/// at a time.
///
/// Parks until all workers accept.
///
/// # Errors
///
/// Returns an error as [`Workers::listen`] does, and one if `make` panics. After that, `make` is
/// only called for workers that are replaced. If it fails there, it is called again, after a pause.
pub fn serve_on<A, M, H, R>(workers: &Workers, addr: A, make: M) -> io::Result<SocketAddr>
where
    A: ToSocketAddrs,
    M: Fn() -> H + Send + Sync + 'static,
    H: Fn(TcpStream, SocketAddr) -> R + 'static,
    R: HandlerResult + 'static,
{
    let listeners = workers.listen(addr)?;
    let addr = listeners.local_addr();
    let all = listeners.clone();
    let make = move |worker| Ok((Server::new(), listeners.on(&worker)?, make()));
    // Workers that could serve end later, but the caller may try again at once.
    serve_each(workers, make).inspect_err(|_| {
        all.close_all();
    })?;
    Ok(addr)
}

/// Serves on all workers what `make` returns for each: a server, its listener, and the handler.
///
/// `make` is called on each worker, so that all three may stay there. Listeners from
/// [`Workers::listen`] can be wrapped, for example into those of TLS. Any other listener is stopped
/// without being asked for what is queued in it.
///
/// Parks until all workers accept.
///
/// # Errors
///
/// Returns the first error of `make`, and one if it panics or the workers were stopped. After that,
/// `make` is only called for workers that are replaced, and for those whose listener has failed. If
/// it fails there, it is called again, after a pause.
///
/// # Examples
///
/// Unix sockets on all workers:
///
/// ```
/// use evy::net::{Server, Workers, serve_each};
/// use evy::os::unix::net::{UnixListener, UnixStream};
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// let path = std::env::temp_dir().join(format!("evy-workers-{}", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let workers = Workers::builder().threads(2).start(|_worker| ())?;
/// serve_each(&workers, move |_worker| {
///     let server = Server::new().max_connections(100);
///     let handler = |mut client: UnixStream, _addr| client.write_all(b"hello");
///     Ok((server, listener.try_clone()?, handler))
/// })?;
///
/// let mut text = String::new();
/// UnixStream::connect(&path)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// workers.handle().stop(Duration::from_secs(10));
/// std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn serve_each<M, L, H, R>(workers: &Workers, make: M) -> io::Result<()>
where
    M: Fn(Worker) -> io::Result<(Server, L, H)> + Send + Sync + 'static,
    L: Listener + 'static,
    H: Fn(L::Stream, L::Addr) -> R + 'static,
    R: HandlerResult + 'static,
{
    let connections = Arc::default();
    run_service(workers, NetService { make, connections })
}

/// Serves what `make` returns.
struct NetService<M> {
    make: M,
    connections: Arc<AtomicUsize>,
}

impl<M, L, H, R> Service for NetService<M>
where
    M: Fn(Worker) -> io::Result<(Server, L, H)> + Send + Sync + 'static,
    L: Listener + 'static,
    H: Fn(L::Stream, L::Addr) -> R + 'static,
    R: HandlerResult + 'static,
{
    fn prepare(&self, worker: Worker) -> io::Result<Rc<dyn Serving>> {
        let stack_size = worker.stack_size();
        let (server, listener, handler) = (self.make)(worker)?;
        let server = server.or_stack_size(stack_size);
        Ok(Rc::new(NetServing {
            handle: server.handle(),
            parts: RefCell::new(Some((server, listener, handler))),
            counts: Rc::new(Counts {
                own: Cell::new(0),
                total: Arc::clone(&self.connections),
                changed: WaitQueue::new(),
            }),
        }))
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

struct NetServing<L, H> {
    handle: ServerHandle,
    /// What serves, until it does.
    parts: RefCell<Option<(Server, L, H)>>,
    counts: Rc<Counts>,
}

impl<L, H, R> Serving for NetServing<L, H>
where
    L: Listener,
    H: Fn(L::Stream, L::Addr) -> R + 'static,
    R: HandlerResult + 'static,
{
    fn serve(&self) -> io::Result<()> {
        let Some((server, listener, handler)) = self.parts.take() else {
            return Ok(());
        };
        let listener = Counted {
            listener,
            counts: Rc::clone(&self.counts),
        };
        server.serve(listener, move |stream, CountedAddr { addr, connection }| {
            let result = handler(stream, addr);
            drop(connection);
            result
        })?;
        while self.counts.own.get() > 0 {
            let reason = WaitReason::Other("the connections of its server to end");
            self.counts.changed.wait(reason);
        }
        Ok(())
    }

    fn stop(&self, _deadline: Option<Instant>) {
        self.handle.stop();
    }
}

/// Counts the connections that a worker has accepted for one service.
struct Counts {
    own: Cell<usize>,
    /// Those of all workers.
    total: Arc<AtomicUsize>,
    /// The wait for the connections to end.
    changed: WaitQueue,
}

/// A listener that counts its connections.
struct Counted<L> {
    listener: L,
    counts: Rc<Counts>,
}

impl<L: Listener> Listener for Counted<L> {
    type Stream = L::Stream;
    type Addr = CountedAddr<L::Addr>;

    fn accept(&self) -> io::Result<(Self::Stream, Self::Addr)> {
        let (stream, addr) = self.listener.accept()?;
        let connection = Rc::new(CountedConnection::new(Rc::clone(&self.counts)));
        Ok((stream, CountedAddr { addr, connection }))
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The address of a connection that is counted until the address is dropped, because it exists as
/// long as the connection, also during the handshake.
#[derive(Clone, Debug)]
struct CountedAddr<A> {
    addr: A,
    connection: Rc<CountedConnection>,
}

struct CountedConnection(Rc<Counts>);

impl CountedConnection {
    fn new(counts: Rc<Counts>) -> Self {
        counts.own.set(counts.own.get() + 1);
        counts.total.fetch_add(1, Ordering::Relaxed);
        Self(counts)
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.own.set(self.0.own.get() - 1);
        self.0.total.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.wake_all();
    }
}

impl std::fmt::Debug for CountedConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CountedConnection")
    }
}
