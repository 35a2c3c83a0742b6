//! HTTPS, by ureq's rustls on evy's sockets.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use evy::http::{Body, Request};
use evy::tls::{Acceptor, Listener};
use evy_ureq::agent_with;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use ureq::Error;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

use crate::support::{Counted, agent, get, raw, settings, within};

/// An issuer, and the chain and the key that it has issued for this machine, in PEM format.
static CERTIFICATES: LazyLock<[String; 3]> = LazyLock::new(|| {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".into(), "127.0.0.1".into()]).unwrap();
    let chain = params.signed_by(&key, &issuer).unwrap();
    [issuer.pem(), chain.pem(), key.serialize_pem()]
});

/// Returns the settings of an agent that trusts the issuer of the tests.
pub(crate) fn trusting() -> ConfigBuilder<AgentScope> {
    let root = Certificate::from_pem(CERTIFICATES[0].as_bytes()).unwrap();
    let roots = RootCerts::new_with_certs(&[root]);
    settings().tls_config(TlsConfig::builder().root_certs(roots).build())
}

/// Serves the path of each request over TLS, and returns the port.
pub(crate) fn tls_site() -> u16 {
    counted_tls_site().0
}

/// Like [`tls_site`]. Also returns the count of connections.
fn counted_tls_site() -> (u16, Rc<Cell<usize>>) {
    let (listener, addr, connections) = Counted::new();
    let acceptor = Acceptor::from_pem(&CERTIFICATES[1], &CERTIFICATES[2]).unwrap();
    evy::spawn_n(move || {
        let listener = Listener::new(listener, acceptor);
        evy::http::serve(listener, |request: Request<Body>| {
            evy::sleep(Duration::from_millis(200));
            request.uri().path().to_owned()
        })
        .unwrap();
    });
    (addr.port(), connections)
}

#[test]
fn pages_are_fetched_over_tls_concurrently_and_on_kept_connections() {
    within(|| {
        let (port, connections) = counted_tls_site();
        let agent = agent_with(trusting().build());
        let start = Instant::now();
        for _ in 0..2 {
            let urls = (0..20).map(move |n| format!("https://localhost:{port}/{n}"));
            let agent = agent.clone();
            let pool = evy::GreenPool::default();
            for (n, page) in pool.imap(move |url| get(&agent, &url), urls).enumerate() {
                assert_eq!(page, format!("/{n}"));
            }
        }
        assert!(
            start.elapsed() < Duration::from_secs(6),
            "{:?}",
            start.elapsed()
        );
        // Three connections to a host are kept.
        assert_eq!(connections.get(), 37);
    });
}

#[test]
fn a_server_that_is_not_trusted_or_is_another_one_is_refused() {
    within(|| {
        let port = tls_site();
        let untrusted = agent().get(format!("https://localhost:{port}/")).call();
        assert!(matches!(untrusted, Err(Error::Rustls(_) | Error::Io(_))));
        let other = agent_with(trusting().build())
            .get(format!("https://127.0.0.2:{port}/"))
            .call();
        assert!(other.is_err());
    });
}

#[test]
fn a_handshake_that_stalls_times_out_alone() {
    within(|| {
        let url = raw(|_stream| evy::thread::park()).replace("http:", "https:");
        let port = tls_site();
        let agent = agent_with(
            trusting()
                .timeout_connect(Some(Duration::from_millis(500)))
                .build(),
        );
        let stalled = {
            let agent = agent.clone();
            evy::spawn(move || agent.get(&url).call().unwrap_err())
        };
        assert_eq!(get(&agent, &format!("https://localhost:{port}/a")), "/a");
        let stalled = stalled.join().unwrap();
        let connect = ureq::Timeout::Connect;
        assert!(
            matches!(stalled, Error::Timeout(reason) if reason == connect),
            "{stalled:?}"
        );
    });
}

#[test]
fn nothing_is_sent_in_plain_text_for_another_provider_of_tls() {
    within(|| {
        let url = raw(|stream| {
            let mut stream = stream;
            assert_eq!(std::io::Read::read(&mut stream, &mut [0]).unwrap(), 0);
        });
        let native = TlsConfig::builder()
            .provider(ureq::tls::TlsProvider::NativeTls)
            .build();
        let agent = agent_with(settings().tls_config(native).build());
        let refused = agent.get(url.replace("http:", "https:")).call();
        assert!(matches!(refused, Err(Error::TlsRequired)), "{refused:?}");
    });
}
