//! Go: a goroutine for each connection, on one processor.

use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::tasks::go;

/// Becomes that program: same process, so the same core, and ended with whoever has started it.
pub(super) fn echo(addr: SocketAddr) -> io::Result<()> {
    let program = go::program().ok_or_else(|| io::Error::other("target/go-peer is not there"))?;
    let words = ["serve", "echo", &addr.to_string()];
    Err(Command::new(program).args(words).exec())
}
