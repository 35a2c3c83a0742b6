//! Connections that are kept for further requests, and used on several OS threads.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use evy::http::{Body, Request, Server};

use crate::support::{Site, agent, get, raw, read_head, within};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Serves on an OS thread of its own for as long as the test process runs.
fn site_elsewhere() -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let listener = evy::listen("127.0.0.1:0").unwrap();
        sender.send(listener.local_addr().unwrap()).unwrap();
        evy::http::serve(listener, |request: Request<Body>| {
            evy::sleep(Duration::from_millis(1));
            request.uri().path().to_owned()
        })
    });
    receiver.recv().unwrap()
}

#[test]
fn a_connection_is_used_again() {
    within(|| {
        let site = Site::new(|_| "hello");
        let agent = agent();
        for _ in 0..10 {
            assert_eq!(get(&agent, &site.url), "hello");
        }
        assert_eq!(site.connections(), 1);
        // A body that was not read to its end does not leave its connection.
        let site = Site::new(|_| "hello".repeat(100_000));
        drop(agent.get(&site.url).call().unwrap());
        assert_eq!(get(&agent, &site.url).len(), 500_000);
        assert_eq!(site.connections(), 2);
    });
}

#[test]
fn a_connection_that_the_server_has_closed_is_not_used_again() {
    within(|| {
        let server = Server::builder()
            .idle_timeout(Duration::from_millis(20))
            .build();
        let site = Site::with(server, |_| "hello");
        let agent = agent();
        assert_eq!(get(&agent, &site.url), "hello");
        evy::sleep(Duration::from_millis(500));
        // A request with a body is not repeated, so it fails on a closed connection.
        agent.post(&site.url).send("body").unwrap();
        assert_eq!(site.connections(), 2);
    });
}

#[test]
fn a_connection_on_which_more_has_arrived_is_not_used_again() {
    within(|| {
        let url = raw(|mut stream| {
            read_head(&mut stream);
            stream.write_all(ANSWER).unwrap();
            evy::sleep(Duration::from_millis(50));
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
                .unwrap();
            // Keeps the connection open.
            stream.read_exact(&mut [0; 100]).ok();
        });
        let agent = agent();
        assert_eq!(get(&agent, &url), "hello");
        evy::sleep(Duration::from_millis(500));
        assert_eq!(get(&agent, &url), "hello");
    });
}

#[test]
fn one_agent_is_used_by_many_green_threads_of_several_os_threads() {
    within(|| {
        let addr = site_elsewhere();
        let agent = agent();
        let os_threads: Vec<_> = (0..2)
            .map(|os_thread| {
                let agent = agent.clone();
                std::thread::spawn(move || {
                    let pool = evy::GreenPool::new(8);
                    let urls = (0..200).map(move |n| format!("http://{addr}/{os_thread}/{n}"));
                    let pages = pool.imap(move |url| (get(&agent, &url), url), urls);
                    pages
                        .filter(|(page, url)| url.ends_with(page.as_str()))
                        .count()
                })
            })
            .collect();
        for os_thread in os_threads {
            assert_eq!(evy::unblock(move || os_thread.join().unwrap()), 200);
        }
    });
}

#[test]
fn a_connection_and_a_body_move_to_another_os_thread_and_outlive_their_own() {
    within(|| {
        let addr = site_elsewhere();
        let agent = agent();
        let first = {
            let agent = agent.clone();
            std::thread::spawn(move || {
                assert_eq!(get(&agent, &format!("http://{addr}/kept")), "/kept");
                agent.get(format!("http://{addr}/moved")).call().unwrap()
            })
        };
        let mut response = evy::unblock(move || first.join().unwrap());
        assert_eq!(response.body_mut().read_to_string().unwrap(), "/moved");
        drop(response);
        assert_eq!(get(&agent, &format!("http://{addr}/again")), "/again");
    });
}

#[test]
fn an_agent_can_be_dropped_on_another_os_thread() {
    within(|| {
        let closed = evy::sync::mpsc::channel();
        let sender = closed.0;
        let url = raw(move |mut stream| {
            read_head(&mut stream);
            stream.write_all(ANSWER).unwrap();
            sender.send(stream.read(&mut [0]).unwrap()).unwrap();
        });
        let agent = agent();
        assert_eq!(get(&agent, &url), "hello");
        std::thread::spawn(move || drop(agent)).join().unwrap();
        assert_eq!(closed.1.recv().unwrap(), 0);
    });
}

/// ureq holds a lock of std while it examines a kept connection. In a random order, every operation
/// that may yield does so sometimes.
#[test]
fn a_kept_connection_is_examined_without_a_yield() {
    within(|| {
        evy::test::explore_schedules(0..10, || {
            let site = Site::new(|_| "hello");
            let agent = agent();
            let requests: Vec<_> = (0..4)
                .map(|_| {
                    let (agent, url) = (agent.clone(), site.url.clone());
                    evy::spawn(move || (0..5).for_each(|_| assert_eq!(get(&agent, &url), "hello")))
                })
                .collect();
            requests.into_iter().for_each(|job| job.join().unwrap());
            evy::shutdown(Duration::ZERO);
        });
    });
}
