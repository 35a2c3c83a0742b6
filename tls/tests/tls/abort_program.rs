//! A program that uses TLS and cannot unwind. `abort.rs` builds it, and runs one case of it for each
//! test.

use std::env::var;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use evy::net::{Stream as _, TcpStream};
use evy::tls::{Acceptor, Connector, Stream};
use evy::{sleep, spawn, timeout};

const SHORT: Duration = Duration::from_millis(20);

fn main() {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(60));
        eprintln!("the program hangs");
        std::process::exit(1);
    });
    match std::env::args().nth(1).unwrap().as_str() {
        "handshake" => handshake(),
        "timeout" => times_out(),
        "kill" => kill(),
        other => panic!("there is no case {other}"),
    }
}

fn acceptor() -> Acceptor {
    Acceptor::from_pem(var("CHAIN").unwrap(), var("KEY").unwrap()).unwrap()
}

fn connector() -> Connector {
    let builder = Connector::builder().only_roots_pem(var("CA").unwrap());
    builder.build().unwrap()
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = spawn(move || evy::connect(address).unwrap());
    let (server, _) = listener.accept().unwrap();
    (client.join().unwrap(), server)
}

fn tls_pair() -> (Stream<TcpStream>, Stream<TcpStream>) {
    let (client, server) = tcp_pair();
    let client = spawn(move || connector().connect("localhost", client).unwrap());
    let server = acceptor().accept(server).unwrap();
    (client.join().unwrap(), server)
}

/// The limit of a handshake ends it, although its timeout cannot unwind.
fn handshake() {
    let (silent, server) = tcp_pair();
    let acceptor = acceptor().handshake_timeout(Some(SHORT));
    let error = acceptor.accept(server).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("handshake"), "{error}");
    drop(silent);
    let (client, _silent) = tcp_pair();
    let connector = connector().handshake_timeout(Some(SHORT));
    let error = connector.connect("localhost", client).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

fn times_out() {
    let (mut client, mut server) = tls_pair();
    let read = timeout(SHORT, || client.read(&mut [0]));
    assert!(matches!(read, Ok(Err(_))), "{read:?}");
    server.write_all(b"x").unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 1);
    // What a write that failed has encrypted is sent before the next one, as after an unwinding.
    let data: Vec<u8> = (0..8_000_000_u32).map(|at| at as u8).collect();
    let mut sent = 0;
    let written = timeout(SHORT, || {
        while sent < data.len() {
            sent += client.write(&data[sent..]).map_err(drop)?;
        }
        Ok::<_, ()>(())
    });
    assert_eq!(written, Ok(Err(())));
    let reader = spawn(move || {
        let mut all = Vec::new();
        server.read_to_end(&mut all).unwrap();
        all
    });
    client.write_all(b"the end").unwrap();
    client.close_write().unwrap();
    let all = reader.join().unwrap();
    let before = all.strip_suffix(b"the end").unwrap();
    assert!(before.len() >= sent && data.starts_with(before));
}

fn kill() {
    let (mut client, mut server) = tls_pair();
    let victim = spawn(move || {
        let failed = client.read(&mut [0]).is_err();
        // Each later wait for I/O fails too.
        failed && client.read(&mut [0]).is_err()
    });
    sleep(SHORT);
    victim.kill();
    assert!(victim.join().unwrap());
    // Its stream is dropped, which ends the connection.
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let end = server.read(&mut [0]);
    assert!(!matches!(end, Err(error) if error.kind() == ErrorKind::TimedOut));
}
