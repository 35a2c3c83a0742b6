//! Peers from outside: openssl, Python's ssl module, and curl.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use evy_net::{Listener as _, Stream as _, connect, listen};
use evy_runtime::{spawn, spawn_n, unblock};
use evy_test_support::within;
use evy_tls::rustls::ProtocolVersion;
use evy_tls::{Acceptor, Connector, Listener};

use crate::support::{CA, LOCALHOST, Tls, acceptor, connector};

/// A folder with the certificates as files.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("evy-tls-outside-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let client = CA.issue(&["client.example"]);
    for (name, text) in [
        ("ca.pem", &CA.pem()),
        ("chain.pem", &LOCALHOST.chain),
        ("key.pem", &LOCALHOST.key),
        ("client.pem", &client.chain),
        ("client-key.pem", &client.key),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    folder
});

/// Runs a program in the folder of the certificates, with `input` as its standard input.
fn run(program: &str, args: &[&str], input: &'static str) -> Output {
    let mut command = Command::new(program);
    command.args(args).current_dir(&*FOLDER);
    unblock(move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is installed");
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        child.wait_with_output().unwrap()
    })
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    [String::from_utf8_lossy(out), String::from_utf8_lossy(err)].concat()
}

/// Serves each connection with `handler`, and returns the address.
fn serve(acceptor: Acceptor, handler: impl Fn(Tls) + 'static) -> SocketAddr {
    let listener = Listener::new(listen("127.0.0.1:0").unwrap(), acceptor);
    let addr = listener.local_addr().unwrap();
    spawn_n(move || evy_net::serve(listener, move |stream, _| handler(stream)).unwrap());
    addr
}

/// Sends lines back in capitals, until the line "end".
fn echo_capitals(mut stream: Tls) {
    let mut line = Vec::new();
    let mut byte = [0];
    while let Ok(1) = stream.read(&mut byte) {
        line.push(byte[0].to_ascii_uppercase());
        if byte[0] == b'\n' {
            stream.write_all(&line).unwrap();
            if line == b"END\n" {
                return;
            }
            line.clear();
        }
    }
}

fn s_client(addr: SocketAddr, args: &[&str], input: &'static str) -> String {
    let addr = addr.to_string();
    let mut all = vec!["s_client", "-connect", &addr, "-servername", "localhost"];
    all.extend(["-CAfile", "ca.pem", "-verify_return_error"]);
    all.extend(args);
    text(&run("openssl", &all, input))
}

#[test]
fn openssl_talks_to_a_server_in_both_versions_of_tls() {
    within(|| {
        let addr = serve(acceptor(), echo_capitals);
        for version in ["-tls1_2", "-tls1_3"] {
            let said = s_client(addr, &[version, "-quiet"], "hello\nend\n");
            assert!(said.contains("HELLO\nEND\n"), "{said}");
        }
        let said = s_client(addr, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "");
        assert!(said.contains("SSL alert number"), "{said}");
    });
}

#[test]
fn openssl_resumes_sessions() {
    within(|| {
        let addr = serve(acceptor(), echo_capitals);
        for version in ["-tls1_2", "-tls1_3"] {
            let file = format!("session{version}.pem");
            let args = [version, "-ign_eof", "-sess_out", &file];
            let said = s_client(addr, &args, "hello\nend\n");
            assert!(said.contains("New, TLSv1"), "{said}");
            let args = [version, "-ign_eof", "-sess_in", &file];
            let said = s_client(addr, &args, "hello\nend\n");
            assert!(said.contains("Reused, TLSv1"), "{said}");
        }
    });
}

#[test]
fn renegotiation_is_refused() {
    within(|| {
        let addr = serve(acceptor(), echo_capitals);
        let said = s_client(addr, &["-tls1_2"], "R\n");
        assert!(said.contains("RENEGOTIATING"), "{said}");
        assert!(said.contains("no renegotiation"), "{said}");
        let said = s_client(addr, &["-tls1_2", "-quiet"], "still here\nend\n");
        assert!(said.contains("STILL HERE"), "{said}");
    });
}

#[test]
fn openssl_updates_keys() {
    within(|| {
        let addr = serve(acceptor(), echo_capitals);
        // `K` asks the server for new keys as well, `k` does not. openssl takes them only if they
        // come apart from the data.
        let shell = format!(
            "(sleep 0.3; echo one; sleep 0.3; echo K; sleep 0.3; echo two; sleep 0.3; echo k; \
             sleep 0.3; echo three; sleep 0.3; echo end; sleep 0.3) | \
             openssl s_client -connect {addr} -servername localhost -CAfile ca.pem -tls1_3"
        );
        let said = text(&run("sh", &["-c", &shell], ""));
        assert_eq!(said.matches("KEYUPDATE").count(), 2, "{said}");
        for line in ["ONE", "TWO", "THREE", "END"] {
            assert!(said.contains(&format!("{line}\n")), "{line}: {said}");
        }
    });
}

#[test]
fn openssl_shows_a_client_certificate() {
    within(|| {
        let acceptor = Acceptor::builder()
            .identity(LOCALHOST.identity())
            .require_client_certificates(CA.pem())
            .build()
            .unwrap();
        let addr = serve(acceptor, |mut stream| {
            let count = stream.peer_certificates().map_or(0, <[_]>::len);
            stream
                .write_all(format!("certificates: {count}\n").as_bytes())
                .unwrap();
        });
        for version in ["-tls1_2", "-tls1_3"] {
            let args = [
                version,
                "-quiet",
                "-cert",
                "client.pem",
                "-key",
                "client-key.pem",
            ];
            let said = s_client(addr, &args, "");
            // openssl sends the issuer as well.
            assert!(said.contains("certificates: 2"), "{said}");
            let said = s_client(addr, &[version, "-quiet"], "");
            assert!(!said.contains("certificates: "), "{said}");
            assert!(said.contains("alert"), "{said}");
        }
    });
}

/// A server process that is killed when this is dropped.
struct Server(Child, SocketAddr);

impl Server {
    /// Starts a program that prints its port at the end of a line that begins with `mark`.
    fn start(program: &str, args: &[&str], mark: &str) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .current_dir(&*FOLDER)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program is installed");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines
            .map(Result::unwrap)
            .find(|line| line.starts_with(mark));
        let port: u16 = line.unwrap().rsplit(':').next().unwrap().parse().unwrap();
        Self(child, ([127, 0, 0, 1], port).into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_client_talks_to_openssl_in_both_versions_of_tls() {
    within(|| {
        for (version, expected) in [
            ("-tls1_2", ProtocolVersion::TLSv1_2),
            ("-tls1_3", ProtocolVersion::TLSv1_3),
        ] {
            let args = [
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-cert",
                "chain.pem",
                "-key",
                "key.pem",
                "-CAfile",
                "ca.pem",
                "-Verify",
                "1",
                "-rev",
                version,
                "-alpn",
                "http/1.1",
            ];
            let server = Server::start("openssl", &args, "ACCEPT ");
            let client = CA.issue(&["client.example"]);
            let connector = Connector::builder()
                .only_roots_pem(CA.pem())
                .identity(client.identity())
                .alpn(["http/1.1"])
                .build()
                .unwrap();
            for round in 0..2 {
                let mut stream = connector
                    .connect("localhost", connect(server.1).unwrap())
                    .unwrap();
                let session = stream.session().unwrap();
                assert_eq!(session.protocol_version(), Some(expected));
                assert_eq!(session.alpn(), Some(&b"http/1.1"[..]));
                assert_eq!(session.is_resumed(), round > 0, "{version}");
                let mut answer = [0; 6];
                stream.write_all(b"hello\n").unwrap();
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"olleh\n");
                let long = [[b'x'; 8000].as_slice(), b"\n"].concat();
                stream.write_all(&long).unwrap();
                let mut answer = vec![0; long.len()];
                stream.read_exact(&mut answer).unwrap();
                stream.close_write().unwrap();
                assert_eq!(stream.read(&mut answer).unwrap(), 0);
            }
        }
    });
}

/// A Python program with a TLS server that sends `all`, and closes as `closing` says.
fn python_server(closing: &str) -> Server {
    let program = format!(
        "import socket, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('chain.pem', 'key.pem')
listener = socket.create_server(('127.0.0.1', 0))
print('port:' + str(listener.getsockname()[1]), flush=True)
while True:
    stream = context.wrap_socket(listener.accept()[0], server_side=True)
    question = stream.recv(100)
    stream.sendall(question * 10000)
    {closing}
"
    );
    Server::start("python3", &["-c", &program], "port:")
}

#[test]
fn pythons_server_ends_a_stream_or_truncates_it() {
    within(|| {
        for (closing, is_regular) in [("stream.unwrap().close()", true), ("stream.close()", false)]
        {
            let server = python_server(closing);
            for _ in 0..2 {
                let stream = connect(server.1).unwrap();
                let mut stream = connector().connect("localhost", stream).unwrap();
                stream.write_all(b"question").unwrap();
                if is_regular {
                    stream.close_write().unwrap();
                }
                let mut answer = Vec::new();
                let outcome = stream.read_to_end(&mut answer);
                assert_eq!(answer.len(), 80_000);
                match outcome {
                    Ok(_) => assert!(is_regular),
                    Err(error) => {
                        assert!(!is_regular);
                        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                    }
                }
            }
        }
    });
}

#[test]
fn pythons_client_reads_and_writes_at_once() {
    within(|| {
        let addr = serve(acceptor(), |mut stream| {
            let mut buf = vec![0; 10_000];
            while let Ok(read @ 1..) = stream.read(&mut buf) {
                stream.write_all(&buf[..read]).unwrap();
            }
        });
        let program = format!(
            "import socket, ssl, threading
context = ssl.create_default_context(cafile='ca.pem')
raw = socket.create_connection(('127.0.0.1', {}))
stream = context.wrap_socket(raw, server_hostname='localhost', suppress_ragged_eofs=False)
data = bytes(range(256)) * 4000
threading.Thread(target=lambda: stream.sendall(data)).start()
got = b''
while len(got) < len(data):
    got += stream.recv(65536)
print(got == data, stream.version())
stream.unwrap()
",
            addr.port()
        );
        let said = text(&run("python3", &["-c", &program], ""));
        assert_eq!(said, "True TLSv1.3\n");
    });
}

/// Reads a request head, and answers with `body`.
fn answer(mut stream: Tls, body: &[u8]) {
    let mut head = Vec::new();
    let mut buf = [0; 1000];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buf) {
            Ok(read @ 1..) => head.extend_from_slice(&buf[..read]),
            _ => return,
        }
    }
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
}

#[test]
fn curl_fetches_pages() {
    within(|| {
        let page: Vec<_> = (0..10_000_000_u32).map(|at| at as u8).collect();
        let size = page.len();
        let acceptor = Acceptor::builder()
            .identity(LOCALHOST.identity())
            .request_client_certificates(CA.pem())
            .alpn(["http/1.1"])
            .build()
            .unwrap();
        let addr = serve(acceptor, move |stream| answer(stream, &page));
        let port = addr.port();
        let url = format!("https://localhost:{port}/");
        let base = [
            "-s",
            "-S",
            "--ipv4",
            "-o",
            "page",
            "-w",
            "%{size_download} %{http_code}",
        ];
        let client = ["--cert", "client.pem", "--key", "client-key.pem"];
        for extra in [&["--tlsv1.3"][..], &["--tls-max", "1.2"], &client] {
            let args = [&base, &["--cacert", "ca.pem", &url][..], extra].concat();
            assert_eq!(text(&run("curl", &args, "")), format!("{size} 200"));
        }
        // Without the issuer, and for another name.
        let said = text(&run("curl", &[&base, &[url.as_str()][..]].concat(), ""));
        assert!(
            said.contains("self-signed certificate") || said.contains("issuer"),
            "{said}"
        );
        let other = format!("https://other.example:{port}/");
        let resolve = format!("other.example:{port}:127.0.0.1");
        let args = ["--cacert", "ca.pem", "--resolve", &resolve, &other];
        let said = text(&run("curl", &[&base, &args[..]].concat(), ""));
        assert!(
            said.contains("no alternative certificate subject name"),
            "{said}"
        );
        // Plain HTTP.
        let plain = format!("http://localhost:{port}/");
        let said = text(&run("curl", &["-s", "--ipv4", &plain], ""));
        assert!(said.contains("This server speaks HTTPS"), "{said}");
    });
}

/// While a client of openssl does nothing, the others are served.
#[test]
fn a_silent_client_delays_no_client_of_openssl() {
    within(|| {
        let addr = serve(acceptor(), echo_capitals);
        let silent = connect(addr).unwrap();
        let said = spawn(move || s_client(addr, &["-quiet"], "hello\nend\n"));
        assert!(said.join().unwrap().contains("HELLO"));
        drop(silent);
    });
}
