//! Tests of fairness: what creates or converts a socket lets the others run.

use std::cell::Cell;
use std::rc::Rc;

use evy_net::unix::{UnixDatagram, UnixListener, UnixStream};
use evy_net::{TcpListener, TcpStream, UdpSocket, listen};
use evy_runtime::{spawn, yield_now};
use evy_test_support::within;

/// Checks that a green thread that repeats `op` does so at most 128 times in one turn.
fn lets_others_run(name: &str, mut op: impl FnMut()) {
    let (most, since) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (seen, reset) = (Rc::clone(&most), Rc::clone(&since));
    let other = spawn(move || {
        loop {
            seen.set(seen.get().max(reset.replace(0)));
            yield_now();
        }
    });
    for _ in 0..500 {
        op();
        since.set(since.get() + 1);
    }
    other.kill();
    assert!((1..=128).contains(&most.get()), "{name}: {}", most.get());
}

#[test]
fn a_green_thread_that_creates_or_converts_sockets_lets_others_run() {
    within(|| {
        let std = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut std = Some(std);
        lets_others_run("from_std", || {
            let socket = UdpSocket::from_std(std.take().unwrap()).unwrap();
            std = Some(socket.into_std().unwrap());
        });
        let listener = listen("127.0.0.1:0").unwrap();
        lets_others_run("into_std", || {
            drop(listener.try_clone().unwrap().into_std().unwrap());
        });
        lets_others_run("From", || {
            let (a, _) = std::os::unix::net::UnixStream::pair().unwrap();
            drop(UnixStream::from(a));
        });
        lets_others_run("pair", || drop(UnixStream::pair().unwrap()));
        lets_others_run("unbound", || drop(UnixDatagram::unbound().unwrap()));
        lets_others_run("bind of UDP", || {
            drop(UdpSocket::bind("127.0.0.1:0").unwrap());
        });
        lets_others_run("bind of TCP", || {
            drop(TcpListener::bind("127.0.0.1:0").unwrap());
        });
        lets_others_run("a bind that fails", || {
            UnixListener::bind("/nowhere/at/all").unwrap_err();
        });
        lets_others_run("a connect that fails", || {
            TcpStream::connect(&[][..]).unwrap_err();
        });
    });
}
