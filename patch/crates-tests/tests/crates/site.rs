//! A slow web site, on an OS thread of its own.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use crate::WAIT;

/// What each page contains.
pub(crate) const PAGE: &str = "a page";

/// Starts the site. A page arrives after [`WAIT`], and one below `/slow` after 20 seconds.
pub(crate) fn start() -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let listener = evy::listen("127.0.0.1:0").unwrap();
        sender.send(listener.local_addr().unwrap()).unwrap();
        for client in listener.incoming() {
            let client = client.unwrap();
            evy::spawn_n(move || serve(client));
        }
    });
    receiver.recv().unwrap()
}

/// Answers requests without a body until the client leaves.
pub(crate) fn serve(mut client: impl Read + Write) {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    while let Ok(len @ 1..) = client.read(&mut part) {
        request.extend_from_slice(&part[..len]);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let is_slow = request.starts_with(b"GET /slow");
        evy::sleep(if is_slow {
            Duration::from_secs(20)
        } else {
            WAIT
        });
        request.clear();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{PAGE}",
            PAGE.len()
        );
        if client.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
