//! Server pattern: HTTP on all CPUs, stopped in order by a signal.
//!
//! Run it, ask it from another terminal, and press Ctrl-C in the first one:
//!
//! ```text
//! cargo run --release --example workers [ADDR]      (default: 127.0.0.1:8000)
//! curl http://127.0.0.1:8000/
//! ```
//!
//! Each worker is an OS thread with its own scheduler, listener and handler. After Ctrl-C or
//! `kill`, no worker accepts further connections, and the requests in progress are answered, for up
//! to ten seconds. A second Ctrl-C ends them at once.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use evy::http::{Body, Request, Server};
use evy::net::Workers;
use evy::signal::{SIGINT, SIGTERM, Signals};

const GRACE: Duration = Duration::from_secs(10);

/// Returns the handler of one worker. What it keeps needs no lock.
fn make_handler() -> impl Fn(Request<Body>) -> String {
    let count = Cell::new(0);
    move |request| {
        if request.uri().path() == "/slow" {
            evy::sleep(Duration::from_secs(1));
        }
        count.set(count.get() + 1);
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        format!("request {} of {name}\n", count.get())
    }
}

fn main() -> io::Result<()> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8000".into());
    // Before anything else, so that no signal ends the program unprepared.
    let signals = Signals::new([SIGINT, SIGTERM])?;
    let workers = Workers::builder().start(|_worker| ())?;
    let server = Server::builder()
        .on_error(|error| eprintln!("{error}"))
        .build();
    let addr = server.serve_on(&workers, addr, make_handler)?;
    println!("{} workers listen on {addr}", workers.threads());

    signals.recv();
    let handle = workers.handle();
    eprintln!("waiting for {} connections", handle.connections());
    handle.begin_stop(GRACE);
    evy::spawn_n(move || {
        signals.recv();
        handle.begin_stop(Duration::ZERO);
    });
    let stopped = workers.join();
    eprintln!(
        "answered {} requests, {} connections are left, {} were not accepted",
        server.handle().requests(),
        stopped.left,
        stopped.unaccepted
    );
    Ok(())
}
