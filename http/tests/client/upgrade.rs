//! Upgrades, seen from the client.

use std::io::{Read, Write};
use std::thread;

use evy_http::{Body, Client, Request, StatusCode, Upgrade};
use evy_net::TcpStream;
use evy_test_support::within;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Message, accept};

use super::{LONG, answers, ok, read_head, server};

const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n";

fn ask(url: &str) -> Request<()> {
    Request::get(url)
        .header("upgrade", "echo")
        .body(())
        .unwrap()
}

#[test]
fn an_upgrade_gives_the_stream_with_what_was_read_ahead() {
    within(|| {
        let addr = server(|_, mut stream| {
            let head = read_head(&mut stream).unwrap();
            assert!(head.contains("upgrade: echo\r\n"));
            assert_eq!(head.matches("connection: upgrade\r\n").count(), 1, "{head}");
            stream
                .write_all(format!("{SWITCHING}early").as_bytes())
                .unwrap();
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        });
        // The time of an upgraded connection is not limited.
        let client = Client::builder().timeout(LONG).build();
        let mut response = client.request(ask(&format!("http://{addr}/"))).unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut stream = Upgrade::of(&mut response).unwrap();
        assert!(Upgrade::of(&mut response).is_none());
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"early");
        stream.write_all(b"late").unwrap();
        let (mut stream, ahead) = stream.downcast::<TcpStream>().unwrap();
        assert!(ahead.is_empty());
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "late");
    });
}

#[test]
fn a_server_that_does_not_agree_gives_an_ordinary_response() {
    within(|| {
        let addr = answers([ok("no"), ok("yes")]);
        let client = Client::new();
        let url = format!("http://{addr}/");
        let mut response = client.request(ask(&url)).unwrap();
        assert!(Upgrade::of(&mut response).is_none());
        assert_eq!(response.into_body().into_text().unwrap(), "no");
        // The connection carries another request.
        assert_eq!(super::text(client.get(&url)).unwrap(), "yes");
    });
}

#[test]
fn tungstenite_runs_on_an_upgraded_connection() {
    within(|| {
        let addr = server(|_, stream| {
            thread::spawn(move || {
                let mut socket = accept(stream).unwrap();
                while let Ok(message) = socket.read() {
                    if message.is_text() {
                        socket.send(message).unwrap();
                    }
                }
            });
        });
        let key = generate_key();
        let request = Request::get(format!("http://{addr}/chat"))
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", &key)
            .body(())
            .unwrap();
        let mut response = Client::new().request(request).unwrap();
        let accepted = &response.headers()["sec-websocket-accept"];
        assert_eq!(accepted, &derive_accept_key(key.as_bytes()));
        let stream = Upgrade::of(&mut response).unwrap();
        let mut socket = WebSocket::from_raw_socket(stream, Role::Client, None);
        for number in 0..100 {
            let text = "x".repeat(number * 1000);
            socket.send(Message::text(text.clone())).unwrap();
            assert_eq!(socket.read().unwrap().into_text().unwrap(), text);
        }
        socket.close(None).unwrap();
    });
}

#[test]
fn a_switch_before_the_whole_request_was_sent_is_an_error() {
    within(|| {
        let addr = server(|_, mut stream| {
            read_head(&mut stream);
            stream.write_all(SWITCHING.as_bytes()).unwrap();
            // What the client sends as another protocol would follow in the middle of the body.
            stream.read_to_end(&mut Vec::new()).ok();
        });
        let body = Body::sized(std::io::repeat(b'a'), 1 << 30);
        let request = ask(&format!("http://{addr}/")).map(|()| body);
        let error = Client::new().request(request).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    });
}
