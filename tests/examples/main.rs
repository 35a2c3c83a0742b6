//! Tests of the examples, each run as a process and used by a real client.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod feed_scraper;
mod forward_proxy;
#[cfg(feature = "tls")]
mod https_server;
mod site;

use std::io::{BufRead, BufReader, Read, Write};
#[cfg(feature = "patch")]
use std::net::TcpListener;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Returns a command for the program of an example, which cargo builds together with the tests.
fn example(name: &str) -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    Command::new(path.join("examples").join(name))
}

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts a server and reads its address from the first line of its output.
fn start(name: &str) -> (Running, String) {
    start_with(name, &[])
}

/// Starts a server with arguments before its address.
fn start_with(name: &str, args: &[&str]) -> (Running, String) {
    let mut child = example(name)
        .args(args)
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example is built");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (
        Running(child),
        line.trim().rsplit(' ').next().unwrap().to_owned(),
    )
}

#[test]
fn web_crawler_crawls_its_own_site() {
    let output = example("web_crawler").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("fetched 200 pages, 0 errors, "), "{last}");
    assert!(last.ends_with("(10.0 s of waiting)"), "{last}");
    assert_eq!(text.lines().count(), 201);
}

#[test]
fn web_crawler_counts_urls_that_it_cannot_fetch_as_errors() {
    let output = example("web_crawler")
        .args(["http://127.0.0.1:1/", "no url"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(
        text.contains("fetched 0 pages, 2 errors, 0 bytes"),
        "{text}"
    );
}

#[test]
fn echo_server_survives_clients_that_disconnect() {
    let (_server, addr) = start("echo_server");
    for round in 0..20 {
        let mut leaving = TcpStream::connect(&addr).unwrap();
        leaving.write_all(b"never read back").unwrap();
        drop(leaving);
        let mut client = TcpStream::connect(&addr).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let line = format!("round {round}");
        client.write_all(line.as_bytes()).unwrap();
        let mut back = vec![0; line.len()];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, line.as_bytes());
    }
}

#[test]
fn echo_server_serves_many_clients_at_once() {
    let (_server, addr) = start("echo_server");
    let mut clients: Vec<_> = (0..400)
        .map(|_| TcpStream::connect(&addr).unwrap())
        .collect();
    for (n, client) in (0u32..).zip(&mut clients) {
        client.write_all(&n.to_ne_bytes()).unwrap();
    }
    for (n, client) in (0u32..).zip(&mut clients) {
        let mut back = [0; 4];
        client.read_exact(&mut back).unwrap();
        assert_eq!(u32::from_ne_bytes(back), n);
    }
}

/// Sends a signal to a running example.
fn send(signal: &str, Running(child): &Running) {
    // The shell's own `kill`, because the program is not installed everywhere.
    let sent = Command::new("sh")
        .args(["-c", &format!("kill {signal} {}", child.id())])
        .status();
    assert!(sent.unwrap().success());
}

fn echo(client: &mut TcpStream) {
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

#[test]
fn graceful_stop_serves_its_clients_after_ctrl_c_until_they_leave() {
    for signal in ["-INT", "-TERM"] {
        let (mut server, addr) = start("graceful_stop");
        let mut client = TcpStream::connect(&addr).unwrap();
        echo(&mut client);
        send(signal, &server);
        let start = Instant::now();
        // From some time on nothing accepts, but the client is served.
        while TcpStream::connect(&addr).is_ok() {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "it still accepts"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        echo(&mut client);
        drop(client);
        assert!(server.0.wait().unwrap().success());
    }
}

#[test]
fn graceful_stop_waits_for_clients_that_stay_for_five_seconds_only() {
    let (mut server, addr) = start("graceful_stop");
    let mut client = TcpStream::connect(&addr).unwrap();
    echo(&mut client);
    send("-INT", &server);
    let start = Instant::now();
    assert!(server.0.wait().unwrap().success());
    assert!(start.elapsed() >= Duration::from_secs(4));
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn graceful_stop_ends_at_once_after_a_second_ctrl_c() {
    let (mut server, addr) = start("graceful_stop");
    let mut client = TcpStream::connect(&addr).unwrap();
    echo(&mut client);
    send("-INT", &server);
    while TcpStream::connect(&addr).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    echo(&mut client);
    send("-INT", &server);
    assert_eq!(server.0.wait().unwrap().code(), Some(130));
}

#[test]
fn workers_answer_the_requests_in_progress_after_a_signal() {
    for signal in ["-INT", "-TERM"] {
        let (mut server, addr) = start("workers");
        let mut client = TcpStream::connect(&addr).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        client
            .write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        std::thread::sleep(Duration::from_millis(200));
        send(signal, &server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(answer.contains("request 1 of evy-worker-"), "{answer}");
        assert!(server.0.wait().unwrap().success());
    }
}

#[test]
fn million_parks_and_wakes_every_green_thread() {
    let output = example("million").arg("20000").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let number = |line: &str, before: &str| -> u64 {
        let line = text.lines().find(|text| text.starts_with(line)).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == before).unwrap();
        words[at - 1].parse().unwrap()
    };
    assert!(text.ends_with("through the gate: 20000\n"), "{text}");
    // Each green thread needs one page and its share of the page tables. Many share one mapping.
    assert!(number("memory:", "bytes") < 12_000, "{text}");
    if std::env::var_os("EVY_UNDER_QEMU").is_none() {
        assert!(number("memory:", "mappings") < 1000, "{text}");
    }
}

#[test]
fn job_runner_runs_some_commands_at_once_and_kills_one_that_takes_too_long() {
    let start = Instant::now();
    let output = example("job_runner").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("18 succeeded, 1 failed, 1 took too long, in "),
        "{text}"
    );
    let found = |line: &str| text.lines().position(|text| text == line).unwrap();
    assert!(found("job 1 is done") < found("job 20 is done"), "{text}");
    assert!(text.contains("exit 3: exit status: 3\n"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn feed_scraper_prints_titles_in_order() {
    let start = Instant::now();
    let output = example("feed_scraper").arg("--demo").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let expected: Vec<_> = (1..=5).map(|n| format!("Feed number {n}")).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn feed_scraper_answers_a_get_request_and_reports_a_bad_feed() {
    let (_server, addr) = start("feed_scraper");
    let ask = |request: String| {
        let mut client = TcpStream::connect(&addr).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    };
    let got = ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into());
    assert!(got.starts_with("HTTP/1.1 405 "), "{got}");
    let body = "http://127.0.0.1:1/feed";
    let posted = ask(format!(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(
        posted.starts_with("HTTP/1.1 200 ") && posted.contains("http://127.0.0.1:1/feed: "),
        "{posted}"
    );
}

#[test]
fn chat_sends_each_message_to_all_clients() {
    let (_server, addr) = start("chat");
    let join = || {
        let stream = TcpStream::connect(&addr).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        tungstenite::client(format!("ws://{addr}/"), stream)
            .unwrap()
            .0
    };
    let mut clients = [join(), join(), join()];
    // Each one has joined the room once it has got its own message.
    for (n, sender) in (0..3).zip(["one", "two", "three"]) {
        clients[n].send(sender.into()).unwrap();
        while clients[n].read().unwrap().into_text().unwrap() != sender {}
    }
    clients[0].send("all".into()).unwrap();
    for client in &mut clients {
        while client.read().unwrap().into_text().unwrap() != "all" {}
    }
    clients[1].close(None).unwrap();
    clients[0].send("the rest".into()).unwrap();
    for client in [0, 2] {
        while clients[client].read().unwrap().into_text().unwrap() != "the rest" {}
    }
    let mut plain = TcpStream::connect(&addr).unwrap();
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn forward_proxy_tunnels_and_forwards() {
    let (_proxy, proxy) = start("forward_proxy");
    let (_echo, echo) = start("echo_server");
    let connect = || {
        let stream = TcpStream::connect(&proxy).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    };
    let mut tunnel = connect();
    let request = format!("CONNECT {echo} HTTP/1.1\r\nHost: {echo}\r\n\r\nearly");
    tunnel.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"early") {
        let mut byte = [0];
        tunnel.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    tunnel.write_all(b"late").unwrap();
    tunnel.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    tunnel.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "late");

    let (_server, server) = start("chat");
    for (target, status) in [(server.as_str(), "400"), ("127.0.0.1:1", "502")] {
        let mut client = connect();
        let request = format!("GET http://{target}/ HTTP/1.0\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[test]
fn forward_proxy_carries_the_requests_of_ureq() {
    let (_proxy, proxy) = start("forward_proxy");
    let (_server, server) = start("chat");
    let proxy = ureq::Proxy::new(&format!("http://{proxy}")).unwrap();
    let config = ureq::Agent::config_builder().proxy(Some(proxy)).build();
    let agent = evy_ureq::agent_with(config);
    let error = |target: &str| {
        let answer = agent.get(format!("http://{target}/")).call();
        answer.unwrap_err().to_string()
    };
    // A chat refuses whatever is no WebSocket.
    assert!(error(&server).contains("400"));
    assert!(error("127.0.0.1:1").contains("502"));
}

/// Whether an example says that blocking calls cannot be patched, as with the feature `portable`.
#[cfg(feature = "patch")]
fn cannot_be_patched(errors: &str) -> bool {
    errors.contains("cannot be patched") || errors.contains("PatchError")
}

/// Runs an example with the feature `patch`. Returns what it prints, unless it says that blocking
/// calls cannot be patched.
#[cfg(feature = "patch")]
fn run_patched(name: &str, args: &[&str]) -> Option<String> {
    let output = example(name).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if cannot_be_patched(&errors) {
        println!("skipped: {errors}");
        return None;
    }
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[cfg(all(feature = "patch", feature = "http", feature = "pool"))]
#[test]
fn patched_crawler_crawls_its_own_site_with_ureq() {
    let start = Instant::now();
    let Some(text) = run_patched("patched_crawler", &[]) else {
        return;
    };
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("fetched 200 pages, 0 errors"), "{last}");
    assert!(start.elapsed() < Duration::from_secs(8), "{last}");
    let failed = run_patched("patched_crawler", &["http://127.0.0.1:1/"]).unwrap();
    assert!(failed.contains("fetched 0 pages, 1 errors"), "{failed}");
}

#[cfg(all(feature = "patch", feature = "http"))]
#[test]
fn import_patched_fetches_with_libcurl_at_once() {
    let output = example("import_patched").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("libcurl is not installed") || cannot_be_patched(&errors) {
        println!("skipped: {errors}");
        return;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap();
    let seconds = last
        .strip_prefix("fetched 20 pages, 0 errors, in ")
        .unwrap();
    let seconds: f64 = seconds.strip_suffix(" s").unwrap().parse().unwrap();
    // One after another they take four seconds.
    assert!(seconds < 2.0, "{text}");
}

#[cfg(feature = "patch")]
#[test]
fn patched_workers_says_what_it_needs_without_a_server() {
    let output = example("patched_workers")
        .arg("redis://127.0.0.1:1/")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    let says_what = errors.contains("needs a Redis server");
    assert!(says_what || cannot_be_patched(&errors), "{errors}");
}

#[cfg(feature = "patch")]
#[test]
fn patched_workers_share_an_os_thread() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .stdout(Stdio::null())
        .spawn();
    let Ok(server) = server.map(Running) else {
        println!("skipped: redis-server is not installed; ci/patch.sh installs it");
        return;
    };
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let redis = format!("redis://127.0.0.1:{port}/");
    // Nothing listens on that port, so the workers sleep.
    let database = "postgresql://none@127.0.0.1:1/none";
    let Some(text) = run_patched("patched_workers", &[&redis, database]) else {
        return;
    };
    assert!(text.starts_with("20 jobs in "), "{text}");
    assert!(text.ends_with("the sum of the squares is 2470\n"), "{text}");
    drop(server);
}
