//! What an attacker who can cut the connection, or send bytes of its own, makes of a stream: an error,
//! and never a regular end.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use evy_net::{Stream as _, TcpStream};
use evy_runtime::{spawn, spawn_n, yield_now};
use evy_test_support::stream::tcp_pair;
use evy_test_support::within;
use evy_tls::Connector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::support::{CA, LONG, Tls, acceptor, connector, next_record, pair_through, pass_on};

/// Returns a connector that speaks one version of TLS.
fn connector_of(version: &'static SupportedProtocolVersion) -> Connector {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(CA.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Connector::from(Arc::new(config))
}

/// Passes on `whole` records and the part of the next one that `cut` selects, and then the end.
/// Returns `false` if the sender had no more records than that.
fn pass_on_records(
    from: &mut TcpStream,
    to: &mut TcpStream,
    whole: usize,
    cut: fn(usize) -> usize,
) -> bool {
    for _ in 0..whole {
        let Some(record) = record_or_end(from) else {
            to.close_write().unwrap();
            return false;
        };
        to.write_all(&record).unwrap();
    }
    let next = record_or_end(from);
    if let Some(next) = &next {
        to.write_all(&next[..cut(next.len())]).unwrap();
    }
    to.close_write().unwrap();
    // The sender is not told.
    io::copy(from, &mut io::sink()).ok();
    next.is_some()
}

fn record_or_end(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 5];
    from.read_exact(&mut header).ok()?;
    let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
    let mut record = header.to_vec();
    record.resize(5 + len, 0);
    from.read_exact(&mut record[5..]).ok()?;
    Some(record)
}

/// Reads to the end, says something, and ends the stream.
fn converse(stream: io::Result<Tls>, is_first: bool) -> io::Result<String> {
    let mut stream = stream?;
    let mut text = String::new();
    if is_first {
        stream.write_all(b"question")?;
        stream.close_write()?;
        stream.read_to_string(&mut text)?;
    } else {
        stream.read_to_string(&mut text)?;
        stream.write_all(b"answer")?;
        stream.close_write()?;
    }
    Ok(text)
}

/// A conversation of which one direction is cut.
fn cut_conversation(
    version: &'static SupportedProtocolVersion,
    cuts_client: bool,
    whole: usize,
    cut: fn(usize) -> usize,
) -> (io::Result<String>, bool) {
    let (client, mut near) = tcp_pair();
    let (mut far, server) = tcp_pair();
    let connecting =
        spawn(move || converse(connector_of(version).connect("localhost", client), true));
    let accepting = spawn(move || converse(acceptor().accept(server), false));
    let (back_from, back_to) = match cuts_client {
        true => (near.try_clone().unwrap(), far.try_clone().unwrap()),
        false => (far.try_clone().unwrap(), near.try_clone().unwrap()),
    };
    spawn_n(move || pass_on(back_from, back_to));
    let relaying = spawn(move || match cuts_client {
        true => pass_on_records(&mut far, &mut near, whole, cut),
        false => pass_on_records(&mut near, &mut far, whole, cut),
    });
    let (of_client, of_server) = (connecting.join().unwrap(), accepting.join().unwrap());
    let outcome = match cuts_client {
        true => of_client,
        false => of_server,
    };
    (outcome, relaying.join().unwrap())
}

#[test]
fn a_cut_at_any_record_is_never_a_regular_end() {
    within(|| {
        let cuts: [fn(usize) -> usize; 6] =
            [|_| 0, |_| 1, |_| 5, |_| 6, |len| len / 2, |len| len - 1];
        for (version, cuts_client) in [
            (&TLS12, true),
            (&TLS12, false),
            (&TLS13, true),
            (&TLS13, false),
        ] {
            for cut in cuts {
                for whole in 0.. {
                    let (outcome, is_cut) = cut_conversation(version, cuts_client, whole, cut);
                    if !is_cut {
                        // All of it has been passed on.
                        assert!(whole >= 4, "{whole} records");
                        outcome.unwrap();
                        break;
                    }
                    let error = outcome.unwrap_err();
                    assert_eq!(
                        error.kind(),
                        ErrorKind::UnexpectedEof,
                        "{version:?}, client {cuts_client}, after {whole} records: {error}"
                    );
                }
            }
        }
    });
}

/// What an attacker may send in place of a record.
const FORGED: [(&str, &[u8]); 9] = [
    ("close_notify", &[21, 3, 3, 0, 2, 1, 0]),
    ("a fatal alert", &[21, 3, 3, 0, 2, 2, 40]),
    ("an alert of one byte", &[21, 3, 3, 0, 1, 1]),
    ("data", &[23, 3, 3, 0, 1, b'x']),
    ("data of no length", &[23, 3, 3, 0, 0]),
    ("a record that is too long", &[23, 3, 3, 0xff, 0xff]),
    ("a type that does not exist", &[99, 3, 3, 0, 1, 0]),
    (
        "a version that does not exist",
        &[22, 9, 9, 0, 4, 0, 0, 0, 0],
    ),
    ("a request for renegotiation", &[22, 3, 3, 0, 4, 0, 0, 0, 0]),
];

#[test]
fn a_forged_record_fails_the_stream_for_good() {
    within(|| {
        for version in [&TLS12, &TLS13] {
            for (what, bytes) in FORGED {
                let (client, server) = tcp_pair();
                let accepting = spawn(move || acceptor().accept(server).unwrap());
                let mut client = connector_of(version).connect("localhost", client).unwrap();
                let mut server = accepting.join().unwrap();
                yield_now();
                server.write_all(b"true").unwrap();
                server.get_ref().write_all(bytes).unwrap();
                server.close_write().ok();
                let mut data = Vec::new();
                for _ in 0..2 {
                    let error = client.read_to_end(&mut data).unwrap_err();
                    let kind = error.kind();
                    assert_eq!(kind, ErrorKind::InvalidData, "{version:?}, {what}: {error}");
                }
                assert_eq!(data, b"true", "{version:?}, {what}");
                client.write_all(b"more").unwrap_err();
            }
        }
    });
}

#[test]
fn a_forged_record_fails_a_handshake_at_once() {
    within(|| {
        for (what, bytes) in FORGED {
            for is_client in [true, false] {
                let (mut forger, stream) = tcp_pair();
                forger.write_all(bytes).unwrap();
                if what == "close_notify" {
                    // That alone is ignored, because anyone could have sent it.
                    forger.close_write().unwrap();
                }
                let outcome = match is_client {
                    true => connector()
                        .handshake_timeout(Some(LONG))
                        .connect("localhost", stream),
                    false => acceptor().handshake_timeout(Some(LONG)).accept(stream),
                };
                let error = outcome.unwrap_err();
                let expected = match what {
                    "close_notify" => ErrorKind::UnexpectedEof,
                    _ => ErrorKind::InvalidData,
                };
                assert_eq!(error.kind(), expected, "{what}: {error}");
            }
        }
    });
}

#[test]
fn a_flood_of_warnings_or_of_records_without_data_is_an_error() {
    within(|| {
        for record in [&[21, 3, 3, 0, 2, 1, 90][..], &[20, 3, 3, 0, 1, 1]] {
            for is_client in [true, false] {
                let (mut forger, stream) = tcp_pair();
                forger.write_all(&record.repeat(1000)).unwrap();
                let outcome = match is_client {
                    true => connector()
                        .handshake_timeout(Some(LONG))
                        .connect("localhost", stream),
                    false => acceptor().handshake_timeout(Some(LONG)).accept(stream),
                };
                assert_eq!(outcome.unwrap_err().kind(), ErrorKind::InvalidData);
            }
        }
    });
}

#[test]
fn a_connection_works_byte_by_byte() {
    fn drip(mut from: TcpStream, mut to: TcpStream) {
        let mut byte = [0];
        to.set_nodelay(true).unwrap();
        while let Ok(1) = from.read(&mut byte) {
            if to.write_all(&byte).is_err() {
                return;
            }
            yield_now();
        }
        to.close_write().ok();
    }
    within(|| {
        for version in [&TLS12, &TLS13] {
            let (client, near) = tcp_pair();
            let (far, server) = tcp_pair();
            let (near_again, far_again) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            spawn_n(move || drip(near, far));
            spawn_n(move || drip(far_again, near_again));
            let connecting =
                spawn(move || converse(connector_of(version).connect("localhost", client), true));
            assert_eq!(
                converse(acceptor().accept(server), false).unwrap(),
                "question"
            );
            assert_eq!(connecting.join().unwrap().unwrap(), "answer");
        }
    });
}

/// A record that the attacker repeats, or takes out, is noticed.
#[test]
fn a_record_that_is_repeated_or_removed_fails_the_stream() {
    within(|| {
        for copies in [0, 2] {
            let (mut client, mut server) = pair_through(move |mut near, mut far| {
                let (back_from, back_to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                spawn_n(move || pass_on(back_from, back_to));
                loop {
                    let record = next_record(&mut far);
                    if record.len() > 9000 {
                        near.write_all(&record.repeat(copies)).unwrap();
                        return pass_on(far, near);
                    }
                    near.write_all(&record).unwrap();
                }
            });
            server.write_all(&[7; 10_000]).unwrap();
            server.close_write().unwrap();
            let mut data = Vec::new();
            let error = client.read_to_end(&mut data).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
            assert_eq!(data.len(), if copies == 0 { 0 } else { 10_000 });
        }
    });
}

/// A handle resets the stream while another one writes.
#[test]
fn a_reset_during_a_write_does_not_end_regularly() {
    within(|| {
        let (client, server) = evy_test_support::stream::unix_pair();
        let accepting = spawn(move || acceptor().accept(server).unwrap());
        let mut client = connector().connect("localhost", client).unwrap();
        let mut server = accepting.join().unwrap();
        let mut other = evy_net::Duplex::try_clone(&server).unwrap();
        let writing = spawn(move || server.write_all(&vec![7; 1 << 20]));
        yield_now();
        other.reset();
        let mut data = Vec::new();
        let reading = spawn(move || {
            let error = client.read_to_end(&mut data).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        });
        writing.join().unwrap().ok();
        drop(other);
        reading.join().unwrap();
    });
}
