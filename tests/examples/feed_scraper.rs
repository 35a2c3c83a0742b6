//! The example `feed_scraper`, with feeds of which most are broken in some way.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::start_with;

/// Serves one connection of a server of feeds, of which most are broken in some way.
fn serve_feed(mut stream: evy::net::TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    let (kind, number) = path[1..].split_once('/').unwrap();
    let feed = |title: &str| {
        format!(
            "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>{title}</title>\
             <link>http://a/</link><description>a feed</description></channel></rss>"
        )
    };
    let mut respond = |status: &str, length: usize, body: &str| {
        let response = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(response.as_bytes())
    };
    let good = feed(&format!("Feed\n  number {number}"));
    match kind {
        "good" => {
            evy::sleep(Duration::from_millis(50));
            respond("200 OK", good.len(), &good)
        }
        "missing" => respond("404 Not Found", 0, ""),
        "no-feed" => respond("200 OK", 9, "no feed\n\n"),
        "no-xml" => respond("200 OK", 20, "<rss><channel><title"),
        "cut-off" => respond("200 OK", good.len() + 1, &good),
        "too-large" => respond("200 OK", 1 << 40, "<?xml"),
        "garbage" => stream.write_all(&[0xff; 5000]),
        "dead" => Ok(()),
        "silent" => {
            evy::sleep(Duration::from_secs(3600));
            Ok(())
        }
        "drip" => {
            respond("200 OK", 10_000, "<")?;
            loop {
                evy::sleep(Duration::from_millis(200));
                stream.write_all(b" ")?;
            }
        }
        _ => panic!("there is no feed {path}"),
    }
}

/// Starts a server of feeds on an OS thread of its own.
fn start_feeds() -> SocketAddr {
    let (started, addr) = mpsc::channel();
    thread::spawn(move || {
        let listener = evy::listen("127.0.0.1:0").unwrap();
        started.send(listener.local_addr().unwrap()).unwrap();
        let server = evy::net::Server::new().max_connections(10_000);
        server.serve(listener, |stream, _addr| serve_feed(stream))
    });
    addr.recv().unwrap()
}

/// Starts the scraper with limits in seconds, asks it for feeds, and returns its lines and how long
/// it took.
fn scrape(limits: [&str; 2], urls: &[String]) -> (Vec<String>, Duration) {
    let (_server, addr) = start_with("feed_scraper", &limits);
    let start = Instant::now();
    let mut client = TcpStream::connect(addr).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let body = urls.join("\n");
    let length = body.len();
    write!(
        client,
        "POST / HTTP/1.0\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, lines) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    (lines.lines().map(str::to_owned).collect(), start.elapsed())
}

#[test]
fn a_slow_or_dead_feed_costs_its_line_and_not_the_answer() {
    const COUNT: usize = 1000;
    const KINDS: [&str; 13] = [
        "good",
        "missing",
        "good",
        "no-feed",
        "no-xml",
        "good",
        "cut-off",
        "too-large",
        "garbage",
        "dead",
        "silent",
        "good",
        "drip",
    ];
    let feeds = start_feeds();
    let kind = |number: usize| KINDS[number % KINDS.len()];
    let mut urls: Vec<_> = (0..COUNT)
        .map(|number| format!("http://{feeds}/{}/{number}", kind(number)))
        .collect();
    urls.extend(["http://127.0.0.1:1/refused".into(), "not a URL".into()]);
    let (lines, elapsed) = scrape(["3", "40"], &urls);
    assert_eq!(lines.len(), urls.len());
    for (number, (line, url)) in lines.iter().zip(&urls).enumerate() {
        if number < COUNT && kind(number) == "good" {
            assert_eq!(*line, format!("Feed number {number}"));
        } else {
            assert!(line.starts_with(&format!("{url}: ")), "{line}");
        }
    }
    assert!(lines[1].ends_with(": 404 Not Found"), "{}", lines[1]);
    // The slow ones have taken their time together, not one after another.
    assert!(elapsed >= Duration::from_secs(3));
    assert!(elapsed < Duration::from_secs(30), "{elapsed:?}");
}

#[test]
fn the_answer_is_in_time_even_if_all_of_the_pool_is_stuck() {
    let feeds = start_feeds();
    // More than are fetched at once.
    let mut urls: Vec<_> = (0..1500)
        .map(|number| format!("http://{feeds}/silent/{number}"))
        .collect();
    urls[0] = format!("http://{feeds}/good/0");
    let (lines, elapsed) = scrape(["3600", "2"], &urls);
    assert_eq!(lines.len(), urls.len());
    assert_eq!(lines[0], "Feed number 0");
    for (line, url) in lines.iter().zip(&urls).skip(1) {
        assert_eq!(*line, format!("{url}: the deadline has elapsed"));
    }
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
}
