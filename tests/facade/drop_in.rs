//! A program moves to evy by replacing `std::` by `evy::`. One server in plain blocking style is
//! compiled with both, and both pass the same test. `drop_in/on_std.rs` and `drop_in/on_evy.rs`
//! differ in one word.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::duplicate_mod, reason = "once with std and once with evy")]

#[path = "drop_in/on_evy.rs"]
mod on_evy;
#[path = "drop_in/on_std.rs"]
mod on_std;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

type Listening = Box<dyn FnOnce(SocketAddr) + Send>;
type Serve = fn(&str, Duration, usize, Listening) -> io::Result<()>;

/// The pages of the server, in their own folder.
struct Pages(String);

impl Pages {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("evy-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("hello.html"), "<p>hello</p>").unwrap();
        fs::write(folder.join("missing.html"), "<p>not here</p>").unwrap();
        Self(folder.to_str().unwrap().to_owned())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Sends a request to the server, as any client would, and returns the connection.
fn ask(server: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    stream
}

/// Reads the answer, up to the end of the connection.
fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<p>hello</p>";
const MISSING: &str = "HTTP/1.1 404 NOT FOUND\r\nContent-Length: 15\r\n\r\n<p>not here</p>";

/// Returns how many OS threads of this process have a name that begins with `prefix`.
fn os_threads(prefix: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(prefix)).count()
}

/// Sends slow and quick requests to the server at the same time. Returns whether the quick ones
/// were answered before the slow ones, and how many of the workers were OS threads.
fn measure(serve: Serve, pages: &Pages, delay: Duration) -> (bool, usize) {
    let (sender, receiver) = mpsc::channel();
    let folder = pages.0.clone();
    let listening = Box::new(move |address| sender.send(address).unwrap());
    let server = thread::spawn(move || serve(&folder, delay, 8, listening));
    let address = receiver.recv().unwrap();
    let slow: Vec<_> = (0..3)
        .map(|_| ask(address, "/slow"))
        .map(|request| thread::spawn(move || (answer(request), Instant::now())))
        .collect();
    for _ in 0..2 {
        assert_eq!(answer(ask(address, "/")), HELLO);
        assert_eq!(answer(ask(address, "/elsewhere")), MISSING);
    }
    let quick = Instant::now();
    let workers = os_threads("worker-");
    assert_eq!(answer(ask(address, "/slow")), HELLO);
    let slow: Vec<_> = slow.into_iter().map(|one| one.join().unwrap()).collect();
    assert!(slow.iter().all(|(answer, _)| answer == HELLO));
    // The server has answered every request, and its workers have ended.
    server.join().unwrap().unwrap();
    (slow.iter().all(|(_, at)| *at > quick), workers)
}

/// Calls `measure`, with longer delays for busier machines, until the quick requests were answered
/// first. Returns how many of the workers were OS threads.
fn check_quick_requests(serve: Serve, pages: &Pages) -> usize {
    for delay in [300, 1000, 5000] {
        let (quick_first, workers) = measure(serve, pages, Duration::from_millis(delay));
        if quick_first {
            return workers;
        }
    }
    panic!("the slow requests have held up the others");
}

#[test]
fn a_server_written_for_std_runs_on_evy_with_one_word_changed_and_one_os_thread() {
    let pages = Pages::new("drop-in");
    let on_std = check_quick_requests(on_std::server::serve, &pages);
    let on_evy = check_quick_requests(on_evy::server::serve, &pages);
    if cfg!(target_os = "linux") {
        assert_eq!((on_std, on_evy), (4, 0), "OS threads for four workers");
    }
}
