//! Server pattern: an accept loop hands each client to a green thread of a pool.
//!
//! Run it, and talk to it from another terminal:
//!
//! ```text
//! cargo run --release --example echo_server [ADDR]      (default 127.0.0.1:6000)
//! nc 127.0.0.1 6000
//! ```
//!
//! What you type comes back. Ten thousand clients at once are served by one OS thread.

use std::io::{self, Read, Write};
use std::time::Duration;

use evy::net::TcpStream;

fn handle(mut client: TcpStream) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match client.read(&mut buf)? {
            0 => return Ok(()),
            n => client.write_all(&buf[..n])?,
        }
    }
}

fn main() -> io::Result<()> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:6000".into());
    let server = evy::listen(addr)?;
    println!("listening on {}", server.local_addr()?);
    let pool = evy::GreenPool::new(10_000);
    loop {
        match server.accept() {
            Ok((client, _)) => {
                client.set_nodelay(true).ok();
                // A client that vanishes ends its own green thread, and nothing else.
                pool.spawn_n(move || drop(handle(client)));
            }
            // Out of descriptors, say: those who are served go on, and free some in time.
            Err(error) => {
                eprintln!("accept: {error}");
                evy::sleep(Duration::from_millis(50));
            }
        }
    }
}
