//! What ureq does with requests and responses.

use std::io::Write;
use std::time::{Duration, Instant};

use evy::http::header::{CONTENT_ENCODING, COOKIE, LOCATION, SET_COOKIE};
use evy::http::{Body, Request, Response, Server, StatusCode};
use ureq::Error;

use crate::support::{Site, agent, get, settings, within};

#[test]
fn fifty_slow_requests_on_one_os_thread_take_about_the_time_of_one() {
    within(|| {
        const DELAY: Duration = Duration::from_millis(300);
        let site = Site::new(|request: Request<Body>| {
            evy::sleep(DELAY);
            request.uri().path().to_owned()
        });
        let agent = agent();
        let start = Instant::now();
        let jobs: Vec<_> = (0..50)
            .map(|n| {
                let (agent, url) = (agent.clone(), format!("{}/{n}", site.url));
                evy::spawn(move || get(&agent, &url))
            })
            .collect();
        for (n, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.join().unwrap(), format!("/{n}"));
        }
        assert!(start.elapsed() < 10 * DELAY, "{:?}", start.elapsed());
        assert_eq!(site.connections(), 50);
    });
}

#[test]
fn names_are_resolved() {
    within(|| {
        let site = Site::new(|_| "hello");
        let url = format!("http://localhost:{}/", site.addr.port());
        assert_eq!(get(&agent(), &url), "hello");
        let unknown = agent().get("http://no-such-host.invalid/").call();
        assert!(matches!(unknown, Err(Error::Io(_))), "{unknown:?}");
        let ipv6_only = settings()
            .ip_family(ureq::config::IpFamily::Ipv6Only)
            .build();
        let none = evy_ureq::agent_with(ipv6_only).get(&site.url).call();
        assert!(matches!(none, Err(Error::HostNotFound)), "{none:?}");
    });
}

#[test]
fn a_body_in_gzip_is_unpacked() {
    within(|| {
        let text = "lorem ipsum ".repeat(100_000);
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(text.as_bytes()).unwrap();
        let packed = packer.finish().unwrap();
        let site = Site::new(move |request: Request<Body>| {
            assert_eq!(request.headers()["accept-encoding"], "gzip");
            Response::builder()
                .header(CONTENT_ENCODING, "gzip")
                .body(packed.clone())
                .unwrap()
        });
        assert_eq!(get(&agent(), &site.url), text);
    });
}

#[test]
fn a_cookie_comes_back() {
    within(|| {
        let site = Site::new(|request: Request<Body>| {
            let cookie = request.headers().get(COOKIE);
            let cookie = cookie.map_or("none", |cookie| cookie.to_str().unwrap());
            Response::builder()
                .header(SET_COOKIE, "word=hello; Path=/")
                .body(cookie.to_owned())
                .unwrap()
        });
        let agent = agent();
        assert_eq!(get(&agent, &site.url), "none");
        assert_eq!(get(&agent, &site.url), "word=hello");
    });
}

#[test]
fn redirects_are_followed_up_to_a_limit() {
    within(|| {
        let site = Site::new(|request: Request<Body>| {
            let target = match request.uri().path() {
                "/first" => "/second",
                "/second" => "/last",
                "/endless" => "/endless",
                path => return Response::new(path.to_owned()),
            };
            Response::builder()
                .status(StatusCode::FOUND)
                .header(LOCATION, target)
                .body(String::new())
                .unwrap()
        });
        assert_eq!(get(&agent(), &format!("{}/first", site.url)), "/last");
        let endless = agent().get(format!("{}/endless", site.url)).call();
        assert!(matches!(endless, Err(Error::TooManyRedirects)));
    });
}

#[test]
fn bodies_are_sent_with_their_length_in_chunks_and_as_json() {
    within(|| {
        let site = Site::new(|request: Request<Body>| {
            let length = request.body().length();
            let text = request.into_body().into_text().unwrap();
            format!("{length:?} {text}")
        });
        let agent = agent();
        let post = || agent.post(&site.url);
        let answers = [
            post().send("hello"),
            post().send(ureq::SendBody::from_reader(&mut &b"hello"[..])),
            post().send_json(5),
        ];
        let texts = answers.map(|answer| answer.unwrap().body_mut().read_to_string().unwrap());
        assert_eq!(texts, ["Some(5) hello", "None hello", "Some(1) 5"]);
    });
}

#[test]
fn a_large_body_arrives_whole_in_both_directions() {
    within(|| {
        let server = Server::builder().max_body_bytes(u64::MAX).build();
        let site = Site::with(server, |request: Request<Body>| request.into_body());
        let bytes: Vec<u8> = (0..4_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let mut answer = agent().post(&site.url).send(&bytes[..]).unwrap();
        assert!(answer.body_mut().read_to_vec().unwrap() == bytes);
    });
}

#[test]
fn an_error_status_is_an_error_unless_it_is_wanted() {
    within(|| {
        let site = Site::new(|_| StatusCode::NOT_FOUND);
        let refused = agent().get(&site.url).call();
        assert!(matches!(refused, Err(Error::StatusCode(404))));
        let config = settings().http_status_as_error(false).build();
        let response = evy_ureq::agent_with(config).get(&site.url).call().unwrap();
        assert_eq!(response.status(), 404);
    });
}

#[test]
fn a_connection_that_is_refused_or_ends_early_is_an_error() {
    within(|| {
        let (listener, addr) = crate::support::listen();
        drop(listener);
        let Err(Error::Io(refused)) = agent().get(format!("http://{addr}/")).call() else {
            panic!("there is no server");
        };
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let url = crate::support::raw(|mut stream| {
            crate::support::read_head(&mut stream);
            let short = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
            stream.write_all(short).unwrap();
        });
        let mut response = agent().get(&url).call().unwrap();
        assert!(response.body_mut().read_to_string().is_err());
    });
}
