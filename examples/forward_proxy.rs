//! Proxy pattern: a server that tunnels connections to others, by CONNECT, and forwards requests.
//!
//! Run it, and fetch a page through it from another terminal:
//!
//! ```text
//! cargo run --release --example forward_proxy [ADDR]      (default: 127.0.0.1:6003)
//! curl --proxy http://127.0.0.1:6003 https://example.com/
//! ```
//!
//! It serves every client that can reach it, so it belongs behind a firewall.

use std::io::{self, Write};
use std::time::Duration;

use evy::http::header::{CONNECTION, HOST, VIA};
use evy::http::{
    Body, Client, HeaderMap, HeaderValue, Method, Request, Response, Server, StatusCode,
    StatusError, Upgrade,
};
use evy::net::{Stream, TcpStream, copy_bidirectional};

/// The headers that are about one connection only (RFC 9110, section 7.6.1), besides those that
/// `Connection` names.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn bad_gateway(error: &io::Error) -> StatusError {
    StatusError::new(StatusCode::BAD_GATEWAY, error.to_string())
}

fn tunnel(request: &Request<Body>) -> Result<Response<Body>, StatusError> {
    let target = request
        .uri()
        .authority()
        .map_or("", |target| target.as_str());
    let server = evy::connect_timeout(target, Duration::from_secs(10));
    let mut server = server.map_err(|error| bad_gateway(&error))?;
    Ok(Upgrade::response(Response::new(()), move |upgraded| {
        let Ok((mut client, read_ahead)) = upgraded.downcast::<TcpStream>() else {
            return;
        };
        let sent = server.write_all(&read_ahead);
        if sent
            .and_then(|()| copy_bidirectional(&mut client, &mut server).map(drop))
            .is_err()
        {
            // Neither end must take it for the end of the stream.
            client.reset();
            server.reset();
        }
    }))
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let values: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    let named = values.iter().filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(',')).map(str::trim);
    for name in named.chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn forward(client: &Client, mut request: Request<Body>) -> Result<Response<Body>, StatusError> {
    if request.uri().authority().is_none() {
        let message = "this is a proxy: the target must be a whole URL";
        return Err(StatusError::new(StatusCode::BAD_REQUEST, message));
    }
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    // The client sends that of the URL.
    headers.remove(HOST);
    headers.append(VIA, HeaderValue::from_static("1.1 evy-forward-proxy"));
    let response = client.request(request);
    let mut response = response.map_err(|error| bad_gateway(&error))?;
    remove_hop_by_hop(response.headers_mut());
    Ok(response)
}

fn main() -> io::Result<()> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:6003".into());
    let listener = evy::listen(addr)?;
    println!("listening on {}", listener.local_addr()?);
    // The limits are up to the client and the server, between which this only passes messages on.
    let client = Client::builder()
        .max_redirects(0)
        .user_agent(None)
        .timeout(Duration::MAX)
        .first_byte_timeout(Duration::from_secs(60))
        .max_body_bytes(u64::MAX)
        .build();
    Server::builder()
        .allow_connect(true)
        .max_body_bytes(u64::MAX)
        .body_timeout(None)
        .on_error(|error| eprintln!("{error}"))
        .serve(listener, move |request| match *request.method() {
            Method::CONNECT => tunnel(&request),
            _ => forward(&client, request),
        })
}
