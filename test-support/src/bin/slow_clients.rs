//! Slow clients of an HTTP server, and one that is not slow: how long does it wait for its answers?
//!
//! ```text
//! slow-clients PORT KIND COUNT SECONDS LIMIT_MS
//! ```
//!
//! KIND is `heads`, `bodies`, `reads` or `mixed`. Each slow client sends or reads a byte every
//! second, and connects again when the server has closed its connection. The other client asks for
//! `/hello`, over a connection that it keeps and over new ones. The program fails if one of its
//! requests fails, or takes longer than the limit.

use std::cell::Cell;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::RawFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

const GET: &[u8] = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// How long the measuring client waits between two requests.
const PAUSE: Duration = Duration::from_millis(2);

/// How many slow clients connect at once, fifty times a second. If thousands connected at the same
/// moment, the other client would wait for the system to hand them over in their order.
const AT_ONCE: usize = 50;

#[derive(Clone, Copy)]
enum Kind {
    Head,
    Body,
    Read,
}

/// How long a request took, and when it was sent.
struct Sample {
    at: Duration,
    took: Duration,
}

/// How many slow clients are connected, and how often one was closed by the server.
#[derive(Default)]
struct Counts {
    connected: AtomicUsize,
    closed: AtomicUsize,
    is_over: AtomicBool,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [port, kind, count, seconds, limit] = &args[..] else {
        return Err("usage: slow-clients PORT KIND COUNT SECONDS LIMIT_MS".into());
    };
    let kinds: &[Kind] = match kind.as_str() {
        "heads" => &[Kind::Head],
        "bodies" => &[Kind::Body],
        "reads" => &[Kind::Read],
        "mixed" => &[Kind::Head, Kind::Body, Kind::Read],
        _ => return Err("the kinds are: heads, bodies, reads, mixed".into()),
    };
    let addr = SocketAddr::from(([127, 0, 0, 1], port.parse()?));
    let count: usize = count.parse()?;
    let duration = Duration::from_secs(seconds.parse()?);
    let limit = Duration::from_millis(limit.parse()?);
    raise_descriptor_limit(count)?;

    let counts = Arc::<Counts>::default();
    let measuring = thread::spawn({
        let counts = Arc::clone(&counts);
        move || measure(addr, &counts)
    });
    let rejected = Rc::new(Cell::new(0));
    for number in 0..count {
        if number % AT_ONCE == 0 {
            evy::sleep(Duration::from_millis(20));
        }
        let (counts, rejected) = (Arc::clone(&counts), Rc::clone(&rejected));
        let kind = kinds[number % kinds.len()];
        evy::spawn_n(move || {
            loop {
                if be_slow(addr, kind, &counts).is_err() {
                    rejected.set(rejected.get() + 1);
                    evy::sleep(Duration::from_millis(100));
                }
            }
        });
    }
    evy::sleep(duration);
    let connected = counts.connected.load(Ordering::Relaxed);
    counts.is_over.store(true, Ordering::Relaxed);
    let measured = measuring.join().map_err(|_| "the client panicked")?;
    let [new, kept] = measured?;
    println!(
        "{kind}: {connected} of {count} slow clients are connected, {} were closed, {} not accepted",
        counts.closed.load(Ordering::Relaxed),
        rejected.get()
    );
    let is_timely = [("new connections", new), ("a kept connection", kept)]
        .map(|(name, times)| report(name, &times, limit));
    let is_complete = connected >= count - count / 10;
    if !is_complete {
        println!("too few slow clients are connected");
    }
    Ok(if is_timely == [true; 2] && is_complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn raise_descriptor_limit(count: usize) -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let needed = count as u64 + 50;
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        let message = format!("{count} clients need a limit of {needed} descriptors");
        return Err(io::Error::other(message));
    }
    // Growing the table of descriptors takes the system a while, during which no thread of this
    // process can connect. So it is done before the measurement.
    drop(fcntl_dupfd_cloexec(io::stderr(), needed as RawFd)?);
    Ok(())
}

/// Connects, and sends or reads a byte every second until the server closes the connection.
///
/// # Errors
///
/// Returns the error of connecting, and of sending the beginning of a request.
fn be_slow(addr: SocketAddr, kind: Kind, counts: &Counts) -> io::Result<()> {
    let mut stream = connect_with_little_room(addr)?;
    let beginning: &[u8] = match kind {
        Kind::Head => b"GET /hello HTTP/1.1\r\nHost: a\r\nX: ",
        Kind::Body => b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
        Kind::Read => b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    stream.write_all(beginning)?;
    counts.connected.fetch_add(1, Ordering::Relaxed);
    loop {
        evy::sleep(Duration::from_secs(1));
        let moved = match kind {
            Kind::Read => stream.read(&mut [0]),
            Kind::Head | Kind::Body => stream.write(b"x"),
        };
        // What has arrived can still be read after a reset.
        let is_reset = !matches!(stream.take_error(), Ok(None));
        if is_reset || !matches!(moved, Ok(1..)) {
            break;
        }
    }
    counts.connected.fetch_sub(1, Ordering::Relaxed);
    counts.closed.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Connects as over a network: both ends buffer some 50 KB, not megabytes as over loopback.
fn connect_with_little_room(addr: SocketAddr) -> io::Result<evy::net::TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.set_tcp_mss(1460)?;
    socket.connect_timeout(&addr.into(), Duration::from_secs(5))?;
    Ok(TcpStream::from(socket).into())
}

/// Asks for a page again and again. Returns how long that took, over new connections and over one
/// that is kept.
fn measure(addr: SocketAddr, counts: &Counts) -> io::Result<[Vec<Sample>; 2]> {
    let (mut new, mut kept) = (Vec::new(), Vec::new());
    let began = Instant::now();
    let since = |start: Instant| Sample {
        at: start.duration_since(began),
        took: start.elapsed(),
    };
    let mut stream = connect(addr)?;
    while !counts.is_over.load(Ordering::Relaxed) {
        let start = Instant::now();
        let mut other = connect(addr)?;
        ask(&mut other, GET_AND_CLOSE)?;
        new.push(since(start));
        let start = Instant::now();
        ask(&mut stream, GET)?;
        kept.push(since(start));
        thread::sleep(PAUSE);
    }
    Ok([new, kept])
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request, and reads the answer.
fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.ends_with(b"\r\n\r\nhello\n") {
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&answer)))
    }
}

/// Prints quantiles. Returns whether no time is above the limit.
fn report(name: &str, times: &[Sample], limit: Duration) -> bool {
    let mut sorted: Vec<_> = times
        .iter()
        .map(|sample| (sample.took, sample.at))
        .collect();
    sorted.sort();
    let Some(&(longest, at)) = sorted.last() else {
        return false;
    };
    let quantile = |percent: usize| sorted[sorted.len() * percent / 100].0;
    println!(
        "  {name}: {} requests, p50 {:.1?}, p99 {:.1?}, max {longest:.1?} (after {at:.0?})",
        sorted.len(),
        quantile(50),
        quantile(99),
    );
    longest <= limit
}
