//! Server pattern: an accept loop that serves each client in a green thread of a pool.
//!
//! Run it, and connect to it from another terminal:
//!
//! ```text
//! cargo run --release --example echo_server [ADDR]      (default: 127.0.0.1:6000)
//! nc 127.0.0.1 6000
//! ```
//!
//! Every line that you type is sent back. One OS thread serves up to ten thousand clients at once.

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
                // If a client disconnects, only its own green thread finishes.
                pool.spawn_n(move || drop(handle(client)));
            }
            // For example, the process is out of descriptors. The connected clients are still
            // served, and free descriptors when they disconnect. So wait and try again.
            Err(error) => {
                eprintln!("accept: {error}");
                evy::sleep(Duration::from_millis(50));
            }
        }
    }
}
