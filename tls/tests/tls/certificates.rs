//! Certificates: which are accepted, and what the error says of others.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use evy_test_support::within;
use evy_tls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use evy_tls::{Acceptor, Connector, Identity};

use crate::support::{
    CA, Issuer, LOCALHOST, Pem, Tls, acceptor, connector, handshake_with, pair, pair_with,
};

/// Returns the error of a client that meets a server with this certificate.
fn refusal(pem: &Pem, name: &str) -> String {
    let acceptor = Acceptor::from_pem(&pem.chain, &pem.key).unwrap();
    let (client, _) = handshake_with(&connector(), &acceptor, name);
    let error = client.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let inner = error.get_ref().and_then(|inner| inner.source());
    assert!(inner.is_some_and(|inner| inner.is::<rustls::Error>()));
    error.to_string()
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    within(|| {
        let error = refusal(&CA.issue(&["other.example"]), "localhost");
        assert!(
            error.contains("not valid for name \"localhost\""),
            "{error}"
        );
        assert!(error.contains("other.example"), "{error}");
    });
}

#[test]
fn a_certificate_that_has_expired_or_is_not_yet_valid_is_refused() {
    within(|| {
        let expired = CA.issue_with(&["localhost"], |params| {
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        });
        let error = refusal(&expired, "localhost");
        assert!(error.contains("certificate expired"), "{error}");
        let early = CA.issue_with(&["localhost"], |params| {
            params.not_before = rcgen::date_time_ymd(2900, 1, 1);
            params.not_after = rcgen::date_time_ymd(2901, 1, 1);
        });
        let error = refusal(&early, "localhost");
        assert!(error.contains("not valid yet"), "{error}");
    });
}

#[test]
fn a_certificate_of_an_unknown_issuer_is_refused() {
    within(|| {
        let error = refusal(&Issuer::new("unknown").issue(&["localhost"]), "localhost");
        assert!(error.contains("UnknownIssuer"), "{error}");
        assert!(error.contains("roots of this side"), "{error}");
        // The connector with the roots of the system does not trust the issuer of the tests.
        let (client, _) = handshake_with(&Connector::new(), &acceptor(), "localhost");
        assert!(client.unwrap_err().to_string().contains("UnknownIssuer"));
        // But it can be added to them.
        let both = Connector::builder()
            .add_roots_pem(CA.pem())
            .build()
            .unwrap();
        pair_with(&both, &acceptor());
    });
}

#[test]
fn the_server_learns_why_a_client_refuses_its_certificate() {
    within(|| {
        let pem = CA.issue(&["other.example"]);
        let acceptor = Acceptor::from_pem(&pem.chain, &pem.key).unwrap();
        let (_, server) = handshake_with(&connector(), &acceptor, "localhost");
        let error = server.unwrap_err().to_string();
        assert!(
            error.contains("received fatal alert: BadCertificate"),
            "{error}"
        );
    });
}

#[test]
fn the_name_that_the_client_asks_for_selects_the_certificate() {
    within(|| {
        let pems = [
            &["a.example"][..],
            &["b.example", "*.c.example"],
            &["d.example"],
        ]
        .map(|names| CA.issue(names));
        let identities = pems.each_ref().map(Pem::identity);
        let mut builder = Acceptor::builder();
        for identity in identities {
            builder = builder.identity(identity);
        }
        let acceptor = builder.build().unwrap();
        let shown = |name: &str| {
            let (client, _server) = handshake_with(&connector(), &acceptor, name);
            let client = client.unwrap_or_else(|error| panic!("{name}: {error}"));
            client.peer_certificates().unwrap()[0].clone()
        };
        assert_eq!(shown("b.example"), shown("www.c.example"));
        assert_eq!(shown("B.Example"), shown("b.example"));
        assert_ne!(shown("a.example"), shown("b.example"));
        assert_ne!(shown("d.example"), shown("b.example"));
        // Other names get the first certificate, and the client says which name is wrong.
        let (client, _) = handshake_with(&connector(), &acceptor, "unknown.example");
        let error = client.unwrap_err().to_string();
        assert!(
            error.contains("\"unknown.example\"") && error.contains("a.example"),
            "{error}"
        );
        // All of them can be replaced.
        acceptor
            .reload_identities([CA.issue(&["unknown.example"]).identity()])
            .unwrap();
        shown("unknown.example");
        let none = acceptor.reload_identities([]).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::InvalidInput);
        shown("unknown.example");
    });
}

/// Returns an acceptor and a connector, with a client certificate if there is one.
fn with_client_certificate(is_required: bool, pem: Option<&Pem>) -> (Connector, Acceptor) {
    let server = Acceptor::builder().identity(LOCALHOST.identity());
    let acceptor = match is_required {
        true => server.require_client_certificates(CA.pem()),
        false => server.request_client_certificates(CA.pem()),
    };
    let mut client = Connector::builder().only_roots_pem(CA.pem());
    if let Some(pem) = pem {
        client = client.identity(pem.identity());
    }
    (client.build().unwrap(), acceptor.build().unwrap())
}

#[test]
fn a_server_gets_the_certificate_of_the_client() {
    within(|| {
        let pem = CA.issue(&["client.example"]);
        for is_required in [true, false] {
            let (connector, acceptor) = with_client_certificate(is_required, Some(&pem));
            for is_resumed in [false, true] {
                let (mut client, mut server) = pair_with(&connector, &acceptor);
                assert_eq!(server.peer_certificates().unwrap().len(), 1);
                assert_eq!(server.session().unwrap().is_resumed(), is_resumed);
                // The ticket for the next session comes with the first data.
                server.write_all(b"x").unwrap();
                client.read_exact(&mut [0]).unwrap();
            }
        }
    });
}

#[test]
fn a_client_certificate_that_is_missing_is_refused_on_both_sides() {
    within(|| {
        let (connector, acceptor) = with_client_certificate(true, None);
        let (client, server) = handshake_with(&connector, &acceptor, "localhost");
        let error = server.unwrap_err().to_string();
        assert!(
            error.contains("the client has sent no certificate"),
            "{error}"
        );
        // With TLS 1.3 the client is done before the server has seen the certificate.
        let error = client.unwrap().read(&mut [0]).unwrap_err().to_string();
        assert!(error.contains("wants a client certificate"), "{error}");
    });
}

#[test]
fn a_client_certificate_may_be_optional_but_not_wrong() {
    within(|| {
        let (connector, acceptor) = with_client_certificate(false, None);
        let (_, server) = pair_with(&connector, &acceptor);
        assert_eq!(server.peer_certificates(), None);
        let wrong = Issuer::new("unknown").issue(&["client.example"]);
        let (connector, acceptor) = with_client_certificate(false, Some(&wrong));
        let (client, server) = handshake_with(&connector, &acceptor, "localhost");
        assert!(server.unwrap_err().to_string().contains("UnknownIssuer"));
        let error = client.unwrap().read(&mut [0]).unwrap_err().to_string();
        assert!(error.contains("does not know the issuer"), "{error}");
    });
}

#[test]
fn what_is_wrong_with_a_pem_text_is_said() {
    let pem = &*LOCALHOST;
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let other = CA.issue(&["localhost"]);
    for (chain, key, expected) in [
        ("", pem.key.as_str(), "no certificate"),
        (&pem.key, &pem.key, "no certificate"),
        (&pem.chain, "", "no private key"),
        (&pem.chain, &pem.chain, "no private key"),
        (&pem.chain, encrypted, "is encrypted"),
        (&pem.chain[..pem.chain.len() / 2], &pem.key, "malformed"),
        (&pem.chain, &other.key, "the private key does not belong"),
    ] {
        let error = Identity::from_pem(chain, key).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // One text may have both.
    Identity::from_pem(
        [&*pem.chain, &*pem.key].concat(),
        [&*pem.chain, &*pem.key].concat(),
    )
    .unwrap();
}

#[test]
fn an_identity_is_read_from_files() {
    within(|| {
        let folder = std::env::temp_dir().join(format!("evy-tls-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
        fs::write(&chain, &LOCALHOST.chain).unwrap();
        fs::write(&key, &LOCALHOST.key).unwrap();
        Identity::from_pem_files(&chain, &key).unwrap();
        for wrong in ["", &CA.issue(&["localhost"]).key] {
            fs::write(&key, wrong).unwrap();
            let error = Identity::from_pem_files(&chain, &key).unwrap_err();
            assert!(error.to_string().contains("key.pem: "), "{error}");
        }
        fs::remove_dir_all(&folder).unwrap();
        let error = Identity::from_pem_files(&chain, &key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("chain.pem"), "{error}");
    });
}

/// Sends a byte to the client, and with it the ticket for the next session.
fn use_once(client: &mut Tls, server: &mut Tls) {
    server.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

#[test]
fn sessions_are_resumed_also_after_the_certificates_were_replaced() {
    within(|| {
        let (connector, acceptor) = (connector(), acceptor());
        for round in 0..3 {
            let (mut client, mut server) = pair_with(&connector, &acceptor);
            assert_eq!(client.session().unwrap().is_resumed(), round > 0);
            assert_eq!(server.session().unwrap().is_resumed(), round > 0);
            use_once(&mut client, &mut server);
            let pem = CA.issue(&["localhost"]);
            acceptor.reload(&pem.chain, &pem.key).unwrap();
        }
        // Another connector has no session to resume.
        let (client, _) = pair();
        assert!(!client.session().unwrap().is_resumed());
    });
}

#[test]
fn settings_of_rustls_can_be_used() {
    within(|| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let pem = rustls::pki_types::pem::PemObject::from_pem_slice(CA.pem().as_bytes());
        roots.add(pem.unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = Connector::from(Arc::new(client));
        let (acceptor, pem) = (acceptor(), &*LOCALHOST);
        for round in 0..2 {
            let (client, server) = pair_with(&connector, &acceptor);
            let version = server.session().unwrap().protocol_version();
            assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_2));
            assert_eq!(client.session().unwrap().is_resumed(), round > 0);
        }
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                rustls::sign::CertifiedKey::from_der(
                    vec![
                        rustls::pki_types::pem::PemObject::from_pem_slice(pem.chain.as_bytes())
                            .unwrap(),
                    ],
                    rustls::pki_types::pem::PemObject::from_pem_slice(pem.key.as_bytes()).unwrap(),
                    &rustls::crypto::ring::default_provider(),
                )
                .unwrap(),
            )));
        acceptor.replace_config(Arc::new(server));
        pair_with(&connector, &acceptor);
    });
}

/// Runs `default_connector_in_its_own_process` with the certificates in a file as the roots of the
/// system.
fn default_connector_with(roots: &str) -> String {
    let folder = std::env::temp_dir().join(format!("evy-tls-roots-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [
        ("roots.pem", roots),
        ("chain.pem", &LOCALHOST.chain),
        ("key.pem", &LOCALHOST.key),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let output =
        evy_test_support::rerun_ignored("certificates::default_connector_in_its_own_process")
            .env("SSL_CERT_FILE", folder.join("roots.pem"))
            .env("EVY_TLS_FOLDER", &folder)
            .output()
            .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "run by tests of the default roots, in a process of its own"]
fn default_connector_in_its_own_process() {
    let folder = std::path::PathBuf::from(std::env::var_os("EVY_TLS_FOLDER").unwrap());
    within(move || {
        let (client, server) = evy_test_support::stream::tcp_pair();
        evy_runtime::spawn_n(move || {
            let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
            let identity = Identity::from_pem_files(chain, key).unwrap();
            let acceptor = Acceptor::builder().identity(identity).build().unwrap();
            evy_tls::accept(&acceptor, server).ok();
        });
        match evy_tls::connect("localhost", client) {
            Ok(_) => println!("trusted"),
            Err(error) => println!("not trusted: {error}"),
        }
    });
}

#[test]
fn the_default_connector_trusts_the_roots_of_the_system() {
    let said = default_connector_with(&CA.pem());
    assert!(
        said.contains("trusted") && !said.contains("not trusted"),
        "{said}"
    );
}

#[test]
fn without_roots_of_the_system_those_of_mozilla_are_used() {
    let said = default_connector_with("");
    assert!(
        said.contains("not trusted: TLS: invalid peer certificate: UnknownIssuer"),
        "{said}"
    );
}
