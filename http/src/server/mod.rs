//! The server: its settings, the accept loop, and how it stops.

mod access_log;
mod admission;
mod builder;
mod connection;
mod control;
mod date_cache;
mod into_response;
mod peer;
mod registry;
mod report;
mod request_body;
mod response_head;
mod sent;
mod service;
mod settings;
mod shared;
mod spares;
mod status_error;
mod workers;

use std::any::Any;
use std::cell::Cell;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use evy_net::{Listener, Stream, TcpStream};
use evy_runtime::lowlevel::resume_unwind;
use evy_runtime::scope;
use evy_runtime::thread::Builder;
use http::Request;

pub use access_log::{AccessLog, AccessRecord};
pub use builder::ServerBuilder;
pub use control::ServerHandle;
pub use into_response::IntoResponse;
pub use peer::Peer;
pub use status_error::StatusError;
pub use workers::serve_on;

use crate::body::Body;
use access_log::TrustedProxies;
use admission::{Admission, Admitted, max_descriptors, set_nodelay};
use control::{Control, ServingGuard};
use date_cache::DateCache;
use registry::Registry;
use report::OnError;
use service::Service;
use settings::Settings;
use spares::Spares;

/// Serves HTTP on `listener`, each connection on a green thread of its own. The same as
/// [`Server::serve`] with default settings.
///
/// Parks until the listener fails.
///
/// # Errors
///
/// Returns an error as [`Server::serve`] does.
///
/// # Examples
///
/// ```no_run
/// use evy::http;
///
/// let listener = evy::listen("127.0.0.1:8000")?;
/// http::serve(listener, |request| format!("you asked for {}\n", request.uri()))
/// # ; Ok::<(), std::io::Error>(())
/// ```
pub fn serve<L, H, R>(listener: L, handler: H) -> io::Result<()>
where
    L: Listener<Addr: Send + Sync>,
    H: Fn(Request<Body>) -> R + 'static,
    R: IntoResponse,
{
    Server::default().serve(listener, handler)
}

/// An HTTP/1.1 server, which also understands HTTP/1.0.
///
/// A server may be sent to other OS threads. Its clones share its [`handle`](Self::handle).
///
/// # Examples
///
/// ```
/// use evy::http::Server;
/// use std::time::Duration;
///
/// let server = Server::builder()
///     .max_body_bytes(10_000)
///     .idle_timeout(Duration::from_secs(5))
///     .build();
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    settings: Settings,
    max_connections: usize,
    stack_size: Option<usize>,
    on_error: OnError,
    access_log: Option<AccessLog>,
    trusted_proxies: Option<TrustedProxies>,
    control: Arc<Control>,
}

impl Server {
    /// Returns a builder for a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder(Self::default())
    }

    /// Returns a handle that can stop the server, from any OS thread.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.control))
    }

    /// Accepts connections and answers each request with what `handler` returns.
    ///
    /// Each request has a [`Peer`] in its extensions.
    ///
    /// - A body that the handler does not read is skipped, up to 64 KiB. Beyond that the response
    ///   announces `Connection: close`.
    /// - A HEAD request gets to the handler too, and the body of its response is not sent. So the
    ///   handler should treat it like GET.
    /// - Reading the request's body and sending the response take turns. While a green thread waits
    ///   for bytes of the body, no part of the response is sent.
    /// - `Expect: 100-continue` is answered when the body is first read.
    /// - The body may turn out to be malformed, too long or too slow while it is read. Then the
    ///   request is answered with 400, 413 or 408, whatever the handler returns.
    /// - The server sets `Content-Length`, `Transfer-Encoding`, `Connection` and `Keep-Alive` itself.
    ///   It respects `Connection: close`. It also respects the `Content-Length` of a body from a
    ///   reader or writer, and of a response to HEAD.
    /// - A panic of the handler is answered with 500, like an error. If a body fails or panics after
    ///   the head was sent, the connection is reset, so that the client notices. All of these are
    ///   logged, unless there is a callback for them: see [`on_error`](ServerBuilder::on_error).
    /// - A target that names a host replaces the `Host` header.
    ///
    /// If the listener fails, or if the caller is killed, idle connections are closed at once, and
    /// each of the others after its response.
    ///
    /// Parks until the server is stopped, or until the listener fails.
    ///
    /// # Errors
    ///
    /// Returns an error of the listener that is not transient. A client that gives up is not an
    /// error. If descriptors or memory run out, the server closes idle connections, or pauses and
    /// retries.
    pub fn serve<L, H, R>(&self, listener: L, handler: H) -> io::Result<()>
    where
        L: Listener<Addr: Send + Sync>,
        H: Fn(Request<Body>) -> R + 'static,
        R: IntoResponse,
    {
        self.serve_as(&self.control.begin(), 1, listener, handler)
    }

    /// Serves like [`serve`](Self::serve), as the registered call `serving`, which is one of
    /// `sharers` that share the limit of descriptors.
    fn serve_as<L, H, R>(
        &self,
        serving: &ServingGuard,
        sharers: usize,
        listener: L,
        handler: H,
    ) -> io::Result<()>
    where
        L: Listener<Addr: Send + Sync>,
        H: Fn(Request<Body>) -> R + 'static,
        R: IntoResponse,
    {
        let max_connections = self.max_connections.min(max_descriptors() / sharers).max(1);
        let registry = Registry::new(max_connections, serving.counts());
        let local = listener.local_addr().ok();
        let admission = Admission {
            listener,
            registry: registry.clone(),
        };
        admission::grow_descriptor_table(max_connections);
        // The registry keeps the limit. One connection more waits for room.
        let permits = max_connections.saturating_add(1);
        let mut accept_loop = evy_net::Server::new().max_connections(permits);
        if let Some(bytes) = self.stack_size {
            accept_loop = accept_loop.stack_size(bytes);
        }
        let on_error = self.on_error.clone();
        accept_loop = accept_loop.on_error(move |error| on_error.report(error));
        let service = self.service(serving, handler, &registry);
        let is_drained = Cell::new(false);
        // The connections outlive this call if the listener fails, or if it is killed.
        let _closing = OnDrop(|| {
            if !is_drained.get() {
                registry.close(serving.stop_deadline().flatten());
            }
        });
        let stop_accepting = accept_loop.handle();
        let is_done = Cell::new(false);
        let result = scope(|s| {
            s.spawn(|| {
                if serving.wait_for_stop(|| is_done.get()).is_some() {
                    stop_accepting.stop();
                }
            });
            let result = accept_loop.serve(admission, move |admitted, addr| {
                let Admitted { stream, guard } = admitted;
                guard.begin();
                set_nodelay(&stream);
                let peer = peer_of(&stream, addr, local.clone());
                // An error ends this connection only.
                service.serve(stream, peer, &guard).ok();
            });
            is_done.set(true);
            serving.notify();
            result
        });
        if serving.stop_deadline().is_some() {
            drain(serving, &registry);
            is_drained.set(true);
        }
        result
    }

    /// Serves one connection, like [`serve`](Self::serve). It ends with the last response, or when
    /// the server is stopped.
    ///
    /// `peer` describes the peer: a [`Peer`], or an address of any type, from which one is made. The
    /// connection has a green thread of its own, which is killed if the caller unwinds.
    ///
    /// Parks until the connection is closed.
    ///
    /// # Errors
    ///
    /// Returns the error that ended the connection, such as a client that is gone.
    ///
    /// # Panics
    ///
    /// Panics if no stack can be allocated.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::http::Server;
    /// use std::io::{Read, Write};
    ///
    /// let listener = evy::listen("127.0.0.1:0")?;
    /// let mut client = evy::connect(listener.local_addr()?)?;
    /// let (stream, addr) = listener.accept()?;
    ///
    /// client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    /// let reader = evy::spawn(move || {
    ///     let mut text = String::new();
    ///     client.read_to_string(&mut text).map(|_| text)
    /// });
    /// Server::default().serve_connection(stream, addr, |_request| "hello")?;
    /// assert!(reader.join().unwrap()?.ends_with("\r\n\r\nhello"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn serve_connection<S, A, H, R>(&self, stream: S, peer: A, handler: H) -> io::Result<()>
    where
        S: Stream,
        A: Debug + Send + Sync + 'static,
        H: Fn(Request<Body>) -> R,
        R: IntoResponse,
    {
        let serving = self.control.begin();
        let registry = Registry::new(usize::MAX, serving.counts());
        let guard = registry.add();
        let service = self.service(&serving, handler, &registry);
        let peer = Peer::of(peer);
        let is_done = Cell::new(false);
        let (service, serving, is_done) = (&service, &serving, &is_done);
        scope(|s| {
            let connection = move || {
                let _done = OnDrop(|| {
                    is_done.set(true);
                    serving.notify();
                });
                let guard = guard;
                guard.begin();
                set_nodelay(&stream);
                service.serve(stream, peer, &guard)
            };
            let mut builder = Builder::new();
            if let Some(bytes) = self.stack_size {
                builder = builder.stack_size(bytes);
            }
            let connection = builder.spawn_scoped(s, connection);
            let connection = connection.expect("a stack for the connection can be allocated");
            if serving.wait_for_stop(|| is_done.get()).is_some() {
                drain(serving, &registry);
            }
            match connection.join() {
                Ok(result) => result,
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // The server was stopped.
                Err(_) => Ok(()),
            }
        })
    }

    fn service<H>(
        &self,
        serving: &ServingGuard,
        handler: H,
        registry: &Rc<Registry>,
    ) -> Service<H> {
        let settings = Settings {
            keeps_line: self.on_error.is_callback() || self.access_log.is_some(),
            ..self.settings.clone()
        };
        Service {
            settings,
            on_error: self.on_error.clone(),
            access_log: self.access_log.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            serving: serving.serving(),
            registry: Rc::clone(registry),
            dates: DateCache::default(),
            spares: Spares::default(),
            handler,
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            max_connections: 10_000,
            stack_size: None,
            on_error: OnError::default(),
            access_log: None,
            trusted_proxies: None,
            control: Arc::default(),
        }
    }
}

/// Ends the connections of a call that is being stopped. A later stop may move the deadline forward.
fn drain(serving: &ServingGuard, registry: &Registry) {
    let is_done = Cell::new(false);
    scope(|s| {
        let watch = || {
            serving.watch(|| {
                registry.wake();
                is_done.get()
            });
        };
        // Without a stack for it, a later stop changes nothing.
        drop(Builder::new().spawn_scoped(s, watch));
        registry.drain(|| serving.stop_deadline().flatten());
        is_done.set(true);
        serving.notify();
    });
}

/// Returns the addresses of a connection. A listener may listen at all addresses of its host.
fn peer_of<S, A>(stream: &S, addr: A, local: Option<A>) -> Peer
where
    S: Stream,
    A: Debug + Send + Sync + 'static,
{
    let any = local.as_ref().map(|local| local as &dyn Any);
    let bound = any.and_then(|any| any.downcast_ref::<SocketAddr>());
    if bound.is_some_and(|bound| bound.ip().is_unspecified())
        && let Some(tcp) = (stream as &dyn Any).downcast_ref::<TcpStream>()
        && let Ok(local) = tcp.local_addr()
    {
        return Peer::with_local(addr, local);
    }
    match local {
        Some(local) => Peer::with_local(addr, local),
        None => Peer::new(addr),
    }
}

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests;
