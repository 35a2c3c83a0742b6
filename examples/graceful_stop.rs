//! Shutdown pattern: Ctrl-C ends everything in order, within five seconds.
//!
//! Run it, connect to it from another terminal, and press Ctrl-C in the first one:
//!
//! ```text
//! cargo run --release --example graceful_stop [ADDR]      (default: 127.0.0.1:6000)
//! nc 127.0.0.1 6000
//! ```
//!
//! Every line that you type is sent back. After Ctrl-C or `kill`, no new connection is accepted. The
//! program ends when the last client has left, and after five seconds at the latest. A second Ctrl-C
//! ends it at once.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use evy::GreenPool;
use evy::net::{TcpListener, TcpStream};
use evy::signal::{SIGINT, SIGTERM, Signals};

const GRACE: Duration = Duration::from_secs(5);

fn handle(mut client: TcpStream) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match client.read(&mut buf)? {
            0 => return Ok(()),
            n => client.write_all(&buf[..n])?,
        }
    }
}

fn accept(server: &TcpListener, clients: &GreenPool) {
    loop {
        match server.accept() {
            Ok((client, _)) => clients.spawn_n(move || drop(handle(client))),
            Err(error) => {
                eprintln!("accept: {error}");
                evy::sleep(Duration::from_millis(50));
            }
        }
    }
}

fn main() -> io::Result<ExitCode> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:6000".into());
    // Before anything else, so that no signal ends the program unprepared.
    let signals = Signals::new([SIGINT, SIGTERM])?;
    let server = evy::listen(addr)?;
    println!("listening on {}", server.local_addr()?);

    let clients = GreenPool::new(10_000);
    let accepting = evy::spawn({
        let clients = clients.clone();
        move || accept(&server, &clients)
    });
    signals.recv();
    // This closes the listener, too.
    accepting.kill();

    eprintln!("waiting for {} clients", clients.running());
    let all_left = evy::spawn(move || clients.wait_all());
    evy::select! {
        join(&all_left) => {}
        signal(&signals) => return Ok(ExitCode::from(130)),
        after(GRACE) => eprintln!("disconnecting the others"),
    }
    // Ends the green threads that are left. Their destructors run.
    evy::shutdown(Duration::ZERO);
    Ok(ExitCode::SUCCESS)
}
