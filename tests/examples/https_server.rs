//! The example `https_server`, as its clients see it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use evy::tls::{Connector, Stream};
use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::{Running, send, start_with};

/// A running server, and the files of its certificate, which are removed with it.
struct Server {
    running: Running,
    addr: SocketAddr,
    folder: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

impl Server {
    /// Starts a server with a new certificate, and returns that, too.
    fn start(name: &str) -> (Self, String) {
        let folder = format!("evy-https-server-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let pem = replace_certificate(&folder);
        let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.join(name));
        let files = [chain.to_str().unwrap(), key.to_str().unwrap()];
        let (running, addr) = start_with("https_server", &files);
        let addr = addr.parse().unwrap();
        let server = Self {
            running,
            addr,
            folder,
        };
        (server, pem)
    }

    /// Connects, and trusts only the certificate `pem`.
    fn connect(&self, pem: &str) -> io::Result<Stream<evy::net::TcpStream>> {
        let connector = Connector::builder().only_roots_pem(pem).build()?;
        connector.connect("localhost", evy::connect(self.addr)?)
    }

    /// Fetches the page on a new connection.
    fn get(&self, pem: &str) -> io::Result<String> {
        let mut stream = self.connect(pem)?;
        get(&mut stream, "close")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn get(stream: &mut impl Write, connection: &str) -> io::Result<()> {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes())
}

fn replace_certificate(folder: &std::path::Path) -> String {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("chain.pem"), cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.pem()
}

fn read_answer(stream: &mut impl Read) -> String {
    let mut answer = String::new();
    while !answer.ends_with("hello, by Some(TLSv1_3)\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(char::from(byte[0]));
    }
    answer
}

#[test]
fn https_server_serves_and_survives_clients_without_tls() {
    let (server, pem) = Server::start("serves");
    let silent = TcpStream::connect(server.addr).unwrap();
    let mut plain = TcpStream::connect(server.addr).unwrap();
    get(&mut plain, "close").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 400 "), "{answer}");
    for _ in 0..3 {
        let answer = server.get(&pem).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("hello, by Some(TLSv1_3)\n"), "{answer}");
    }
    drop(silent);
}

#[test]
fn https_server_reloads_its_certificate_without_a_restart() {
    let (server, old) = Server::start("reloads");
    let mut kept = server.connect(&old).unwrap();
    get(&mut kept, "keep-alive").unwrap();
    read_answer(&mut kept);

    let new = replace_certificate(&server.folder);
    send("-HUP", &server.running);
    let start = Instant::now();
    while server.get(&new).is_err() {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(server.get(&old).is_err());
    // A connection from before lives on.
    get(&mut kept, "keep-alive").unwrap();
    read_answer(&mut kept);

    // A file that cannot be used replaces nothing.
    fs::write(server.folder.join("chain.pem"), "no certificate").unwrap();
    send("-HUP", &server.running);
    for _ in 0..20 {
        server.get(&new).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn https_server_stops_in_order() {
    let (mut server, pem) = Server::start("stops");
    let mut idle = server.connect(&pem).unwrap();
    get(&mut idle, "keep-alive").unwrap();
    read_answer(&mut idle);
    let start = Instant::now();
    send("-TERM", &server.running);
    // The end of the stream is announced.
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert!(server.running.0.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(30));
}
