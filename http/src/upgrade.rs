//! `Upgrade`: hands the connection over to another protocol.

use std::any::Any;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use evy_net::Stream;
use http::Response;

use crate::body::Body;

/// What takes over a connection.
pub(crate) type UpgradeHandler = Box<dyn FnOnce(Upgraded)>;

/// A response after which the connection belongs to another protocol.
///
/// # Examples
///
/// An echo over a protocol of its own. With the crate `tungstenite`, a WebSocket takes
/// `create_response(&request)` for the response, and
/// `WebSocket::from_raw_socket(upgraded, Role::Server, None)` for the stream.
///
/// ```no_run
/// use evy::http::{self, Response, StatusCode, Upgrade};
/// use std::io::{Read, Write};
///
/// let listener = evy::listen("127.0.0.1:8000")?;
/// http::serve(listener, |_request| {
///     let response = Response::builder()
///         .status(StatusCode::SWITCHING_PROTOCOLS)
///         .header("upgrade", "echo")
///         .body(())?;
///     Ok::<_, http::Error>(Upgrade::response(response, |mut stream| {
///         let mut bytes = [0; 1024];
///         while let Ok(read @ 1..) = stream.read(&mut bytes) {
///             if stream.write_all(&bytes[..read]).is_err() {
///                 break;
///             }
///         }
///     }))
/// })
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Upgrade;

impl Upgrade {
    /// Returns `response` in the form in which a handler can return it. After its head was sent,
    /// `run` gets the connection, on the green thread of the connection.
    ///
    /// The status must be 101 if the request asks for an upgrade, and 2xx if its method is CONNECT.
    /// In any other case the request is answered with 500, and the error is reported. A body of the
    /// request must have been read, or must be short.
    ///
    /// The server sends `Connection: upgrade` itself. It does not limit the time of the upgraded
    /// connection, but counts it. A panic of `run` is reported, and closes the connection.
    pub fn response<B>(
        response: Response<B>,
        run: impl FnOnce(Upgraded) + 'static,
    ) -> Response<Body> {
        response.map(|_| Body::upgrade(Box::new(run)))
    }

    /// Takes the connection out of a response with status 101, which a client has received.
    ///
    /// Returns `None` if the server has not agreed to the upgrade that the request asked for, and
    /// if the connection was taken already.
    ///
    /// # Examples
    ///
    /// A WebSocket of the crate `tungstenite`:
    ///
    /// ```no_run
    /// use evy::http::{Client, Request, Upgrade};
    /// use tungstenite::handshake::client::generate_key;
    /// use tungstenite::handshake::derive_accept_key;
    /// use tungstenite::protocol::{Role, WebSocket};
    ///
    /// let key = generate_key();
    /// let request = Request::get("http://127.0.0.1:8000/chat")
    ///     .header("upgrade", "websocket")
    ///     .header("sec-websocket-version", "13")
    ///     .header("sec-websocket-key", &key)
    ///     .body(())?;
    /// let mut response = Client::new().request(request)?;
    /// let stream = Upgrade::of(&mut response).ok_or("there is no chat")?;
    /// if response.headers()["sec-websocket-accept"] != derive_accept_key(key.as_bytes()) {
    ///     return Err("this is no WebSocket".into());
    /// }
    /// let mut chat = WebSocket::from_raw_socket(stream, Role::Client, None);
    /// chat.send("hello".into())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(response: &mut Response<Body>) -> Option<Upgraded> {
        response.body_mut().take_upgraded()
    }
}

/// The stream of an upgraded connection. What had been read ahead is read from it first.
///
/// Its reads and writes park the green thread. When it is dropped, the connection is closed.
pub struct Upgraded {
    stream: Box<dyn Stream>,
    read_ahead: Vec<u8>,
    at: usize,
}

impl Upgraded {
    pub(crate) fn new(stream: impl Stream, read_ahead: Vec<u8>) -> Self {
        Self::from_boxed(Box::new(stream), read_ahead)
    }

    pub(crate) fn from_boxed(stream: Box<dyn Stream>, read_ahead: Vec<u8>) -> Self {
        Self {
            stream,
            read_ahead,
            at: 0,
        }
    }

    /// Returns the transport and what had been read ahead. With a
    /// [`TcpStream`](evy_net::TcpStream), one green thread can read while another one writes.
    ///
    /// # Errors
    ///
    /// Returns the stream itself if the transport is not an `S`.
    ///
    /// # Examples
    ///
    /// ```
    /// use evy::http::Upgraded;
    /// use evy::net::TcpStream;
    ///
    /// fn halves(upgraded: Upgraded) -> Option<(TcpStream, TcpStream, Vec<u8>)> {
    ///     let (stream, read_ahead) = upgraded.downcast::<TcpStream>().ok()?;
    ///     Some((stream.try_clone().ok()?, stream, read_ahead))
    /// }
    /// ```
    pub fn downcast<S: Stream>(self) -> Result<(S, Vec<u8>), Self> {
        let stream: &dyn Any = &*self.stream;
        if !stream.is::<S>() {
            return Err(self);
        }
        let Self {
            stream,
            read_ahead,
            at,
        } = self;
        let stream: Box<dyn Any> = stream;
        match stream.downcast::<S>() {
            Ok(stream) => Ok((*stream, read_ahead[at..].to_vec())),
            Err(_) => unreachable!("the type of the stream was just checked"),
        }
    }
}

impl Read for Upgraded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.read_ahead.len() {
            return self.stream.read(buf);
        }
        let read = (&self.read_ahead[self.at..]).read(buf)?;
        self.at += read;
        if self.at == self.read_ahead.len() {
            (self.read_ahead, self.at) = (Vec::new(), 0);
        }
        Ok(read)
    }
}

impl Write for Upgraded {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Stream for Upgraded {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn wait_readable(&mut self) -> io::Result<()> {
        match self.read_ahead.is_empty() {
            true => self.stream.wait_readable(),
            false => Ok(()),
        }
    }

    fn close_write(&mut self) -> io::Result<()> {
        self.stream.close_write()
    }

    fn reset(&mut self) {
        self.stream.reset();
    }

    fn info(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.stream.info()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded")
            .field("read_ahead", &(self.read_ahead.len() - self.at))
            .finish_non_exhaustive()
    }
}
