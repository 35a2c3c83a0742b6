//! Dispatch pattern: a server that is a client of other servers, with one pool as the limit for all
//! requests.
//!
//! ```text
//! cargo run --release --example feed_scraper [[FEED_SECONDS REQUEST_SECONDS] ADDR]
//!                                            (default: 10 30 127.0.0.1:6001)
//! curl --data-binary $'http://host/feed1\nhttp://host/feed2' http://127.0.0.1:6001/
//! cargo run --release --example feed_scraper -- --demo
//! ```
//!
//! The server accepts a POST request with the URLs of feeds, one per line. It fetches all feeds
//! concurrently and responds with their titles in the same order. The line of a feed that fails, or
//! takes more than `FEED_SECONDS`, has the error. After `REQUEST_SECONDS` the server responds with
//! what it has. With `--demo`, the program also serves some feeds, sends such a request to itself,
//! prints the response and exits.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use evy::GreenPool;
use evy::http::{self, Body, Client, Method, Request, Response, StatusCode, StatusError};
use evy::net::{SocketAddr, TcpListener};

/// The maximum length of a feed in bytes.
const MAX_FEED: u64 = 4 << 20;

/// What all requests share.
struct Scraper {
    client: Client,
    /// No more feeds than its size are fetched at once, however many requests arrive.
    pool: GreenPool,
    request_limit: Duration,
}

impl Scraper {
    fn new(feed_limit: Duration, request_limit: Duration) -> Self {
        Self {
            client: Client::builder()
                .timeout(feed_limit)
                .max_body_bytes(MAX_FEED)
                .build(),
            pool: GreenPool::default(),
            request_limit,
        }
    }

    /// Fetches the feeds that the request lists.
    fn scrape(&self, request: Request<Body>) -> Result<String, Box<dyn Error + Send + Sync>> {
        if request.method() != Method::POST {
            let message = "POST the URLs of feeds, one per line";
            return Err(StatusError::new(StatusCode::METHOD_NOT_ALLOWED, message).into());
        }
        let deadline = Instant::now() + self.request_limit;
        let urls = request.into_body().into_text()?;
        let started: Vec<_> = urls
            .lines()
            .map(|url| {
                let (client, feed) = (self.client.clone(), url.to_owned());
                let fetch = move || evy::timeout_at(deadline, || fetch_title(&client, &feed))?;
                // The pool may be full of the feeds of other requests.
                (url, evy::timeout_at(deadline, || self.pool.spawn(fetch)))
            })
            .collect();
        let lines = started.into_iter().map(|(url, started)| {
            let title = started.map_err(Into::into).and_then(|fetch| {
                // The parser may panic, which is an error of this feed too.
                fetch.join().unwrap_or_else(|error| Err(error.into()))
            });
            let line = title.unwrap_or_else(|error| format!("{url}: {error}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}

fn fetch_title(client: &Client, url: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
    let response = client.get(url)?;
    if !response.status().is_success() {
        return Err(response.status().to_string().into());
    }
    let bytes = response.into_body().into_bytes()?;
    // Parsing would hold back the other green threads.
    let feed = evy::unblock(move || feed_rs::parser::parse(bytes.as_slice()))?;
    let title = feed.title.map(|title| title.content);
    Ok(title.unwrap_or_else(|| "(no title)".into()))
}

fn serve(listener: TcpListener, scraper: Scraper) -> io::Result<()> {
    http::serve(listener, move |request| scraper.scrape(request))
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let (feed_limit, request_limit, addr) = match args[..] {
        ["--demo"] => return Ok(demo()?),
        [] => ("10", "30", "127.0.0.1:6001"),
        [addr] => ("10", "30", addr),
        [feed_limit, request_limit, addr] => (feed_limit, request_limit, addr),
        _ => return Err("usage: feed_scraper [[FEED_SECONDS REQUEST_SECONDS] ADDR]".into()),
    };
    let seconds = |limit: &str| limit.parse().map(Duration::from_secs);
    let scraper = Scraper::new(seconds(feed_limit)?, seconds(request_limit)?);
    let listener = evy::listen(addr)?;
    println!("listening on {}", listener.local_addr()?);
    Ok(serve(listener, scraper)?)
}

fn demo() -> io::Result<()> {
    let feeds = feeds()?;
    let listener = evy::listen("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    let scraper = Scraper::new(Duration::from_secs(10), Duration::from_secs(30));
    evy::spawn_n(move || drop(serve(listener, scraper)));

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
