//! The timeouts of ureq.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use evy_ureq::agent_with;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;
use ureq::{Error, Timeout};

use crate::support::{LONG, SHORT, Site, agent, get, raw, read_head, settings, within};

/// Sends a request, and returns the timeout that has ended it.
fn reason(settings: ConfigBuilder<AgentScope>, url: &str) -> Timeout {
    let start = Instant::now();
    let agent = agent_with(settings.build());
    let sent = match url.ends_with("upload") {
        true => agent.post(url).send(&vec![b'x'; 40_000_000][..]),
        false => agent.get(url).call(),
    };
    let read = sent.and_then(|mut response| response.body_mut().read_to_vec());
    assert!(start.elapsed() < Duration::from_secs(20));
    match read {
        Err(Error::Timeout(reason)) => reason,
        other => panic!("{:?}", other.map(|body| body.len())),
    }
}

#[test]
fn a_server_that_does_not_answer_times_out() {
    within(|| {
        let url = Site::new(|_| evy::sleep(LONG)).url;
        let some = Some(SHORT);
        for (settings, expected) in [
            (
                settings().timeout_recv_response(some),
                Timeout::RecvResponse,
            ),
            (settings().timeout_per_call(some), Timeout::PerCall),
            (settings().timeout_global(some), Timeout::Global),
            (settings().timeout_per_read(some), Timeout::PerRead),
        ] {
            assert_eq!(reason(settings, &url), expected);
        }
    });
}

#[test]
fn a_server_that_sends_a_byte_at_a_time_gains_no_time() {
    within(|| {
        let url = raw(|mut stream| {
            read_head(&mut stream);
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
            stream.write_all(head).unwrap();
            while stream.write_all(b"x").is_ok() {
                evy::sleep(Duration::from_millis(10));
            }
        });
        let some = Some(SHORT);
        let body = settings().timeout_recv_body(some);
        assert_eq!(reason(body, &url), Timeout::RecvBody);
        let global = settings()
            .timeout_global(some)
            .timeout_recv_body(Some(LONG));
        assert_eq!(reason(global, &url), Timeout::Global);
    });
}

#[test]
fn a_server_that_takes_a_part_at_a_time_gains_no_time() {
    within(|| {
        let url = raw(|mut stream| {
            let mut buf = vec![0; 1 << 18];
            while let Ok(1..) = stream.read(&mut buf) {
                evy::sleep(Duration::from_millis(10));
            }
        });
        let url = format!("{url}/upload");
        let some = Some(Duration::from_millis(300));
        // All of the body is written at once.
        let settings = || {
            let large = settings().output_buffer_size(50_000_000);
            large.timeout_recv_response(some)
        };
        let body = settings().timeout_send_body(some);
        assert_eq!(reason(body, &url), Timeout::SendBody);
        let write = settings().timeout_per_write(some);
        assert_eq!(reason(write, &url), Timeout::PerWrite);
    });
}

#[test]
fn a_server_that_does_not_accept_times_out_for_all_its_addresses_together() {
    within(|| {
        // Its queue of connections is full, so it answers no further one.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let fillers: Vec<_> = (0..4)
            .map(|_| evy::spawn(move || evy::connect_timeout(addr, SHORT).ok()))
            .collect();
        let _fillers: Vec<_> = fillers.into_iter().map(|job| job.join().unwrap()).collect();
        let url = format!("http://{addr}/");
        let connect = settings().timeout_connect(Some(SHORT));
        assert_eq!(reason(connect, &url), Timeout::Connect);
        let global = settings().timeout_global(Some(SHORT));
        assert_eq!(reason(global, &url), Timeout::Global);
    });
}

#[test]
fn a_wait_for_the_response_delays_no_other_green_thread() {
    within(|| {
        let url = Site::new(|_| evy::sleep(LONG)).url;
        let waiting = evy::spawn(move || reason(settings().timeout_global(Some(SHORT)), &url));
        let quick = Site::new(|_| "hello");
        let agent = agent();
        let mut pages = 0;
        while !waiting.is_finished() {
            assert_eq!(get(&agent, &quick.url), "hello");
            pages += 1;
        }
        assert!(pages > 3, "{pages}");
        assert_eq!(waiting.join().unwrap(), Timeout::Global);
    });
}
