//! Both directions at once: two halves, several handles, proxies, key updates.

use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

use evy_net::unix::UnixStream;
use evy_net::{Duplex, Stream as _, TcpStream, copy_bidirectional};
use evy_runtime::{sleep, spawn, yield_now};
use evy_test_support::stream::tcp_pair;
use evy_test_support::within;

use crate::support::{SHORT, Tls, acceptor, connector, nested_pair, pair};

/// Sends `len` bytes in both directions at once, with both halves of both sides.
fn exchange_in_both_directions<S: Duplex>(
    pair: (evy_tls::Stream<S>, evy_tls::Stream<S>),
    len: usize,
) {
    let mut threads = Vec::new();
    for stream in [pair.0, pair.1] {
        let (mut reader, mut writer) = stream.split().unwrap();
        threads.push(spawn(move || {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            assert_eq!(received.len(), len);
            assert!(
                received
                    .iter()
                    .enumerate()
                    .all(|(at, byte)| *byte == at as u8)
            );
        }));
        threads.push(spawn(move || {
            let data: Vec<_> = (0..len).map(|at| at as u8).collect();
            writer.write_all(&data).unwrap();
            writer.close_write().unwrap();
        }));
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn both_halves_work_at_once_with_full_buffers() {
    within(|| exchange_in_both_directions(pair(), 20 << 20));
}

#[test]
fn a_tls_stream_over_a_tls_stream_can_be_split() {
    within(|| exchange_in_both_directions(nested_pair(), 4 << 20));
}

#[test]
fn the_connection_ends_when_both_halves_are_dropped_in_either_order() {
    within(|| {
        for drops_reader_first in [true, false] {
            let (mut client, server) = pair();
            let (mut reader, mut writer) = server.split().unwrap();
            writer.write_all(b"one ").unwrap();
            if drops_reader_first {
                drop(reader);
                writer.write_all(b"two").unwrap();
                drop(writer);
            } else {
                drop(writer);
                client.write_all(b"question").unwrap();
                reader.read_exact(&mut [0; 8]).unwrap();
                drop(reader);
            }
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            assert_eq!(
                text.trim_end(),
                ["one", "one two"][usize::from(drops_reader_first)]
            );
        }
    });
}

#[test]
fn a_second_reader_or_writer_gets_an_error() {
    within(|| {
        let (client, mut server) = pair();
        let mut other = client.try_clone().unwrap();
        let mut reader = client.try_clone().unwrap();
        let reading = spawn(move || {
            let mut buf = [0; 4];
            reader.read_exact(&mut buf).unwrap();
            buf
        });
        yield_now();
        let error = other.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        server.write_all(b"kept").unwrap();
        assert_eq!(&reading.join().unwrap(), b"kept");

        let mut writer = client.try_clone().unwrap();
        let writing = spawn(move || writer.write_all(&vec![0; 50 << 20]));
        yield_now();
        let error = other.write(&[0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        writing.kill();
    });
}

#[test]
fn the_halves_may_be_on_different_os_threads() {
    within(|| {
        let (client, mut server) = pair();
        let (mut reader, mut writer) = client.split().unwrap();
        let writing = thread::spawn(move || {
            for _ in 0..2000 {
                writer.write_all(&[1; 1000]).unwrap();
            }
            writer.close_write().unwrap();
        });
        let echoing = spawn(move || {
            let mut all = Vec::new();
            server.read_to_end(&mut all).unwrap();
            server.write_all(&all).unwrap();
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 2_000_000);
        writing.join().unwrap();
        echoing.join().unwrap();
    });
}

/// Keys are updated in both directions under load, also by a peer that only reads.
#[test]
fn keys_are_updated_while_data_flow() {
    within(|| {
        fn send(mut stream: Tls, rounds: usize) {
            for round in 0..rounds {
                stream.write_all(&[round as u8; 10_000]).unwrap();
                if round % 10 == 0 {
                    stream.update_keys().unwrap();
                }
            }
        }
        let (client, server) = pair();
        let mut threads = Vec::new();
        for stream in [client, server] {
            let mut reader = stream.try_clone().unwrap();
            threads.push(spawn(move || send(stream, 200)));
            threads.push(spawn(move || {
                let mut buf = vec![0; 10_000];
                for round in 0..200 {
                    reader.read_exact(&mut buf).unwrap();
                    assert!(buf.iter().all(|byte| *byte == round as u8));
                }
            }));
        }
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

/// A transport whose writes take a while.
#[derive(Debug)]
struct SlowWrites(TcpStream);

impl Read for SlowWrites {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for SlowWrites {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        sleep(SHORT);
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl evy_net::Stream for SlowWrites {
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

impl Duplex for SlowWrites {
    fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

/// A reader sends alerts and requests for new keys on its own.
#[test]
fn a_writer_waits_for_what_a_reader_sends() {
    within(|| {
        let (client, server) = tcp_pair();
        let serving = spawn(move || {
            let mut server = acceptor().accept(server).unwrap();
            let mut text = String::new();
            server.read_to_string(&mut text).unwrap();
            text
        });
        let mut client = connector()
            .connect("localhost", SlowWrites(client))
            .unwrap();
        client.update_keys().unwrap();
        let (mut reader, mut writer) = client.split().unwrap();
        let reading = spawn(move || reader.read(&mut [0]));
        yield_now();
        writer.write_all(b"meanwhile").unwrap();
        writer.close_write().unwrap();
        assert_eq!(serving.join().unwrap(), "meanwhile");
        assert_eq!(reading.join().unwrap().unwrap(), 0);
    });
}

#[test]
fn a_stream_may_move_to_another_os_thread() {
    fn check<T: Send + Sync>() {}
    check::<Tls>();
    check::<evy_tls::ReadHalf<TcpStream>>();
    check::<evy_tls::WriteHalf<TcpStream>>();
    check::<evy_tls::Acceptor>();
    check::<evy_tls::Connector>();
    within(|| {
        let (mut client, mut server) = pair();
        thread::spawn(move || client.write_all(b"from there").unwrap())
            .join()
            .unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "from there");
    });
}

/// A proxy ends TLS: its clients speak TLS, and the server behind it does not.
#[test]
fn a_proxy_copies_between_tls_and_tcp_in_both_directions() {
    within(|| {
        let (mut client, mut front) = pair();
        let (mut back, mut server) = tcp_pair();
        let proxy = spawn(move || copy_bidirectional(&mut front, &mut back).unwrap());
        let echoing = spawn(move || {
            let mut all = Vec::new();
            server.read_to_end(&mut all).unwrap();
            server.write_all(&all).unwrap();
        });
        let data: Vec<_> = (0..3_000_000_u32).map(|at| at as u8).collect();
        client.write_all(&data).unwrap();
        client.close_write().unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert!(all == data);
        echoing.join().unwrap();
        assert_eq!(proxy.join().unwrap(), (3_000_000, 3_000_000));
    });
}

/// So the client does not take for complete what the server behind the proxy has cut.
#[test]
fn a_proxy_can_reset_a_tls_stream_whose_other_side_has_failed() {
    within(|| {
        let (mut client, mut front) = pair();
        let (mut back, mut server) = tcp_pair();
        let proxy = spawn(move || {
            copy_bidirectional(&mut front, &mut back).unwrap_err();
            front.reset();
        });
        server.write_all(b"half a mess").unwrap();
        let mut buf = [0; 11];
        client.read_exact(&mut buf).unwrap();
        server.reset();
        drop(server);
        proxy.join().unwrap();
        let error = client.read(&mut buf).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn tls_works_over_unix_sockets() {
    within(|| {
        let (client, server) = UnixStream::pair().unwrap();
        let client = spawn(move || connector().connect("localhost", client).unwrap());
        let server = acceptor().accept(server).unwrap();
        exchange_in_both_directions((client.join().unwrap(), server), 2 << 20);
    });
}
