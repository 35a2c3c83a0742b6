//! `Stream`: a TLS stream over any transport.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use evy_net::{Duplex, TcpStream};
use evy_runtime::lowlevel::charge;
use evy_runtime::thread::panicking;
use evy_runtime::timeout;
use rustls::pki_types::CertificateDer;
use rustls::{Connection, ProtocolVersion, Reader, Writer};

use crate::error;
use crate::handshake::handshake;
use crate::outgoing::Outgoing;
use crate::session::Session;
use crate::shared::Shared;
use crate::split::{ReadHalf, WriteHalf};
use crate::timeout::Deadline;

/// How long a stream that is dropped waits for room to announce its end.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How long a reader waits for room to send an alert. A peer that does not read needs none.
const PENDING_LIMIT: Duration = Duration::from_secs(1);

/// How long a client that has read nothing waits for session tickets before it closes.
const TICKETS_WAIT: Duration = Duration::from_millis(1);

/// A TLS stream over the transport `S`. Its reads and writes park the green thread.
///
/// Created by [`Connector::connect`](crate::Connector::connect),
/// [`Acceptor::accept`](crate::Acceptor::accept) and [`Listener`](crate::Listener). If its
/// handshake is still to be done, the first read or write performs it.
///
/// With a transport that can have several handles, such as a TCP stream, so can this stream: see
/// [`split`](Self::split) and [`Duplex::try_clone`]. One green thread may read while another one
/// writes. A second reader or a second writer at the same time gets an error of kind
/// `ResourceBusy`.
///
/// # The end of the stream
///
/// The peer reads the end when [`close_write`](evy_net::Stream::close_write) is called, or when the
/// last handle is dropped. A handle that is dropped by a panic, a kill or a timeout does not
/// announce the end, so the peer sees that something is missing. So does a peer whose stream is
/// [reset](evy_net::Stream::reset).
///
/// # Interrupted operations
///
/// - A read that times out or is interrupted loses nothing.
/// - A write encrypts its data before it sends them. If it times out after that, it returns `Ok`.
///   The data that are left are sent by the next write or flush, before anything else; that one
///   returns `TimedOut` if it cannot send them in time either.
/// - If a kill or [`timeout`](evy_runtime::timeout) interrupts a write, the data may be sent by a
///   later write or flush.
///
/// # Examples
///
/// ```
/// # let (chain, key) = evy_tls_doc::identity();
/// # mod evy_tls_doc {
/// #     pub fn identity() -> (String, String) {
/// #         let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
/// #         (made.cert.pem(), made.signing_key.serialize_pem())
/// #     }
/// # }
/// use evy::tls::{Acceptor, Connector, Listener};
/// use std::io::{Read, Write};
///
/// let acceptor = Acceptor::from_pem(&chain, &key)?;
/// let server = Listener::new(evy::listen("127.0.0.1:0")?, acceptor);
/// let addr = server.get_ref().local_addr()?;
/// evy::spawn_n(move || {
///     evy::serve(server, |mut stream, _addr| stream.write_all(b"hello")).unwrap();
/// });
///
/// let connector = Connector::builder().only_roots_pem(&chain).build()?;
/// let mut stream = connector.connect("localhost", evy::connect(addr)?)?;
/// let mut text = String::new();
/// stream.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Stream<S: evy_net::Stream> {
    io: S,
    shared: Arc<Shared>,
    /// Whether this handle has written, so that its end by a panic may cut the data.
    has_written: bool,
}

impl<S: evy_net::Stream> Stream<S> {
    /// Creates a stream whose handshake is still to be done.
    pub(crate) fn new(io: S, connection: Connection, handshake_timeout: Option<Duration>) -> Self {
        let shared = Arc::new(Shared::new(connection, handshake_timeout));
        // Records are sent as a whole, so a delay gains nothing.
        if let Some(tcp) = (&io as &dyn Any).downcast_ref::<TcpStream>() {
            // It only affects the speed.
            tcp.set_nodelay(true).ok();
        }
        Self {
            io,
            shared,
            has_written: false,
        }
    }

    /// Returns the transport. Reading from it or writing to it breaks the stream.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Returns what the handshake has settled, or `None` if it is not done.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.shared.session.get()
    }

    /// Returns the protocol that both sides have agreed on by ALPN, such as `b"http/1.1"`.
    ///
    /// `None` if the handshake is not done.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.session()?.alpn()
    }

    /// Returns the certificate chain of the peer, its own certificate first.
    ///
    /// `None` if the handshake is not done, and for a client without a certificate.
    #[must_use]
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session()?.peer_certificates()
    }

    /// Returns the read timeout that was set on this stream.
    #[must_use]
    pub fn read_timeout(&self) -> Option<Duration> {
        self.shared.read_timeout.get()
    }

    /// Returns the write timeout that was set on this stream.
    #[must_use]
    pub fn write_timeout(&self) -> Option<Duration> {
        self.shared.write_timeout.get()
    }

    /// Replaces the keys with which this side encrypts, and asks the peer to do the same (TLS 1.3).
    ///
    /// rustls does this on its own before keys wear out. The next write sends the request.
    ///
    /// # Errors
    ///
    /// Returns an error if the handshake is not done, or the version of TLS is older.
    pub fn update_keys(&mut self) -> io::Result<()> {
        let mut connection = self.shared.connection();
        connection.refresh_traffic_keys().map_err(error::of_rustls)
    }

    /// Splits the stream into a half to read from and a half to write to, which may be used by two
    /// green threads at the same time.
    ///
    /// The connection ends when both halves have been dropped, in either order.
    ///
    /// Parks until the handshake is done.
    ///
    /// # Errors
    ///
    /// Returns the error of the transport, and of the handshake.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(stream: evy::tls::Stream<evy::net::TcpStream>) -> std::io::Result<()> {
    /// let (mut reader, mut writer) = stream.split()?;
    /// evy::spawn_n(move || std::io::copy(&mut reader, &mut std::io::sink()).map(drop).unwrap());
    /// std::io::Write::write_all(&mut writer, b"meanwhile")
    /// # }
    /// ```
    pub fn split(self) -> io::Result<(ReadHalf<S>, WriteHalf<S>)>
    where
        S: Duplex,
    {
        Ok((ReadHalf::new(self.try_clone()?), WriteHalf::new(self)))
    }

    /// Calls `take` with the reader of rustls until it does not return `WouldBlock`. If `is_idle`,
    /// buffers are taken only when bytes have arrived.
    fn read_with<R>(
        &mut self,
        is_idle: bool,
        mut take: impl FnMut(Reader<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        let Self { io, shared, .. } = self;
        handshake(shared, io)?;
        let mut incoming = shared.incoming()?;
        let deadline = shared.read_timeout.deadline();
        let mut has_filled = false;
        loop {
            let mut connection = shared.connection();
            let outcome = incoming.decrypt(&mut connection, has_filled, &mut take);
            if is_idle && outcome.is_none() {
                incoming.release(&mut connection);
            }
            let wants_write = connection.wants_write();
            drop(connection);
            if let Some(outcome) = outcome {
                if outcome.is_err() && wants_write {
                    send_pending(shared, io);
                }
                return outcome;
            }
            if wants_write {
                send_pending(shared, io);
            }
            if is_idle {
                deadline.apply(|left| io.set_read_timeout(left))?;
                io.wait_readable()?;
            }
            has_filled = incoming.fill(io, deadline)? > 0;
            if !has_filled {
                // Tells rustls that this is the end.
                shared.connection().read_tls(&mut io::empty())?;
            }
        }
    }

    /// Encrypts what `encrypt` writes, and sends it.
    fn write_with(
        &mut self,
        encrypt: impl FnOnce(&mut Writer<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let Self { io, shared, .. } = self;
        handshake(shared, io)?;
        let mut outgoing = shared.outgoing()?;
        if shared.is_closed() {
            return Err(error::closed());
        }
        let deadline = shared.write_timeout.deadline();
        outgoing.send_left(shared, io, deadline)?;
        let mut connection = shared.connection();
        let written = encrypt(&mut connection.writer()).map_err(error::of_io)?;
        self.has_written = true;
        match outgoing.send(shared, connection, io, deadline) {
            // The data are encrypted, so they cannot be taken back.
            Err(error) if is_timeout(&error) => Ok(written),
            sent => sent.map(|()| written),
        }
    }

    /// Announces the end of the stream, if all data have been sent.
    fn end(&mut self) {
        let Self { io, shared, .. } = self;
        let Ok(mut outgoing) = shared.outgoing() else {
            return;
        };
        if !outgoing.has_left {
            let limit = shared.write_timeout.get().unwrap_or(END_LIMIT);
            // What is set now may be what was left at the end of a write.
            io.set_write_timeout(Some(limit)).ok();
            let send = || send_close_notify(shared, &mut outgoing, io, Deadline::NEVER);
            // If the peer is gone, it needs no announcement.
            timeout(limit.min(END_LIMIT), send).ok();
            if awaits_tickets(&shared.connection()) {
                discard(io);
            }
        }
    }
}

/// Whether this is a client that has read nothing since the handshake, so that the session tickets
/// of the server may lie in the transport.
fn awaits_tickets(connection: &Connection) -> bool {
    let is_tls13 = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    matches!(connection, Connection::Client(client) if client.tls13_tickets_received() == 0)
        && is_tls13
}

/// Discards what has arrived. A TCP connection that is closed with bytes unread is reset, and its
/// peer may lose what was sent to it.
fn discard(io: &mut impl evy_net::Stream) {
    let take = || {
        // The program has not asked for data of the peer, so there is no need to take all of them.
        for _ in 0..4 {
            if !matches!(io.read(&mut [0; 4096]), Ok(1..)) {
                break;
            }
        }
    };
    timeout(TICKETS_WAIT, take).ok();
}

/// Sends what rustls wants to send besides data: alerts and session tickets. If another green thread
/// writes, that one sends it.
fn send_pending(shared: &Shared, io: &mut impl evy_net::Stream) {
    shared.send_as_reader(|outgoing| {
        if !outgoing.has_left {
            let send = || outgoing.send(shared, shared.connection(), io, Deadline::NEVER);
            // The next write sends what is left, and reports errors.
            timeout(PENDING_LIMIT, send).ok();
        }
    });
}

/// Encrypts the announcement of the end, and sends it.
fn send_close_notify(
    shared: &Shared,
    outgoing: &mut Outgoing,
    io: &mut impl evy_net::Stream,
    deadline: Deadline,
) -> io::Result<()> {
    outgoing.send_left(shared, io, deadline)?;
    let mut connection = shared.connection();
    if !shared.is_closed() && shared.session.get().is_some() {
        connection.send_close_notify();
        shared.close();
    }
    outgoing.send(shared, connection, io, deadline)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

impl<S: evy_net::Stream> Read for Stream<S> {
    /// Reads decrypted data. Returns zero only if the peer has announced the end of the stream.
    ///
    /// # Errors
    ///
    /// Returns `UnexpectedEof` if the connection ends without that, `InvalidData` if the peer
    /// violates the protocol, and the errors of the transport and the handshake.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            charge();
            return Ok(0);
        }
        self.read_with(false, |mut reader| reader.read(buf))
    }
}

impl<S: evy_net::Stream> Write for Stream<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_with(|writer| writer.write(buf))
    }

    /// Writes the buffers as one piece.
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|writer| writer.write_vectored(bufs))
    }

    /// Sends what an earlier write has encrypted and could not send.
    fn flush(&mut self) -> io::Result<()> {
        let Self { io, shared, .. } = self;
        let deadline = shared.write_timeout.deadline();
        shared.outgoing()?.send_left(shared, io, deadline)
    }
}

impl<S: evy_net::Stream> evy_net::Stream for Stream<S> {
    /// Sets how long a read may park, for all handles; `None` means without limit.
    ///
    /// The limit is for all bytes of a record together. It does not apply to the handshake.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_read_timeout(timeout)?;
        self.shared.read_timeout.set(timeout);
        Ok(())
    }

    /// Sets how long a write may park, for all handles; `None` means without limit.
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_write_timeout(timeout)?;
        self.shared.write_timeout.set(timeout);
        Ok(())
    }

    /// Parks until there are decrypted data, the end of the stream or an error to read, within the
    /// read timeout. While nothing arrives, the stream keeps as little memory as it can.
    fn wait_readable(&mut self) -> io::Result<()> {
        self.read_with(true, |reader| reader.into_first_chunk().map(drop))
    }

    /// Announces the end of the stream to the peer (`close_notify`), and ends the transport in that
    /// direction. Writing fails with `BrokenPipe` afterwards.
    ///
    /// A peer that uses TLS 1.2 may close the whole connection in answer.
    fn close_write(&mut self) -> io::Result<()> {
        let Self { io, shared, .. } = self;
        let deadline = shared.write_timeout.deadline();
        send_close_notify(shared, &mut *shared.outgoing()?, io, deadline)?;
        io.close_write()
    }

    fn reset(&mut self) {
        self.shared.mark_cut();
        self.shared.close();
        self.io.reset();
    }

    /// Performs the handshake, if it is not done. An alert tells the peer why it fails.
    ///
    /// Parks until it is done, at most for the handshake timeout.
    fn handshake(&mut self) -> io::Result<()> {
        handshake(&self.shared, &mut self.io)
    }
    /// Returns the [`Session`], or `None` if the handshake is not done.
    fn info(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        let session: Session = self.session()?.clone();
        Some(Arc::new(session))
    }
}

impl<S: Duplex> Duplex for Stream<S> {
    /// Returns another handle to the same stream.
    ///
    /// Parks until the handshake is done.
    fn try_clone(&self) -> io::Result<Self> {
        let io = self.io.try_clone()?;
        self.shared.add_handle();
        let mut handle = Self {
            io,
            shared: Arc::clone(&self.shared),
            has_written: false,
        };
        handshake(&handle.shared, &mut handle.io)?;
        Ok(handle)
    }
}

impl<S: evy_net::Stream> Drop for Stream<S> {
    /// Announces the end of the stream with the last handle, unless the green thread unwinds. The
    /// peer must not take for complete what a panic or a kill has cut.
    fn drop(&mut self) {
        let is_cut = panicking();
        if is_cut && self.has_written {
            self.shared.mark_cut();
        }
        if self.shared.remove_handle()
            && self.session().is_some()
            && !is_cut
            && !self.shared.is_cut()
        {
            self.end();
        }
    }
}

impl<S: evy_net::Stream + fmt::Debug> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("transport", &self.io)
            .field("session", &self.session())
            .finish_non_exhaustive()
    }
}
