//! Client pattern: calls one function for many inputs concurrently, with the results in order.
//!
//! ```text
//! cargo run --release --example web_crawler [URL...]
//! ```
//!
//! Prints each URL with the size of its page. `https` needs the feature `tls`. Without arguments, the
//! program starts a site of 200 pages in the same process, on the same OS thread, and crawls it. Each
//! page responds after 50 ms, so the requests wait ten seconds in total, but the crawl takes a
//! fraction of one second.

use std::io;
use std::time::{Duration, Instant};

use evy::GreenPool;
use evy::http::{self, Client, Response, ResponseExt};
use indicatif::ProgressBar;

const PAGES: usize = 200;
const DELAY: Duration = Duration::from_millis(50);

fn main() -> io::Result<()> {
    let mut urls: Vec<String> = std::env::args().skip(1).collect();
    let local = urls.is_empty();
    if local {
        urls = start_site()?;
    }
    // The bar is shown only if standard error is a terminal.
    let progress = ProgressBar::new(urls.len() as u64);
    let client = Client::builder().timeout(Duration::from_secs(30)).build();
    let fetch = move |url: String| {
        let page = client
            .get(&url)
            .and_then(ResponseExt::error_for_status)
            .and_then(|response| response.into_body().into_bytes());
        (url, page)
    };

    let start = Instant::now();
    let (mut fetched, mut errors, mut bytes) = (0, 0, 0);
    for (url, page) in GreenPool::default().imap(fetch, urls) {
        match page {
            Ok(body) => {
                progress.suspend(|| println!("{url}: {} bytes", body.len()));
                fetched += 1;
                bytes += body.len();
            }
            Err(error) => {
                progress.suspend(|| println!("{url}: {error}"));
                errors += 1;
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    let waiting = if local {
        format!(" ({:.1} s of waiting)", DELAY.as_secs_f64() * PAGES as f64)
    } else {
        String::new()
    };
    println!("fetched {fetched} pages, {errors} errors, {bytes} bytes in {seconds:.2} s{waiting}");
    evy::shutdown(Duration::ZERO);
    Ok(())
}

/// Starts a site on the current OS thread, and returns the URLs of its pages.
fn start_site() -> io::Result<Vec<String>> {
    let listener = evy::listen("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    evy::spawn_n(move || {
        let site = http::serve(listener, |request| {
            evy::sleep(DELAY);
            let page = request.uri().path().to_owned();
            Response::new(format!(
                "<html><h1>{page}</h1>{}</html>",
                "lorem ipsum ".repeat(100)
            ))
        });
        if let Err(error) = site {
            eprintln!("the local site: {error}");
        }
    });
    Ok((0..PAGES)
        .map(|page| format!("http://{addr}/page/{page}"))
        .collect())
}
