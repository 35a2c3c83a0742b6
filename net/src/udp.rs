//! `UdpSocket`, with std's names and signatures.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::RecvFlags;

use crate::addr::{ToSocketAddrs, each_addr, first_addr};
use crate::convert::conversions;
use crate::methods::{forward, socket, timeouts};
use crate::socket::Socket;

/// A UDP socket, like [`std::net::UdpSocket`]: its operations park the green thread instead of
/// blocking the OS thread.
///
/// Any number of green threads may receive at the same time. Each datagram goes to one of them, in
/// FIFO order, and so does each error that the network reports, such as `ConnectionRefused`.
///
/// A socket may be used from any OS thread. It is fastest on the one that waits for it first.
///
/// The methods that receive and send park, and those that take a [`ToSocketAddrs`], to resolve a
/// name.
///
/// # Differences from std
///
/// - When a read or write timeout passes, the error is of kind `TimedOut`; on Unix, std returns
///   `WouldBlock`.
/// - `try_clone` duplicates no descriptor.
///
/// # Examples
///
/// ```
/// use evy::net::UdpSocket;
///
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// evy::spawn_n(move || {
///     let mut buf = [0; 1500];
///     let (len, client) = server.recv_from(&mut buf).unwrap();
///     server.send_to(&buf[..len], client).unwrap();
/// });
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.connect(addr)?;
/// client.send(b"ping")?;
/// let mut answer = [0; 4];
/// assert_eq!(client.recv(&mut answer)?, 4);
/// assert_eq!(&answer, b"ping");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket(Socket<std::net::UdpSocket>);

impl UdpSocket {
    /// Creates a socket that is bound to `addr`. If there are several addresses, the first one that
    /// can be bound is used.
    ///
    /// Parks only to resolve a name.
    ///
    /// # Errors
    ///
    /// Returns the error of the system for the last address tried, and `InvalidInput` if there is
    /// none.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        each_addr(addr, |addr| Self::wrap(std::net::UdpSocket::bind(addr)?))
    }

    /// Connects the socket to `addr`: it sends to that address, and receives only from there. If
    /// there are several addresses, the first one that can be connected to is used.
    ///
    /// Parks only to resolve a name.
    ///
    /// # Errors
    ///
    /// Returns the error of the system for the last address tried, and `InvalidInput` if there is
    /// none.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        each_addr(addr, |addr| self.0.std().connect(addr))
    }

    /// Receives one datagram, and returns its length and its sender. What the buffer has no room
    /// for is cut off.
    ///
    /// Parks until there is a datagram.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` after a read timeout, and the error of the system.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.recv_with(|socket| socket.recv_from(buf))
    }

    /// Receives one datagram like [`recv_from`](Self::recv_from), without removing it from the
    /// queue.
    ///
    /// Parks until there is a datagram.
    ///
    /// # Errors
    ///
    /// Returns an error as `recv_from` does.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.recv_with(|socket| socket.peek_from(buf))
    }

    /// Receives one datagram from the address that the socket is connected to, and returns its
    /// length. What the buffer has no room for is cut off.
    ///
    /// Parks until there is a datagram.
    ///
    /// # Errors
    ///
    /// Returns an error as [`recv_from`](Self::recv_from) does. `ConnectionRefused` means that an
    /// earlier datagram has found no receiver; one of the green threads that receive gets it.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buf, RecvFlags::empty())
    }

    /// Receives one datagram like [`recv`](Self::recv), without removing it from the queue.
    ///
    /// Parks until there is a datagram.
    ///
    /// # Errors
    ///
    /// Returns an error as `recv` does.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buf, RecvFlags::PEEK)
    }

    /// Sends `buf` as one datagram to `addr`, or to the first of several addresses.
    ///
    /// Parks until there is room in the queue of the system, and to resolve a name.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` after a write timeout, `InvalidInput` if there is no address, and the
    /// error of the system.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let addr = first_addr(addr)?;
        self.0.send_with(|socket| socket.send_to(buf, addr))
    }

    /// Sends `buf` as one datagram to the address that the socket is connected to.
    ///
    /// Parks until there is room in the queue of the system.
    ///
    /// # Errors
    ///
    /// Returns `TimedOut` after a write timeout, and the error of the system.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.send(buf)
    }
}

forward! { UdpSocket:
    /// Returns the address that the socket is bound to.
    local_addr() -> SocketAddr;
    /// Returns the address that the socket is connected to.
    peer_addr() -> SocketAddr;
    /// Sets whether the socket may send to a broadcast address (`SO_BROADCAST`).
    set_broadcast(broadcast: bool) -> ();
    /// Returns whether the socket may send to a broadcast address.
    broadcast() -> bool;
    /// Sets whether multicast packets are looped back to this host (`IP_MULTICAST_LOOP`).
    set_multicast_loop_v4(multicast_loop_v4: bool) -> ();
    /// Returns whether multicast packets are looped back to this host.
    multicast_loop_v4() -> bool;
    /// Sets the time-to-live of multicast packets (`IP_MULTICAST_TTL`).
    set_multicast_ttl_v4(multicast_ttl_v4: u32) -> ();
    /// Returns the time-to-live of multicast packets.
    multicast_ttl_v4() -> u32;
    /// Sets whether multicast packets are looped back to this host (`IPV6_MULTICAST_LOOP`).
    set_multicast_loop_v6(multicast_loop_v6: bool) -> ();
    /// Returns whether multicast packets are looped back to this host.
    multicast_loop_v6() -> bool;
    /// Sets the time-to-live of the packets that the socket sends.
    set_ttl(ttl: u32) -> ();
    /// Returns the time-to-live of the packets that the socket sends.
    ttl() -> u32;
    /// Joins the multicast group `multiaddr` at the interface with the address `interface`, or at
    /// one that the system chooses if that is unspecified.
    join_multicast_v4(multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> ();
    /// Joins the multicast group `multiaddr` at the interface with the index `interface`, or at one
    /// that the system chooses if that is zero.
    join_multicast_v6(multiaddr: &Ipv6Addr, interface: u32) -> ();
    /// Leaves a multicast group that [`join_multicast_v4`](Self::join_multicast_v4) has joined.
    leave_multicast_v4(multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> ();
    /// Leaves a multicast group that [`join_multicast_v6`](Self::join_multicast_v6) has joined.
    leave_multicast_v6(multiaddr: &Ipv6Addr, interface: u32) -> ();
}

socket!(UdpSocket);
conversions!(UdpSocket, std::net::UdpSocket);
timeouts!(UdpSocket);
