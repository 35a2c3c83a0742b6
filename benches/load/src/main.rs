//! Measures a server with many connections, each with one request in flight, for a given time.
//!
//! ```text
//! cargo run --release --example echo_server &
//! cargo run --release -p evy-load 127.0.0.1:6000 1000 5 [SIZE]
//! cargo run --release -p evy-load http://127.0.0.1:8000/ 1000 5
//! ```
//!
//! Each response is compared with the expected one. The first difference, and the first connection
//! that fails, ends the run with an error.
//!
//! The load generator is an epoll loop without evy, so that a slow client cannot conceal a slow
//! runtime. Look at the processor time of the server, not only at the request rate.

#[cfg(target_os = "linux")]
use std::time::Duration;

/// Parses `TARGET CONNECTIONS SECONDS [SIZE]`.
#[cfg(target_os = "linux")]
fn parse(words: &[String]) -> Option<(evy_load::Target, usize, Duration)> {
    let (target, connections, seconds, size) = match words {
        [target, connections, seconds] => (target, connections, seconds, 64),
        [target, connections, seconds, size] => (target, connections, seconds, size.parse().ok()?),
        _ => return None,
    };
    let target = match target.strip_prefix("http://") {
        None => evy_load::Target::Echo {
            addr: target.parse().ok()?,
            size,
        },
        Some(url) => {
            let (addr, path) = url.split_once('/').unwrap_or((url, ""));
            evy_load::Target::Http {
                addr: addr.parse().ok()?,
                path: format!("/{path}"),
                pipelined: 1,
            }
        }
    };
    let duration = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
    Some((
        target,
        connections.parse().ok().filter(|n| *n > 0)?,
        duration,
    ))
}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((target, connections, duration)) = parse(&words) else {
        eprintln!("usage: evy-load ADDR|URL CONNECTIONS SECONDS [SIZE]");
        std::process::exit(2);
    };
    evy_load::raise_file_limit()?;
    let mut load = evy_load::Load::connect(&target, connections)?;
    let report = load.run(duration / 4, duration, || Ok(()))?;
    let micros = |quantile| report.latencies.quantile(quantile).as_secs_f64() * 1e6;
    println!(
        "{} requests, {:.0} per second, p50 {:.1} us, p99 {:.1} us",
        report.latencies.count(),
        report.latencies.count() as f64 / report.elapsed.as_secs_f64(),
        micros(0.5),
        micros(0.99),
    );
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("evy-load needs epoll, which this system does not have");
    std::process::exit(1);
}
