//! The client over TLS.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use evy_http::{Body, Client, Request, ResponseExt, Server};
use evy_test_support::within;
use evy_tls::{Acceptor, Connector, Listener};

#[test]
fn a_url_with_https_is_fetched_over_tls() {
    within(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        let acceptor =
            Acceptor::from_pem(made.cert.pem(), made.signing_key.serialize_pem()).unwrap();
        let listener = evy_net::listen("127.0.0.1:0").unwrap();
        let url = format!(
            "https://localhost:{}/",
            listener.local_addr().unwrap().port()
        );
        let serving = evy_runtime::spawn(move || {
            Server::default().serve(
                Listener::new(listener, acceptor),
                |_: Request<Body>| "hello",
            )
        });
        let tls = Connector::builder()
            .only_roots_pem(made.cert.pem())
            .build()
            .unwrap();
        let client = Client::builder().tls(tls).build();
        for _ in 0..2 {
            let response = client.get(&url).unwrap().error_for_status().unwrap();
            assert_eq!(response.into_body().into_text().unwrap(), "hello");
        }
        // The default roots do not contain this certificate.
        evy_http::get(&url).unwrap_err();
        serving.kill();
    });
}
