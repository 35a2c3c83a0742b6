//! Site pattern: a small web site, of which evy is the server, and well-known crates are the rest.
//!
//! Run it, and open the address that it prints in a browser:
//!
//! ```text
//! cargo run --release --example site [ADDR]      (default: 127.0.0.1:8000)
//! ```
//!
//! It is a guest book with a page (`pages.rs`), a form that remembers its user by a cookie
//! (`form.rs`), an upload (`upload.rs`), events that show new messages at once (`events.rs`), files
//! (`files.rs`) and compression (`compression.rs`). After Ctrl-C or `kill`, it answers the requests
//! that it has, and ends within five seconds. A second Ctrl-C ends it at once.

mod compression;
mod events;
mod files;
mod form;
mod pages;
mod routes;
mod upload;

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use evy::http::{AccessLog, AccessRecord, Body, Response, Server};
use evy::signal::{SIGINT, SIGTERM, Signals};

const GRACE: Duration = Duration::from_secs(5);

/// What a page returns. A `StatusError` determines the status, and any other error is a 500.
type Answer = Result<Response<Body>, Box<dyn Error + Send + Sync>>;

/// What the pages share. They run on one OS thread, so it needs no lock.
#[derive(Default)]
struct Site {
    messages: RefCell<Vec<Message>>,
    events: events::Events,
}

struct Message {
    name: String,
    text: String,
}

fn log(record: &AccessRecord<'_>) {
    let peer = record.peer().addr();
    let peer = peer.map_or_else(|| "-".to_owned(), |addr| addr.ip().to_string());
    let status = record.status().map_or(0, |status| status.as_u16());
    let (line, bytes, elapsed) = (record.line(), record.bytes(), record.elapsed());
    // The text of a client is printed with escapes.
    eprintln!("{peer} {line:?} {status} {bytes} {elapsed:.1?}");
}

fn main() -> io::Result<ExitCode> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8000".into());
    // Before anything else, so that no signal ends the program unprepared.
    let signals = Signals::new([SIGINT, SIGTERM])?;
    let listener = evy::listen(addr)?;
    println!("listening on {}", listener.local_addr()?);

    let site = Rc::new(Site::default());
    let server = Server::builder()
        .access_log(AccessLog::custom(log))
        .on_error(|error| eprintln!("{error}"))
        .build();
    let handle = server.handle();
    let routes = routes::routes().map_err(io::Error::other)?;
    let serving = evy::spawn({
        let site = Rc::clone(&site);
        move || {
            server.serve(listener, move |request| {
                routes::answer(&routes, &site, request)
            })
        }
    });
    evy::select! {
        signal(&signals) => {}
        join(&serving) => eprintln!("the listener has failed"),
    }

    // Streams of events have no end of their own.
    site.events.close();
    let stopping = evy::spawn(move || handle.stop(GRACE));
    let left = evy::select! {
        join(&stopping) -> left => left,
        signal(&signals) => return Ok(ExitCode::from(130)),
    };
    Ok(match left {
        Ok(0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
