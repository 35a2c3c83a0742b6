//! Reads and writes that time out, or are interrupted, in the middle of a record.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use evy_net::{Duplex as _, Stream as _, TcpStream};
use evy_runtime::Queue;
use evy_runtime::{sleep, spawn, spawn_n, timeout, yield_now};
use evy_test_support::within;

use crate::support::{SHORT, Tls, next_record, pair, pair_through, pass_on};

/// Returns a client and a server, and a queue of how many bytes of the data records that the server
/// sends reach the client at a time.
fn metered_pair() -> (Tls, Tls, Rc<Queue<usize>>) {
    let meter = Rc::new(Queue::unbounded());
    let allowed = Rc::clone(&meter);
    let (client, server) = pair_through(move |near, far| {
        let (back_from, back_to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        spawn_n(move || pass_on(back_from, back_to));
        relay_metered(near, far, &allowed);
    });
    (client, server, meter)
}

fn relay_metered(mut near: TcpStream, mut far: TcpStream, allowed: &Queue<usize>) {
    // The flight of the server; data records are larger.
    let mut data = loop {
        let record = next_record(&mut far);
        if record.len() > 9000 {
            break record;
        }
        near.write_all(&record).unwrap();
    };
    loop {
        let count = allowed.get().min(data.len());
        near.write_all(&data[..count]).unwrap();
        data.drain(..count);
        if data.is_empty() {
            return pass_on(far, near);
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 255) as u8).collect()
}

#[test]
fn a_read_that_times_out_in_the_middle_of_a_record_loses_nothing() {
    within(|| {
        let (mut client, mut server, meter) = metered_pair();
        let data = pattern(10_000);
        server.write_all(&data).unwrap();
        server.close_write().unwrap();
        client.set_read_timeout(Some(SHORT)).unwrap();
        for count in [1, 4, 3000] {
            meter.put(count);
            let error = client.read(&mut [0; 100]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        assert!(timeout(SHORT / 3, || client.read(&mut [0; 100])).is_err());
        meter.put(usize::MAX);
        client.set_read_timeout(None).unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert_eq!(received, data);
    });
}

/// Each byte arrives in time, but the record does not.
#[test]
fn a_read_timeout_is_for_the_whole_record() {
    within(|| {
        let (mut client, mut server, meter) = metered_pair();
        server.write_all(&pattern(10_000)).unwrap();
        client.set_read_timeout(Some(SHORT * 3)).unwrap();
        let sending = spawn(move || {
            loop {
                meter.put(1);
                sleep(SHORT / 6);
            }
        });
        let error = client.read(&mut [0; 100]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        sending.kill();
    });
}

#[test]
fn a_reader_that_is_killed_in_the_middle_of_a_record_loses_nothing() {
    within(|| {
        let (client, mut server, meter) = metered_pair();
        let data = pattern(10_000);
        server.write_all(&data).unwrap();
        let client = Rc::new(RefCell::new(client));
        for _ in 0..3 {
            let shared = Rc::clone(&client);
            let reading = spawn(move || shared.borrow_mut().read(&mut [0; 100]).unwrap());
            meter.put(2000);
            sleep(SHORT / 3);
            reading.kill();
            assert!(reading.join().unwrap_err().is_killed());
        }
        meter.put(usize::MAX);
        let mut received = vec![0; data.len()];
        client.borrow_mut().read_exact(&mut received).unwrap();
        assert_eq!(received, data);
    });
}

/// Writes numbered blocks until the peer, which does not read, has taken all that it can.
/// Returns how many blocks were accepted.
fn fill(stream: &mut Tls, block: usize) -> usize {
    stream.set_write_timeout(Some(SHORT)).unwrap();
    let mut accepted = 0;
    loop {
        match stream.write(&vec![accepted as u8; block]) {
            Ok(written) => {
                assert_eq!(written, block);
                accepted += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                return accepted;
            }
        }
    }
}

/// Reads to the end, and returns the runs of equal bytes.
fn read_blocks(stream: &mut Tls, block: usize) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all.len() % block, 0, "a block is missing or torn");
    let blocks = all.chunks(block).map(|chunk| {
        assert!(
            chunk.iter().all(|byte| *byte == chunk[0]),
            "blocks are mixed"
        );
        chunk[0]
    });
    blocks.collect()
}

#[test]
fn a_write_that_times_out_is_continued_before_anything_else_is_sent() {
    within(|| {
        let (mut client, mut server) = pair();
        let accepted = fill(&mut server, 16_000);
        // What is left can still not be sent.
        assert_eq!(server.flush().unwrap_err().kind(), ErrorKind::TimedOut);
        let reading = spawn(move || read_blocks(&mut client, 16_000));
        server.set_write_timeout(None).unwrap();
        server.write_all(&[255; 16_000]).unwrap();
        server.close_write().unwrap();
        let mut expected: Vec<_> = (0..accepted).map(|block| block as u8).collect();
        expected.push(255);
        assert_eq!(reading.join().unwrap(), expected);
    });
}

#[test]
fn flush_sends_what_a_write_that_timed_out_has_left() {
    within(|| {
        let (mut client, mut server) = pair();
        let accepted = fill(&mut server, 16_000);
        let reading = spawn(move || {
            let mut all = vec![0; accepted * 16_000];
            client.read_exact(&mut all).unwrap();
            client
        });
        server.set_write_timeout(None).unwrap();
        server.flush().unwrap();
        reading.join().unwrap();
    });
}

/// The bytes of an interrupted write either all arrive, before those of later ones, or none does.
#[test]
fn an_interrupted_write_does_not_corrupt_the_stream() {
    within(|| {
        let (mut client, server) = pair();
        let server = Rc::new(RefCell::new(server));
        let mut blocks = 0;
        for round in 0..3 {
            let shared = Rc::clone(&server);
            let writing = spawn(move || {
                let mut blocks = 0_usize;
                while timeout(SHORT, || {
                    let block = [blocks as u8; 16_000];
                    shared.borrow_mut().write_all(&block).unwrap();
                })
                .is_ok()
                {
                    blocks += 1;
                    if round == 2 {
                        evy_runtime::thread::park();
                    }
                }
                blocks
            });
            if round == 2 {
                yield_now();
                writing.kill();
                assert!(writing.join().unwrap_err().is_killed());
            } else {
                blocks += writing.join().unwrap();
            }
        }
        let reading = spawn(move || read_blocks(&mut client, 16_000));
        server.borrow_mut().write_all(&[255; 16_000]).unwrap();
        server.borrow_mut().close_write().unwrap();
        let received = reading.join().unwrap();
        assert_eq!(received.last(), Some(&255));
        // At most one block for each interruption, besides those that were written.
        let extra = received.len() - 1 - blocks;
        assert!(extra <= 3, "{extra} blocks too many");
    });
}

#[test]
fn a_writer_that_is_killed_leaves_the_stream_usable() {
    within(|| {
        let (mut client, server) = pair();
        let server = Rc::new(RefCell::new(server));
        let shared = Rc::clone(&server);
        let writing = spawn(move || {
            loop {
                shared.borrow_mut().write_all(&[1; 16_000]).unwrap();
            }
        });
        sleep(SHORT);
        writing.kill();
        let reading = spawn(move || {
            let blocks = read_blocks(&mut client, 16_000);
            (blocks[blocks.len() - 1], blocks.len())
        });
        server.borrow_mut().write_all(&[2; 16_000]).unwrap();
        server.borrow_mut().close_write().unwrap();
        let (last, len) = reading.join().unwrap();
        assert_eq!(last, 2);
        assert!(len > 2);
    });
}

#[test]
fn a_large_write_arrives_whole_while_the_reader_is_slow() {
    within(|| {
        let (mut client, mut server) = pair();
        let data = pattern(3 << 20);
        let expected = data.clone();
        let writing = spawn(move || {
            server.write_all(&data).unwrap();
            server.close_write().unwrap();
            server
        });
        let mut received = Vec::new();
        let mut buf = vec![0; 70_000];
        loop {
            let read = client.read(&mut buf).unwrap();
            if read == 0 {
                break;
            }
            received.extend_from_slice(&buf[..read]);
            if received.len() % 17 == 0 {
                sleep(Duration::from_millis(1));
            }
        }
        assert_eq!(received, expected);
        drop(writing.join().unwrap());
    });
}

/// A timeout that was set on the transport before applies as well.
#[test]
fn a_timeout_of_the_transport_is_kept() {
    within(|| {
        let (client, server) = evy_test_support::stream::tcp_pair();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let accepting = spawn(move || crate::support::acceptor().accept(server).unwrap());
        let client = crate::support::connector()
            .connect("localhost", client)
            .unwrap();
        assert_eq!(
            client.get_ref().read_timeout().unwrap(),
            Some(Duration::from_secs(5))
        );
        drop(accepting.join().unwrap());
    });
}

#[test]
fn a_write_half_that_is_killed_in_the_middle_of_a_record_corrupts_nothing() {
    within(|| {
        let (mut client, server) = pair();
        let (mut reader, mut writer) = server.split().unwrap();
        let writing = spawn(move || {
            loop {
                writer.write_all(&[1; 16_000]).unwrap();
            }
        });
        sleep(SHORT);
        writing.kill();
        // The other direction goes on.
        client.write_all(b"question").unwrap();
        let mut question = [0; 8];
        reader.read_exact(&mut question).unwrap();
        assert_eq!(&question, b"question");
        drop(reader);
        let mut received = Vec::new();
        let error = client.read_to_end(&mut received).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
        assert!(received.iter().all(|byte| *byte == 1));
    });
}

#[test]
fn another_handle_finishes_the_record_of_a_killed_one() {
    within(|| {
        let (mut client, mut server) = pair();
        let mut other = server.try_clone().unwrap();
        let writing = spawn(move || {
            loop {
                server.write_all(&[1; 16_000]).unwrap();
            }
        });
        sleep(SHORT);
        let error = other.write(&[2; 16_000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        writing.kill();
        let reading = spawn(move || read_blocks(&mut client, 16_000));
        other.write_all(&[2; 16_000]).unwrap();
        other.close_write().unwrap();
        let blocks = reading.join().unwrap();
        let (last, earlier) = blocks.split_last().unwrap();
        assert_eq!(*last, 2);
        assert!(!earlier.is_empty() && earlier.iter().all(|block| *block == 1));
    });
}

/// A handle that is dropped, or panics while it reads, leaves a record that another one is writing.
#[test]
fn a_read_half_that_ends_in_the_middle_of_a_write_changes_nothing() {
    within(|| {
        for is_panic in [true, false] {
            let (mut client, server) = pair();
            let (reader, mut writer) = server.split().unwrap();
            let writing = spawn(move || {
                for block in 0..200 {
                    writer.write_all(&vec![block; 64_000]).unwrap();
                }
                drop(writer);
            });
            sleep(SHORT);
            assert!(!writing.is_finished());
            let ending = spawn(move || {
                let _reader = reader;
                assert!(!is_panic, "the reader panics");
            });
            assert_eq!(ending.join().is_err(), is_panic);
            let expected: Vec<u8> = (0..200).collect();
            assert_eq!(read_blocks(&mut client, 64_000), expected);
            writing.join().unwrap();
        }
    });
}
