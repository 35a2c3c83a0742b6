//! One connection, which sends a request, receives its response, and repeats.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::epoll;

use super::exchange::Exchange;
use super::histogram::Histogram;

/// A connection with at most one request in flight.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    /// The number of the current request.
    turn: usize,
    sent: usize,
    received: usize,
    since: Instant,
}

impl Client {
    /// Connects, and exchanges one request and its response with blocking I/O.
    pub(super) fn connect(
        addr: SocketAddr,
        number: usize,
        exchange: &Exchange,
        buf: &mut [u8],
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(super::SILENCE_LIMIT))?;
        let mut client = Self {
            stream,
            // Each connection starts at another number, so that no two send the same bytes at once.
            turn: number,
            sent: 0,
            received: 0,
            since: Instant::now(),
        };
        // A request that is larger than all buffers on the way would block both sides here, because
        // neither side would read before its write is finished. So this exchange is skipped.
        if exchange.outgoing(0).len() <= buf.len() {
            client.send(exchange)?;
            while client.received < exchange.incoming_len() {
                client.receive(exchange, buf)?;
            }
        }
        client.stream.set_nonblocking(true)?;
        Ok(client)
    }

    /// Registers the connection with `epoll`. Its events carry `number`.
    pub(super) fn enter(&self, epoll: &OwnedFd, number: u64) -> io::Result<()> {
        use epoll::EventFlags as E;
        let data = epoll::EventData::new_u64(number);
        Ok(epoll::add(
            epoll,
            &self.stream,
            data,
            E::IN | E::OUT | E::ET,
        )?)
    }

    /// Sends the next request.
    pub(super) fn begin(&mut self, exchange: &Exchange, now: Instant) -> io::Result<()> {
        self.turn = self.turn.wrapping_add(1);
        (self.sent, self.received, self.since) = (0, 0, now);
        self.send(exchange)
    }

    /// Sends and receives as much as possible without waiting.
    pub(super) fn advance(
        &mut self,
        exchange: &Exchange,
        buf: &mut [u8],
        latencies: &mut Histogram,
    ) -> io::Result<()> {
        self.send(exchange)?;
        loop {
            let n = match self.receive(exchange, buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                other => other?,
            };
            if self.received == exchange.incoming_len() {
                let now = Instant::now();
                latencies.record(now - self.since);
                self.begin(exchange, now)?;
            }
            // A short read has emptied the socket buffer. Data that arrives later is a new event.
            if n < buf.len() {
                return Ok(());
            }
        }
    }

    /// Sends the rest of the request, as far as the socket buffer has space.
    fn send(&mut self, exchange: &Exchange) -> io::Result<()> {
        let outgoing = exchange.outgoing(self.turn);
        while self.sent < outgoing.len() {
            match self.stream.write(&outgoing[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives and checks some bytes of the response.
    fn receive(&mut self, exchange: &Exchange, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buf) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    exchange.check(self.turn, self.received, &buf[..n])?;
                    self.received += n;
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
