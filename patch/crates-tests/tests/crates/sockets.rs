//! Crates for sockets and events: mio and socket2.

use std::io::{ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Socket, Type};

use crate::{WAIT, at_once, patched};

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

#[test]
fn twenty_green_threads_poll_with_mio() {
    patched(|| {
        at_once(20, |_| {
            let mut poll = Poll::new().unwrap();
            let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
            let mut listener = mio::net::TcpListener::bind(SocketAddr::from(ANY_PORT)).unwrap();
            let address = listener.local_addr().unwrap();
            let registry = poll.registry();
            registry
                .register(&mut listener, Token(1), Interest::READABLE)
                .unwrap();
            let other = evy::spawn(move || {
                sleep(WAIT);
                waker.wake().unwrap();
                TcpStream::connect(address).unwrap()
            });
            let mut events = Events::with_capacity(4);
            let mut seen = [false; 2];
            while seen != [true; 2] {
                poll.poll(&mut events, None).unwrap();
                events.iter().for_each(|event| seen[event.token().0] = true);
            }
            other.join().unwrap();
        });
        at_once(20, |_| {
            let mut poll = Poll::new().unwrap();
            let mut events = Events::with_capacity(4);
            poll.poll(&mut events, Some(WAIT)).unwrap();
            assert!(events.is_empty());
        });
    });
}

fn listener(backlog: i32) -> (Socket, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(ANY_PORT).into()).unwrap();
    listener.listen(backlog).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    (listener, address)
}

#[test]
fn twenty_pairs_of_green_threads_talk_by_socket2() {
    patched(|| {
        at_once(20, |_| {
            let (listener, address) = listener(8);
            let server = evy::spawn(move || {
                let (peer, _) = listener.accept().unwrap();
                sleep(WAIT);
                peer.send_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")])
                    .unwrap();
            });
            let mut socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let time = Duration::from_secs(20);
            socket.connect_timeout(&address.into(), time).unwrap();
            let mut all = [MaybeUninit::uninit(); 4];
            let received = socket.recv_with_flags(&mut all, libc::MSG_WAITALL);
            assert_eq!(received.unwrap(), 4);
            assert_eq!(socket.read(&mut [0; 4]).unwrap(), 0);
            server.join().unwrap();
        });
    });
}

/// Fills the backlog of a listener that accepts nothing.
#[test]
fn timeouts_of_connections_are_kept() {
    patched(|| {
        at_once(10, |_| {
            let (_listener, address) = listener(0);
            let mut connections = Vec::new();
            let error = loop {
                match TcpStream::connect_timeout(&address, WAIT) {
                    Ok(connection) => connections.push(connection),
                    Err(error) => break error,
                }
                assert!(connections.len() < 100);
            };
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        });
    });
}
