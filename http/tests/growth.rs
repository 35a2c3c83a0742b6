//! What failing requests leave behind: nothing. The servers are a process of their own, so that the
//! descriptors of this one are those of the client.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the servers are OS threads, and a failed helper is a failed test"
)]

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use evy_http::{Body, Client, Request};
use evy_runtime::{Queue, scope, sleep, timeout};
use evy_test_support::{CountingAllocator, is_emulated, rerun_ignored, within};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What a server does with a connection, after it has read something.
const SERVERS: [fn(TcpStream); 9] = [
    // It resets the connection, because there is more to read.
    drop,
    // It closes the connection.
    |mut stream| drop(read_some(&mut stream)),
    // It is silent.
    |mut stream| drop(io::copy(&mut stream, &mut io::sink())),
    |stream| answer(stream, "2000 OK", "Content-Length: 2", ""),
    |stream| answer(stream, "200 OK", "Content-Length: 99", "short"),
    |stream| answer(stream, "200 OK", "Content-Length: 2", "okHTTP/1.1 "),
    |stream| answer(stream, "413 No", "Content-Length: 2", "no"),
    |stream| answer(stream, "302 Found", "Location: /\r\nContent-Length: 0", ""),
    |mut stream| {
        drop(read_some(&mut stream));
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).ok();
        while stream.write_all(b"1\r\nx\r\n").is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    },
];

fn read_some(stream: &mut TcpStream) -> io::Result<usize> {
    stream.read(&mut vec![0; 100_000])
}

/// Answers each request, and keeps the connection.
fn answer(mut stream: TcpStream, status: &str, headers: &str, body: &str) {
    let answer = format!("HTTP/1.1 {status}\r\n{headers}\r\n\r\n{body}");
    while read_some(&mut stream).is_ok_and(|read| read > 0) {
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
#[ignore = "a process of servers for another test"]
fn servers() {
    for serve in SERVERS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        println!("server {}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || stream.read(&mut [0]).is_ok().then(|| serve(stream)));
            }
        });
    }
    // It ends together with the test.
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
    std::process::exit(0);
}

/// The process of the servers.
struct Servers(Child, Vec<String>);

impl Servers {
    fn start() -> Self {
        let mut command = rerun_ignored("servers");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addrs = lines.map_while(Result::ok);
        let addrs = addrs.filter_map(|line| Some(line.split_once("server ")?.1.to_owned()));
        let addrs = addrs.take(SERVERS.len()).collect();
        Self(child, addrs)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// The bodies of requests, of each kind.
const BODIES: [fn() -> Body; 7] = [
    Body::empty,
    || "short".into(),
    large,
    || Body::from_reader(io::repeat(b'x').take(1_000_000)),
    || Body::sized(&b"short"[..], 100),
    || Body::from_writer(|_| Err(io::Error::other("the body fails"))),
    || {
        Body::from_writer(|server| {
            loop {
                server.write_all(b"tick")?;
                server.flush()?;
                sleep(Duration::from_millis(1));
            }
        })
    },
];

fn large() -> Body {
    vec![b'x'; 1_000_000].into()
}

/// Sends a request of each kind, all at the same time, and returns their number.
fn send_all(client: &Client, addr: &str) -> usize {
    let count = Cell::new(0);
    let send = |scheme: &str, expect: &str, body: Body| {
        count.set(count.get() + 1);
        let request = Request::put(format!("{scheme}://{addr}/")).header("expect", expect);
        client.request(request.body(body).unwrap())
    };
    let send = &send;
    let (plain, expectant) = ("", "100-continue");
    scope(|s| {
        for body in BODIES {
            s.spawn(move || send("http", plain, body())?.into_body().into_bytes());
            s.spawn(move || send("http", plain, body()).map(drop));
        }
        s.spawn(move || send("http", expectant, large()).map(drop));
        s.spawn(move || send("https", plain, Body::empty()).map(drop));
        // An interrupt may come at any time.
        for micros in [0, 100, 300, 1000, 3000] {
            let limit = Duration::from_micros(micros);
            s.spawn(move || timeout(limit, || send("http", plain, large())).map(drop));
            let killed = s.spawn(move || send("http", plain, large()).map(drop));
            s.spawn(move || {
                sleep(limit);
                killed.kill();
            });
        }
    });
    count.get()
}

/// The number of bytes that this OS thread has allocated, and that of descriptors of the process.
fn held() -> (isize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (_, live) = CountingAllocator::counts();
    (live, descriptors)
}

#[test]
fn failing_requests_leave_nothing_behind() {
    const SHORT: Duration = Duration::from_millis(20);
    if is_emulated() {
        return;
    }
    let mut servers = Servers::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    servers.1.push(closed.local_addr().unwrap().to_string());
    drop(closed);
    within(move || {
        let round = || {
            let client = Client::builder().timeout(SHORT).build();
            let addrs = servers.1.iter();
            let count: usize = addrs.map(|addr| send_all(&client, addr)).sum();
            drop(client);
            // What was killed ends.
            sleep(Duration::from_millis(1));
            count
        };
        for _ in 0..3 {
            round();
        }
        let (bytes, descriptors) = held();
        let count: usize = (0..10).map(|_| round()).sum();
        assert!(count > 2000, "{count}");
        let (bytes_then, descriptors_then) = held();
        assert_eq!(descriptors_then, descriptors);
        let growth = bytes_then - bytes;
        assert!(growth < 8 * 1024, "{growth} bytes for {count} requests");

        // If a green thread is parked, it is listed. If a timer is pending, it hides the deadlock.
        let start = Instant::now();
        let wait = || Queue::<()>::unbounded().get();
        let report = catch_unwind(AssertUnwindSafe(wait)).unwrap_err();
        let report = report.downcast_ref::<String>().unwrap();
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(report.matches("green thread #").count(), 1, "{report}");
    });
}
