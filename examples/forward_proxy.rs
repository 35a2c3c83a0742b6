//! Proxy pattern: a server that tunnels connections to others, by CONNECT, and forwards requests.
//!
//! Run it, and fetch a page through it from another terminal:
//!
//! ```text
//! cargo run --release --example forward_proxy [ADDR]      (default: 127.0.0.1:6003)
//! curl --proxy http://127.0.0.1:6003 https://example.com/
//! ```
//!
//! It serves every client that can reach it, so it belongs behind a firewall.

use std::io::{self, Write};
use std::net::Shutdown;
use std::time::Duration;

use evy::http::header::{CONNECTION, HOST, PROXY_AUTHORIZATION};
use evy::http::{
    Body, Client, Method, Request, Response, Server, StatusCode, StatusError, Upgrade,
};
use evy::net::TcpStream;

/// Copies in both directions until both are at their end.
fn tunnel(client: &TcpStream, server: &TcpStream) {
    let copy = |mut from: &TcpStream, mut to: &TcpStream| {
        let copied = io::copy(&mut from, &mut to);
        // If one direction has failed, the other one is of no use.
        let end = if copied.is_ok() {
            Shutdown::Write
        } else {
            Shutdown::Both
        };
        to.shutdown(end).ok();
    };
    evy::scope(|s| {
        s.spawn(|| copy(client, server));
        copy(server, client);
    });
}

fn connect(request: &Request<Body>) -> Result<Response<Body>, StatusError> {
    let target = request
        .uri()
        .authority()
        .map_or("", |target| target.as_str());
    let mut server = evy::connect_timeout(target, Duration::from_secs(10))
        .map_err(|error| StatusError::new(StatusCode::BAD_GATEWAY, error.to_string()))?;
    Ok(Upgrade::response(Response::new(()), move |upgraded| {
        let Ok((client, read_ahead)) = upgraded.downcast::<TcpStream>() else {
            return;
        };
        if server.write_all(&read_ahead).is_ok() {
            tunnel(&client, &server);
        }
    }))
}

fn forward(client: &Client, mut request: Request<Body>) -> Result<Response<Body>, StatusError> {
    for name in [CONNECTION, HOST, PROXY_AUTHORIZATION] {
        request.headers_mut().remove(name);
    }
    let response = client.request(request);
    response.map_err(|error| StatusError::new(StatusCode::BAD_GATEWAY, error.to_string()))
}

fn main() -> io::Result<()> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:6003".into());
    let listener = evy::listen(addr)?;
    println!("listening on {}", listener.local_addr()?);
    let client = Client::new();
    Server::builder()
        .allow_connect(true)
        .on_error(|error| eprintln!("{error}"))
        .serve(listener, move |request| match *request.method() {
            Method::CONNECT => connect(&request),
            _ => forward(&client, request),
        })
}
