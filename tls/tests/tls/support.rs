//! Certificates, connected streams, and a peer that is known byte by byte.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use evy_net::{Stream as _, TcpStream, connect};
use evy_runtime::{spawn, yield_now};
use evy_test_support::stream::tcp_pair;
use evy_tls::{Acceptor, Connector, Identity, Stream};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

pub(crate) type Tls = Stream<TcpStream>;

/// A time that passes in a test.
pub(crate) const SHORT: Duration = Duration::from_millis(30);

/// A time that does not pass in a test.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// An issuer of certificates.
pub(crate) struct Issuer(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key in PEM format.
#[derive(Clone)]
pub(crate) struct Pem {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Pem {
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(&self.chain, &self.key).unwrap()
    }
}

impl Issuer {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Pem {
        self.issue_with(names, |_| ())
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pem {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pem {
            chain: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// The issuer that the clients of the tests trust.
pub(crate) static CA: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("evy's test CA"));

/// A certificate for this machine.
pub(crate) static LOCALHOST: LazyLock<Pem> =
    LazyLock::new(|| CA.issue(&["localhost", "127.0.0.1", "::1"]));

pub(crate) fn acceptor() -> Acceptor {
    Acceptor::from_pem(&LOCALHOST.chain, &LOCALHOST.key).unwrap()
}

pub(crate) fn connector() -> Connector {
    Connector::builder()
        .only_roots_pem(CA.pem())
        .build()
        .unwrap()
}

/// Connects two streams with these settings. Either side may fail.
pub(crate) fn handshake_with(
    connector: &Connector,
    acceptor: &Acceptor,
    name: &str,
) -> (std::io::Result<Tls>, std::io::Result<Tls>) {
    let (client, server) = tcp_pair();
    let (connector, name) = (connector.clone(), name.to_owned());
    let client = spawn(move || connector.connect(&name, client));
    let server = acceptor.accept(server);
    // A client with TLS 1.3 learns of a refusal when it reads.
    let client = client.join().unwrap();
    // The next turn begins with a full budget, which the computations may have used up.
    yield_now();
    (client, server)
}

/// Returns two connected streams.
pub(crate) fn pair_with(connector: &Connector, acceptor: &Acceptor) -> (Tls, Tls) {
    let (client, server) = handshake_with(connector, acceptor, "localhost");
    (client.unwrap(), server.unwrap())
}

pub(crate) fn pair() -> (Tls, Tls) {
    pair_with(&connector(), &acceptor())
}

/// Returns two connected TLS streams over TLS streams.
pub(crate) fn nested_pair() -> (Stream<Tls>, Stream<Tls>) {
    let (client, server) = pair();
    let client = spawn(move || connector().connect("localhost", client).unwrap());
    let server = acceptor().accept(server).unwrap();
    let client = client.join().unwrap();
    yield_now();
    (client, server)
}

/// Returns a client and a server whose bytes all pass through `relay`: the TCP streams towards the
/// client and towards the server.
pub(crate) fn pair_through(relay: impl FnOnce(TcpStream, TcpStream) + 'static) -> (Tls, Tls) {
    let (client, near) = tcp_pair();
    let (far, server) = tcp_pair();
    evy_runtime::spawn_n(move || relay(near, far));
    let client = spawn(move || connector().connect("localhost", client).unwrap());
    let server = acceptor().accept(server).unwrap();
    (client.join().unwrap(), server)
}

/// Passes on everything in one direction, and the end.
pub(crate) fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut buf = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buf) {
        if to.write_all(&buf[..read]).is_err() {
            return;
        }
    }
    to.close_write().ok();
}

/// Passes on one record, and returns it.
pub(crate) fn next_record(from: &mut TcpStream) -> Vec<u8> {
    let mut record = vec![0; 5];
    from.read_exact(&mut record).unwrap();
    let len = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(5 + len, 0);
    from.read_exact(&mut record[5..]).unwrap();
    record
}

/// Connects to a server of the tests.
pub(crate) fn connect_to(addr: SocketAddr) -> std::io::Result<Tls> {
    connector().connect("localhost", connect(addr)?)
}
