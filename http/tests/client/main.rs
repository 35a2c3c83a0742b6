//! The client with servers that send exact bytes.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the servers are on OS threads of their own, and a failed helper is a failed test"
)]

mod bodies;
mod connections;
mod redirects;
mod requests;
mod responses;
mod timeouts;
mod tls;
mod transport;
mod upgrade;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use evy_http::{Body, Client, Response};

/// A time that passes in a test.
const SHORT: Duration = Duration::from_millis(100);

/// A time that does not pass in a test.
const LONG: Duration = Duration::from_secs(20);

/// Starts a server whose connections are served by `serve`, one after another, on an OS thread of
/// its own. It gets the number of the connection, beginning with zero.
fn server(mut serve: impl FnMut(usize, TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let stream = stream.unwrap();
            // A test that fails must end.
            stream.set_read_timeout(Some(LONG)).unwrap();
            serve(number, stream);
        }
    });
    addr
}

/// Starts a server that answers each request with the next of `answers`, over as many connections as
/// the client opens, and returns its address. An answer with `Connection: close` closes the
/// connection.
fn answers(answers: impl IntoIterator<Item = impl Into<String>>) -> SocketAddr {
    let mut answers: Vec<String> = answers.into_iter().map(Into::into).collect();
    answers.reverse();
    server(move |_, mut stream| {
        while !answers.is_empty() && read_head(&mut stream).is_some() {
            let answer = answers.pop().unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            if answer.contains("Connection: close") {
                break;
            }
        }
    })
}

/// Reads a head. Returns `None` if the stream ends before it.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Returns a response with `body`.
fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn text(response: io::Result<Response<Body>>) -> io::Result<String> {
    response?.into_body().into_text()
}

fn get(client: &Client, addr: SocketAddr) -> io::Result<String> {
    text(client.get(&format!("http://{addr}/")))
}
