//! Go: a goroutine for each connection, on one processor.

use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::tasks::go;

/// Replaces this process by `go-peer`. It remains the same process, so it runs on the same core and
/// ends with its parent.
pub(super) fn echo(addr: SocketAddr) -> io::Result<()> {
    let program = go::program()
        .ok_or_else(|| io::Error::other("target/go-peer does not exist (see benches/run.sh)"))?;
    let words = ["serve", "echo", &addr.to_string()];
    Err(Command::new(program).args(words).exec())
}
