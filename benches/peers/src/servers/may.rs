//! may with one worker: a coroutine for each connection, in blocking style.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use may::coroutine::spawn;
use may::net::{TcpListener, TcpStream};

pub(super) fn echo(addr: SocketAddr) -> io::Result<()> {
    may::config().set_workers(1).set_stack_size(0x2000);
    // SAFETY: the closure accesses no thread-local variable and needs little stack.
    let accepting = unsafe { spawn(move || accept(addr)) };
    accepting
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the accept loop has panicked")))
}

fn accept(addr: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(addr)?;
    super::announce(listener.local_addr()?);
    loop {
        let (client, _) = listener.accept()?;
        client.set_nodelay(true)?;
        // SAFETY: as above.
        unsafe { spawn(move || drop(serve(client))) };
    }
}

fn serve(mut client: TcpStream) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match client.read(&mut buf)? {
            0 => return Ok(()),
            n => client.write_all(&buf[..n])?,
        }
    }
}
