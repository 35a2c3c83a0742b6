//! Errors and panics: what the client gets, and what is reported.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;

use evy_http::{Body, Request, Response, Server, StatusCode, StatusError};
use evy_test_support::within;

use super::{connect, exchange, read_until, start, statuses};

#[test]
fn an_error_or_a_panic_is_a_500_and_is_reported_with_the_request_line() {
    static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    type Answer = Result<Response<Body>, Box<dyn Error + Send + Sync>>;
    fn handler(request: Request<Body>) -> Answer {
        match request.uri().path() {
            "/panic" => panic!("the handler panics"),
            "/io" => Err(io::Error::new(ErrorKind::NotFound, "no such thing"))?,
            "/known" => Err(StatusError::new(StatusCode::NOT_FOUND, "not here"))?,
            "/server" => Err(StatusError::new(StatusCode::BAD_GATEWAY, "upstream"))?,
            "/early" => Ok(Response::builder().status(103).body(Body::empty())?),
            "/switch" => Ok(Response::builder().status(101).body(Body::empty())?),
            "/body" => Ok(Response::new(Body::from_writer(|_| {
                Err(io::Error::other("body"))
            }))),
            _ => Ok(Response::new("fine".into())),
        }
    }
    within(|| {
        let report = |error: &io::Error| {
            let source = error
                .get_ref()
                .and_then(Error::source)
                .map(ToString::to_string);
            let kind = error.kind();
            REPORTS
                .lock()
                .unwrap()
                .push(format!("{kind:?} {error} [{}]", source.unwrap()));
        };
        let addr = start(Server::builder().on_error(report).build(), handler);
        let mut stream = connect(addr);
        for (path, status) in [
            ("/panic", "500"),
            ("/io", "500"),
            ("/known", "404"),
            ("/server", "502"),
            ("/early", "500"),
            ("/switch", "500"),
            ("/fine", "200"),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let answer = read_until(&mut stream, "\r\n\r\n");
            assert_eq!(statuses(&answer), [status], "{path}");
            let body = match path {
                "/known" => "not here",
                "/server" => "upstream",
                "/fine" => "fine",
                _ => continue,
            };
            read_until(&mut stream, body);
        }
        assert_eq!(
            statuses(&exchange(addr, b"GET /body HTTP/1.0\r\n\r\n")),
            ["500"]
        );
        let reports = REPORTS.lock().unwrap();
        assert_eq!(
            *reports,
            [
                "Other \"GET /panic HTTP/1.1\": the handler panicked [the handler panicked]",
                "NotFound \"GET /io HTTP/1.1\": no such thing [no such thing]",
                "Other \"GET /server HTTP/1.1\": 502 Bad Gateway: upstream [502 Bad Gateway: upstream]",
                "Other \"GET /early HTTP/1.1\": the status of a handler must be final [the status of a handler must be final]",
                "Other \"GET /switch HTTP/1.1\": the status 101 without an upgrade [the status 101 without an upgrade]",
                "Other \"GET /body HTTP/1.0\": body [body]",
            ]
        );
    });
}
