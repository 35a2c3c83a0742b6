//! The proxy between clients and servers that misbehave.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::start;

const LONG: Duration = Duration::from_secs(30);

fn connect(addr: &str) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Reads a head. It fails if the stream ends before it.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Starts a server for one connection, and returns its address.
fn upstream(serve: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        serve(stream);
    });
    addr
}

/// Opens a tunnel to a server.
fn tunnel(proxy: &str, target: &str) -> TcpStream {
    let mut stream = connect(proxy);
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    stream
}

fn exchange(addr: &str, request: &str) -> String {
    let mut stream = connect(addr);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn forward_proxy_resets_both_ends_of_a_tunnel_if_one_is_reset() {
    let (_proxy, proxy) = start("forward_proxy");
    // Closing a connection with unread input resets it.
    let server = upstream(|mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        thread::sleep(Duration::from_millis(100));
    });
    let mut client = tunnel(&proxy, &server);
    client.write_all(b"hello").unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let (ended, end) = mpsc::channel();
    let server = upstream(move |mut stream| {
        stream.write_all(b"hello").unwrap();
        ended.send(stream.read(&mut [0])).unwrap();
    });
    let client = tunnel(&proxy, &server);
    thread::sleep(Duration::from_millis(100));
    drop(client);
    let error = end.recv_timeout(LONG).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn forward_proxy_keeps_what_is_about_one_connection_to_itself() {
    let (_proxy, proxy) = start("forward_proxy");
    let (heads, head) = mpsc::channel();
    let server = upstream(move |mut stream| {
        heads.send(read_head(&mut stream)).unwrap();
        let answer = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\
                      Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nX-End: 1\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let request = format!(
        "GET http://{server}/page HTTP/1.1\r\nHost: other\r\nConnection: X-Mine\r\n\
         X-Mine: 1\r\nTE: trailers\r\nUpgrade: x\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: x\r\nX-End: 1\r\n\r\n"
    );
    let mut client = connect(&proxy);
    client.write_all(request.as_bytes()).unwrap();
    // A redirect is the business of the client.
    let answer = read_head(&mut client);
    assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
    let names = |head: &str| -> Vec<String> {
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut names: Vec<_> = lines.map(|(name, _)| name.to_lowercase()).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(&answer),
        ["content-length", "date", "location", "x-end"]
    );
    let head = head.recv_timeout(LONG).unwrap();
    assert!(head.starts_with("GET /page HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {server}\r\n")), "{head}");
    assert_eq!(names(&head), ["host", "via", "x-end"]);
}

#[test]
fn forward_proxy_passes_large_bodies_on_and_shows_that_one_is_cut_off() {
    const LARGE: usize = 5_000_000;
    let (_proxy, proxy) = start("forward_proxy");
    for is_whole in [true, false] {
        let server = upstream(move |mut stream| {
            read_head(&mut stream);
            let mut body = vec![0; LARGE];
            stream.read_exact(&mut body).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let length = if is_whole { LARGE } else { LARGE / 2 };
            stream.write_all(&body[..length]).unwrap();
        });
        let mut client = connect(&proxy);
        let head = format!("PUT http://{server}/ HTTP/1.0\r\nContent-Length: {LARGE}\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&vec![b'x'; LARGE]).unwrap();
        read_head(&mut client);
        let received = io::copy(&mut client, &mut io::sink());
        match is_whole {
            true => assert_eq!(received.unwrap(), LARGE as u64),
            false => assert_eq!(received.unwrap_err().kind(), ErrorKind::ConnectionReset),
        }
    }
}

#[test]
fn forward_proxy_refuses_what_it_cannot_forward() {
    let (_proxy, proxy) = start("forward_proxy");
    let start = Instant::now();
    for (request, status) in [
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "400"),
        ("GET ftp://a/ HTTP/1.0\r\n\r\n".into(), "502"),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n".into(), "400"),
        (
            "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(),
            "502",
        ),
        // To itself.
        (format!("GET http://{proxy}/ HTTP/1.0\r\n\r\n"), "400"),
    ] {
        let answer = exchange(&proxy, &request);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{request}: {answer}");
    }
    assert!(start.elapsed() < LONG / 2);
}
