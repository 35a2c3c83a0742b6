//! Servers under load: the processor time that a request costs each peer.
//!
//! Each peer has a file, with the workloads that it supports. `echo` sends back what it reads, up
//! to a kilobyte at a time. `http` answers every request with the same short text, and `pipelined`
//! sends 16 requests at a time. `idle` and `proxy` measure other things. All servers are
//! single-threaded and serve until they are killed.

mod compare;
mod cpu_affinity;
mod evy;
mod go;
mod hyper;
mod idle;
mod may;
mod proxy;
mod raw;
mod sample;
mod smol;
mod table;
mod tokio;

use std::io;
use std::net::SocketAddr;

use rustix::process::{Signal, set_parent_process_death_signal};

use evy_load::Target;

const USAGE: &str = "usage: evy-peers [echo | http | pipelined [ROUNDS [SECONDS [CONNECTIONS...]]]]
       evy-peers idle [CONNECTIONS]
       evy-peers proxy [ROUNDS [MEBIBYTES]]
       evy-peers serve echo|http PEER ADDR";

/// The number of requests that a client sends together.
const PIPELINED: usize = 16;

/// The number of bytes of an echo message.
const SIZE: usize = 64;

/// The body of an `http` response.
const TEXT: &str = "Hello, World!";

/// A server that is compared with others.
struct Peer {
    name: &'static str,
    /// Returns only with an error.
    serve: fn(SocketAddr) -> io::Result<()>,
}

const fn peer(name: &'static str, serve: fn(SocketAddr) -> io::Result<()>) -> Peer {
    Peer { name, serve }
}

/// A kind of request, and the servers that are measured with it.
struct Workload {
    name: &'static str,
    /// The first one is the hardware limit, with which the others are compared.
    peers: &'static [Peer],
    target: fn(SocketAddr) -> Target,
    /// The maximum cost of evy relative to other peers.
    targets: &'static [(&'static str, f64)],
}

const WORKLOADS: [Workload; 3] = [
    Workload {
        name: "echo",
        peers: &[
            peer("raw", raw::echo),
            peer("evy", evy::echo),
            peer("tokio", tokio::echo),
            peer("smol", smol::echo),
            peer("may", may::echo),
            // Without Go it fails, which is reported on stderr, and is left out of the table.
            peer("Go", go::echo),
        ],
        target: |addr| Target::Echo { addr, size: SIZE },
        targets: &[("raw", 1.03), ("tokio", 1.0)],
    },
    Workload {
        name: "http",
        peers: &[
            peer("raw", raw::http),
            peer("evy", evy::http),
            peer("hyper", hyper::http),
        ],
        target: |addr| http_target(addr, 1),
        targets: &[("raw", 1.2), ("hyper", 1.0)],
    },
    Workload {
        name: "pipelined",
        peers: &[
            peer("raw", raw::http),
            peer("evy", evy::http),
            peer("hyper", hyper::pipelined),
        ],
        target: |addr| http_target(addr, PIPELINED),
        targets: &[("hyper", 1.0)],
    },
];

fn http_target(addr: SocketAddr, pipelined: usize) -> Target {
    Target::Http {
        addr,
        path: "/".into(),
        pipelined,
    }
}

/// The servers whose idle connections are measured.
const IDLE_PEERS: [Peer; 2] = [peer("evy", evy::idle), peer("hyper", hyper::http)];

/// Runs the command that the arguments name. Prints the usage and exits if they are invalid.
///
/// # Errors
///
/// Returns the error of the server or of the measurement.
pub(super) fn command(words: &[String]) -> io::Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some(task) = parse(&words) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    task()
}

/// Returns the command that the arguments name, or `None` if they are invalid.
fn parse(words: &[&str]) -> Option<Box<dyn FnOnce() -> io::Result<()>>> {
    let workload = |name: &str| WORKLOADS.iter().find(|workload| workload.name == name);
    match *words {
        ["serve", name, peer, addr] => {
            let mut peers = match name {
                "idle" => IDLE_PEERS.iter(),
                "proxy" => proxy::PEERS.iter(),
                name => workload(name)?.peers.iter(),
            };
            let (peer, addr) = (peers.find(|known| known.name == peer)?, addr.parse().ok()?);
            Some(Box::new(move || {
                evy_load::raise_file_limit()?;
                // If the parent is killed, it cannot end this process, so the kernel has to.
                set_parent_process_death_signal(Some(Signal::KILL))?;
                (peer.serve)(addr)
            }))
        }
        // `sample` starts this command.
        ["load", name, addr, connections, server] => {
            let (workload, addr) = (workload(name)?, addr.parse().ok()?);
            let (connections, server) = (connections.parse().ok()?, server.parse().ok()?);
            Some(Box::new(move || {
                evy_load::raise_file_limit()?;
                sample::generate(workload, addr, connections, server)
            }))
        }
        ["idle", ref connections @ ..] => {
            let connections = connections
                .first()
                .map_or(Some(10_000), |n| n.parse().ok())?;
            Some(Box::new(move || {
                evy_load::raise_file_limit()?;
                idle::run(connections)
            }))
        }
        ["proxy", ref choices @ ..] => {
            let rounds = choices.first().map_or(Some(11), |n| n.parse().ok())?;
            let mebibytes: usize = choices.get(1).map_or(Some(1024), |n| n.parse().ok())?;
            Some(Box::new(move || proxy::run(rounds, mebibytes << 20)))
        }
        [name, ref choices @ ..] => {
            let (workload, choices) = (workload(name)?, compare::Choices::parse(choices)?);
            Some(Box::new(move || compare::run(workload, &choices)))
        }
        [] => None,
    }
}

/// Prints the address of the server. The parent process waits for this line.
fn announce(addr: SocketAddr) {
    println!("listening on {addr}");
}
