//! Serving on [`Workers`]: one call of `serve` on each, which the workers stop in order.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use evy_net::{Listener, Service, Serving, ToSocketAddrs, Worker, Workers, run_service};
use http::Request;

use super::control::ServingGuard;
use super::into_response::IntoResponse;
use super::{Server, ServerBuilder};
use crate::body::Body;

/// Serves HTTP at `addr` on all workers. The same as [`Server::serve_on`] with default settings.
///
/// Parks until all workers accept.
///
/// # Errors
///
/// Returns an error as [`Server::serve_on`] does.
///
/// # Examples
///
/// ```
/// use evy::http;
/// use evy::net::Workers;
/// use std::time::Duration;
///
/// let workers = Workers::builder().threads(2).start(|_worker| ())?;
/// let addr = http::serve_on(&workers, "127.0.0.1:0", || |_request| "hello")?;
///
/// let page = http::get(&format!("http://{addr}/"))?.into_body().into_text()?;
/// assert_eq!(page, "hello");
/// let stopped = workers.handle().stop(Duration::from_secs(10));
/// assert_eq!(stopped.left, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn serve_on<A, M, H, R>(workers: &Workers, addr: A, make: M) -> io::Result<SocketAddr>
where
    A: ToSocketAddrs,
    M: Fn() -> H + Send + Sync + 'static,
    H: Fn(Request<Body>) -> R + 'static,
    R: IntoResponse + 'static,
{
    Server::default().serve_on(workers, addr, make)
}

impl Server {
    /// Accepts connections at `addr` on all workers, and answers each request with what the
    /// worker's handler returns. Returns the address.
    ///
    /// `make` is called on each worker and returns its handler, which stays there. So a handler may
    /// use `Rc`, `Cell` and what else stays on its OS thread.
    ///
    /// The server runs until the workers are stopped, or until its own [`handle`](Self::handle)
    /// stops it, which also counts its connections and requests on all workers. The limit of
    /// connections applies to each worker. They share the limit of descriptors.
    ///
    /// Parks until all workers accept.
    ///
    /// # Errors
    ///
    /// Returns the error of the listener, as [`Workers::listen`] does, and one if `make` panics.
    /// After that, `make` is only called for workers that are replaced. If it fails there, it is
    /// called again, after a pause.
    pub fn serve_on<A, M, H, R>(
        &self,
        workers: &Workers,
        addr: A,
        make: M,
    ) -> io::Result<SocketAddr>
    where
        A: ToSocketAddrs,
        M: Fn() -> H + Send + Sync + 'static,
        H: Fn(Request<Body>) -> R + 'static,
        R: IntoResponse + 'static,
    {
        let listeners = workers.listen(addr)?;
        let addr = listeners.local_addr();
        let all = listeners.clone();
        let served = self.serve_each(workers, move |worker| Ok((listeners.on(&worker)?, make())));
        // Workers that could serve end later, but the caller may try again at once.
        served.inspect_err(|_| {
            all.close_all();
        })?;
        Ok(addr)
    }

    /// Serves on all workers with the listener and the handler that `make` returns for each.
    ///
    /// `make` is called on each worker, so that both may stay there. Listeners from
    /// [`Workers::listen`] can be wrapped, for example into those of TLS.
    ///
    /// Parks until all workers accept.
    ///
    /// # Errors
    ///
    /// Returns the first error of `make`, and one if it panics or the workers were stopped. After
    /// that, `make` is only called for workers that are replaced, and for those whose listener has
    /// failed. If it fails there, it is called again, after a pause.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::http::Server;
    /// use evy::net::Workers;
    /// use std::time::Duration;
    ///
    /// let workers = Workers::builder().threads(2).start(|_worker| ())?;
    /// let listeners = workers.listen("127.0.0.1:0")?;
    /// Server::default().serve_each(&workers, move |worker| {
    ///     // For HTTPS: `tls::Listener::new(listeners.on(&worker)?, acceptor.clone())`.
    ///     let listener = listeners.on(&worker)?;
    ///     let handler = move |_request| format!("hello from worker {}", worker.index());
    ///     Ok((listener, handler))
    /// })?;
    /// workers.handle().stop(Duration::from_secs(10));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn serve_each<M, L, H, R>(&self, workers: &Workers, make: M) -> io::Result<()>
    where
        M: Fn(Worker) -> io::Result<(L, H)> + Send + Sync + 'static,
        L: Listener<Addr: Send + Sync> + 'static,
        H: Fn(Request<Body>) -> R + 'static,
        R: IntoResponse + 'static,
    {
        let server = self.clone();
        run_service(workers, HttpService { server, make })
    }
}

impl ServerBuilder {
    /// Builds the server and serves on all workers, like [`Server::serve_on`].
    ///
    /// Parks until all workers accept.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Server::serve_on`] does.
    pub fn serve_on<A, M, H, R>(self, workers: &Workers, addr: A, make: M) -> io::Result<SocketAddr>
    where
        A: ToSocketAddrs,
        M: Fn() -> H + Send + Sync + 'static,
        H: Fn(Request<Body>) -> R + 'static,
        R: IntoResponse + 'static,
    {
        self.0.serve_on(workers, addr, make)
    }
}

/// A server on all workers.
struct HttpService<M> {
    server: Server,
    make: M,
}

impl<M, L, H, R> Service for HttpService<M>
where
    M: Fn(Worker) -> io::Result<(L, H)> + Send + Sync + 'static,
    L: Listener<Addr: Send + Sync> + 'static,
    H: Fn(Request<Body>) -> R + 'static,
    R: IntoResponse + 'static,
{
    fn prepare(&self, worker: Worker) -> io::Result<Rc<dyn Serving>> {
        let workers = worker.threads();
        let mut server = self.server.clone();
        server.stack_size = server.stack_size.or(worker.stack_size());
        let parts = (self.make)(worker)?;
        Ok(Rc::new(HttpServing {
            server,
            workers,
            parts: RefCell::new(Some(parts)),
            serving: self.server.control.begin(),
        }))
    }

    fn connections(&self) -> usize {
        self.server.handle().connections()
    }
}

/// A server on one worker.
struct HttpServing<L, H> {
    server: Server,
    workers: usize,
    /// The listener and the handler, until it serves.
    parts: RefCell<Option<(L, H)>>,
    serving: ServingGuard,
}

impl<L, H, R> Serving for HttpServing<L, H>
where
    L: Listener<Addr: Send + Sync>,
    H: Fn(Request<Body>) -> R + 'static,
    R: IntoResponse,
{
    fn serve(&self) -> io::Result<()> {
        let Some((listener, handler)) = self.parts.take() else {
            return Ok(());
        };
        self.server
            .serve_as(&self.serving, self.workers, listener, handler)
    }

    fn announce_stop(&self) {
        self.serving.announce_stop();
    }

    fn stop(&self, deadline: Option<Instant>) {
        self.serving.stop(deadline);
    }
}
