//! `SocksConnector`: connections through a SOCKS proxy, of version 4, 4A or 5 (RFC 1928, RFC 1929).
//!
//! That of ureq opens a blocking socket itself, so it cannot be used.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use evy_net::TcpStream;
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, Either, Transport, TransportAdapter,
};
use ureq::{Error, Proxy, ProxyProtocol};

use crate::connector::connect_tcp;
use crate::deadline::Deadline;
use crate::resolver::host_and_port;
use crate::transport::StreamTransport;

/// Opens connections through the SOCKS proxy of the configuration, if there is one.
///
/// It replaces the connector of that name in ureq, whose sockets block the OS thread. The feature
/// `socks-proxy` of ureq is not needed.
#[derive(Clone, Debug, Default)]
pub struct SocksConnector(());

impl SocksConnector {
    /// Creates a connector.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl<In: Transport> Connector<In> for SocksConnector {
    type Out = Either<In, StreamTransport<TcpStream>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let proxy = details.config.proxy().filter(|proxy| is_socks(proxy));
        let Some(proxy) = proxy.filter(|proxy| !proxy.is_no_proxy(details.uri)) else {
            return Ok(None);
        };
        let deadline = Deadline::of_connecting(details);
        let target = Target::new(details, proxy)?;
        let timeout = deadline.left_timeout()?;
        let addrs = details
            .resolver
            .resolve(proxy.uri(), details.config, timeout)?;
        let transport = connect_tcp(&addrs, details, deadline)?;
        // The adapter applies the timeout to all reads and writes together.
        let mut stream = TransportAdapter::new(transport, details.current_time.clone());
        stream.set_timeout(deadline.left_timeout()?);
        match proxy.protocol() {
            ProxyProtocol::Socks4 | ProxyProtocol::Socks4A => socks4(&mut stream, &target)?,
            _ => socks5(&mut stream, proxy, &target)?,
        }
        Ok(Some(Either::B(stream.into_inner())))
    }
}

fn is_socks(proxy: &Proxy) -> bool {
    use ProxyProtocol::{Socks4, Socks4A, Socks5, Socks5h};
    matches!(proxy.protocol(), Socks4 | Socks4A | Socks5 | Socks5h)
}

/// What the proxy is asked to connect to.
enum Target {
    Ip(SocketAddr),
    /// A name that the proxy resolves.
    Name(String, u16),
}

impl Target {
    fn new(details: &ConnectionDetails<'_>, proxy: &Proxy) -> Result<Self, Error> {
        if proxy.resolve_target() {
            let addr = details.addrs.first().ok_or(Error::HostNotFound)?;
            return Ok(Self::Ip(*addr));
        }
        let target = host_and_port(details.uri)?;
        if let Ok(addr) = target.parse() {
            return Ok(Self::Ip(addr));
        }
        let named = target.rsplit_once(':');
        let named = named.and_then(|(name, port)| Some((name.to_owned(), port.parse().ok()?)));
        let (name, port) = named.ok_or_else(|| Error::BadUri(target))?;
        Ok(Self::Name(name, port))
    }

    fn port(&self) -> [u8; 2] {
        let port = match self {
            Self::Ip(addr) => addr.port(),
            Self::Name(_, port) => *port,
        };
        port.to_be_bytes()
    }
}

/// Performs the handshake of SOCKS 4, or of 4A if the proxy resolves the name.
fn socks4(stream: &mut (impl Read + Write), target: &Target) -> io::Result<()> {
    // The address 0.0.0.1 means that a name follows.
    let (ip, name) = match target {
        Target::Ip(SocketAddr::V4(addr)) => (*addr.ip(), None),
        Target::Ip(SocketAddr::V6(_)) => {
            return Err(invalid_input("SOCKS 4 does not support IPv6"));
        }
        Target::Name(name, _) => (Ipv4Addr::new(0, 0, 0, 1), Some(name)),
    };
    let mut request = vec![4, 1];
    request.extend(target.port());
    request.extend(ip.octets());
    // An empty user id.
    request.push(0);
    if let Some(name) = name {
        request.extend(name.as_bytes());
        request.push(0);
    }
    stream.write_all(&request)?;
    // The address in the answer means nothing.
    match read_array::<8>(stream)? {
        [0, 90, ..] => Ok(()),
        [0, code @ 91..=93, ..] => Err(refused(code, "the request was rejected")),
        _ => Err(invalid_data()),
    }
}

/// Performs the handshake of SOCKS 5, with a user name and a password if there are some.
fn socks5(stream: &mut (impl Read + Write), proxy: &Proxy, target: &Target) -> io::Result<()> {
    let methods: &[u8] = match proxy.username() {
        Some(_) => &[5, 2, NO_AUTHENTICATION, PASSWORD],
        None => &[5, 1, NO_AUTHENTICATION],
    };
    stream.write_all(methods)?;
    match (read_array(stream)?, proxy.username()) {
        ([5, NO_AUTHENTICATION], _) => {}
        ([5, PASSWORD], Some(name)) => {
            authenticate(stream, name, proxy.password().unwrap_or_default())?;
        }
        ([5, 0xff], _) => return Err(denied("the SOCKS proxy requires authentication")),
        _ => return Err(invalid_data()),
    }

    let mut request = vec![5, 1, 0];
    match target {
        Target::Ip(addr) => match addr.ip() {
            IpAddr::V4(ip) => {
                request.push(IPV4);
                request.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                request.push(IPV6);
                request.extend(ip.octets());
            }
        },
        Target::Name(name, _) => {
            request.push(NAME);
            push_text(&mut request, name)?;
        }
    }
    request.extend(target.port());
    stream.write_all(&request)?;

    let len = match read_array(stream)? {
        [5, 0, 0, IPV4] => 4,
        [5, 0, 0, IPV6] => 16,
        [5, 0, 0, NAME] => read_array::<1>(stream)?[0].into(),
        [5, code @ 1..=u8::MAX, ..] => return Err(refused(code, reason(code))),
        _ => return Err(invalid_data()),
    };
    // The address of the proxy's own socket, and its port.
    let skipped = io::copy(&mut stream.take(len + 2), &mut io::sink())?;
    match skipped == len + 2 {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

// Methods of authentication, and kinds of addresses.
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

fn authenticate(stream: &mut (impl Read + Write), name: &str, password: &str) -> io::Result<()> {
    let mut request = vec![1];
    push_text(&mut request, name)?;
    push_text(&mut request, password)?;
    stream.write_all(&request)?;
    match read_array(stream)? {
        [1, 0] => Ok(()),
        [1, _] => Err(denied(
            "the SOCKS proxy refuses the user name or the password",
        )),
        _ => Err(invalid_data()),
    }
}

/// Appends a text after its length.
fn push_text(request: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let len = u8::try_from(text.len())
        .map_err(|_| invalid_input("SOCKS 5 does not support texts of more than 255 bytes"))?;
    request.push(len);
    request.extend(text.as_bytes());
    Ok(())
}

fn read_array<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut array = [0; N];
    stream.read_exact(&mut array)?;
    Ok(array)
}

/// What an answer of SOCKS 5 means.
fn reason(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "the rules do not allow the connection",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "the connection was refused",
        6 => "the time to live has expired",
        7 => "the command is not supported",
        8 => "the kind of address is not supported",
        _ => "unknown reason",
    }
}

fn refused(code: u8, reason: &str) -> io::Error {
    let message = format!("the SOCKS proxy does not connect: {reason} (code {code})");
    io::Error::new(io::ErrorKind::ConnectionRefused, message)
}

fn denied(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

fn invalid_data() -> io::Error {
    let message = "the SOCKS proxy has sent a malformed answer";
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn invalid_input(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
