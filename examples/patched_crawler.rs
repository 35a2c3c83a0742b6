//! Import pattern: an unchanged library, here ureq, fetches many pages at once on one OS thread.
//!
//! ```text
//! cargo run --release --features patch --example patched_crawler [URL...]
//! ```
//!
//! Prints each URL with the size of its page. ureq uses the sockets of std, and knows nothing of
//! evy. Without arguments, the program starts a site of 200 pages in the same process, on the same
//! OS thread, and crawls it. Each page responds after 50 ms, so the requests wait ten seconds in
//! total, but the crawl takes about one second.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use evy::GreenPool;
use evy::http::{self, Response};
use ureq::Agent;

const PAGES: usize = 200;
const DELAY: Duration = Duration::from_millis(50);

fn main() -> Result<(), Box<dyn Error>> {
    evy::patch::monkey_patch()?;
    let mut urls: Vec<String> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        urls = start_site()?;
    }
    let config = Agent::config_builder().timeout_global(Some(Duration::from_secs(30)));
    let agent: Agent = config.build().into();
    let fetch = move |url: String| {
        let page = agent.get(&url).call();
        let page = page.and_then(|mut response| response.body_mut().read_to_vec());
        (url, page)
    };

    let start = Instant::now();
    let (mut fetched, mut errors) = (0, 0);
    for (url, page) in GreenPool::default().imap(fetch, urls) {
        match page {
            Ok(body) => {
                println!("{url}: {} bytes", body.len());
                fetched += 1;
            }
            Err(error) => {
                println!("{url}: {error}");
                errors += 1;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("fetched {fetched} pages, {errors} errors, in {seconds:.2} s");
    evy::shutdown(Duration::ZERO);
    Ok(())
}

/// Starts a site on the current OS thread, and returns the URLs of its pages.
fn start_site() -> io::Result<Vec<String>> {
    let listener = evy::listen("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    evy::spawn_n(move || {
        let site = http::serve(listener, |_| {
            evy::sleep(DELAY);
            Response::new("lorem ipsum ".repeat(100))
        });
        if let Err(error) = site {
            eprintln!("the local site: {error}");
        }
    });
    Ok((0..PAGES)
        .map(|page| format!("http://{addr}/page/{page}"))
        .collect())
}
