//! Establishing a TCP connection without blocking: to one address, or to the first of several that
//! answers (RFC 8305).

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use evy_runtime::io::{Direction, Green, Sharing, Timeout};
use evy_runtime::lowlevel::{charge, now, wait_any};
use evy_runtime::yield_now;
use socket2::{Domain, Protocol, Socket, Type};

use crate::addr::no_address;

/// The time between the starts of two attempts, if none succeeds or fails meanwhile.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Opens a connection to one of `addrs`, until `deadline`.
///
/// Parks until the connection is established.
///
/// # Errors
///
/// Returns `TimedOut`, the error of the system, and `InvalidInput` if there is no address. If there
/// are several addresses, the error has the kind of the last failure and names each address tried.
pub(super) fn connect_first(
    addrs: &[SocketAddr],
    deadline: Option<Instant>,
) -> io::Result<Green<TcpStream>> {
    match *addrs {
        [] => Err(no_address()),
        [addr] => connect_addr(addr, deadline.map_or(Timeout::Never, Timeout::At)),
        _ => Race::new(addrs, deadline).run(),
    }
}

/// Opens a connection to `addr`.
///
/// Parks until the connection is established.
///
/// # Errors
///
/// Returns `TimedOut` according to `timeout`, and the error of the system.
pub(super) fn connect_addr(addr: SocketAddr, timeout: Timeout) -> io::Result<Green<TcpStream>> {
    charge();
    let stream = Green::from_non_blocking(start(addr)?);
    // It cannot be established yet, so the first attempt to see that is spared.
    let mut is_new = true;
    let op = |stream: &TcpStream| match mem::take(&mut is_new) {
        true => Err(io::ErrorKind::WouldBlock.into()),
        false => check(stream),
    };
    let established = stream.with_io(Direction::Write, Sharing::Exclusive, timeout, op, |()| {
        false
    });
    established.map_err(|error| match error.raw_os_error() {
        None if error.kind() == io::ErrorKind::TimedOut => too_late(),
        _ => error,
    })?;
    Ok(stream)
}

/// Returns a non-blocking socket that has begun to connect to `addr`. Yields if that fails.
fn start(addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&addr.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
            // A caller that tries again and again must not starve the others.
            yield_now();
            Err(error)
        }
        _ => Ok(socket.into()),
    }
}

/// Returns `WouldBlock` while the connection is not established, and the error if it has failed.
fn check(stream: &TcpStream) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        other => other.map(drop),
    }
}

#[cold]
fn too_late() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the connection was not established in time",
    )
}

/// Overlapping attempts to connect. The first that succeeds wins, and an attempt ends only when it
/// fails.
///
/// All attempts are made by the caller's green thread. If it is killed, the sockets are dropped
/// with this value.
struct Race {
    /// The addresses that have not been tried.
    untried: VecDeque<SocketAddr>,
    pending: Vec<(SocketAddr, TcpStream)>,
    failed: Vec<(SocketAddr, io::Error)>,
    next_start: Instant,
    deadline: Option<Instant>,
}

impl Race {
    fn new(addrs: &[SocketAddr], deadline: Option<Instant>) -> Self {
        Self {
            untried: alternate_families(addrs),
            pending: Vec::new(),
            failed: Vec::new(),
            next_start: now(),
            deadline,
        }
    }

    fn run(mut self) -> io::Result<Green<TcpStream>> {
        loop {
            self.start_due();
            if self.pending.is_empty() {
                return Err(summary(&self.failed));
            }
            self.wait()?;
            if let Some(established) = self.check_pending() {
                return Ok(Green::from_non_blocking(established));
            }
        }
    }

    /// Whether another attempt is to start now: the last one has failed, or has had its head start.
    fn is_due(&self) -> bool {
        !self.untried.is_empty() && (self.pending.is_empty() || self.next_start <= now())
    }

    fn start_due(&mut self) {
        while self.is_due()
            && let Some(addr) = self.untried.pop_front()
        {
            match start(addr) {
                Ok(stream) => {
                    self.pending.push((addr, stream));
                    self.next_start = now() + ATTEMPT_DELAY;
                }
                Err(error) => self.fail(addr, error),
            }
        }
    }

    /// Returns an established connection, and removes the attempts that have failed.
    fn check_pending(&mut self) -> Option<TcpStream> {
        let mut at = 0;
        while let Some((addr, stream)) = self.pending.get(at) {
            match check(stream) {
                Ok(()) => return Some(self.pending.swap_remove(at).1),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => at += 1,
                Err(error) => {
                    self.fail(*addr, error);
                    self.pending.remove(at);
                }
            }
        }
        None
    }

    /// Records a failure. The next attempt need not wait any longer.
    fn fail(&mut self, addr: SocketAddr, error: io::Error) {
        self.failed.push((addr, error));
        self.next_start = now();
    }

    /// Parks until an attempt may have made progress, or the next one is to start.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` if the deadline has passed, and the error of the system.
    fn wait(&mut self) -> io::Result<()> {
        let next_start = Some(self.next_start).filter(|_| !self.untried.is_empty());
        let first = next_start.into_iter().chain(self.deadline).min();
        let timeout = first.map_or(Timeout::Never, Timeout::At);
        let fds: Vec<_> = self
            .pending
            .iter()
            .map(|(_, stream)| stream.as_fd())
            .collect();
        let Err(error) = wait_any(&fds, Direction::Write, timeout) else {
            return Ok(());
        };
        if error.kind() != io::ErrorKind::TimedOut {
            return Err(error);
        }
        if self.is_due() && self.deadline.is_none_or(|deadline| now() < deadline) {
            return Ok(());
        }
        let unanswered = self.pending.drain(..).map(|(addr, _)| (addr, too_late()));
        self.failed.extend(unanswered);
        Err(summary(&self.failed))
    }
}

/// Returns an error with the kind of the last one, which names each address.
fn summary(failed: &[(SocketAddr, io::Error)]) -> io::Error {
    let kind = failed
        .last()
        .map_or(io::ErrorKind::TimedOut, |(_, error)| error.kind());
    let failures: Vec<_> = failed
        .iter()
        .map(|(addr, error)| format!("{addr}: {error}"))
        .collect();
    let message = format!("failed to connect to any address: {}", failures.join("; "));
    io::Error::new(kind, message)
}

/// Returns the addresses in an order in which IPv4 and IPv6 alternate, beginning with the family of
/// the first. A host that can be reached by one family only is then connected to soon.
fn alternate_families(addrs: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let is_first_family = |addr: &&SocketAddr| addr.is_ipv4() == addrs[0].is_ipv4();
    let mut first = addrs.iter().filter(is_first_family);
    let mut other = addrs.iter().filter(|addr| !is_first_family(addr));
    let pair = || Some([first.next(), other.next()]).filter(|pair| *pair != [None, None]);
    std::iter::from_fn(pair)
        .flatten()
        .flatten()
        .copied()
        .collect()
}
