//! Requests through proxies.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::rc::Rc;

use evy::http::{Body, Request, Response, Server, StatusCode, StatusError, Upgrade};
use evy::net::{TcpStream, copy_bidirectional};
use evy_ureq::agent_with;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;
use ureq::{Agent, Error, Proxy, ProxyProtocol, Timeout};

use crate::https::{tls_site, trusting};
use crate::support::{SHORT, Site, get, listen, raw, settings, within};

type Log = Rc<RefCell<Vec<String>>>;

/// Starts an HTTP proxy that tunnels, and records the targets. Returns its URL.
fn connect_proxy(log: &Log) -> String {
    let log = Rc::clone(log);
    let server = Server::builder().allow_connect(true).build();
    let handler = move |request: Request<Body>| -> Result<Response<Body>, StatusError> {
        let target = request.uri().authority().unwrap().to_string();
        log.borrow_mut().push(target.clone());
        let mut server = evy::connect(target)
            .map_err(|error| StatusError::new(StatusCode::BAD_GATEWAY, error.to_string()))?;
        Ok(Upgrade::response(Response::new(()), move |upgraded| {
            let (mut client, early) = upgraded.downcast::<TcpStream>().unwrap();
            server.write_all(&early).unwrap();
            copy_bidirectional(&mut client, &mut server).ok();
        }))
    };
    Site::with(server, handler).url
}

/// Starts a SOCKS proxy of version 4, 4A and 5, and records the requests. Returns its address.
///
/// If there is a user, it requires this name and the password `secret`.
fn socks_proxy(log: &Log, user: Option<&'static str>) -> String {
    let log = Rc::clone(log);
    let url = raw(move |client| socks_session(client, &log, user).unwrap_or_default());
    url.trim_start_matches("http://").to_owned()
}

/// Returns `None` if the client leaves early, or is refused.
fn socks_session(mut client: TcpStream, log: &Log, user: Option<&str>) -> Option<()> {
    let (version, target) = match bytes(&mut client, 1)?[0] {
        4 => (4, socks4_target(&mut client)?),
        _ => (5, socks5_target(&mut client, user)?),
    };
    log.borrow_mut().push(format!("{version} {target}"));
    let server = evy::connect(target);
    let answer: &[u8] = match (version, server.is_ok()) {
        (4, true) => &[0, 90, 0, 0, 0, 0, 0, 0],
        (4, false) => &[0, 91, 0, 0, 0, 0, 0, 0],
        (_, true) => &[5, 0, 0, 3, 2, b'h', b'i', 0, 0],
        (_, false) => &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0],
    };
    client.write_all(answer).unwrap();
    if let Ok(mut server) = server {
        copy_bidirectional(&mut client, &mut server).ok();
    }
    Some(())
}

fn bytes(client: &mut TcpStream, count: u8) -> Option<Vec<u8>> {
    let mut bytes = vec![0; count.into()];
    client.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn text(client: &mut TcpStream) -> Option<String> {
    let len = bytes(client, 1)?[0];
    String::from_utf8(bytes(client, len)?).ok()
}

fn text_to_zero(client: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    while let [byte @ 1..=u8::MAX] = bytes(client, 1)?[..] {
        text.push(byte.into());
    }
    Some(text)
}

fn socks4_target(client: &mut TcpStream) -> Option<String> {
    let head = bytes(client, 7)?;
    let port = u16::from_be_bytes([head[1], head[2]]);
    let ip = &head[3..];
    assert_eq!((head[0], text_to_zero(client)?.as_str()), (1, ""));
    let host = match ip {
        [0, 0, 0, 1] => text_to_zero(client)?,
        [a, b, c, d] => format!("{a}.{b}.{c}.{d}"),
        _ => unreachable!(),
    };
    Some(format!("{host}:{port}"))
}

fn socks5_target(client: &mut TcpStream, user: Option<&str>) -> Option<String> {
    let count = bytes(client, 1)?[0];
    let methods = bytes(client, count)?;
    if let Some(user) = user {
        let method = if methods.contains(&2) { 2 } else { 0xff };
        client.write_all(&[5, method]).unwrap();
        if method != 2 {
            return None;
        }
        assert_eq!(bytes(client, 1)?, [1]);
        let is_known = (text(client)?.as_str(), text(client)?.as_str()) == (user, "secret");
        client.write_all(&[1, u8::from(!is_known)]).unwrap();
        if !is_known {
            return None;
        }
    } else {
        client.write_all(&[5, 0]).unwrap();
    }
    assert_eq!(bytes(client, 3)?, [5, 1, 0]);
    let host = match bytes(client, 1)?[0] {
        1 => {
            let ip = bytes(client, 4)?;
            format!("{}.{}.{}.{}", ip[0], ip[1], ip[2], ip[3])
        }
        3 => text(client)?,
        kind => panic!("{kind}"),
    };
    let port = bytes(client, 2)?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    Some(format!("{host}:{port}"))
}

fn through(settings: ConfigBuilder<AgentScope>, proxy: &str) -> Agent {
    let proxy = Proxy::new(proxy).unwrap();
    agent_with(settings.proxy(Some(proxy)).build())
}

/// Fetches a page, and returns the message of the error.
fn error(agent: &Agent, url: &str) -> String {
    agent.get(url).call().unwrap_err().to_string()
}

#[test]
fn requests_are_tunneled_by_connect() {
    within(|| {
        let log = Log::default();
        let site = Site::new(|request: Request<Body>| request.uri().path().to_owned());
        let agent = through(trusting(), &connect_proxy(&log));
        for page in ["/a", "/b"] {
            assert_eq!(get(&agent, &format!("{}{page}", site.url)), page);
        }
        let tls = tls_site();
        assert_eq!(get(&agent, &format!("https://localhost:{tls}/c")), "/c");
        // The second request has used the tunnel of the first one.
        let targets = [site.addr.to_string(), format!("localhost:{tls}")];
        assert_eq!(*log.borrow(), targets);
        let refused = error(&agent, "http://127.0.0.1:1/");
        assert!(refused.contains("502"), "{refused}");
    });
}

#[test]
fn requests_go_through_a_socks_proxy_of_each_version() {
    within(|| {
        let log = Log::default();
        let site = Site::new(|_| "hello");
        let proxy = socks_proxy(&log, None);
        let port = site.addr.port();
        let tls = tls_site();
        for (scheme, expected) in [
            ("socks4", format!("4 127.0.0.1:{port}")),
            ("socks4a", format!("4 localhost:{port}")),
            ("socks5", format!("5 127.0.0.1:{port}")),
            ("socks5h", format!("5 localhost:{port}")),
        ] {
            let only_ipv4 = trusting().ip_family(ureq::config::IpFamily::Ipv4Only);
            let agent = through(only_ipv4, &format!("{scheme}://{proxy}"));
            assert_eq!(get(&agent, &format!("http://localhost:{port}/")), "hello");
            assert_eq!(log.borrow().last(), Some(&expected));
            assert_eq!(get(&agent, &format!("https://localhost:{tls}/x")), "/x");
            // An address needs no resolution.
            assert_eq!(get(&agent, &site.url), "hello");
            let expected = format!("{} 127.0.0.1:{port}", &expected[..1]);
            assert_eq!(log.borrow().last(), Some(&expected));
            let refused = error(&agent, "http://127.0.0.1:1/");
            assert!(refused.contains("SOCKS proxy"), "{refused}");
        }
    });
}

#[test]
fn a_socks_proxy_may_require_a_password() {
    within(|| {
        let site = Site::new(|_| "hello");
        let proxy = socks_proxy(&Log::default(), Some("user"));
        let known = through(settings(), &format!("socks5://user:secret@{proxy}"));
        assert_eq!(get(&known, &site.url), "hello");
        let wrong = through(settings(), &format!("socks5://user:wrong@{proxy}"));
        assert!(error(&wrong, &site.url).contains("refuses the user name"));
        let none = through(settings(), &format!("socks5://{proxy}"));
        assert!(error(&none, &site.url).contains("requires authentication"));
        let long = "x".repeat(300);
        let long = through(settings(), &format!("socks5://user:{long}@{proxy}"));
        assert!(error(&long, &site.url).contains("255"));
    });
}

#[test]
fn a_proxy_that_answers_nonsense_or_not_at_all_is_an_error() {
    within(|| {
        let site = Site::new(|_| "hello");
        let nonsense = raw(|mut stream| {
            stream.write_all(b"SSH-2.0-OpenSSH\r\n").unwrap();
            while let Ok(1..) = stream.read(&mut [0; 100]) {}
        });
        let silent = raw(|_stream| evy::thread::park());
        for scheme in ["http", "socks4", "socks5"] {
            let settings = || settings().timeout_connect(Some(SHORT));
            let proxy = |url: &str| through(settings(), &url.replace("http", scheme));
            assert!(proxy(&nonsense).get(&site.url).call().is_err());
            let late = proxy(&silent).get(&site.url).call();
            assert!(
                matches!(late, Err(Error::Timeout(Timeout::Connect))),
                "{scheme}: {late:?}"
            );
        }
    });
}

#[test]
fn a_proxy_that_answers_a_byte_at_a_time_gains_no_time() {
    within(|| {
        let slow = raw(|mut stream| {
            for byte in b"HTTP/1.1 200 OK\r\nx: "
                .iter()
                .chain(std::iter::repeat(&b'x'))
            {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                evy::sleep(SHORT / 5);
            }
        });
        for (settings, expected) in [
            (settings().timeout_connect(Some(SHORT)), Timeout::Connect),
            (settings().timeout_global(Some(SHORT)), Timeout::Global),
        ] {
            let late = through(settings, &slow).get("http://127.0.0.1:1/").call();
            let is_expected = matches!(late, Err(Error::Timeout(reason)) if reason == expected);
            assert!(is_expected, "{late:?}");
        }
    });
}

#[test]
fn hosts_that_need_no_proxy_are_connected_to_directly() {
    within(|| {
        let (listener, addr) = listen();
        drop(listener);
        let site = Site::new(|_| "hello");
        for protocol in [ProxyProtocol::Http, ProxyProtocol::Socks5] {
            let proxy = Proxy::builder(protocol)
                .host("127.0.0.1")
                .port(addr.port())
                .no_proxy("localhost")
                .build()
                .unwrap();
            let agent = agent_with(settings().proxy(Some(proxy)).build());
            let url = format!("http://localhost:{}/", site.addr.port());
            assert_eq!(get(&agent, &url), "hello");
            assert!(agent.get(&site.url).call().is_err());
        }
    });
}
