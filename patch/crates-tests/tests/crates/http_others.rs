//! More clients and servers for HTTP.

use std::time::Duration;

use crate::site::{self, PAGE};
use crate::{WAIT, at_once, patched};

/// It runs a runtime of tokio on an OS thread of its own, and waits for that.
#[test]
fn the_blocking_client_of_reqwest_fetches_twenty_pages() {
    patched(|| {
        let url = format!("http://localhost:{}/", site::start().port());
        let client = reqwest::blocking::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        let pages = at_once(20, move |_| {
            client.get(&url).send().unwrap().text().unwrap()
        });
        assert!(pages.iter().all(|page| page == PAGE));
    });
}

/// It runs libcurl on an OS thread of its own, and waits for that.
#[test]
fn isahc_fetches_twenty_pages() {
    patched(|| {
        let url = format!("http://localhost:{}/", site::start().port());
        let pages = at_once(20, move |_| {
            let body = isahc::get(&url).unwrap().into_body();
            std::io::read_to_string(body).unwrap()
        });
        assert!(pages.iter().all(|page| page == PAGE));
    });
}

#[test]
fn tiny_http_serves_twenty_clients() {
    patched(|| {
        let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", server.server_addr());
        let accepting = evy::spawn(move || {
            for request in server.incoming_requests() {
                evy::spawn_n(move || {
                    std::thread::sleep(WAIT);
                    let answer = tiny_http::Response::from_string(PAGE);
                    request.respond(answer).unwrap();
                });
            }
        });
        let pages = at_once(20, move |_| {
            let mut response = ureq::get(&url).call().unwrap();
            response.body_mut().read_to_string().unwrap()
        });
        assert!(pages.iter().all(|page| page == PAGE));
        accepting.kill();
    });
}

/// Its handlers run on OS threads of its own.
#[test]
fn rouille_serves_twenty_clients() {
    patched(|| {
        let server = rouille::Server::new("127.0.0.1:0", |_| {
            std::thread::sleep(WAIT);
            rouille::Response::text(PAGE)
        });
        let server = server.unwrap().pool_size(20);
        let url = format!("http://{}/", server.server_addr());
        let (serving, stop) = server.stoppable();
        let pages = at_once(20, move |_| {
            let mut response = ureq::get(&url).call().unwrap();
            response.body_mut().read_to_string().unwrap()
        });
        assert!(pages.iter().all(|page| page == PAGE));
        stop.send(()).unwrap();
        evy::unblock(|| serving.join().unwrap());
    });
}
