//! Requests that are ended from outside: by a kill, by `evy::timeout`, or by a shutdown.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ureq::{Agent, Error};

use crate::support::{SHORT, agent, get, raw, read_head, within};

/// How many connections of a server have ended.
type Ended = Arc<Mutex<usize>>;

/// A server that answers `/half` with half a response, `/silent` with nothing, and others with a
/// page.
fn server(ended: &Ended) -> String {
    let ended = Arc::clone(ended);
    raw(move |mut stream| {
        while let Some(head) = read_head(&mut stream) {
            let answer = match head.split(' ').nth(1) {
                Some("/silent") => "",
                Some("/half") => "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf",
                _ => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            };
            let is_sent = stream.write_all(answer.as_bytes()).is_ok();
            if !is_sent || !answer.ends_with("hello") {
                break;
            }
        }
        // The client closes the connection, in order or not.
        while let Ok(1..) = stream.read(&mut [0; 100]) {}
        *ended.lock().unwrap() += 1;
    })
}

/// Reads a page that does not arrive.
fn wait(agent: &Agent, url: &str) -> Result<String, Error> {
    agent.get(url).call()?.body_mut().read_to_string()
}

fn wait_until_ended(ended: &Ended, count: usize) {
    while *ended.lock().unwrap() < count {
        evy::sleep(SHORT / 10);
    }
}

#[test]
fn a_killed_request_closes_its_connection_and_leaves_the_agent_usable() {
    within(|| {
        let ended = Ended::default();
        let url = server(&ended);
        let agent = agent();
        for (count, path) in (1..).zip(["silent", "half"]) {
            let job = {
                let (agent, url) = (agent.clone(), format!("{url}/{path}"));
                evy::spawn(move || wait(&agent, &url))
            };
            evy::sleep(SHORT);
            job.kill();
            assert!(job.join().unwrap_err().is_killed());
            wait_until_ended(&ended, count);
            assert_eq!(get(&agent, &url), "hello");
        }
    });
}

#[test]
fn a_timeout_around_a_request_closes_its_connection_and_leaves_the_agent_usable() {
    within(|| {
        let ended = Ended::default();
        let url = server(&ended);
        let agent = agent();
        for (count, path) in (1..).zip(["silent", "half"]) {
            let late = evy::timeout(SHORT, || wait(&agent, &format!("{url}/{path}")));
            assert!(late.is_err());
            wait_until_ended(&ended, count);
            assert_eq!(get(&agent, &url), "hello");
        }
    });
}

#[test]
fn a_shutdown_of_the_agent_ends_its_requests_on_all_os_threads() {
    within(|| {
        let ended = Ended::default();
        let url = server(&ended);
        let agent = agent();
        let here = {
            let (agent, url) = (agent.clone(), format!("{url}/half"));
            evy::spawn(move || wait(&agent, &url))
        };
        let there = {
            let (agent, url) = (agent.clone(), format!("{url}/silent"));
            std::thread::spawn(move || wait(&agent, &url))
        };
        evy::sleep(SHORT);
        let clone = agent.clone();
        std::thread::spawn(move || clone.shutdown()).join().unwrap();
        assert!(here.join().unwrap().is_err());
        assert!(evy::unblock(move || there.join().unwrap()).is_err());
        wait_until_ended(&ended, 2);
        assert!(agent.get(&url).call().is_err());
    });
}

#[test]
fn a_request_that_is_ended_at_any_point_leaves_the_agent_usable() {
    within(|| {
        let faults = evy::test::inject_faults(|injector| {
            let url = server(&Ended::default());
            let agent = agent();
            get(&agent, &url);
            let victim = {
                let (agent, url) = (agent.clone(), url.clone());
                injector.spawn(move || (get(&agent, &url), agent.post(&url).send("text").is_ok()))
            };
            victim.join().ok();
            assert_eq!(get(&agent, &url), "hello");
            evy::shutdown(Duration::ZERO);
        });
        assert!(faults > 8, "{faults}");
    });
}
