//! evy: a green thread for each connection, in blocking style.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use evy::http::{Response, Server};
use evy::net::TcpStream;

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
    let listener = evy::listen(addr)?;
    super::announce(listener.local_addr()?);
    Server::builder()
        .max_connections(20_000)
        .serve(listener, |_request| {
            Response::builder()
                .header("content-type", "text/plain")
                .body(super::TEXT)
                .map_err(io::Error::other)
        })
}
