//! The memory of an idle connection: how much a server's memory grows with many of them.
//!
//! Each connection has sent one request and read the answer. The memory is read after more than a
//! second of idleness, when servers may have given some of it back.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::cpu_affinity::{Cores, Process};

/// The time that connections are idle before the memory is read.
const IDLE: Duration = Duration::from_millis(2500);

/// The path whose answer has [`LARGE`] bytes.
pub(super) const LARGE_PATH: &str = "/large";

/// The number of bytes of a large answer.
pub(super) const LARGE: usize = 60 * 1024;

/// The number of bytes of a large head.
const LARGE_HEAD: usize = 24 * 1024;

/// The servers that are compared.
const PEERS: [&str; 2] = ["evy", "hyper"];

/// What each connection has sent before it is idle.
struct Kind {
    name: &'static str,
    path: &'static str,
    padding: usize,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "small request",
        path: "/",
        padding: 0,
    },
    Kind {
        name: "60 KiB answer",
        path: LARGE_PATH,
        padding: 0,
    },
    Kind {
        name: "24 KiB head",
        path: "/",
        padding: LARGE_HEAD,
    },
];

/// Measures `connections` idle connections to each peer, and prints the table.
///
/// # Errors
///
/// Returns the error of a server or of a connection.
pub(super) fn run(connections: usize) -> io::Result<()> {
    let cores = Cores::choose()?;
    println!("| {connections} idle connections, after a | peer | bytes for each |");
    println!("| --- | --- | ---: |");
    for kind in &KINDS {
        for peer in PEERS {
            let bytes = measure(cores, peer, kind, connections)?;
            println!("| {} | {peer} | {bytes} |", kind.name);
        }
    }
    Ok(())
}

fn measure(cores: Cores, peer: &str, kind: &Kind, connections: usize) -> io::Result<usize> {
    let mut server = Process::start(cores.server, &["serve", "idle", peer, "127.0.0.1:0"])?;
    let line = server.line()?;
    let addr = line.rsplit(' ').next().unwrap_or_default();
    let addr: SocketAddr = addr.parse().map_err(io::Error::other)?;
    // What the first connections need once is not counted.
    let mut streams = open(addr, kind, 64)?;
    thread::sleep(IDLE);
    let before = resident(server.id())?;
    streams.extend(open(addr, kind, connections)?);
    thread::sleep(IDLE);
    let after = resident(server.id())?;
    drop(streams);
    Ok(after.saturating_sub(before) / connections)
}

/// Opens connections, and has one request answered on each.
fn open(addr: SocketAddr, kind: &Kind, connections: usize) -> io::Result<Vec<TcpStream>> {
    let padding = match kind.padding {
        0 => String::new(),
        size => format!("X-Padding: {}\r\n", "x".repeat(size)),
    };
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n{padding}\r\n", kind.path);
    let connect = |_| {
        let mut stream = TcpStream::connect(addr)?;
        stream.write_all(request.as_bytes())?;
        read_answer(&mut stream)?;
        Ok(stream)
    };
    (0..connections).map(connect).collect()
}

fn read_answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut answer = vec![0; 2 * LARGE];
    let mut received = 0;
    loop {
        let read = stream.read(&mut answer[received..])?;
        received += read;
        let text = String::from_utf8_lossy(&answer[..received]);
        let length = text.split_once("\r\n\r\n").and_then(|(head, body)| {
            let value = head.split_once("content-length: ")?.1;
            let length: usize = value.split("\r\n").next()?.parse().ok()?;
            Some((length, body.len()))
        });
        match length {
            Some((length, body)) if length == body => return Ok(()),
            _ if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
    }
}

/// Returns the resident memory of a process, in bytes.
fn resident(process: u32) -> io::Result<usize> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<usize>().ok());
    kilobytes
        .map(|kilobytes| kilobytes * 1024)
        .ok_or_else(|| io::Error::other("the system does not say how much memory is resident"))
}
