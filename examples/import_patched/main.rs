//! Import pattern: a C library, here libcurl, is patched where it is used, and nowhere else.
//!
//! ```text
//! cargo run --release --features patch --example import_patched [URL...]
//! ```
//!
//! Prints each URL with the size of its page. The program loads the system's libcurl, which Debian
//! has in the package `libcurl4`. Each transfer runs in `evy::patch::patched`, the counterpart of
//! `import_patched` in the Python library Evy. Without arguments, the program starts a site in the
//! same process, on the same OS thread. Its 20 pages respond after 200 ms each, all at once.

mod curl;

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy::http::{self, Response};

use curl::Curl;

const PAGES: usize = 20;
const DELAY: Duration = Duration::from_millis(200);

fn main() -> Result<(), Box<dyn Error>> {
    let curl = Arc::new(Curl::load()?);
    let mut urls: Vec<String> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        urls = start_site()?;
    }
    let start = Instant::now();
    let transfers: Vec<_> = urls
        .into_iter()
        .map(|url| {
            let curl = Arc::clone(&curl);
            evy::spawn(move || {
                let page = evy::patch::patched(|| curl.fetch(&url));
                (url, page)
            })
        })
        .collect();
    let (mut fetched, mut errors) = (0, 0);
    for transfer in transfers {
        let (url, page) = transfer.join()?;
        match page? {
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
