//! Servers under load: what a request costs each peer in processor time.
//!
//! One file for each peer, with the same workloads in each that has them: `echo` sends back what it
//! reads, a kilobyte at most at a time; `http` answers every request with the same short text. All
//! are single-threaded and serve until they are killed.

mod compare;
mod cpu_affinity;
mod evy;
mod go;
mod hyper;
mod may;
mod raw;
mod sample;
mod smol;
mod table;
mod tokio;

use std::io;
use std::net::SocketAddr;

use rustix::process::{Signal, set_parent_process_death_signal};

use evy_load::Target;

const USAGE: &str = "usage: evy-peers [echo | http [ROUNDS [SECONDS [CONNECTIONS...]]]]
       evy-peers serve echo|http PEER ADDR";

/// Bytes of an echo.
const SIZE: usize = 64;

/// What `http` answers.
const TEXT: &str = "Hello, World!";

/// A server.
struct Peer {
    name: &'static str,
    /// Returns only with an error.
    serve: fn(SocketAddr) -> io::Result<()>,
}

const fn peer(name: &'static str, serve: fn(SocketAddr) -> io::Result<()>) -> Peer {
    Peer { name, serve }
}

/// What a server is asked.
struct Workload {
    name: &'static str,
    /// The limit first: the others are compared with it.
    peers: &'static [Peer],
    target: fn(SocketAddr) -> Target,
    /// What evy is to cost at most, to the limit and to tokio.
    targets: Option<(f64, f64)>,
}

const WORKLOADS: [Workload; 2] = [
    Workload {
        name: "echo",
        peers: &[
            peer("raw", raw::echo),
            peer("evy", evy::echo),
            peer("tokio", tokio::echo),
            peer("smol", smol::echo),
            peer("may", may::echo),
            // Named on stderr where there is no Go, and left out.
            peer("Go", go::echo),
        ],
        target: |addr| Target::Echo { addr, size: SIZE },
        targets: Some((1.03, 1.0)),
    },
    Workload {
        name: "http",
        peers: &[
            peer("raw", raw::http),
            peer("evy", evy::http),
            peer("hyper", hyper::http),
        ],
        target: |addr| Target::Http {
            addr,
            path: "/".into(),
        },
        targets: None,
    },
];

/// Does what the words of the command line say.
///
/// # Errors
///
/// Those of the server, or of what was to be measured.
pub(super) fn command(words: &[String]) -> io::Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some(task) = parse(&words) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    task()
}

/// What the words ask for.
fn parse(words: &[&str]) -> Option<Box<dyn FnOnce() -> io::Result<()>>> {
    let workload = |name: &str| WORKLOADS.iter().find(|workload| workload.name == name);
    match *words {
        ["serve", name, peer, addr] => {
            let mut peers = workload(name)?.peers.iter();
            let (peer, addr) = (peers.find(|known| known.name == peer)?, addr.parse().ok()?);
            Some(Box::new(move || {
                evy_load::raise_file_limit()?;
                // Whoever has started it may be killed; nobody else would end it then.
                set_parent_process_death_signal(Some(Signal::KILL))?;
                (peer.serve)(addr)
            }))
        }
        // What `sample` starts.
        ["load", name, addr, connections, server] => {
            let (workload, addr) = (workload(name)?, addr.parse().ok()?);
            let (connections, server) = (connections.parse().ok()?, server.parse().ok()?);
            Some(Box::new(move || {
                evy_load::raise_file_limit()?;
                sample::generate(workload, addr, connections, server)
            }))
        }
        [name, ref choices @ ..] => {
            let (workload, choices) = (workload(name)?, compare::Choices::parse(choices)?);
            Some(Box::new(move || compare::run(workload, &choices)))
        }
        [] => None,
    }
}

/// Says where a server listens: whoever has started it waits for this line.
fn announce(addr: SocketAddr) {
    println!("listening on {addr}");
}
