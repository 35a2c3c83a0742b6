//! The server with raw clients: what each byte of a request leads to, and when.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the clients are on OS threads of their own, and a failed helper is a failed test"
)]

mod bodies;
mod closing;
mod expectations;
mod faults;
mod framing;
mod heads;
mod hooks;
mod limits;
mod persistence;
mod pipelining;
mod reporting;
mod request_bodies;
mod responses;
mod stop;
mod timing;
mod transport;
mod upgrade;
mod workers;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use evy_http::{Body, IntoResponse, Request, Server};

/// Starts a server on an OS thread of its own, and returns its address.
fn start<R: IntoResponse + 'static>(server: Server, handler: fn(Request<Body>) -> R) -> SocketAddr {
    let (started, addr) = mpsc::channel();
    thread::spawn(move || {
        let listener = evy_net::listen("127.0.0.1:0").unwrap();
        started.send(listener.local_addr().unwrap()).unwrap();
        server.serve(listener, handler)
    });
    addr.recv().unwrap()
}

/// A raw client. Its reads fail instead of waiting for ever.
fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// Sends `bytes`, and returns what the server sends until it closes the connection.
fn exchange(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(addr);
    stream.write_all(bytes).unwrap();
    read_to_end(&mut stream)
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads until `end` has arrived.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = String::new();
    while !answer.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(char::from(byte[0]));
    }
    answer
}

/// Returns the statuses of all responses in `answer`, if their bodies contain no status line.
fn statuses(answer: &str) -> Vec<&str> {
    let lines = answer.split("HTTP/1.1 ").skip(1);
    lines.map(|rest| &rest[..3]).collect()
}

/// A handler that uses some 600 KiB of stack, more than a green thread has by default.
fn deep(_request: Request<Body>) -> String {
    recurse(600).to_string()
}

#[inline(never)]
fn recurse(depth: u32) -> u32 {
    let frame = std::hint::black_box([depth; 256]);
    match depth {
        0 => frame[0],
        _ => recurse(depth - 1) + frame[255].min(1),
    }
}
