//! Server pattern: the echo server over TLS, for clients that may be slow or hostile.
//!
//! Make a certificate, run the server, and connect to it from another terminal:
//!
//! ```text
//! openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out chain.pem -subj /CN=localhost
//! cargo run --release --features tls --example tls_echo_server chain.pem key.pem [ADDR]
//! openssl s_client -connect localhost:6443 -CAfile chain.pem
//! ```
//!
//! Every line that you type is sent back. The handshake of a client runs on its own green thread,
//! so a client that does not finish it delays no other. A client that speaks plain HTTP gets an
//! answer that says so.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::SocketAddr;

use evy::net::{Listener as _, Server, TcpStream};
use evy::tls::{Acceptor, Listener, Stream};

fn handle(mut client: Stream<TcpStream>, _addr: SocketAddr) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match client.read(&mut buf)? {
            0 => return Ok(()),
            n => client.write_all(&buf[..n])?,
        }
    }
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(chain), Some(key)) = (args.next(), args.next()) else {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "usage: tls_echo_server CHAIN.pem KEY.pem [ADDR]",
        ));
    };
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:6443".into());
    let acceptor = Acceptor::from_pem(std::fs::read(chain)?, std::fs::read(key)?)?;
    let server = Listener::new(evy::listen(addr)?, acceptor);
    println!("listening on {}", server.local_addr()?);
    Server::new()
        .max_connections(10_000)
        .on_error(|error| eprintln!("a client has failed: {error}"))
        .serve(server, handle)
}
