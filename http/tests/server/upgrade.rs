//! Connections that another protocol takes over.

use std::io::{Read, Write};
use std::sync::Mutex;

use evy_http::{Body, Request, Response, Server, StatusCode, Upgrade, Upgraded};
use evy_net::TcpStream;
use evy_test_support::within;
use tungstenite::handshake::server::create_response;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::{connect, exchange, read_to_end, read_until, start, statuses};

const ASK: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n";

/// Answers each piece in capital letters.
fn shout(mut stream: Upgraded) {
    let mut bytes = [0; 100];
    while let Ok(read @ 1..) = stream.read(&mut bytes) {
        bytes[..read].make_ascii_uppercase();
        stream.write_all(&bytes[..read]).unwrap();
    }
}

fn handler(request: Request<Body>) -> Response<Body> {
    let status = match request.uri().path() {
        "/ok" => StatusCode::OK,
        _ if request.method() == "CONNECT" => StatusCode::OK,
        _ => StatusCode::SWITCHING_PROTOCOLS,
    };
    let response = Response::builder()
        .status(status)
        .header("upgrade", "shout")
        .body(());
    match request.uri().path() {
        "/panic" => Upgrade::response(response.unwrap(), |_| panic!("the upgrade panics")),
        _ => Upgrade::response(response.unwrap(), shout),
    }
}

#[test]
fn an_upgrade_gets_the_stream_with_what_was_read_ahead() {
    within(|| {
        let addr = start(Server::default(), handler);
        let mut stream = connect(addr);
        stream.write_all(format!("{ASK}early").as_bytes()).unwrap();
        let head = read_until(&mut stream, "\r\n\r\n");
        assert!(
            head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
            "{head}"
        );
        assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: shout\r\n"));
        assert!(!head.contains("content-length") && !head.contains("transfer-encoding"));
        read_until(&mut stream, "EARLY");
        stream.write_all(b"late").unwrap();
        read_until(&mut stream, "LATE");
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut stream), "");
    });
}

#[test]
fn the_transport_of_an_upgrade_can_be_taken_out() {
    within(|| {
        let addr = start(Server::default(), |_request| {
            let response = Response::builder().status(101).body(()).unwrap();
            Upgrade::response(response, |upgraded| {
                let (mut stream, read_ahead) = upgraded.downcast::<TcpStream>().unwrap();
                stream.write_all(&read_ahead).unwrap();
            })
        });
        let mut stream = connect(addr);
        stream.write_all(format!("{ASK}ahead").as_bytes()).unwrap();
        assert!(read_to_end(&mut stream).ends_with("\r\n\r\nahead"));
    });
}

#[test]
fn an_upgrade_that_was_not_asked_for_is_a_reported_error() {
    static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    within(|| {
        let report = |error: &std::io::Error| REPORTS.lock().unwrap().push(error.to_string());
        let addr = start(Server::builder().on_error(report).build(), handler);
        for request in [
            "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
            "GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: shout\r\nConnection: close\r\n\r\n".to_owned(),
            "GET /x HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n".to_owned(),
            ASK.replace("/x", "/ok")
                .replace("Upgrade\r\n", "Upgrade, close\r\n"),
        ] {
            assert_eq!(
                statuses(&exchange(addr, request.as_bytes())),
                ["500"],
                "{request}"
            );
        }
        let panic = exchange(addr, ASK.replace("/x", "/panic").as_bytes());
        assert_eq!(statuses(&panic), ["101"]);
        // The connection is closed before the panic is reported.
        while REPORTS.lock().unwrap().len() < 5 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(
            REPORTS.lock().unwrap()[4],
            "\"GET /panic HTTP/1.1\": the handler of the upgrade panicked"
        );
    });
}

#[test]
fn a_body_before_an_upgrade_is_skipped_and_a_long_one_is_refused() {
    within(|| {
        let addr = start(Server::default(), handler);
        let ask = |length: usize| {
            let head = ASK.replace("\r\n\r\n", &format!("\r\nContent-Length: {length}\r\n\r\n"));
            head + &"b".repeat(length) + "after"
        };
        let mut stream = connect(addr);
        stream.write_all(ask(1000).as_bytes()).unwrap();
        read_until(&mut stream, "\r\n\r\nAFTER");
        assert_eq!(statuses(&exchange(addr, ask(100_000).as_bytes())), ["400"]);
    });
}

#[test]
fn connect_reaches_a_handler_only_if_that_is_allowed() {
    within(|| {
        let request = "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n";
        let refused = exchange(start(Server::default(), handler), request.as_bytes());
        assert_eq!(statuses(&refused), ["501"]);
        let addr = start(Server::builder().allow_connect(true).build(), handler);
        let mut stream = connect(addr);
        stream
            .write_all(format!("{request}tunnel").as_bytes())
            .unwrap();
        let head = read_until(&mut stream, "\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            !head.contains("content-length") && !head.contains("connection:"),
            "{head}"
        );
        read_until(&mut stream, "TUNNEL");
        let smuggled = "CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(statuses(&exchange(addr, smuggled.as_bytes())), ["400"]);
    });
}

#[test]
fn what_follows_a_connect_that_is_refused_is_not_read_as_a_request() {
    within(|| {
        let server = Server::builder().allow_connect(true).build();
        let addr = start(server, |request| match request.uri().path() {
            "" => StatusCode::FORBIDDEN,
            path => panic!("{path} was meant for the tunnel"),
        });
        for keep_alive in ["", "Connection: keep-alive\r\n"] {
            let connect = format!("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n{keep_alive}\r\n");
            let answer = exchange(
                addr,
                (connect + "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
            );
            assert_eq!(statuses(&answer), ["403"], "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        }
    });
}

#[test]
fn tungstenite_runs_on_an_upgraded_connection() {
    within(|| {
        let addr = start(Server::default(), |request| {
            let response = create_response(&request.map(|_| ()))?;
            Ok::<_, tungstenite::Error>(Upgrade::response(response, |stream| {
                let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
                while let Ok(message) = socket.read() {
                    if message.is_text() {
                        socket.send(message).unwrap();
                    }
                }
            }))
        });
        let stream = connect(addr);
        let (mut socket, response) = tungstenite::client(format!("ws://{addr}/"), stream).unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        for text in ["hello", &"x".repeat(100_000)] {
            socket.send(Message::text(text)).unwrap();
            assert_eq!(socket.read().unwrap().to_text().unwrap(), text);
        }
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    });
}
