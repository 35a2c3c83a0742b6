//! Copies from one stream to another: complete, in both directions, and without a trace when they
//! are interrupted.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use evy_net::unix::UnixStream;
use evy_net::{
    CopyError, Duplex, Shutdown, Stream, TcpStream, connect, copy, copy_bidirectional, listen,
};
use evy_runtime::{sleep, spawn, timeout, yield_now};
use evy_test_support::stream::{tcp_pair, unix_pair};
use evy_test_support::{rerun_ignored, within};

use crate::peer::{Peer, SocketPath};

const SHORT: Duration = Duration::from_millis(10);

/// A stream that is not a socket, as far as a copy can see.
struct Opaque<S>(S);

impl<S: Stream> Read for Opaque<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<S: Stream> Write for Opaque<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<S: Stream> Stream for Opaque<S> {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    fn close_write(&mut self) -> io::Result<()> {
        self.0.close_write()
    }
}

impl<S: Duplex> Duplex for Opaque<S> {
    fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Opaque)
    }
}

fn opaque_pair() -> (Opaque<TcpStream>, Opaque<TcpStream>) {
    let (a, b) = tcp_pair();
    (Opaque(a), Opaque(b))
}

/// Returns the bytes at `from` and after it in an endless sequence.
fn bytes(from: usize) -> impl Iterator<Item = u8> {
    (from..).map(|at| (at * 31 + at / 251) as u8)
}

/// Writes `len` bytes in pieces of many sizes, and closes the writing direction.
fn send(mut stream: impl Stream, len: usize) {
    let all: Vec<u8> = bytes(0).take(len).collect();
    let (mut at, mut piece) = (0, 1);
    while at < len {
        let end = (at + piece).min(len);
        stream.write_all(&all[at..end]).unwrap();
        at = end;
        piece = piece * 3 % 70_001 + 1;
    }
    stream.close_write().unwrap();
}

/// Reads until the end, checks each byte, and returns their number.
fn receive(mut stream: impl Stream) -> usize {
    let mut buf = vec![0; 50_000];
    let mut at = 0;
    loop {
        let len = stream.read(&mut buf).unwrap();
        if len == 0 {
            return at;
        }
        assert!(bytes(at).take(len).eq(buf[..len].iter().copied()));
        at += len;
    }
}

/// Sends different amounts in both directions through a proxy between two connections.
fn check_proxy<A: Duplex, B: Duplex>(a: fn() -> (A, A), b: fn() -> (B, B)) {
    const THERE: usize = 3 << 20;
    const BACK: usize = 1 << 20;
    within(move || {
        let ((client, mut front), (mut back, server)) = (a(), b());
        let proxy = spawn(move || copy_bidirectional(&mut front, &mut back).unwrap());
        let (client_reads, server_reads) =
            (client.try_clone().unwrap(), server.try_clone().unwrap());
        let sending = spawn(move || send(client, THERE));
        let answering = spawn(move || send(server, BACK));
        let received = spawn(move || receive(server_reads));
        assert_eq!(receive(client_reads), BACK);
        assert_eq!(received.join().unwrap(), THERE);
        assert_eq!(proxy.join().unwrap(), (THERE as u64, BACK as u64));
        sending.join().unwrap();
        answering.join().unwrap();
    });
}

#[test]
fn a_proxy_carries_all_bytes_between_streams_of_any_kind() {
    check_proxy(tcp_pair, tcp_pair);
    check_proxy(unix_pair, unix_pair);
    check_proxy(tcp_pair, unix_pair);
    check_proxy(unix_pair, tcp_pair);
    check_proxy(opaque_pair, tcp_pair);
    check_proxy(unix_pair, opaque_pair);
}

#[test]
fn a_copy_ends_with_its_reader_and_leaves_the_writer_open() {
    within(|| {
        let ((mut source, mut from), (mut to, mut sink)) = (tcp_pair(), unix_pair());
        let copying = spawn(move || {
            let copied = copy(&mut from, &mut to).unwrap();
            to.write_all(b", and more").unwrap();
            copied
        });
        source.write_all(b"all of it").unwrap();
        let mut start = [0; 9];
        sink.read_exact(&mut start).unwrap();
        assert!(!copying.is_finished());
        source.shutdown(Shutdown::Write).unwrap();
        assert_eq!(copying.join().unwrap(), 9);
        let mut rest = String::new();
        sink.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, ", and more");
    });
}

#[test]
fn a_reader_and_a_writer_need_not_be_streams() {
    within(|| {
        let (mut a, b) = tcp_pair();
        let sending = spawn(move || send(b, 100_000));
        let mut all = Vec::new();
        assert_eq!(copy(&mut a, &mut all).unwrap(), 100_000);
        assert!(bytes(0).take(100_000).eq(all.iter().copied()));
        sending.join().unwrap();
        let (mut a, b) = tcp_pair();
        let receiving = spawn(move || receive(b));
        assert_eq!(copy(&mut io::Cursor::new(all), &mut a).unwrap(), 100_000);
        drop(a);
        assert_eq!(receiving.join().unwrap(), 100_000);
    });
}

#[test]
fn a_reader_and_a_writer_may_be_borrowed_or_unsized() {
    within(|| {
        let (mut source, from) = tcp_pair();
        let (to, mut sink) = unix_pair();
        // Both ends are sockets behind references, so the bytes stay in the kernel.
        source.write_all(b"one").unwrap();
        source.close_write().unwrap();
        let (mut reader, mut writer) = (&from, &to);
        assert_eq!(copy(&mut reader, &mut writer).unwrap(), 3);
        let mut bytes = [0; 3];
        sink.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"one");
        // What borrows something goes through a buffer.
        let text = String::from("two");
        let mut borrowed = text.as_bytes();
        assert_eq!(copy(&mut borrowed, &mut writer).unwrap(), 3);
        let mut part = (&mut sink).take(3);
        let mut collected = Vec::new();
        let unsized_reader: &mut dyn Read = &mut part;
        let unsized_writer: &mut dyn Write = &mut collected;
        assert_eq!(copy(unsized_reader, unsized_writer).unwrap(), 3);
        assert_eq!(collected, b"two");
        let mut boxed: Box<dyn Stream> = Box::new(to);
        assert_eq!(copy(&mut &b"three"[..], &mut boxed).unwrap(), 5);
        drop(boxed);
        let mut rest = String::new();
        sink.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "three");
    });
}

#[test]
fn the_end_of_one_direction_leaves_the_other_one_open() {
    within(|| {
        let ((mut client, mut front), (mut back, mut server)) = (tcp_pair(), tcp_pair());
        let proxy = spawn(move || copy_bidirectional(&mut front, &mut back).unwrap());
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).unwrap();
        assert_eq!(question, "question");
        sleep(SHORT);
        assert!(!proxy.is_finished());
        server.write_all(b"the answer").unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "the answer");
        assert_eq!(proxy.join().unwrap(), (8, 10));
    });
}

/// Returns the counts of an error.
fn counts(error: &io::Error) -> (u64, u64) {
    let details = error.get_ref().unwrap().downcast_ref::<CopyError>();
    let details = details.unwrap();
    assert_eq!(details.io_error().kind(), error.kind());
    (details.copied(), details.copied_back())
}

#[test]
fn an_error_ends_both_directions_and_has_their_counts() {
    within(|| {
        let ((mut client, mut front), (mut back, mut server)) = (tcp_pair(), tcp_pair());
        let proxy = spawn(move || {
            let error = copy_bidirectional(&mut front, &mut back).unwrap_err();
            // The caller has the only handle again.
            let number = front.as_raw_fd();
            assert_eq!(front.into_std().unwrap().as_raw_fd(), number);
            (counts(&error), error)
        });
        client.write_all(b"12345").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        server.write_all(b"123").unwrap();
        client.read_exact(&mut [0; 3]).unwrap();
        server.reset();
        drop(server);
        let (counts, error) = proxy.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(counts, (5, 3));
        let text = error.to_string();
        assert!(text.ends_with("after 8 bytes were copied"), "{text}");
    });
}

#[test]
fn the_timeouts_of_the_streams_apply() {
    fn check<S: Stream>(pair: fn() -> (S, S)) {
        within(move || {
            let ((mut source, mut from), (mut to, mut sink)) = (pair(), pair());
            from.set_read_timeout(Some(SHORT)).unwrap();
            source.write_all(b"early").unwrap();
            let error = copy(&mut from, &mut to).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert_eq!(counts(&error), (5, 0));
            sink.read_exact(&mut [0; 5]).unwrap();
            from.set_read_timeout(None).unwrap();
            to.set_write_timeout(Some(SHORT)).unwrap();
            let writing = spawn(move || source.write_all(&vec![0; 64 << 20]).is_err());
            let error = copy(&mut from, &mut to).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            let (copied, _) = counts(&error);
            drop(from);
            assert!(writing.join().unwrap());
            // Every byte that is counted has been written.
            drop(to);
            let arrived = io::copy(&mut sink, &mut io::sink()).unwrap();
            assert_eq!(arrived, copied);
        });
    }
    check(tcp_pair);
    check(unix_pair);
    check(opaque_pair);
}

// A read passes the mark of urgent data, but splice(2) does not.
#[test]
fn urgent_data_does_not_end_a_copy() {
    use rustix::net::{SendFlags, send};
    within(|| {
        let ((mut source, mut from), (mut to, mut sink)) = (tcp_pair(), tcp_pair());
        let copying = spawn(move || {
            copy(&mut from, &mut to).unwrap();
        });
        source.write_all(b"before ").unwrap();
        sink.read_exact(&mut [0; 7]).unwrap();
        send(&source, b"!", SendFlags::OOB).unwrap();
        source.write_all(b"after").unwrap();
        drop(source);
        let mut text = String::new();
        sink.read_to_string(&mut text).unwrap();
        assert_eq!(text, "after");
        copying.join().unwrap();
    });
}

#[test]
fn a_copy_that_never_parks_does_not_starve_other_green_threads() {
    /// A stream that always has more.
    struct Endless(Rc<()>);
    impl Read for Endless {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            buf.fill(1);
            Ok(if Rc::strong_count(&self.0) == 1 {
                0
            } else {
                buf.len()
            })
        }
    }
    within(|| {
        let running = Rc::new(());
        let endless = Rc::clone(&running);
        let unknown = spawn(move || copy(&mut Endless(endless), &mut io::sink()).unwrap());
        (0..1000).for_each(|_| yield_now());
        drop(running);
        unknown.join().unwrap();

        let (mut a, mut b) = unix_pair();
        let running = Rc::new(());
        let endless = Rc::clone(&running);
        let sender = spawn(move || copy(&mut Endless(endless), &mut a).unwrap());
        let (mut c, mut d) = unix_pair();
        let proxy = spawn(move || copy(&mut b, &mut c).unwrap());
        let sink = spawn(move || io::copy(&mut d, &mut io::sink()).unwrap());
        (0..1000).for_each(|_| yield_now());
        assert!(!sink.is_finished());
        drop(running);
        let sent = sender.join().unwrap();
        assert!(sent > 0);
        assert_eq!((proxy.join().unwrap(), sink.join().unwrap()), (sent, sent));
    });
}

// The descriptors are counted, so no other test may run in the process.
#[test]
fn a_copy_that_is_interrupted_leaves_no_pipe_and_no_green_thread() {
    let name = "copy::a_child_interrupts_copies_and_counts_descriptors";
    let output = rerun_ignored(name).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

#[test]
#[ignore = "is the child of `a_copy_that_is_interrupted_leaves_no_pipe_and_no_green_thread`"]
fn a_child_interrupts_copies_and_counts_descriptors() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (mut a, _peer) = tcp_pair();
    let (mut b, _other) = tcp_pair();
    sleep(SHORT);
    let before = count();
    assert!(timeout(SHORT, || copy(&mut a, &mut b)).is_err());
    assert_eq!(count(), before);
    assert!(timeout(SHORT, || copy_bidirectional(&mut a, &mut b)).is_err());
    assert_eq!(count(), before);
    let copying = spawn(move || copy_bidirectional(&mut a, &mut b));
    sleep(SHORT);
    assert!(count() >= before + 4, "two pipes");
    copying.kill();
    assert!(copying.join().unwrap_err().is_killed());
    // The two sockets are gone as well.
    assert_eq!(count(), before - 2);
    assert_eq!(evy_runtime::shutdown(Duration::ZERO), 0);

    // Without a descriptor for a pipe, a copy goes through a buffer.
    let ((client, mut front), (mut back, server)) = (unix_pair(), unix_pair());
    let limit = libc::rlimit {
        rlim_cur: 64,
        rlim_max: 64,
    };
    // SAFETY: the call only reads the limit.
    let is_set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(is_set, 0);
    let mut held = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    let copying = spawn(move || copy(&mut front, &mut back).unwrap());
    let receiving = spawn(move || receive(server));
    send(client, 100_000);
    assert_eq!(copying.join().unwrap(), 100_000);
    assert_eq!(receiving.join().unwrap(), 100_000);
}

#[test]
fn socat_talks_to_a_unix_socket_through_a_proxy() {
    within(|| {
        let path = SocketPath::new();
        let listener = format!("UNIX-LISTEN:{}", path.to_str());
        let Some(_socat) = Peer::start("socat", &[&listener, "SYSTEM:tr a-z A-Z"]) else {
            return;
        };
        let mut back = loop {
            match UnixStream::connect(&path) {
                Ok(stream) => break stream,
                Err(_) => sleep(SHORT),
            }
        };
        let server = listen("127.0.0.1:0").unwrap();
        let mut client = connect(server.local_addr().unwrap()).unwrap();
        let (mut front, _) = server.accept().unwrap();
        let proxy = spawn(move || copy_bidirectional(&mut front, &mut back).unwrap());
        client.write_all(b"through the proxy").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "THROUGH THE PROXY");
        assert_eq!(proxy.join().unwrap(), (17, 17));
    });
}
