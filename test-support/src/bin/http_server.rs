//! An HTTP server for clients from outside, which `ci/http.sh` and `ci/slow_clients.sh` try on it.
//!
//! ```text
//! http-server [CHAIN.pem KEY.pem]
//! ```
//!
//! It listens at ports that are free and prints them: first the one of HTTP, then, with a
//! certificate, the one of HTTPS. SIGTERM stops it in order. It then prints the number of requests,
//! and of connections that were left. It fails if there were any.

use std::error::Error;
use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use evy::http::{Body, Method, Request, Response, Server, StatusCode, StatusError};
use evy::net::Listener as _;
use evy::signal::{SIGINT, SIGTERM, Signals};
use evy::tls::{Acceptor, Listener};

/// How long requests may take after SIGTERM.
const GRACE: Duration = Duration::from_secs(20);

/// A large response, in which a piece that is missing or doubled is noticed.
static BIG: LazyLock<&[u8]> = LazyLock::new(|| {
    (0..8 << 20)
        .map(|at| (at % 251) as u8)
        .collect::<Vec<_>>()
        .leak()
});

type Answer = Result<Response<Body>, Box<dyn Error + Send + Sync>>;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let signals = Signals::new([SIGINT, SIGTERM])?;
    let server = Server::builder()
        .on_error(|error| eprintln!("reported: {error}"))
        .build();
    let handle = server.handle();
    let mut args = std::env::args().skip(1);
    let listener = evy::listen("127.0.0.1:0")?;
    println!("http {}", listener.local_addr()?.port());
    if let (Some(chain), Some(key)) = (args.next(), args.next()) {
        let acceptor = Acceptor::from_pem(std::fs::read(chain)?, std::fs::read(key)?)?;
        let listener = Listener::new(evy::listen("127.0.0.1:0")?, acceptor);
        println!("https {}", listener.local_addr()?.port());
        let server = server.clone();
        evy::spawn_n(move || server.serve(listener, answer).expect("the listener works"));
    }
    println!("ready");
    evy::spawn_n(move || server.serve(listener, answer).expect("the listener works"));
    signals.recv();
    let left = handle.stop(GRACE);
    println!("{} requests, {left} connections left", handle.requests());
    Ok(if left == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn answer(request: Request<Body>) -> Answer {
    let body: Body = match request.uri().path() {
        "/hello" => "hello\n".into(),
        "/echo" => return echo(request),
        "/length" => count(request.into_body())?.to_string().into(),
        "/unread" => "not read\n".into(),
        "/refuse" => return Err(StatusError::new(StatusCode::FORBIDDEN, "not here").into()),
        "/chunked" => Body::from_writer(|client| {
            for number in 0..1000 {
                writeln!(client, "line {number}")?;
                if number % 100 == 0 {
                    client.flush()?;
                }
            }
            Ok(())
        }),
        "/big" => (*BIG).into(),
        "/big-chunked" => Body::from_reader(*BIG),
        "/fails" => Body::from_writer(|client| {
            client.write_all(&BIG[..100_000])?;
            client.flush()?;
            Err(io::Error::other("it fails in the middle"))
        }),
        "/fails-sized" => Body::sized(&BIG[..100_000], 200_000),
        "/panics" => panic!("the handler of /panics"),
        "/error" => return Err("the handler of /error".into()),
        "/slow" => {
            evy::sleep(Duration::from_millis(200));
            "slow\n".into()
        }
        "/work" => {
            evy::sleep(Duration::from_millis(5));
            "worked\n".into()
        }
        "/sse" => return Ok(events()?),
        "/none" => return Ok(Response::builder().status(204).body(Body::empty())?),
        _ => return Err(StatusError::new(StatusCode::NOT_FOUND, "no such page").into()),
    };
    Ok(Response::new(body))
}

/// Sends the body back while it arrives.
fn echo(request: Request<Body>) -> Answer {
    if request.method() != Method::POST && request.method() != Method::PUT {
        let message = "only POST and PUT have something to send back";
        return Err(StatusError::new(StatusCode::METHOD_NOT_ALLOWED, message).into());
    }
    Ok(Response::new(request.into_body()))
}

fn count(mut body: Body) -> io::Result<u64> {
    io::copy(&mut body.by_ref(), &mut io::sink())
}

/// Server-sent events, of which each leaves at once.
fn events() -> Result<Response<Body>, evy::http::Error> {
    let body = Body::from_writer(|client| {
        for number in 0..5 {
            write!(client, "data: {number}\n\n")?;
            client.flush()?;
            evy::sleep(Duration::from_millis(100));
        }
        Ok(())
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        // nginx then passes each event on.
        .header("x-accel-buffering", "no")
        .body(body)
}
