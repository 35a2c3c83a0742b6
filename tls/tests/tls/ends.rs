//! How a stream ends: announced, cut, reset, corrupted, or by a panic.

use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use evy_net::{Duplex as _, Shutdown, Stream as _};
use evy_runtime::{sleep, spawn, spawn_n, timeout};
use evy_test_support::within;

use crate::support::{SHORT, next_record, pair, pair_through, pass_on};

#[test]
fn an_end_without_close_notify_is_a_truncation() {
    within(|| {
        let (mut client, server) = pair();
        let mut server = server;
        server.write_all(b"half a mess").unwrap();
        server.get_ref().shutdown(Shutdown::Write).unwrap();
        let mut text = Vec::new();
        let error = client.read_to_end(&mut text).unwrap_err();
        assert_eq!(text, b"half a mess");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("may be truncated"), "{error}");
        // It does not become a regular end later.
        assert_eq!(
            client.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
        // The other direction is not affected.
        client.write_all(b"still here").unwrap();
        let mut buf = [0; 10];
        server.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"still here");
    });
}

#[test]
fn an_end_in_the_middle_of_a_record_is_a_truncation() {
    within(|| {
        let (mut client, mut server) = pair_through(|near, mut far| {
            let (back_from, back_to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            spawn_n(move || pass_on(back_from, back_to));
            let mut near = near;
            // The flight of the server, and then the record of data.
            loop {
                let record = next_record(&mut far);
                if record.len() > 9000 {
                    near.write_all(&record[..5000]).unwrap();
                    near.shutdown(Shutdown::Write).unwrap();
                    return;
                }
                near.write_all(&record).unwrap();
            }
        });
        server.write_all(&[7; 10_000]).unwrap();
        let mut data = Vec::new();
        let error = client.read_to_end(&mut data).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(data.is_empty());
    });
}

#[test]
fn an_announced_end_is_read_again_and_again() {
    within(|| {
        let (mut client, mut server) = pair();
        server.write_all(b"all").unwrap();
        server.close_write().unwrap();
        server.close_write().unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "all");
        for _ in 0..3 {
            assert_eq!(client.read(&mut [0; 10]).unwrap(), 0);
        }
    });
}

#[test]
fn writing_after_close_write_is_a_broken_pipe() {
    within(|| {
        let (mut client, mut server) = pair();
        server.close_write().unwrap();
        let error = server.write(b"late").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        client.write_all(b"the other direction is open").unwrap();
        drop(client);
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "the other direction is open");
    });
}

#[test]
fn writing_after_the_end_of_the_peer_reaches_it() {
    within(|| {
        let (mut client, mut server) = pair();
        client.write_all(b"question").unwrap();
        client.close_write().unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        server
            .write_all(&vec![1; 1 << 20])
            .unwrap_or_else(|_| unreachable!());
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), 1 << 20);
    });
}

/// The peer must not take for complete what a panic has cut.
#[test]
fn a_stream_that_is_dropped_by_a_panic_or_a_kill_does_not_end_regularly() {
    within(|| {
        for is_kill in [true, false] {
            let (mut client, mut server) = pair();
            let serving = spawn(move || {
                server.write_all(b"half a mess").unwrap();
                if is_kill {
                    evy_runtime::thread::park();
                }
                std::panic::resume_unwind(Box::new("the handler has panicked"));
            });
            let mut buf = [0; 11];
            client.read_exact(&mut buf).unwrap();
            if is_kill {
                serving.kill();
            }
            serving.join().unwrap_err();
            let error = client.read(&mut buf).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    });
}

#[test]
fn a_write_half_that_is_killed_does_not_end_regularly() {
    within(|| {
        let (mut client, server) = pair();
        let (reader, mut writer) = server.split().unwrap();
        let writing = spawn(move || {
            writer.write_all(b"half a mess").unwrap();
            evy_runtime::thread::park();
        });
        client.read_exact(&mut [0; 11]).unwrap();
        writing.kill();
        drop(reader);
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_read_half_that_is_killed_does_not_affect_the_end() {
    within(|| {
        let (mut client, server) = pair();
        let (mut reader, mut writer) = server.split().unwrap();
        let reading = spawn(move || reader.read(&mut [0]).unwrap());
        evy_runtime::yield_now();
        reading.kill();
        writer.write_all(b"complete").unwrap();
        drop(writer);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "complete");
    });
}

/// Changes one byte of the first large record that the server sends.
fn corrupted_pair() -> (crate::support::Tls, crate::support::Tls) {
    pair_through(|near, mut far| {
        let (back_from, back_to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        spawn_n(move || pass_on(back_from, back_to));
        let mut near = near;
        loop {
            let mut record = next_record(&mut far);
            let is_data = record.len() > 9000;
            if is_data {
                record[4000] ^= 1;
            }
            near.write_all(&record).unwrap();
            if is_data {
                return pass_on(far, near);
            }
        }
    })
}

#[test]
fn a_corrupted_record_fails_the_stream_for_good_and_tells_the_peer() {
    within(|| {
        let (mut client, mut server) = corrupted_pair();
        server.write_all(b"first").unwrap();
        server.write_all(&[7; 10_000]).unwrap();
        server.write_all(b"last").unwrap();
        let mut data = [0; 5];
        client.read_exact(&mut data).unwrap();
        for _ in 0..2 {
            let error = client.read(&mut data).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.to_string().contains("cannot decrypt"), "{error}");
        }
        assert_eq!(
            client.write(&[0]).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
        let error = server.read(&mut data).unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
        // A stream that has failed can be ended without harm.
        client.close_write().ok();
    });
}

#[test]
fn a_corrupted_record_after_close_write_is_an_error() {
    within(|| {
        let (mut client, mut server) = corrupted_pair();
        client.close_write().unwrap();
        server.write_all(&[7; 10_000]).unwrap();
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    });
}

#[test]
fn a_reset_is_passed_on() {
    within(|| {
        let (mut client, mut server) = pair();
        server.write_all(b"half a mess").unwrap();
        client.read_exact(&mut [0; 11]).unwrap();
        server.reset();
        drop(server);
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn writing_after_a_reset_fails() {
    within(|| {
        let (_client, mut server) = pair();
        server.reset();
        assert_eq!(
            server.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    });
}

#[test]
fn a_reset_ends_also_what_another_handle_is_writing() {
    within(|| {
        let (mut client, mut server) = pair();
        let mut other = server.try_clone().unwrap();
        let writing = spawn(move || {
            let written = server.write_all(&vec![1; 16 << 20]);
            (written, server.close_write())
        });
        sleep(SHORT);
        assert!(!writing.is_finished());
        other.reset();
        let mut received = Vec::new();
        let error = client.read_to_end(&mut received).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
        let (written, closed) = writing.join().unwrap();
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
        closed.unwrap();
    });
}

#[test]
fn dropping_a_stream_whose_peer_does_not_read_takes_a_bounded_time() {
    within(|| {
        let (client, mut server) = pair();
        server.set_write_timeout(Some(SHORT)).unwrap();
        while server.write(&[0; 16_000]).is_ok() {}
        // Data are left, so the end would not be regular.
        drop(server);
        let mut client = client;
        let error = client.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

/// A peer that sends nothing but fragments without data must not keep a reader for ever.
#[test]
fn a_read_that_gets_records_without_data_ends() {
    within(|| {
        let (mut client, server) = pair();
        let server = Rc::new(server);
        // An unencrypted record is not accepted after the handshake.
        let sending = Rc::clone(&server);
        spawn_n(move || {
            for _ in 0..100 {
                let mut raw = sending.get_ref();
                if raw.write_all(&[23, 3, 3, 0, 0]).is_err() {
                    return;
                }
                sleep(Duration::from_millis(1));
            }
        });
        let outcome = timeout(Duration::from_secs(20), || client.read(&mut [0]));
        assert_eq!(outcome.unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    });
}
