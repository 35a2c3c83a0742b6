//! Servers: `serve` over a TLS listener, whatever its clients do.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use evy_net::{Server, connect, listen};
use evy_runtime::{sleep, spawn, spawn_n};
use evy_test_support::within;
use evy_tls::{Acceptor, Listener};

use crate::support::{CA, acceptor, connect_to, connector};

type Errors = Rc<RefCell<Vec<String>>>;

/// Serves a greeting, and returns the address and the errors that the server reports.
fn serve_greeting(acceptor: Acceptor) -> (SocketAddr, Errors) {
    let listener = listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let errors = Errors::default();
    let reported = Rc::clone(&errors);
    let server = Server::new()
        .max_connections(10_000)
        .on_error(move |error| reported.borrow_mut().push(error.to_string()));
    let listener = Listener::new(listener, acceptor);
    spawn_n(move || {
        server
            .serve(listener, |mut stream, _| stream.write_all(b"fine"))
            .unwrap();
    });
    (addr, errors)
}

fn assert_served(addr: SocketAddr) {
    let mut text = String::new();
    connect_to(addr).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "fine");
}

#[test]
fn silent_clients_hold_only_their_own_green_threads() {
    within(|| {
        let (addr, errors) =
            serve_greeting(acceptor().handshake_timeout(Some(Duration::from_millis(300))));
        let silent: Vec<_> = (0..200).map(|_| connect(addr).unwrap()).collect();
        assert_served(addr);
        assert_eq!(errors.borrow().len(), 0, "no handshake has timed out yet");
        while errors.borrow().len() < silent.len() {
            sleep(Duration::from_millis(10));
        }
        assert!(
            errors
                .borrow()
                .iter()
                .all(|error| error.starts_with("127.0.0.1:")
                    && error.contains("was not done within"))
        );
        assert_served(addr);
    });
}

#[test]
fn a_flood_of_handshakes_is_survived() {
    within(|| {
        let (addr, errors) = serve_greeting(acceptor());
        // Each begins a handshake and leaves at once.
        for _ in 0..100 {
            let mut client = connect(addr).unwrap();
            client
                .write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])
                .unwrap();
        }
        let clients: Vec<_> = (0..20)
            .map(|_| spawn(move || assert_served(addr)))
            .collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        while errors.borrow().len() < 100 {
            sleep(Duration::from_millis(1));
        }
        assert_served(addr);
    });
}

#[test]
fn a_client_of_plain_http_is_reported_and_harms_none() {
    within(|| {
        let (addr, errors) = serve_greeting(acceptor());
        let mut client = connect(addr).unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("speaks HTTPS"), "{answer}");
        assert!(errors.borrow()[0].contains("plain HTTP"), "{errors:?}");
        assert_served(addr);
    });
}

#[test]
fn certificates_are_replaced_while_connections_live() {
    within(|| {
        let acceptor = acceptor();
        let listener = Listener::new(listen("127.0.0.1:0").unwrap(), acceptor.clone());
        let addr = listener.get_ref().local_addr().unwrap();
        spawn_n(move || {
            evy_net::serve(listener, |mut stream, _| {
                let mut buf = [0; 4];
                while stream.read_exact(&mut buf).is_ok() {
                    stream.write_all(&buf)?;
                }
                Ok::<(), std::io::Error>(())
            })
            .unwrap();
        });
        let echo = |stream: &mut crate::support::Tls| {
            stream.write_all(b"echo").unwrap();
            let mut buf = [0; 4];
            stream.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"echo");
        };
        let mut old = connect_to(addr).unwrap();
        echo(&mut old);
        let pem = CA.issue(&["localhost", "new.example"]);
        acceptor.reload(&pem.chain, &pem.key).unwrap();
        let mut new = connector()
            .connect("new.example", connect(addr).unwrap())
            .unwrap();
        echo(&mut new);
        echo(&mut old);
        assert_ne!(old.peer_certificates(), new.peer_certificates());
        // What cannot be used replaces nothing.
        assert!(acceptor.reload("no certificate", &pem.key).is_err());
        assert!(
            acceptor
                .reload(&pem.chain, &crate::support::LOCALHOST.key)
                .is_err()
        );
        echo(
            &mut connector()
                .connect("new.example", connect(addr).unwrap())
                .unwrap(),
        );
    });
}
