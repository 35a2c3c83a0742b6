//! Dispatch pattern: a server that is a client of other servers, with one pool as the limit for all
//! requests.
//!
//! ```text
//! cargo run --release --example feed_scraper [ADDR]     (default: 127.0.0.1:6001)
//! curl --data-binary $'http://host/feed1\nhttp://host/feed2' http://127.0.0.1:6001/
//! cargo run --release --example feed_scraper -- --demo
//! ```
//!
//! The server accepts a POST request with the URLs of feeds, one per line. It fetches all feeds
//! concurrently and responds with their titles in the same order. With `--demo`, the program also
//! serves some feeds, sends such a request to itself, prints the response and exits.

use std::io;
use std::time::Duration;

use evy::http::{self, Body, Client, Method, Request, Response, StatusCode};
use evy::net::{SocketAddr, TcpListener};
use evy::{GreenPile, GreenPool};

const LIMIT: Duration = Duration::from_secs(30);

fn fetch_title(client: &Client, url: &str) -> String {
    let feed = client
        .get(url)
        .and_then(|response| response.into_body().into_bytes());
    match feed.map(|bytes| feed_rs::parser::parse(bytes.as_slice())) {
        Ok(Ok(feed)) => feed
            .title
            .map_or_else(|| "(no title)".into(), |title| title.content),
        Ok(Err(error)) => format!("{url}: {error}"),
        Err(error) => format!("{url}: {error}"),
    }
}

/// Fetches the feeds that the request lists.
///
/// All requests share the pool, so no more feeds than its size are fetched at once, however many
/// requests arrive.
fn scrape(pool: &GreenPool, request: Request<Body>) -> io::Result<Response<String>> {
    if request.method() != Method::POST {
        let mut response = Response::new("POST the URLs of feeds, one per line\n".to_owned());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return Ok(response);
    }
    let client = Client::builder().timeout(LIMIT).build();
    let pile = GreenPile::with_pool(pool);
    for url in request.into_body().into_text()?.lines() {
        let (client, url) = (client.clone(), url.to_owned());
        pile.spawn(move || fetch_title(&client, &url));
    }
    Ok(Response::new(pile.collect::<Vec<_>>().join("\n")))
}

fn serve(listener: TcpListener) -> io::Result<()> {
    let pool = GreenPool::default();
    http::serve(listener, move |request| scrape(&pool, request))
}

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("--demo") => demo(),
        addr => {
            let listener = evy::listen(addr.unwrap_or("127.0.0.1:6001"))?;
            println!("listening on {}", listener.local_addr()?);
            serve(listener)
        }
    }
}

fn demo() -> io::Result<()> {
    let feeds = feeds()?;
    let listener = evy::listen("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    evy::spawn_n(move || drop(serve(listener)));

    let urls: Vec<_> = (1..=5)
        .map(|n| format!("http://{feeds}/feed/{n}"))
        .collect();
    let request = Request::post(url)
        .body(urls.join("\n"))
        .map_err(io::Error::other)?;
    println!(
        "{}",
        Client::new().request(request)?.into_body().into_text()?
    );
    evy::shutdown(Duration::ZERO);
    Ok(())
}

/// Starts a server of feeds, which responds after a delay, and returns its address.
fn feeds() -> io::Result<SocketAddr> {
    let listener = evy::listen("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    evy::spawn_n(move || {
        let serving = http::serve(listener, move |request| {
            evy::sleep(Duration::from_millis(100));
            let number = request.uri().path().rsplit('/').next().unwrap_or_default();
            Response::new(format!(
                "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>Feed number {number}\
                 </title><link>http://{addr}/</link><description>a demo</description></channel></rss>"
            ))
        });
        drop(serving);
    });
    Ok(addr)
}
