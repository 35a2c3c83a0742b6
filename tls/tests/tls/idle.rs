//! A stream that waits for data holds no buffer, and what it finds is left to the next read.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use evy::http::Server;
use evy_net::{Duplex as _, Shutdown, Stream, TcpStream};
use evy_runtime::{sleep, spawn};
use evy_test_support::stream::tcp_pair;
use evy_test_support::within;

use crate::support::{SHORT, acceptor, connector, pair};

/// What a transport is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    Nothing,
    Waiting,
    Reading,
}

/// A transport that shows what it is doing.
struct Watched {
    io: TcpStream,
    doing: Rc<Cell<Doing>>,
}

impl Read for Watched {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.doing.set(Doing::Reading);
        let read = self.io.read(buf);
        self.doing.set(Doing::Nothing);
        read
    }
}

impl Write for Watched {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.io.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}

impl Stream for Watched {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.io.set_write_timeout(timeout)
    }

    fn wait_readable(&mut self) -> io::Result<()> {
        self.doing.set(Doing::Waiting);
        let waited = self.io.wait_readable();
        self.doing.set(Doing::Nothing);
        waited
    }

    fn close_write(&mut self) -> io::Result<()> {
        self.io.close_write()
    }
}

#[test]
fn a_wait_for_data_is_one_for_the_transport_until_there_are_data() {
    within(|| {
        let (client, server) = tcp_pair();
        let accepting = spawn(move || acceptor().accept(server).unwrap());
        let doing = Rc::new(Cell::new(Doing::Nothing));
        let io = Watched {
            io: client,
            doing: Rc::clone(&doing),
        };
        let mut client = connector().connect("localhost", io).unwrap();
        let mut server = accepting.join().unwrap();
        let waiting = spawn(move || {
            client.wait_readable().unwrap();
            client
        });
        sleep(SHORT);
        assert_eq!(doing.get(), Doing::Waiting);
        // The server sends its session tickets, which are no data.
        assert!(evy_runtime::timeout(SHORT, || server.wait_readable()).is_err());
        sleep(SHORT);
        assert_eq!(doing.get(), Doing::Waiting);
        server.update_keys().unwrap();
        server.write_all(b"data").unwrap();
        let mut client = waiting.join().unwrap();
        let mut data = [0; 4];
        client.read_exact(&mut data).unwrap();
        assert_eq!(&data, b"data");
    });
}

/// An idle connection of a server needs no buffer of HTTP, and none of TLS.
#[test]
fn an_idle_https_connection_waits_for_its_transport_alone() {
    within(|| {
        let (client, server) = tcp_pair();
        let connecting = spawn(move || connector().connect("localhost", client).unwrap());
        let doing = Rc::new(Cell::new(Doing::Nothing));
        let io = Watched {
            io: server,
            doing: Rc::clone(&doing),
        };
        let server = acceptor().accept(io).unwrap();
        let serving = spawn(move || Server::default().serve_connection(server, (), |_| "hello"));
        let mut client = connecting.join().unwrap();
        for _ in 0..3 {
            let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
            client.write_all(request).unwrap();
            let mut answer = [0; 1000];
            let read = client.read(&mut answer).unwrap();
            assert!(answer[..read].ends_with(b"hello"));
            sleep(SHORT);
            assert_eq!(doing.get(), Doing::Waiting);
        }
        client.close_write().unwrap();
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_wait_for_data_sees_those_that_were_decrypted_before() {
    within(|| {
        let (mut client, mut server) = pair();
        server.write_all(b"one").unwrap();
        server.write_all(b"two").unwrap();
        sleep(SHORT);
        // Both records have arrived, and the transport has nothing more.
        for byte in b"onetwo" {
            client.wait_readable().unwrap();
            let mut buf = [0];
            assert_eq!(client.read(&mut buf).unwrap(), 1);
            assert_eq!(buf[0], *byte);
        }
        client.set_read_timeout(Some(SHORT)).unwrap();
        let error = client.wait_readable().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_wait_for_data_that_never_come_is_an_error_after_a_truncation() {
    within(|| {
        let (mut client, server) = pair();
        server.get_ref().shutdown(Shutdown::Write).unwrap();
        for _ in 0..2 {
            let error = client.wait_readable().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            let error = client.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    });
}

#[test]
fn a_wait_for_data_fails_with_the_stream() {
    within(|| {
        let (mut client, server) = pair();
        server.get_ref().write_all(b"no TLS at all").unwrap();
        for _ in 0..2 {
            let error = client.wait_readable().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
        drop(server);
    });
}

#[test]
fn a_wait_for_data_excludes_other_readers_and_no_writer() {
    within(|| {
        let (mut client, mut server) = pair();
        let mut other = client.try_clone().unwrap();
        let waiting = spawn(move || client.wait_readable());
        sleep(SHORT);
        let error = other.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        let error = other.wait_readable().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        other.write_all(b"question").unwrap();
        let mut question = [0; 8];
        server.read_exact(&mut question).unwrap();
        server.write_all(&question).unwrap();
        waiting.join().unwrap().unwrap();
        other.read_exact(&mut question).unwrap();
        assert_eq!(&question, b"question");
    });
}

/// The bytes of a record that arrive one by one do not end the wait, and its timeout is for all of
/// them.
#[test]
fn a_wait_for_data_is_for_a_whole_record() {
    within(|| {
        let (mut client, mut server) = crate::support::pair_through(|mut near, mut far| {
            let (back_from, back_to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            evy_runtime::spawn_n(move || crate::support::pass_on(back_from, back_to));
            loop {
                let record = crate::support::next_record(&mut far);
                let pause = if record.len() > 9000 { 1 } else { 0 };
                for piece in record.chunks(if pause > 0 { 1000 } else { record.len() }) {
                    sleep(SHORT / 3 * pause);
                    near.write_all(piece).unwrap();
                }
            }
        });
        server.write_all(&[7; 10_000]).unwrap();
        client.set_read_timeout(Some(SHORT)).unwrap();
        let error = client.wait_readable().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        client.set_read_timeout(None).unwrap();
        client.wait_readable().unwrap();
        // All of the record is there.
        client
            .set_read_timeout(Some(Duration::from_nanos(1)))
            .unwrap();
        let mut data = [0; 10_000];
        client.read_exact(&mut data).unwrap();
        assert!(data.iter().all(|byte| *byte == 7));
    });
}
