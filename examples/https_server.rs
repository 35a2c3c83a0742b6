//! HTTPS pattern: HTTP over TLS, with certificates that are replaced without a restart.
//!
//! Make a certificate, run the server, and fetch a page from another terminal:
//!
//! ```text
//! openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out chain.pem -subj /CN=localhost \
//!     -addext subjectAltName=DNS:localhost
//! cargo run --release --features tls --example https_server chain.pem key.pem [ADDR]
//! curl --cacert chain.pem https://localhost:8443/
//! ```
//!
//! After `kill -HUP`, new connections get the certificate that the files hold by then. Files that
//! cannot be used change nothing. After Ctrl-C or `kill`, the server answers the requests that it
//! has, and ends within five seconds.

use std::io::{self, Error, ErrorKind};
use std::process::ExitCode;
use std::time::Duration;

use evy::http::{Body, Peer, Request, Server};
use evy::signal::{SIGHUP, SIGINT, SIGTERM, Signals};
use evy::tls::{Acceptor, Identity, Listener, Session};

const GRACE: Duration = Duration::from_secs(5);

fn hello(request: Request<Body>) -> String {
    let peer = request.extensions().get::<Peer>();
    let session = peer.and_then(Peer::info::<Session>);
    let version = session.and_then(Session::protocol_version);
    format!("hello, by {version:?}\n")
}

fn reload(acceptor: &Acceptor, chain: &str, key: &str) {
    let loaded = Identity::from_pem_files(chain, key);
    match loaded.and_then(|identity| acceptor.reload_identities([identity])) {
        Ok(()) => eprintln!("the certificate was replaced"),
        Err(error) => eprintln!("the certificate was not replaced: {error}"),
    }
}

fn main() -> io::Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let (Some(chain), Some(key)) = (args.next(), args.next()) else {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "usage: https_server CHAIN.pem KEY.pem [ADDR]",
        ));
    };
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:8443".into());
    // Before anything else, so that no signal ends the program unprepared.
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let acceptor = Acceptor::builder()
        .identity(Identity::from_pem_files(&chain, &key)?)
        .alpn(["http/1.1"])
        .build()?;
    let listener = evy::listen(addr)?;
    println!("listening on {}", listener.local_addr()?);

    let server = Server::builder()
        .on_error(|error| eprintln!("{error}"))
        .build();
    let handle = server.handle();
    let serving = evy::spawn({
        let acceptor = acceptor.clone();
        move || server.serve(Listener::new(listener, acceptor), hello)
    });
    loop {
        evy::select! {
            signal(&signals) -> signal => match signal {
                SIGHUP => reload(&acceptor, &chain, &key),
                _ => break,
            },
            join(&serving) => break eprintln!("the listener has failed"),
        }
    }
    Ok(match handle.stop(GRACE) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
