//! A load generator: a closed loop over epoll, with one request in flight on each connection.
//!
//! A closed loop measures a server that is as busy as its clients allow. A slow response delays one
//! connection only, and the quantiles show by how much.
#![cfg(target_os = "linux")]

mod client;
mod exchange;
mod histogram;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use client::Client;
use exchange::Exchange;
pub use histogram::Histogram;

/// The maximum number of events of one `epoll_wait`.
const EVENTS: usize = 512;

/// The time without any data from the server after which it counts as stopped.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// A server, and the requests that it is sent.
#[derive(Clone, Debug)]
pub enum Target {
    /// Messages of `size` bytes, each of which the server must send back unchanged.
    Echo {
        /// The address at which the server listens.
        addr: SocketAddr,
        /// The number of bytes of a request.
        size: usize,
    },
    /// `GET path` on a kept-alive connection; the response must be `200` with always the same body.
    Http {
        /// The address at which the server listens.
        addr: SocketAddr,
        /// The path of the request.
        path: String,
        /// The number of requests that are sent together. Their responses count as one.
        pipelined: usize,
    },
}

/// The measurements of one run, without its warm-up.
#[derive(Debug)]
pub struct Report {
    /// The measured time.
    pub elapsed: Duration,
    /// The latencies of all requests.
    pub latencies: Histogram,
}

/// Raises the limit on open descriptors to the maximum that this process is allowed.
///
/// # Errors
///
/// Returns the error of the system.
pub fn raise_file_limit() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// A set of open connections, each with a request in flight.
#[derive(Debug)]
pub struct Load {
    exchange: Exchange,
    epoll: OwnedFd,
    clients: Vec<Client>,
    buf: Vec<u8>,
}

impl Load {
    /// Opens connections to the target, and sends a request on each.
    ///
    /// # Errors
    ///
    /// Returns the first error of any connection. A response that differs from the expected one is
    /// an error, too.
    pub fn connect(target: &Target, connections: usize) -> io::Result<Self> {
        let (addr, exchange) = Exchange::prepare(target)?;
        let mut buf = vec![0; 64 * 1024];
        // Each connection has its first response before the next one is opened. So the connections
        // do not overflow the server's accept queue, and all are being served when a run starts.
        let mut clients = (0..connections)
            .map(|number| Client::connect(addr, number, &exchange, &mut buf))
            .collect::<io::Result<Vec<_>>>()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (number, client) in (0..).zip(&mut clients) {
            client.enter(&epoll, number)?;
            client.begin(&exchange, Instant::now())?;
        }
        Ok(Self {
            exchange,
            epoll,
            clients,
            buf,
        })
    }

    /// Sends a new request after each response, and measures for `duration` after the warm-up.
    ///
    /// `at_edge` is called twice: when the warm-up ends, and when the measured time ends. At the
    /// end a request is still in flight on each connection, so another run can follow.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Self::connect`] does, and the errors of `at_edge`.
    pub fn run(
        &mut self,
        warm_up: Duration,
        duration: Duration,
        mut at_edge: impl FnMut() -> io::Result<()>,
    ) -> io::Result<Report> {
        let mut latencies = Histogram::new();
        let mut events = Vec::with_capacity(EVENTS);
        let warm = Instant::now() + warm_up;
        let mut measuring: Option<Instant> = None;
        loop {
            self.wait(&mut events)?;
            let now = Instant::now();
            match measuring {
                None if now >= warm => {
                    at_edge()?;
                    latencies.clear();
                    measuring = Some(Instant::now());
                }
                Some(start) if now >= start + duration => {
                    // The events of the last wait are handled too. They are edge-triggered, so they
                    // would not be reported again.
                    let elapsed = now - start;
                    at_edge()?;
                    self.advance(&events, &mut Histogram::new())?;
                    return Ok(Report { elapsed, latencies });
                }
                _ => {}
            }
            self.advance(&events, &mut latencies)?;
        }
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        events.clear();
        let room = spare_capacity(events);
        match epoll::wait(&self.epoll, room, Some(&timespec(SILENCE_LIMIT))) {
            Ok(0) => {
                let message = "no data on any connection within the time limit";
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn advance(&mut self, events: &[epoll::Event], latencies: &mut Histogram) -> io::Result<()> {
        for event in events {
            let client = &mut self.clients[event.data.u64() as usize];
            client.advance(&self.exchange, &mut self.buf, latencies)?;
        }
        Ok(())
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs() as _,
        tv_nsec: duration.subsec_nanos() as _,
    }
}
