//! Errors and panics: what the client gets, and what is reported.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Mutex;

use evy_http::{AccessLog, Body, Request, Response, Server, StatusCode, StatusError};
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
                "Other \"GET /server HTTP/1.1\": upstream [upstream]",
                "Other \"GET /early HTTP/1.1\": the status of a handler must be final [the status of a handler must be final]",
                "Other \"GET /switch HTTP/1.1\": the status 101 without an upgrade [the status 101 without an upgrade]",
                "Other \"GET /body HTTP/1.0\": body [body]",
            ]
        );
    });
}

fn access_lines_without_dates() -> Vec<String> {
    let lines = logged("evy::http::access", "");
    let without_date = lines.iter().map(|(_, line)| {
        let (host, rest) = line.split_once(" - - [").unwrap();
        format!("{host} {}", rest.split_once("+0000] ").unwrap().1)
    });
    without_date.collect()
}

/// Everything that was logged in this process: target, level and text.
static LOGGED: Mutex<Vec<(String, log::Level, String)>> = Mutex::new(Vec::new());

/// Installs a logger for this process.
pub(super) fn collect_logs() {
    struct Logger;
    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            let text = record.args().to_string();
            let target = record.target().to_owned();
            LOGGED.lock().unwrap().push((target, record.level(), text));
        }
        fn flush(&self) {}
    }
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

/// Returns what was logged with this target and contains `part`.
pub(super) fn logged(target: &str, part: &str) -> Vec<(log::Level, String)> {
    let lines = LOGGED.lock().unwrap();
    let lines = lines
        .iter()
        .filter(|(of, _, text)| of == target && text.contains(part));
    lines
        .map(|(_, level, text)| (*level, text.clone()))
        .collect()
}

#[test]
fn errors_are_logged_unless_there_is_a_callback() {
    static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    fn handler(request: Request<Body>) -> Result<Body, Box<dyn Error + Send + Sync>> {
        match request.uri().path().rsplit('/').next() {
            Some("panic") => panic!("the handler panics"),
            Some("error") => Err("no database")?,
            Some("client") => Err(StatusError::new(StatusCode::NOT_FOUND, "not here"))?,
            Some("body") => Ok(Body::from_writer(|client| {
                client.write_all(b"begun")?;
                client.flush()?;
                Err(io::Error::other("no disk"))
            })),
            _ => Ok("fine".into()),
        }
    }
    collect_logs();
    within(|| {
        let logging = start(Server::default(), handler);
        let report = |error: &io::Error| REPORTS.lock().unwrap().push(error.to_string());
        let replaced = start(Server::builder().on_error(report).build(), handler);
        for (addr, name) in [(logging, "default"), (replaced, "callback")] {
            for path in ["panic", "error", "client", "body", "fine"] {
                let request = format!("GET /{name}/{path} HTTP/1.0\r\n\r\n");
                let mut stream = connect(addr);
                stream.write_all(request.as_bytes()).unwrap();
                stream.read_to_end(&mut Vec::new()).ok();
            }
        }
        let reports = |name: &str| {
            [
                format!("\"GET /{name}/panic HTTP/1.0\": the handler panicked"),
                format!("\"GET /{name}/error HTTP/1.0\": no database"),
                format!("\"GET /{name}/body HTTP/1.0\": no disk"),
            ]
        };
        assert_eq!(
            logged("evy::http", "/default/"),
            reports("default").map(|line| (log::Level::Error, line))
        );
        assert_eq!(*REPORTS.lock().unwrap(), reports("callback"));
        assert_eq!(logged("evy::http", "/callback/"), []);
    });
}

#[test]
fn the_access_log_has_one_line_for_each_request() {
    fn handler(request: Request<Body>) -> io::Result<Body> {
        match request.uri().path() {
            "/stream" => Ok(Body::from_reader(&b"hello"[..])),
            path => Ok(Body::from(path.to_owned())),
        }
    }
    collect_logs();
    within(|| {
        let server = Server::builder()
            .access_log(AccessLog::combined())
            .trust_proxies(|peer| peer.addr().is_some_and(|addr| addr.ip().is_loopback()));
        let addr = start(server.build(), handler);
        exchange(
            addr,
            b"GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: \"x\\y\r\nReferer: http://b/\r\n\r\n\
              GET /stream HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, 3.3.3.3\r\n\r\n\
              HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n\
              GET /bad HTTP/1.1\r\n\r\n",
        );
        while logged("evy::http::access", "").len() < 4 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(
            access_lines_without_dates(),
            [
                "127.0.0.1 \"GET /a HTTP/1.1\" 200 2 \"http://b/\" \"\\\"x\\\\y\"",
                "3.3.3.3 \"GET /stream HTTP/1.1\" 200 18 \"-\" \"-\"",
                "127.0.0.1 \"HEAD /head HTTP/1.1\" 200 0 \"-\" \"-\"",
                "127.0.0.1 \"GET /bad HTTP/1.1\" 400 0 \"-\" \"-\"",
            ]
        );

        // Without a log, and in the Common Log Format.
        let off = start(Server::default(), handler);
        let common = Server::builder().access_log(AccessLog::common());
        let common = start(common.build(), handler);
        for addr in [off, common] {
            let port = addr.port();
            exchange(addr, format!("GET /{port} HTTP/1.0\r\n\r\n").as_bytes());
        }
        while logged("evy::http::access", "").len() < 5 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let path = format!("/{}", common.port());
        let line = format!("127.0.0.1 \"GET {path} HTTP/1.0\" 200 {}", path.len());
        assert_eq!(access_lines_without_dates()[4..], [line]);
    });
}

#[test]
fn a_request_that_a_stop_cuts_off_is_in_the_access_log() {
    static RECORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    within(|| {
        let log = AccessLog::custom(|record| {
            let record = format!("{} {:?}", record.line(), record.status());
            RECORDS.lock().unwrap().push(record);
        });
        let server = Server::builder().access_log(log).build();
        let handle = server.handle();
        let addr = start(server, |_| {
            evy_runtime::sleep(std::time::Duration::from_secs(3600));
        });
        let client = std::thread::spawn(move || exchange(addr, b"GET /1 HTTP/1.0\r\n\r\n"));
        while handle.requests() == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(handle.stop(std::time::Duration::from_millis(10)), 0);
        assert_eq!(client.join().unwrap(), "");
        assert_eq!(*RECORDS.lock().unwrap(), ["GET /1 HTTP/1.0 None"]);
    });
}

#[test]
fn a_report_shows_each_cause_once() {
    #[derive(Debug)]
    struct Context(&'static str, io::Error);
    impl std::fmt::Display for Context {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }
    impl Error for Context {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.1)
        }
    }
    static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    within(|| {
        let report = |error: &io::Error| REPORTS.lock().unwrap().push(error.to_string());
        let handler = |request: Request<Body>| {
            let context = match request.uri().path() {
                "/hides" => "reading the settings",
                _ => "reading: no such file",
            };
            Err::<(), _>(Context(context, io::Error::other("no such file")))
        };
        let addr = start(Server::builder().on_error(report).build(), handler);
        exchange(addr, b"GET /hides HTTP/1.0\r\n\r\n");
        exchange(addr, b"GET /shows HTTP/1.0\r\n\r\n");
        assert_eq!(
            *REPORTS.lock().unwrap(),
            [
                "\"GET /hides HTTP/1.0\": reading the settings: no such file",
                "\"GET /shows HTTP/1.0\": reading: no such file",
            ]
        );
    });
}

#[test]
fn a_callback_gets_the_record_of_each_request() {
    static RECORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    within(|| {
        let log = AccessLog::custom(|record| {
            assert!(record.forwarded_for().is_none() && record.peer().addr().is_some());
            let at_least = record.elapsed() >= std::time::Duration::from_millis(20);
            let record = format!("{} {:?} {at_least}", record.line(), record.status());
            RECORDS.lock().unwrap().push(record);
            panic!("a panic of the callback affects nothing else");
        });
        let addr = start(Server::builder().access_log(log).build(), |_| {
            evy_runtime::sleep(std::time::Duration::from_millis(20));
            StatusCode::NOT_FOUND
        });
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n";
        let last = b"GET /2 HTTP/1.0\r\n\r\n";
        let answer = exchange(addr, &[&request[..], last].concat());
        assert_eq!(statuses(&answer), ["404", "404"]);
        while RECORDS.lock().unwrap().len() < 2 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let records = RECORDS.lock().unwrap();
        assert_eq!(records[0], "GET / HTTP/1.1 Some(404) true");
        assert_eq!(records[1], "GET /2 HTTP/1.0 Some(404) true");
    });
}

#[test]
fn what_a_client_sends_cannot_forge_a_report_or_control_a_terminal() {
    static REPORTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    within(|| {
        let report = |error: &io::Error| REPORTS.lock().unwrap().push(error.to_string());
        let server = Server::builder().on_error(report).build();
        let addr = start(server, |_| Err::<(), _>("bad"));
        // A C1 control character, as UTF-8, and a quotation mark.
        let request = "GET /\u{9b}31m\":x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(statuses(&exchange(addr, request.as_bytes())), ["500"]);
        let report = REPORTS.lock().unwrap().pop().unwrap();
        assert_eq!(report, r#""GET /\xc2\x9b31m\":x HTTP/1.1": bad"#);
    });
}

#[test]
fn an_error_in_the_default_log_is_one_line_whatever_a_client_has_put_into_it() {
    collect_logs();
    within(|| {
        // The handler has decoded what it names.
        let addr = start(Server::default(), |_| {
            Err::<(), _>("no user \u{e4}\\\r\n2026 INFO forged \u{1b}[31m\u{9b}1m")
        });
        let answer = exchange(addr, b"GET /forged HTTP/1.0\r\n\r\n");
        assert_eq!(statuses(&answer), ["500"]);
        let line = "\"GET /forged HTTP/1.0\": no user \u{e4}\\\\r\\n2026 INFO forged \
                    \\u{1b}[31m\\u{9b}1m";
        let lines = logged("evy::http", "\"GET /forged ");
        assert_eq!(lines, [(log::Level::Error, line.to_owned())]);
    });
}
