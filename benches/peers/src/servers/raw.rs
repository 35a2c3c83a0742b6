//! The hardware limit: an edge-triggered epoll loop with one buffer, without anything that a real
//! server needs.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::retry_on_intr;

pub(super) fn echo(addr: SocketAddr) -> io::Result<()> {
    serve(addr, None)
}

pub(super) fn http(addr: SocketAddr) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
         date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n{}",
        super::TEXT.len(),
        super::TEXT
    );
    // The answers to as many requests as may come together.
    serve(
        addr,
        Some((answer.len(), answer.repeat(super::PIPELINED).as_bytes())),
    )
}

/// Answers each request of a read with the fixed answer, of which `fixed` is the length and many
/// copies. If that is `None`, answers with the bytes read. If the socket buffer has no space for the
/// whole response, the client is disconnected.
fn serve(addr: SocketAddr, fixed: Option<(usize, &[u8])>) -> io::Result<()> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    super::announce(listener.local_addr()?);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let key = |fd: RawFd| EventData::new_u64(fd as u64);
    let own = listener.as_raw_fd() as usize;
    epoll::add(&epoll, &listener, key(listener.as_raw_fd()), EventFlags::IN)?;
    // Indexed by descriptor, which is also the key of the events.
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    let mut buf = vec![0; 64 * 1024];
    let mut request_length = None;
    loop {
        events.clear();
        retry_on_intr(|| epoll::wait(&epoll, spare_capacity(&mut events), None))?;
        for event in &events {
            let at = event.data.u64() as usize;
            if at == own {
                let (client, _) = listener.accept()?;
                client.set_nonblocking(true)?;
                client.set_nodelay(true)?;
                let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
                epoll::add(&epoll, &client, key(client.as_raw_fd()), flags)?;
                let at = client.as_raw_fd() as usize;
                clients.resize_with(clients.len().max(at + 1), || None);
                clients[at] = Some(client);
                continue;
            }
            let Some(client) = &mut clients[at] else {
                continue;
            };
            let flags = event.flags;
            let closed_or_failed =
                flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            let keep_open = loop {
                let n = match client.read(&mut buf) {
                    Ok(0) => break false,
                    Ok(n) => n,
                    Err(error) => break error.kind() == io::ErrorKind::WouldBlock,
                };
                let answer = match fixed {
                    None => &buf[..n],
                    // Each read is assumed to return whole requests, all of the same length. The
                    // first one comes alone.
                    Some((length, answers)) => {
                        request_length = request_length.or(Some(n));
                        let requests = request_length.map_or(1, |length| n / length);
                        &answers[..requests * length]
                    }
                };
                if client.write_all(answer).is_err() {
                    break false;
                }
                // A short read has emptied the socket buffer. But if the connection was closed too,
                // the end of file is still to be read.
                if n < buf.len() && !closed_or_failed {
                    break true;
                }
            };
            if !keep_open {
                clients[at] = None;
            }
        }
    }
}
