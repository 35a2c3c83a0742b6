//! A proxy: the processor time of copying between two sockets, by two green threads and by two OS
//! threads.
//!
//! The proxy is a process on one core. This process is both ends: it sends on one connection and
//! receives on the other.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::cpu_affinity::{Cores, Process};
use super::{Peer, peer};
use crate::targets::{self, Target};

const PIECE: usize = 64 << 10;

/// The proxies that are compared. The first one is what the other is compared with.
pub(super) const PEERS: [Peer; 2] = [peer("OS threads", os_threads), peer("evy", green_threads)];

/// Measures in `rounds` the copying of `bytes`, and prints the table.
///
/// # Errors
///
/// Returns the error of a proxy or of a connection.
pub(super) fn run(rounds: usize, bytes: usize) -> io::Result<()> {
    let cores = Cores::choose()?;
    let mut proxies = Vec::new();
    for Peer { name, .. } in &PEERS {
        let words = ["serve", "proxy", name, "127.0.0.1:0"];
        let mut process = Process::start(cores.server, &words)?;
        let line = process.line()?;
        let addr = line.rsplit(' ').next().unwrap_or_default();
        let addr: SocketAddr = addr.parse().map_err(io::Error::other)?;
        proxies.push((process, addr));
    }
    let mut samples = Vec::new();
    for round in 0..rounds {
        let mut sample = [0.0; 2];
        for at in (0..2).map(|n| (n + round) % 2) {
            let (process, addr) = &mut proxies[at];
            transfer(*addr, bytes)?;
            let nanos: f64 = process.line()?.parse().map_err(io::Error::other)?;
            sample[at] = nanos / 1e6;
            eprintln!("    {:<10} {:>6.0} ms", PEERS[at].name, sample[at]);
        }
        samples.push(sample);
    }
    println!("| {} MiB through a proxy | CPU ms |", bytes >> 20);
    println!("| --- | ---: |");
    for (at, Peer { name, .. }) in PEERS.iter().enumerate() {
        let median = targets::median(samples.iter().map(|sample| sample[at]));
        println!("| {name} | {:.0} |", median.unwrap_or_default());
    }
    let pairs: Vec<_> = samples
        .iter()
        .map(|[threads, evy]| (*evy, *threads))
        .collect();
    let what = "a proxy of green threads, relative to one of OS threads";
    targets::print(&[Target::at_most(1.1, what, targets::ratio(&pairs))]);
    Ok(())
}

/// Sends `bytes` through the proxy.
fn transfer(addr: SocketAddr, bytes: usize) -> io::Result<()> {
    let mut source = TcpStream::connect(addr)?;
    let mut sink = TcpStream::connect(addr)?;
    let sender = thread::spawn(move || {
        let piece = vec![7; PIECE];
        (0..bytes / PIECE).try_for_each(|_| source.write_all(&piece))?;
        source.shutdown(Shutdown::Write)?;
        // The proxy closes the other direction once the sink has.
        source.read(&mut [0]).map(drop)
    });
    let mut piece = vec![0; PIECE];
    let mut received = 0;
    loop {
        match sink.read(&mut piece)? {
            0 => break,
            read => received += read,
        }
    }
    drop(sink);
    sender.join().expect("the sender does not panic")?;
    match received == bytes / PIECE * PIECE {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn green_threads(addr: SocketAddr) -> io::Result<()> {
    let listener = evy::listen(addr)?;
    super::announce(listener.local_addr()?);
    loop {
        let (mut source, mut sink) = (listener.accept()?.0, listener.accept()?.0);
        report(|| evy::net::copy_bidirectional(&mut source, &mut sink).map(drop))?;
    }
}

fn os_threads(addr: SocketAddr) -> io::Result<()> {
    fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        io::copy(&mut from, &mut to)?;
        // It fails if the peer has gone.
        to.shutdown(Shutdown::Write).ok();
        Ok(())
    }
    let listener = TcpListener::bind(addr)?;
    super::announce(listener.local_addr()?);
    loop {
        let (source, sink) = (listener.accept()?.0, listener.accept()?.0);
        report(|| {
            thread::scope(|scope| {
                let back = scope.spawn(|| copy(&sink, &source));
                copy(&source, &sink)?;
                back.join().expect("a copy does not panic")
            })
        })?;
    }
}

/// Prints the processor time that the process has used for `copy`, in nanoseconds.
fn report(copy: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let used = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let before = used();
    copy()?;
    println!("{}", (used() - before).as_nanos());
    Ok(())
}
