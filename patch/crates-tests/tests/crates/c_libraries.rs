//! C libraries: libcurl, OpenSSL, libssh2.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use native_tls::{Identity, TlsAcceptor, TlsConnector};

use crate::site::{self, PAGE};
use crate::{WAIT, at_once, patched};

fn fetch(url: &str, timeout: Duration) -> Result<String, curl::Error> {
    let mut body = Vec::new();
    let mut easy = curl::easy::Easy::new();
    easy.url(url)?;
    easy.timeout(timeout)?;
    let mut transfer = easy.transfer();
    transfer.write_function(|data| {
        body.extend_from_slice(data);
        Ok(data.len())
    })?;
    transfer.perform()?;
    drop(transfer);
    Ok(String::from_utf8(body).unwrap())
}

#[test]
fn libcurl_fetches_fifty_pages_by_name() {
    patched(|| {
        let url = format!("http://localhost:{}/", site::start().port());
        let pages = at_once(50, move |_| fetch(&url, Duration::from_secs(20)).unwrap());
        assert!(pages.iter().all(|page| page == PAGE));
    });
}

#[test]
fn timeouts_of_libcurl_end_its_waits() {
    patched(|| {
        let url = format!("http://{}/slow", site::start());
        let errors = at_once(20, move |_| {
            fetch(&url, Duration::from_millis(250)).unwrap_err()
        });
        assert!(errors.iter().all(curl::Error::is_operation_timedout));
    });
}

/// Returns a key and a certificate for `localhost`, made by the program `openssl`.
fn identity() -> Identity {
    let folder = std::env::temp_dir();
    let file = |name: &str| {
        let name = format!("evy-{}-{name}.pem", std::process::id());
        folder.join(name)
    };
    let (key, chain) = (file("key"), file("chain"));
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-subj", "/CN=localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&chain)
        .output()
        .unwrap();
    assert!(made.status.success());
    let pem = (std::fs::read(&chain).unwrap(), std::fs::read(&key).unwrap());
    std::fs::remove_file(key).unwrap();
    std::fs::remove_file(chain).unwrap();
    Identity::from_pkcs8(&pem.0, &pem.1).unwrap()
}

#[test]
fn servers_and_clients_of_openssl_share_an_os_thread() {
    patched(|| {
        let acceptor = TlsAcceptor::new(identity()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = evy::spawn(move || {
            for client in listener.incoming() {
                let (client, acceptor) = (client.unwrap(), acceptor.clone());
                evy::spawn_n(move || site::serve(acceptor.accept(client).unwrap()));
            }
        });
        // Making the connector reads the system's certificates, which takes a while.
        let mut connector = TlsConnector::builder();
        connector.danger_accept_invalid_certs(true);
        let connector = connector.build().unwrap();
        let answers = at_once(20, move |_| {
            use std::io::{Read, Write};
            let stream = TcpStream::connect(address).unwrap();
            let mut stream = connector.connect("localhost", stream).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let mut answer = vec![0; 256];
            let mut len = 0;
            while !answer[..len].ends_with(PAGE.as_bytes()) {
                len += stream.read(&mut answer[len..]).unwrap();
            }
            answer.truncate(len);
            answer
        });
        assert_eq!(answers.len(), 20);
        server.kill();
    });
}

/// The other side says nothing, so the handshake waits until libssh2's timeout.
#[test]
fn timeouts_of_libssh2_end_its_waits() {
    patched(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let failed = at_once(10, move |_| {
            let mut session = ssh2::Session::new().unwrap();
            session.set_timeout(WAIT.as_millis() as u32);
            session.set_tcp_stream(TcpStream::connect(address).unwrap());
            session.handshake().is_err()
        });
        assert_eq!(failed, [true; 10]);
    });
}
