//! Connectors.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use evy_http::{Body, Client, Connector, Destination, Request, Server};
use evy_net::TcpStream;
use evy_net::unix::{UnixListener, UnixStream};
use evy_runtime::spawn_n;
use evy_test_support::within;

use super::{answers, ok, text};

#[test]
fn a_client_runs_over_unix_sockets() {
    within(|| {
        let name = format!("evy-http-client-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        spawn_n(move || {
            Server::default()
                .serve(listener, |request: Request<Body>| {
                    let host = request.headers()["host"].to_str().unwrap().to_owned();
                    host + &request.into_body().into_text().unwrap()
                })
                .unwrap();
        });
        let to = path.clone();
        let client = Client::builder()
            .connector(move |_: &Destination| UnixStream::connect(&to))
            .build();
        assert_eq!(text(client.get("http://docker/version")).unwrap(), "docker");
        let long = "x".repeat(300_000);
        let request = Request::post("http://docker:80/")
            .body(long.clone())
            .unwrap();
        assert_eq!(
            text(client.request(request)).unwrap(),
            format!("docker:80{long}")
        );
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_connector_sees_the_destination_and_its_error_is_that_of_the_request() {
    within(|| {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let record = Rc::clone(&seen);
        let connector = move |to: &Destination| -> io::Result<TcpStream> {
            record.borrow_mut().push(to.clone());
            Err(io::Error::new(ErrorKind::HostUnreachable, "not today"))
        };
        let client = Client::builder().connector(connector).build();
        for url in [
            "http://A/",
            "https://a/",
            "http://[::1]:8/",
            "https://1.2.3.4:1/",
        ] {
            let error = client.get(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::HostUnreachable);
        }
        let seen = seen.borrow();
        let seen = seen.iter().map(|to| (to.is_https(), to.host(), to.port()));
        assert_eq!(
            seen.collect::<Vec<_>>(),
            [
                (false, "a", 80),
                (true, "a", 443),
                (false, "::1", 8),
                (true, "1.2.3.4", 1)
            ]
        );
    });
}

/// A connector that always goes to the same server.
struct Fixed(std::net::SocketAddr);

impl Connector for Fixed {
    type Stream = TcpStream;

    fn connect(&self, _destination: &Destination) -> io::Result<TcpStream> {
        TcpStream::connect(self.0)
    }
}

#[test]
fn a_type_can_be_a_connector_and_hosts_do_not_share_connections() {
    within(|| {
        let addr = answers(["a", "b"].map(|body| ok(body) + ""));
        let client = Client::builder().connector(Fixed(addr)).build();
        assert_eq!(text(client.get("http://one/")).unwrap(), "a");
        drop(client);
        let client = Client::builder().connector(Fixed(addr)).build();
        assert_eq!(text(client.get("http://one/")).unwrap(), "b");
    });
}

#[test]
fn an_error_of_connecting_names_the_server() {
    within(|| {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = unused.local_addr().unwrap();
        drop(unused);
        let error = text(Client::new().get(&format!("http://{addr}/"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let message = error.to_string();
        let expected = format!("cannot connect to {addr}: ");
        assert!(message.starts_with(&expected), "{message}");
        let source = error.get_ref().and_then(std::error::Error::source);
        let source = source.and_then(|source| source.downcast_ref::<io::Error>());
        assert!(source.is_some_and(|source| source.raw_os_error().is_some()));
    });
}
