//! The handshake: what it settles, and what may go wrong in it.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use evy_net::{Listener as _, Stream as _, connect, listen};
use evy_runtime::{sleep, spawn, timeout, yield_now};
use evy_test_support::stream::tcp_pair;
use evy_test_support::within;
use evy_tls::rustls::pki_types::pem::PemObject;
use evy_tls::rustls::server::{ClientHello, ResolvesServerCert};
use evy_tls::rustls::sign::CertifiedKey;
use evy_tls::rustls::{self, ProtocolVersion, ServerConfig};
use evy_tls::{Acceptor, Connector, Listener};

use crate::support::{
    CA, LOCALHOST, LONG, SHORT, acceptor, connector, handshake_with, next_record, pair, pair_with,
};

/// A transport on which nothing arrives. It needs no descriptor, so a paused clock passes over it.
#[derive(Debug)]
struct Silent;

impl Read for Silent {
    fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
        sleep(LONG * 24);
        Ok(0)
    }
}

impl Write for Silent {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl evy_net::Stream for Silent {
    fn set_read_timeout(&self, _timeout: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _timeout: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn close_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_handshake_settles_the_version_and_the_names() {
    within(|| {
        let (client, server) = pair();
        let session = client.session().unwrap();
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert!(session.cipher_suite().is_some());
        assert_eq!(client.peer_certificates().unwrap().len(), 1);
        assert_eq!(client.alpn(), None);
        assert_eq!(server.session().unwrap().server_name(), Some("localhost"));
        assert_eq!(server.peer_certificates(), None);
    });
}

#[test]
fn a_server_name_may_be_an_ip_address() {
    within(|| {
        for name in ["127.0.0.1", "::1", "[::1]"] {
            let (client, server) = handshake_with(&connector(), &acceptor(), name);
            client.unwrap();
            assert_eq!(server.unwrap().session().unwrap().server_name(), None);
        }
    });
}

#[test]
fn a_malformed_server_name_is_invalid_input() {
    within(|| {
        for name in ["", "not a name", "a..b", "[localhost"] {
            let (client, _server) = tcp_pair();
            let error = connector().connect(name, client).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(
                error.to_string().contains("neither a DNS name nor"),
                "{error}"
            );
        }
    });
}

#[test]
fn accepting_does_not_wait_for_the_handshake() {
    within(|| {
        let server = Listener::new(listen("127.0.0.1:0").unwrap(), acceptor());
        let _silent = connect(server.local_addr().unwrap()).unwrap();
        let (stream, _) = server.accept().unwrap();
        assert!(stream.session().is_none());
    });
}

#[test]
fn the_first_read_or_write_performs_the_handshake() {
    within(|| {
        for reads_first in [true, false] {
            let (client, server) = tcp_pair();
            let client = spawn(move || {
                let mut client = connector().connect("localhost", client).unwrap();
                client.write_all(b"ping").unwrap();
                let mut answer = [0; 4];
                client.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"pong");
            });
            let mut server = acceptor().start(server).unwrap();
            let mut buf = [0; 4];
            if reads_first {
                server.read_exact(&mut buf).unwrap();
                server.write_all(b"pong").unwrap();
            } else {
                server.write_all(b"pong").unwrap();
                server.read_exact(&mut buf).unwrap();
            }
            assert_eq!(&buf, b"ping");
            client.join().unwrap();
        }
    });
}

#[test]
fn a_silent_peer_times_out_with_a_clear_error() {
    within(|| {
        let (_silent, server) = tcp_pair();
        let acceptor = acceptor().handshake_timeout(Some(SHORT));
        let error = acceptor.accept(server).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(
            error.to_string(),
            "the TLS handshake was not done within 30ms"
        );
        let (client, _silent) = tcp_pair();
        let connector = connector().handshake_timeout(Some(SHORT));
        let error = connector.connect("localhost", client).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn the_handshake_timeout_is_ten_seconds_by_default() {
    evy_test_support::virtually(|| {
        let start = evy_runtime::lowlevel::now();
        let error = acceptor().accept(Silent).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let taken = evy_runtime::lowlevel::now() - start;
        assert_eq!(taken.as_secs(), 10);
    });
}

/// Each byte arrives well before the timeout; all of them do not.
#[test]
fn a_handshake_byte_by_byte_times_out_as_a_whole() {
    within(|| {
        let (mut slow, server) = tcp_pair();
        let sending = spawn(move || {
            // The beginning of a record.
            for byte in [22, 3, 1, 2, 0].into_iter().chain([1; 507]) {
                sleep(SHORT / 6);
                if slow.write_all(&[byte]).is_err() {
                    return;
                }
            }
        });
        let acceptor = acceptor().handshake_timeout(Some(SHORT * 3));
        let error = acceptor.accept(server).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        sending.kill();
    });
}

#[test]
fn a_client_of_plain_http_gets_an_answer_that_it_understands() {
    within(|| {
        for piece in [1, 3, 100] {
            let (mut client, server) = tcp_pair();
            let server = spawn(move || acceptor().accept(server).unwrap_err());
            for bytes in b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".chunks(piece) {
                client.write_all(bytes).unwrap();
                yield_now();
            }
            let error = server.join().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            let text = error.to_string();
            assert!(
                text.contains("plain HTTP, not TLS: it began with \"GET /"),
                "{text}"
            );
            let mut answer = [0; 12];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.0 400");
        }
    });
}

#[test]
fn a_peer_that_does_not_speak_tls_is_named_as_such() {
    within(|| {
        let (mut client, server) = tcp_pair();
        client.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        let error = acceptor().accept(server).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("does not speak TLS: it began with \"SSH-2.0"),
            "{text}"
        );

        let (client, mut server) = tcp_pair();
        server
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        let error = connector().connect("localhost", client).unwrap_err();
        assert!(error.to_string().contains("speaks plain HTTP"), "{error}");
    });
}

#[test]
fn a_connection_that_ends_in_the_handshake_is_an_unexpected_end() {
    within(|| {
        for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"] {
            let (mut client, server) = tcp_pair();
            client.write_all(beginning).unwrap();
            drop(client);
            let error = acceptor().accept(server).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert!(
                error.to_string().contains("during the TLS handshake"),
                "{error}"
            );
        }
    });
}

/// The stream may be used after the interruption, and the handshake continues where it was.
#[test]
fn a_handshake_that_is_interrupted_continues_later() {
    within(|| {
        let (client, mut near) = tcp_pair();
        let (mut far, server) = tcp_pair();
        let client = spawn(move || {
            let mut client = connector().connect("localhost", client).unwrap();
            client.write_all(b"at last").unwrap();
        });
        let hello = next_record(&mut near);
        let mut server = acceptor().start(server).unwrap();
        // In the middle of a record.
        far.write_all(&hello[..hello.len() / 2]).unwrap();
        assert!(timeout(SHORT, || server.handshake()).is_err());
        far.write_all(&hello[hello.len() / 2..]).unwrap();
        let (back_from, back_to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        evy_runtime::spawn_n(move || crate::support::pass_on(back_from, back_to));
        evy_runtime::spawn_n(move || crate::support::pass_on(near, far));
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "at last");
        client.join().unwrap();
    });
}

#[test]
fn both_sides_agree_on_the_protocol_that_the_server_prefers() {
    within(|| {
        let acceptor = Acceptor::builder()
            .identity(LOCALHOST.identity())
            .alpn(["http/1.1", "h2"])
            .build()
            .unwrap();
        let connector = Connector::builder()
            .only_roots_pem(CA.pem())
            .alpn(["h2", "http/1.1"])
            .build()
            .unwrap();
        let (client, server) = pair_with(&connector, &acceptor);
        assert_eq!(client.alpn(), Some(&b"http/1.1"[..]));
        assert_eq!(server.alpn(), Some(&b"http/1.1"[..]));
        // A client that offers none is accepted.
        let (client, server) = pair_with(&crate::support::connector(), &acceptor);
        assert_eq!((client.alpn(), server.alpn()), (None, None));
    });
}

#[test]
fn without_a_common_protocol_both_sides_say_so() {
    within(|| {
        let acceptor = Acceptor::builder()
            .identity(LOCALHOST.identity())
            .alpn(["http/1.1"])
            .build()
            .unwrap();
        let connector = Connector::builder()
            .only_roots_pem(CA.pem())
            .alpn(["imap"])
            .build()
            .unwrap();
        let (client, server) = handshake_with(&connector, &acceptor, "localhost");
        for error in [client.unwrap_err(), server.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.to_string().contains("ALPN"), "{error}");
        }
    });
}

/// A handshake that has failed does not begin again: the error stays.
#[test]
fn a_failed_handshake_stays_failed() {
    within(|| {
        let (mut client, server) = tcp_pair();
        // A record that is no client hello.
        client.write_all(&[22, 3, 1, 0, 4, 9, 9, 9, 9]).unwrap();
        let mut server = acceptor().start(server).unwrap();
        let first = server.handshake().unwrap_err();
        assert_eq!(first.kind(), ErrorKind::InvalidData);
        assert_eq!(server.read(&mut [0]).unwrap_err().kind(), first.kind());
        assert_eq!(server.write(&[0]).unwrap_err().kind(), first.kind());
    });
}

#[test]
fn a_handshake_without_a_limit_waits() {
    evy_test_support::virtually(|| {
        let acceptor = acceptor().handshake_timeout(None);
        let waiting = spawn(move || acceptor.accept(Silent));
        sleep(LONG);
        assert!(!waiting.is_finished());
        waiting.kill();
    });
}

/// Two handles may be asked for at once; the handshake is performed once.
#[test]
fn handles_of_a_new_stream_share_one_handshake() {
    use evy_net::Duplex;
    use std::rc::Rc;
    within(|| {
        let (client, server) = tcp_pair();
        let server = Rc::new(acceptor().start(server).unwrap());
        let cloning: Vec<_> = (0..2)
            .map(|_| {
                let server = Rc::clone(&server);
                spawn(move || server.try_clone().unwrap())
            })
            .collect();
        sleep(Duration::from_millis(1));
        let mut client = connector().connect("localhost", client).unwrap();
        for handle in cloning {
            handle.join().unwrap().write_all(b"x").unwrap();
        }
        let mut buf = [0; 2];
        client.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"xx");
    });
}

/// Chooses a certificate after a while.
#[derive(Debug)]
struct Slow(Duration);

impl ResolvesServerCert for Slow {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        sleep(self.0);
        let provider = rustls::crypto::ring::default_provider();
        let chain = vec![PemObject::from_pem_slice(LOCALHOST.chain.as_bytes()).unwrap()];
        let key = PemObject::from_pem_slice(LOCALHOST.key.as_bytes()).unwrap();
        CertifiedKey::from_der(chain, key, &provider)
            .ok()
            .map(Arc::new)
    }
}

fn slow_acceptor(duration: Duration) -> Acceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Slow(duration)));
    Acceptor::from(Arc::new(config))
}

#[test]
fn code_of_the_program_may_park_in_the_handshake() {
    within(|| {
        let (_client, server) = pair_with(&connector(), &slow_acceptor(SHORT));
        assert!(server.session().is_some());
    });
}

#[test]
fn an_interruption_of_code_of_the_program_fails_the_stream_clearly() {
    within(|| {
        let (client, server) = tcp_pair();
        spawn(move || connector().connect("localhost", client));
        let acceptor = slow_acceptor(LONG).handshake_timeout(Some(SHORT));
        let mut server = acceptor.start(server).unwrap();
        let error = server.handshake().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let error = server.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(
            error
                .to_string()
                .contains("was interrupted and cannot be used"),
            "{error}"
        );
    });
}
