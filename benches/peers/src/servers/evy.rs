//! evy: a green thread for each connection, in blocking style.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use evy::http::{Body, Request, Response, Server};
use evy::net::TcpStream;

use super::idle::{LARGE, LARGE_PATH};

pub(super) fn echo(addr: SocketAddr) -> io::Result<()> {
    let listener = evy::listen(addr)?;
    super::announce(listener.local_addr()?);
    loop {
        let (client, _) = listener.accept()?;
        client.set_nodelay(true)?;
        evy::spawn_n(move || drop(serve(client)));
    }
}

fn serve(mut client: TcpStream) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match client.read(&mut buf)? {
            0 => return Ok(()),
            n => client.write_all(&buf[..n])?,
        }
    }
}

pub(super) fn http(addr: SocketAddr) -> io::Result<()> {
    serve_http(addr, |_request| answer(super::TEXT))
}

pub(super) fn idle(addr: SocketAddr) -> io::Result<()> {
    serve_http(addr, |request| match request.uri().path() {
        LARGE_PATH => answer("x".repeat(LARGE)),
        _ => answer(super::TEXT),
    })
}

fn serve_http(
    addr: SocketAddr,
    handler: fn(Request<Body>) -> io::Result<Response<Body>>,
) -> io::Result<()> {
    let listener = evy::listen(addr)?;
    super::announce(listener.local_addr()?);
    Server::builder()
        .max_connections(20_000)
        .serve(listener, handler)
}

fn answer(text: impl Into<Body>) -> io::Result<Response<Body>> {
    Response::builder()
        .header("content-type", "text/plain")
        .body(text.into())
        .map_err(io::Error::other)
}
