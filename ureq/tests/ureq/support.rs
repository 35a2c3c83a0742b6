//! Servers on the OS thread of the test, and agents that ignore the environment's proxies.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::Duration;

use evy::http::{Body, IntoResponse, Request, Server};
use evy::net::{Listener, SocketAddr, TcpListener, TcpStream};
use evy_ureq::agent_with;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

/// A time that does not pass in a test.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// A time that passes in a test.
pub(crate) const SHORT: Duration = Duration::from_millis(100);

/// Runs a test, and ends its servers.
pub(crate) fn within(test: impl FnOnce() + Send + 'static) {
    evy_test_support::within(|| {
        test();
        evy::shutdown(Duration::ZERO);
    });
}

/// Returns the settings of an agent without a proxy.
pub(crate) fn settings() -> ConfigBuilder<AgentScope> {
    Agent::config_builder().proxy(None)
}

pub(crate) fn agent() -> Agent {
    agent_with(settings().build())
}

/// A listener that counts its connections.
pub(crate) struct Counted {
    listener: TcpListener,
    count: Rc<Cell<usize>>,
}

impl Counted {
    /// Returns a listener, its address, and its count.
    pub(crate) fn new() -> (Self, SocketAddr, Rc<Cell<usize>>) {
        let (listener, addr) = listen();
        let count = Rc::new(Cell::new(0));
        let counted = Self {
            listener,
            count: Rc::clone(&count),
        };
        (counted, addr, count)
    }
}

impl Listener for Counted {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = self.listener.accept()?;
        self.count.set(self.count.get() + 1);
        Ok(accepted)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A site on this OS thread.
pub(crate) struct Site {
    pub(crate) addr: SocketAddr,
    pub(crate) url: String,
    connections: Rc<Cell<usize>>,
}

impl Site {
    /// Serves every request by `handler`.
    pub(crate) fn new<R: IntoResponse>(handler: impl Fn(Request<Body>) -> R + 'static) -> Self {
        Self::with(Server::builder().build(), handler)
    }

    pub(crate) fn with<R: IntoResponse>(
        server: Server,
        handler: impl Fn(Request<Body>) -> R + 'static,
    ) -> Self {
        let (listener, addr, connections) = Counted::new();
        evy::spawn_n(move || server.serve(listener, handler).unwrap());
        Self {
            addr,
            url: format!("http://{addr}"),
            connections,
        }
    }

    /// Returns how many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.connections.get()
    }
}

/// Returns a listener and its address.
pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Accepts connections, and calls `handler` with each one on a green thread of its own. Returns the
/// URL.
pub(crate) fn raw(handler: impl Fn(TcpStream) + Clone + 'static) -> String {
    let (listener, addr) = listen();
    evy::spawn_n(move || {
        while let Ok((stream, _)) = listener.accept() {
            let handler = handler.clone();
            evy::spawn_n(move || handler(stream));
        }
    });
    format!("http://{addr}")
}

/// Reads the head of a request, unless the stream ends.
pub(crate) fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Fetches a page.
pub(crate) fn get(agent: &Agent, url: &str) -> String {
    let mut response = agent.get(url).call().unwrap();
    response.body_mut().read_to_string().unwrap()
}
