//! The handshake, on the green thread that uses the stream.

use std::io;

use evy_runtime::timeout;
use rustls::{Connection, ProtocolVersion};

use crate::error;
use crate::incoming::{HEADER_LEN, Incoming};
use crate::outgoing::Outgoing;
use crate::session::Session;
use crate::shared::Shared;
use crate::timeout::Deadline;

/// What a server says to a client that speaks plain HTTP.
const PLAIN_HTTP_ANSWER: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Connection: close\r\n\r\nThis server speaks HTTPS, and the request was plain HTTP.\n";

/// The types of TLS records: `change_cipher_spec`, alert, handshake, `application_data`.
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=23;

/// Performs the handshake, if it is not done.
///
/// Parks until it is done, at most for the handshake timeout.
pub(crate) fn handshake(shared: &Shared, io: &mut impl evy_net::Stream) -> io::Result<()> {
    if shared.session.get().is_some() {
        return Ok(());
    }
    handshake_within_limit(shared, io)
}

#[cold]
fn handshake_within_limit(shared: &Shared, io: &mut impl evy_net::Stream) -> io::Result<()> {
    let Some(limit) = shared.handshake_timeout else {
        return exchange(shared, io);
    };
    let deadline = Deadline::after(Some(limit));
    match timeout(limit, || exchange(shared, io)) {
        Ok(Ok(())) => Ok(()),
        // With `panic = "abort"` a timeout does not unwind, but makes I/O fail.
        Ok(Err(error)) if !deadline.has_passed() => Err(error),
        _ => {
            let message = format!("the TLS handshake was not done within {limit:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        }
    }
}

/// Exchanges messages until the handshake is done.
fn exchange(shared: &Shared, io: &mut impl evy_net::Stream) -> io::Result<()> {
    let (mut incoming, mut outgoing) = shared.both_buffers();
    // Another handle may have performed it meanwhile.
    while shared.session.get().is_none() {
        let mut connection = shared.connection();
        let outcome = process(&mut connection, &mut incoming);
        let is_done = !connection.is_handshaking();
        let session = is_done.then(|| Session::of(&connection));
        let sent = match is_done && sends_tickets(&connection) {
            true => Ok(()),
            false => outgoing.send(shared, connection, io, Deadline::NEVER),
        };
        // An alert may have been sent, but what matters is the error.
        outcome?;
        sent?;
        match session {
            Some(session) => drop(shared.session.set(session)),
            None => receive(shared, &mut incoming, &mut outgoing, io)?,
        }
    }
    Ok(())
}

/// Whether this is a server whose client does not wait for its last messages, which are session
/// tickets (TLS 1.3). They go with the first data, or before the first wait for some. On their own
/// they would make TCP hold back the data until the client has acknowledged them, up to 40 ms.
fn sends_tickets(connection: &Connection) -> bool {
    matches!(connection, Connection::Server(_))
        && connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
}

/// Processes the messages that have been received.
fn process(connection: &mut Connection, incoming: &mut Incoming) -> io::Result<()> {
    loop {
        error::check(connection)?;
        if incoming.is_empty() || !connection.is_handshaking() {
            return Ok(());
        }
        incoming.feed(connection)?;
    }
}

/// Receives some bytes; of the first record, at least its header.
fn receive(
    shared: &Shared,
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
    io: &mut impl evy_net::Stream,
) -> io::Result<()> {
    loop {
        let read = incoming.fill(io, Deadline::NEVER)?;
        let Some(first) = incoming.first_bytes() else {
            break match read {
                0 => Err(error::ended_in_handshake()),
                _ => Ok(()),
            };
        };
        if first.len() < HEADER_LEN && read > 0 {
            continue;
        }
        break match first.first() {
            Some(kind) if RECORD_TYPES.contains(kind) && read > 0 => Ok(()),
            Some(kind) if !RECORD_TYPES.contains(kind) => {
                let error = not_tls(first);
                if is_http(first) && matches!(*shared.connection(), Connection::Server(_)) {
                    outgoing.send_plain(PLAIN_HTTP_ANSWER, io)?;
                    io.close_write()?;
                }
                Err(error)
            }
            _ => Err(error::ended_in_handshake()),
        };
    }
}

/// Whether this is the beginning of an HTTP request or response.
fn is_http(first: &[u8]) -> bool {
    let method = |method: &&str| first.starts_with(method.as_bytes());
    let methods = [
        "GET ", "HEAD ", "POST ", "PUT ", "DELE", "CONN", "OPTI", "TRAC", "PATC",
    ];
    first.starts_with(b"HTTP/") || methods.iter().any(method)
}

fn not_tls(first: &[u8]) -> io::Error {
    let shown = first[..first.len().min(16)].escape_ascii();
    let message = match is_http(first) {
        true => format!("the peer speaks plain HTTP, not TLS: it began with \"{shown}\""),
        false => format!("the peer does not speak TLS: it began with \"{shown}\""),
    };
    io::Error::new(io::ErrorKind::InvalidData, message)
}
