//! The client over TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use evy_http::{Body, Client, Request, ResponseExt, Server};
use evy_net::{Stream as _, TcpListener};
use evy_runtime::{sleep, spawn, spawn_n};
use evy_test_support::{rerun_ignored, within};
use evy_tls::{Acceptor, Connector, Listener};

use super::{SHORT, text};

/// Returns a server's acceptor, and a connector that trusts it.
fn certified() -> (Acceptor, Connector) {
    let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]);
    let made = made.unwrap();
    let chain = made.cert.pem();
    let acceptor = Acceptor::from_pem(&chain, made.signing_key.serialize_pem()).unwrap();
    let tls = Connector::builder().only_roots_pem(&chain).build().unwrap();
    (acceptor, tls)
}

/// Returns a server's acceptor, and a client that trusts it.
fn ends() -> (Acceptor, Client) {
    let (acceptor, tls) = certified();
    (acceptor, Client::builder().tls(tls).build())
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = evy_net::listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Serves an answer over TLS, and then drops the connection without announcing its end.
fn answer_and_cut(acceptor: Acceptor, answer: &'static str) -> SocketAddr {
    answer_and_end(acceptor, answer, false)
}

/// Serves an answer over TLS, and then ends the connection.
fn answer_and_end(acceptor: Acceptor, answer: &'static str, is_announced: bool) -> SocketAddr {
    let (listener, addr) = listen();
    spawn_n(move || {
        let mut stream = acceptor.accept(listener.accept().unwrap().0).unwrap();
        assert!(stream.read(&mut [0; 1000]).unwrap() > 0);
        stream.write_all(answer.as_bytes()).unwrap();
        if is_announced {
            stream.close_write().unwrap();
        }
        stream
            .get_ref()
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
        sleep(SHORT);
    });
    addr
}

#[test]
fn a_url_with_https_is_fetched_over_tls_and_its_connection_is_used_again() {
    within(|| {
        let (acceptor, client) = ends();
        let (listener, addr) = listen();
        let server = Server::default();
        let handle = server.handle();
        let serving = spawn(move || {
            server.serve(
                Listener::new(listener, acceptor),
                |request: Request<Body>| request.uri().path().to_owned(),
            )
        });
        // The pauses let a watcher begin.
        for pause in [Duration::ZERO, SHORT, Duration::ZERO] {
            let url = format!("https://localhost:{}/page", addr.port());
            let response = client.get(&url).unwrap().error_for_status().unwrap();
            assert_eq!(response.into_body().into_text().unwrap(), "/page");
            assert_eq!(handle.connections(), 1);
            sleep(pause);
        }
        let by_address = client.get(&format!("https://{addr}/"));
        assert_eq!(text(by_address).unwrap(), "/");
        drop(client);
        handle.stop(Duration::from_secs(10));
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_server_that_is_not_trusted_gets_no_request() {
    within(|| {
        let (acceptor, _trusting) = ends();
        let (_, other) = ends();
        let (listener, addr) = listen();
        let accepting = spawn(move || acceptor.accept(listener.accept().unwrap().0).is_ok());
        let error = other
            .get(&format!("https://localhost:{}/", addr.port()))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        let _ = accepting.join().unwrap();
    });
}

#[test]
fn a_body_that_ends_with_the_connection_must_be_announced_as_complete() {
    within(|| {
        let (acceptor, client) = ends();
        let addr = answer_and_cut(acceptor, "HTTP/1.1 200 OK\r\n\r\nhello");
        let response = client.get(&format!("https://{addr}/")).unwrap();
        let error = response.into_body().into_text().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

/// `close_notify` ends the stream, and not a message whose own end has not come.
#[test]
fn a_response_that_is_cut_is_an_error_whether_or_not_tls_announces_the_end() {
    within(|| {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Le",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\na: b\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\n",
        ] {
            for is_announced in [true, false] {
                let (acceptor, client) = ends();
                let addr = answer_and_end(acceptor, answer, is_announced);
                let outcome = text(client.get(&format!("https://{addr}/")));
                let error = outcome.expect_err(answer);
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{answer}: {error}");
            }
        }
        let (acceptor, client) = ends();
        let addr = answer_and_end(acceptor, "HTTP/1.1 200 OK\r\n\r\nhello", true);
        let whole = text(client.get(&format!("https://{addr}/")));
        assert_eq!(whole.unwrap(), "hello");
    });
}

#[test]
fn a_body_with_a_length_needs_no_announcement() {
    within(|| {
        let (acceptor, client) = ends();
        let addr = answer_and_cut(
            acceptor,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        );
        assert_eq!(
            text(client.get(&format!("https://{addr}/"))).unwrap(),
            "hello"
        );
    });
}

#[test]
fn a_handshake_that_does_not_end_is_limited_by_the_time_to_connect() {
    within(|| {
        let (listener, addr) = listen();
        let client = Client::builder().connect_timeout(SHORT).build();
        let error = client.get(&format!("https://{addr}/")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        drop(listener);
    });
}

#[test]
fn an_early_response_is_returned_over_tls_too() {
    within(|| {
        let (acceptor, client) = ends();
        let (listener, addr) = listen();
        spawn_n(move || {
            let mut stream = acceptor.accept(listener.accept().unwrap().0).unwrap();
            assert!(stream.read(&mut [0; 1000]).unwrap() > 0);
            stream
                .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
                .unwrap();
            // The server reads nothing more, and keeps the connection.
            evy_runtime::thread::park();
        });
        let request = Request::post(format!("https://{addr}/")).body(vec![b'x'; 20_000_000]);
        let response = client.request(request.unwrap()).unwrap();
        assert_eq!(response.status().as_u16(), 413);
        assert_eq!(response.into_body().into_text().unwrap(), "no");
    });
}

#[test]
fn a_redirect_from_https_to_http_is_refused_unless_it_is_allowed() {
    within(|| {
        let (acceptor, tls) = certified();
        let (listener, addr) = listen();
        let plain = super::answers([super::ok("plain")]);
        spawn_n(move || {
            let to = format!("http://{plain}/");
            let server = Server::default();
            server
                .serve(
                    Listener::new(listener, acceptor),
                    move |_: Request<Body>| {
                        evy_http::Response::builder()
                            .status(302)
                            .header("location", &to)
                            .body(Body::empty())
                    },
                )
                .unwrap();
        });
        let url = format!("https://{addr}/");
        let client = Client::builder().tls(tls.clone()).build();
        let error = client.get(&url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let client = Client::builder()
            .tls(tls)
            .allow_redirects_to_http(true)
            .build();
        assert_eq!(text(client.get(&url)).unwrap(), "plain");
    });
}

#[test]
fn one_call_fetches_a_url_with_https_by_the_roots_of_the_system() {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let folder = std::env::temp_dir().join(format!("evy-https-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut command = rerun_ignored("tls::fetches_by_the_roots_of_the_system");
    let output = command
        .env("SSL_CERT_FILE", &chain)
        .env("EVY_TEST_KEY", &key)
        .output()
        .unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
#[ignore = "needs the environment of another test"]
fn fetches_by_the_roots_of_the_system() {
    let read = |name| std::fs::read(std::env::var_os(name).unwrap()).unwrap();
    let (chain, key) = (read("SSL_CERT_FILE"), read("EVY_TEST_KEY"));
    within(move || {
        let (listener, addr) = listen();
        let acceptor = Acceptor::from_pem(chain, key).unwrap();
        spawn_n(move || {
            let listener = Listener::new(listener, acceptor);
            Server::default()
                .serve(listener, |_: Request<Body>| "hello")
                .unwrap();
        });
        let url = format!("https://localhost:{}/", addr.port());
        assert_eq!(text(evy_http::get(&url)).unwrap(), "hello");
    });
}
