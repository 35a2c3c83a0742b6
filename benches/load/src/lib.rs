//! The load: a closed loop over epoll, one request under way on each connection.
//!
//! A closed loop measures a server that is as busy as its clients allow: a slow answer holds back
//! one connection, and the quantiles say by how long.
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

/// Answers that one look at the connections collects.
const EVENTS: usize = 512;

/// A server that says nothing at all for so long has stopped.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// What is asked of whom.
#[derive(Clone, Debug)]
pub enum Target {
    /// So many bytes that are to come back.
    Echo {
        /// Where the server listens.
        addr: SocketAddr,
        /// The number of bytes of a request.
        size: usize,
    },
    /// `GET path` on a connection that stays open, answered with `200` and always the same body.
    Http {
        /// Where the server listens.
        addr: SocketAddr,
        /// The path of the request.
        path: String,
    },
}

/// What was seen after the warm-up.
#[derive(Debug)]
pub struct Report {
    /// How long was measured.
    pub elapsed: Duration,
    /// The latencies of all requests.
    pub latencies: Histogram,
}

/// Lets this process have as many descriptors as it may.
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

/// Open connections, each with a request under way.
#[derive(Debug)]
pub struct Load {
    exchange: Exchange,
    epoll: OwnedFd,
    clients: Vec<Client>,
    buf: Vec<u8>,
}

impl Load {
    /// Opens connections, and sends a request on each.
    ///
    /// # Errors
    ///
    /// The first of any connection, also where what comes back is not what is expected.
    pub fn connect(target: &Target, connections: usize) -> io::Result<Self> {
        let (addr, exchange) = Exchange::prepare(target)?;
        let mut buf = vec![0; 64 * 1024];
        // Each connection is answered once before the next one is opened: so none overflows the
        // server's queue, and all are being served when a run starts.
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

    /// Answers each answer with a request. `at_edge` is called twice, where the warm-up ends and
    /// where measuring does. Requests are left under way, for another run.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`], and those of `at_edge`.
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
                    // What this look has found is answered as well, or it would be forgotten.
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
                let message = "no answer on any connection";
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
