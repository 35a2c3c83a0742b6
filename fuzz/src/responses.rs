//! Responses, as a client reads them.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use evy_http::Client;
use evy_net::{TcpListener, listen};
use evy_runtime::{spawn, yield_now};

use crate::reference;

/// Checks what a client makes of `bytes`, which are all that a server sends.
///
/// # Panics
///
/// Panics if that depends on how the bytes arrive, or if the reference reads another response.
pub fn check_response(bytes: &[u8]) {
    let whole = fetch(&[bytes]);
    // One cut only, because each piece takes many turns.
    let cut = crate::pieces(bytes).first().map_or(0, |piece| piece.len());
    let in_pieces = fetch(&[&bytes[..cut], &bytes[cut..]]);
    assert_eq!(whole, in_pieces, "the response depends on the pieces");
    let Ok(found) = whole else { return };
    let expected = reference::response(bytes).expect("the reference rejects the response");
    assert!(expected.length.is_some(), "the reference finds no end");
    assert_eq!(found.status, expected.start.0);
    assert_eq!(found.body, expected.body);
}

#[derive(Debug, PartialEq)]
struct Found {
    status: String,
    body: Vec<u8>,
}

thread_local! {
    static LISTENER: TcpListener = listen("0.0.0.0:0").expect("a port is free");
    static CONNECTIONS: Cell<u32> = const { Cell::new(0) };
}

fn fetch(pieces: &[&[u8]]) -> Result<Found, io::ErrorKind> {
    let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
    let server = spawn(move || serve(&pieces));
    let found = get(next_addr());
    // The client may have closed the connection.
    server.join().expect("it does not panic").ok();
    found.map_err(|error| error.kind())
}

/// Returns an address of the listener. The addresses differ, because each of them has only so many
/// ports for connections that were closed a moment ago.
fn next_addr() -> SocketAddr {
    let port = LISTENER.with(|listener| listener.local_addr().expect("it is bound").port());
    let number = CONNECTIONS.replace(CONNECTIONS.get() + 1);
    let [_, a, b, c] = (number >> 4).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, a, b, c | 1), port))
}

fn serve(pieces: &[Vec<u8>]) -> io::Result<()> {
    let (mut stream, _) = LISTENER.with(TcpListener::accept)?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 512];
        let read = stream.read(&mut bytes)?;
        assert!(read > 0, "the client sends no whole request");
        request.extend_from_slice(&bytes[..read]);
    }
    for piece in pieces {
        stream.write_all(piece)?;
        // Events are polled at least every 64 turns. Then the client runs, because it has data.
        for _ in 0..130 {
            yield_now();
        }
    }
    Ok(())
}

fn get(addr: SocketAddr) -> io::Result<Found> {
    let client = Client::builder()
        .max_idle_per_host(0)
        .max_body_bytes(1 << 16)
        .build();
    let response = client.get(&format!("http://{addr}/"))?;
    Ok(Found {
        status: response.status().as_str().to_owned(),
        body: response.into_body().into_bytes()?,
    })
}
