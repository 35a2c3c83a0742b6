//! The servers: evy, hyper, and nginx where it is installed.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use evy::http::{Body, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;

use crate::answers::outcome;
use crate::table::Row;

const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// How long the pieces of an input are apart.
const PAUSE: Duration = Duration::from_millis(3);

/// After this time a server waits for more input.
const SILENCE: Duration = Duration::from_secs(1);

const MAX_BODY: usize = 2 * 1024 * 1024;

/// A server that runs.
pub struct Server {
    pub name: &'static str,
    addr: SocketAddr,
    /// Whether the answers have the bodies of the requests.
    has_bodies: bool,
    _nginx: Option<Nginx>,
}

impl Server {
    /// Returns how the outcomes of a row differ from what is allowed.
    pub fn differences(&self, row: &Row) -> Vec<String> {
        let next = if row.is_end { b"" } else { NEXT };
        let bytes = [&row.input, next].concat();
        let relevant = |outcome: &str| match self.has_bodies {
            true => outcome.to_owned(),
            false => {
                let words = outcome.split(' ').filter(|word| *word != "100");
                let codes = words.map(|word| word.split('=').next().unwrap_or_default());
                codes.collect::<Vec<_>>().join(" ")
            }
        };
        crate::differences(row, bytes.len(), 1..bytes.len(), relevant, |cut| {
            let answers = self.exchange(&bytes[..cut], &bytes[cut..], row.is_end);
            answers.unwrap_or_else(|error| error.to_string())
        })
    }

    fn exchange(&self, first: &[u8], second: &[u8], is_end: bool) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        // A server that has seen enough may have closed the connection.
        stream.write_all(first).ok();
        if !second.is_empty() {
            thread::sleep(PAUSE);
            stream.write_all(second).ok();
        }
        if is_end {
            stream.shutdown(Shutdown::Write).ok();
        }
        let mut bytes = Vec::new();
        let is_waiting = matches!(
            stream.read_to_end(&mut bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        );
        let answers = outcome(&bytes);
        Ok(match is_waiting {
            true if bytes.is_empty() => "no answer, but no end".to_owned(),
            _ => answers,
        })
    }
}

/// Starts the servers.
pub fn start() -> Vec<Server> {
    let server = |name, addr| Server {
        name,
        addr,
        has_bodies: true,
        _nginx: None,
    };
    let mut servers = vec![server("evy", start_evy()), server("hyper", start_hyper())];
    match Nginx::start() {
        Ok((nginx, addr)) => servers.push(Server {
            has_bodies: false,
            _nginx: Some(nginx),
            ..server("nginx", addr)
        }),
        Err(error) => println!("nginx is skipped: {error}"),
    }
    servers
}

fn start_evy() -> SocketAddr {
    let (started, addr) = mpsc::channel();
    thread::spawn(move || {
        let listener = evy::listen("127.0.0.1:0").expect("a port is free");
        started
            .send(listener.local_addr().expect("it is bound"))
            .expect("it is awaited");
        evy::http::serve(listener, |request: evy::http::Request<Body>| {
            let mut answer = format!("{} ", request.uri().path()).into_bytes();
            answer.extend(request.into_body().into_bytes()?);
            Ok::<_, io::Error>(Response::new(answer))
        })
    });
    addr.recv().expect("evy starts")
}

fn start_hyper() -> SocketAddr {
    let (started, addr) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let serving = tokio::task::LocalSet::new();
        serving.block_on(&runtime.expect("tokio starts"), async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            started.send(listener.local_addr()?).expect("it is awaited");
            loop {
                let (client, _) = listener.accept().await?;
                tokio::task::spawn_local(async {
                    let connection = http1::Builder::new()
                        .half_close(true)
                        .serve_connection(TokioIo::new(client), service_fn(echo));
                    // An error affects this connection only.
                    drop(connection.await);
                });
            }
            #[expect(unreachable_code, reason = "it is the type of the block")]
            io::Result::Ok(())
        })
    });
    addr.recv().expect("hyper starts")
}

type HyperResponse = hyper::Response<Full<Bytes>>;

async fn echo(request: hyper::Request<Incoming>) -> Result<HyperResponse, Infallible> {
    let path = request.uri().path().to_owned();
    let status = |code| {
        let response = hyper::Response::builder()
            .status(code)
            .header("connection", "close");
        response.body(Full::default()).expect("it is valid")
    };
    Ok(
        match Limited::new(request.into_body(), MAX_BODY).collect().await {
            Ok(body) => {
                let answer = [format!("{path} ").as_bytes(), &body.to_bytes()].concat();
                hyper::Response::new(Full::from(answer))
            }
            Err(error) if error.is::<http_body_util::LengthLimitError>() => status(413),
            Err(_) => status(400),
        },
    )
}

/// A process of nginx, and the folder of its files.
struct Nginx {
    process: Child,
    _folder: TempDir,
}

impl Nginx {
    fn start() -> io::Result<(Self, SocketAddr)> {
        let folder = tempfile::tempdir()?;
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let path = folder.path().to_str().expect("the path is text");
        let conf = include_str!("../nginx.conf")
            .replace("PORT", &addr.port().to_string())
            .replace("FOLDER", path);
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, conf)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(file).stderr(Stdio::null());
        let nginx = Self {
            process: command.spawn()?,
            _folder: folder,
        };
        for _ in 0..100 {
            if TcpStream::connect(addr).is_ok() {
                return Ok((nginx, addr));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err(io::Error::other("it does not start"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, because its worker would outlive it.
        let kill = format!("kill {}", self.process.id());
        Command::new("sh").args(["-c", &kill]).status().ok();
        self.process.wait().ok();
    }
}
