//! The patterns of the README's three programs. The programs themselves are tested in
//! `tests/readme.rs`.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read, Write};

use evy::http::{self, Response};
use evy::{GreenPile, GreenPool};

fn site() -> String {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    evy::spawn_n(move || {
        http::serve(listener, |request| {
            Response::new(request.uri().path().to_owned())
        })
        .unwrap();
    });
    format!("http://{addr}")
}

fn fetch(url: String) -> String {
    http::get(&url).unwrap().into_body().into_text().unwrap()
}

#[test]
fn a_client_fetches_urls_through_a_pool_in_order() {
    let site = site();
    let urls: Vec<_> = (0..20).map(|n| format!("{site}/{n}")).collect();
    let pool = GreenPool::default();
    for (n, body) in pool.imap(fetch, urls).enumerate() {
        assert_eq!(body, format!("/{n}"));
    }
    evy::shutdown(std::time::Duration::ZERO);
}

#[test]
fn a_server_handles_each_connection_in_a_pool() {
    fn handle(mut client: evy::net::TcpStream) {
        let mut buf = [0; 1];
        while let Ok(1) = client.read(&mut buf) {
            client.write_all(&buf).unwrap();
        }
    }
    let server = evy::listen("127.0.0.1:0").unwrap();
    let addr = server.local_addr().unwrap();
    evy::spawn_n(move || {
        let pool = GreenPool::new(10_000);
        while let Ok((client, _)) = server.accept() {
            pool.spawn_n(move || handle(client));
        }
    });
    let mut client = evy::connect(addr).unwrap();
    client.write_all(b"echo").unwrap();
    let mut back = [0; 4];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"echo");
    drop(client);
    evy::shutdown(std::time::Duration::ZERO);
}

#[test]
fn a_dispatcher_collects_the_results_of_a_pile_in_order() {
    let site = site();
    let pool = GreenPool::default();
    let pile = GreenPile::with_pool(&pool);
    for n in 0..10 {
        let url = format!("{site}/feed/{n}");
        pile.spawn(move || fetch(url));
    }
    let titles = pile.collect::<Vec<_>>().join("\n");
    assert_eq!(titles.lines().count(), 10);
    assert!(titles.starts_with("/feed/0\n/feed/1\n"));
    evy::shutdown(std::time::Duration::ZERO);
}
