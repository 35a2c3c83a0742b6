//! TLS: bulk data, small messages and handshakes, with rustls on blocking sockets, with rustls on
//! evy's sockets, and with evy's TLS streams.
//!
//! Client and server each have an OS thread. Each round measures all kinds, in turn the first, and
//! takes ratios of their CPU times. The medians are what counts. Against blocking sockets evy's
//! sockets cost a wait for readiness where nothing has arrived. On evy's sockets, the ratio shows
//! what the TLS stream itself costs.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use evy::tls::{Acceptor, Connector};
use rustix::time::{ClockId, clock_gettime};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

const BULK: usize = 128 << 20;
const PIECE: usize = 64 << 10;
const MESSAGES: usize = 20_000;
const HANDSHAKES: usize = 300;

/// What the server does with a connection, and the client with the other end.
#[derive(Clone, Copy)]
struct Task {
    name: &'static str,
    connections: usize,
    serve: fn(&mut dyn Stream) -> io::Result<()>,
    use_it: fn(&mut dyn Stream) -> io::Result<()>,
    is_resumed: bool,
}

trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

const TASKS: [Task; 4] = [
    Task {
        name: "bulk, 128 MiB",
        connections: 1,
        serve: |stream| {
            let piece = vec![7; PIECE];
            (0..BULK / PIECE).try_for_each(|_| stream.write_all(&piece))
        },
        use_it: |stream| {
            let mut piece = vec![0; PIECE];
            let mut left = BULK;
            while left > 0 {
                left -= stream.read(&mut piece)?;
            }
            Ok(())
        },
        is_resumed: false,
    },
    Task {
        name: "20 000 round trips",
        connections: 1,
        serve: |stream| {
            let mut message = [0; 100];
            for _ in 0..MESSAGES {
                stream.read_exact(&mut message)?;
                stream.write_all(&message)?;
            }
            Ok(())
        },
        use_it: |stream| {
            let mut message = [0; 100];
            for _ in 0..MESSAGES {
                stream.write_all(&message)?;
                stream.read_exact(&mut message)?;
            }
            Ok(())
        },
        is_resumed: false,
    },
    Task {
        name: "300 handshakes",
        connections: HANDSHAKES,
        serve: one_byte,
        use_it: one_byte_back,
        is_resumed: false,
    },
    Task {
        name: "300 handshakes, resumed",
        connections: HANDSHAKES,
        serve: one_byte,
        use_it: one_byte_back,
        is_resumed: true,
    },
];

fn one_byte(stream: &mut dyn Stream) -> io::Result<()> {
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}

fn one_byte_back(stream: &mut dyn Stream) -> io::Result<()> {
    stream.read_exact(&mut [0])?;
    stream.write_all(b"x")
}

#[derive(Clone)]
struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

fn configs(is_resumed: bool) -> Configs {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("valid names");
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("it is a certificate");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("it is a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("it may be a root");
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the versions are supported")
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !is_resumed {
        client.resumption = Resumption::disabled();
    }
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the versions are supported")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key belongs to the certificate");
    Configs {
        client: Arc::new(client),
        server: Arc::new(server),
    }
}

/// The sockets on which rustls runs.
trait Sockets: Copy + Send + Sync {
    type Listener: Send + Sync;
    type Stream: Read + Write;
    fn listen(self) -> io::Result<(Self::Listener, SocketAddr)>;
    fn accept(self, listener: &Self::Listener) -> io::Result<Self::Stream>;
    fn connect(self, addr: SocketAddr) -> io::Result<Self::Stream>;
}

#[derive(Clone, Copy)]
struct Blocking;

impl Sockets for Blocking {
    type Listener = std::net::TcpListener;
    type Stream = std::net::TcpStream;

    fn listen(self) -> io::Result<(Self::Listener, SocketAddr)> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    }

    fn accept(self, listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn connect(self, addr: SocketAddr) -> io::Result<Self::Stream> {
        let stream = std::net::TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

#[derive(Clone, Copy)]
struct Cooperative;

impl Sockets for Cooperative {
    type Listener = evy::net::TcpListener;
    type Stream = evy::net::TcpStream;

    fn listen(self) -> io::Result<(Self::Listener, SocketAddr)> {
        let listener = evy::listen("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    }

    fn accept(self, listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn connect(self, addr: SocketAddr) -> io::Result<Self::Stream> {
        let stream = evy::connect(addr)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Runs a task with rustls on these sockets.
fn run_rustls(sockets: impl Sockets, task: Task, configs: &Configs) -> io::Result<()> {
    let (listener, addr) = sockets.listen()?;
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            for _ in 0..task.connections {
                let session = ServerConnection::new(Arc::clone(&configs.server));
                let session = session.map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(session, sockets.accept(&listener)?);
                (task.serve)(&mut stream)?;
                stream.conn.send_close_notify();
                stream.flush().ok();
            }
            io::Result::Ok(())
        });
        for _ in 0..task.connections {
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            let session = ClientConnection::new(Arc::clone(&configs.client), name);
            let session = session.map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(session, sockets.connect(addr)?);
            (task.use_it)(&mut stream)?;
            stream.conn.send_close_notify();
            stream.flush().ok();
        }
        server.join().expect("the server does not panic")
    })
}

/// Runs a task with evy's TLS streams.
fn run_evy(task: Task, configs: &Configs) -> io::Result<()> {
    let (listener, addr) = Cooperative.listen()?;
    let acceptor = Acceptor::from(Arc::clone(&configs.server));
    let connector = Connector::from(Arc::clone(&configs.client));
    thread::scope(|scope| {
        let server = scope.spawn(move || {
            for _ in 0..task.connections {
                (task.serve)(&mut acceptor.accept(Cooperative.accept(&listener)?)?)?;
            }
            io::Result::Ok(())
        });
        for _ in 0..task.connections {
            (task.use_it)(&mut connector.connect("localhost", Cooperative.connect(addr)?)?)?;
        }
        server.join().expect("the server does not panic")
    })
}

/// Returns the CPU time of the process in milliseconds while `run` ran.
fn cpu_time(run: impl FnOnce() -> io::Result<()>) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
    };
    let before = now();
    run().expect("the connections work");
    now() - before
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let rounds = std::env::args().find_map(|word| word.parse().ok());
    let rounds = rounds.unwrap_or(15);
    println!(
        "| task | blocking sockets, CPU ms | evy, CPU ms | to blocking sockets | to evy's sockets |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    for task in TASKS {
        let configs = configs(task.is_resumed);
        let kinds: [&dyn Fn() -> io::Result<()>; 3] = [
            &|| run_rustls(Blocking, task, &configs),
            &|| run_rustls(Cooperative, task, &configs),
            &|| run_evy(task, &configs),
        ];
        let mut samples = Vec::new();
        for round in 0..=rounds {
            let mut sample = [0.0; 3];
            for kind in (0..3).map(|kind| (kind + round) % 3) {
                sample[kind] = cpu_time(kinds[kind]);
            }
            // The first round warms up.
            if round > 0 {
                samples.push(sample);
            }
        }
        let of = |value: fn(&[f64; 3]) -> f64| median(samples.iter().map(value).collect());
        println!(
            "| {} | {:.1} | {:.1} | {:.3} | {:.3} |",
            task.name,
            of(|[blocking, _, _]| *blocking),
            of(|[_, _, evy]| *evy),
            of(|[blocking, _, evy]| evy / blocking),
            of(|[_, cooperative, evy]| evy / cooperative),
        );
    }
}
