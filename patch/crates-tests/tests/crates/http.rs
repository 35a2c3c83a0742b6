//! Clients for HTTP.

use std::time::{Duration, Instant};

use crate::site::{self, PAGE};
use crate::{at_once, patched};

fn agent(timeout: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(timeout));
    config.build().into()
}

fn fetch(agent: &ureq::Agent, url: &str) -> String {
    let mut response = agent.get(url).call().unwrap();
    response.body_mut().read_to_string().unwrap()
}

#[test]
fn ureq_fetches_fifty_pages_by_address() {
    patched(|| {
        let url = format!("http://{}/", site::start());
        let pages = at_once(50, move |_| {
            let mut response = ureq::get(&url).call().unwrap();
            response.body_mut().read_to_string().unwrap()
        });
        assert!(pages.iter().all(|page| page == PAGE));
    });
}

#[test]
fn ureq_fetches_fifty_pages_by_name_with_one_agent() {
    patched(|| {
        let url = format!("http://localhost:{}/", site::start().port());
        let agent = ureq::Agent::new_with_defaults();
        let pages = at_once(50, move |_| fetch(&agent, &url));
        assert!(pages.iter().all(|page| page == PAGE));
    });
}

/// With a timeout, ureq resolves names on helper OS threads, and waits for them in a channel.
#[test]
fn ureq_fetches_fifty_pages_by_name_with_its_own_timeouts() {
    patched(|| {
        let url = format!("http://localhost:{}/", site::start().port());
        let agent = agent(Duration::from_secs(20));
        let pages = at_once(50, move |_| fetch(&agent, &url));
        assert!(pages.iter().all(|page| page == PAGE));
    });
}

#[test]
fn timeouts_of_ureq_end_its_waits() {
    patched(|| {
        let url = format!("http://localhost:{}/slow", site::start().port());
        let agent = agent(Duration::from_millis(300));
        let errors = at_once(20, move |_| agent.get(&url).call().unwrap_err());
        let is_timeout = |error: &ureq::Error| matches!(error, ureq::Error::Timeout(_));
        assert!(errors.iter().all(is_timeout), "{errors:?}");
    });
}

#[test]
fn an_enclosing_timeout_ends_a_request_of_ureq_at_its_socket_call() {
    patched(|| {
        let url = format!("http://{}/slow", site::start());
        let start = Instant::now();
        let request = move || ureq::get(&url).call().map(|_| ());
        let waiter = evy::spawn(|| evy::timeout(Duration::from_millis(200), request));
        // ureq reports it, because its socket call has failed.
        let error = waiter.join().unwrap().unwrap().unwrap_err();
        assert!(
            matches!(error, ureq::Error::Io(_) | ureq::Error::Timeout(_)),
            "{error:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn a_kill_ends_a_request_of_ureq_at_its_socket_call() {
    patched(|| {
        let url = format!("http://{}/slow", site::start());
        let start = Instant::now();
        let request = evy::spawn(move || {
            let result = ureq::get(&url).call().map(|_| ());
            evy::yield_now();
            result
        });
        evy::sleep(Duration::from_millis(200));
        request.kill();
        assert!(request.join().unwrap_err().is_killed());
        assert!(start.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn attohttpc_fetches_twenty_pages() {
    patched(|| {
        let url = format!("http://localhost:{}/", site::start().port());
        let pages = at_once(20, move |_| {
            let request = attohttpc::get(&url).timeout(Duration::from_secs(20));
            request.send().unwrap().text().unwrap()
        });
        assert!(pages.iter().all(|page| page == PAGE));
    });
}

#[test]
fn minreq_fetches_twenty_pages() {
    patched(|| {
        let url = format!("http://localhost:{}/", site::start().port());
        let pages = at_once(20, move |index| {
            let request = minreq::get(&url);
            // With a timeout it waits in other calls.
            let request = match index % 2 {
                0 => request.with_timeout(20),
                _ => request,
            };
            request.send().unwrap().as_str().unwrap().to_owned()
        });
        assert!(pages.iter().all(|page| page == PAGE));
    });
}
