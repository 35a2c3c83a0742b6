//! What only Linux has: connections spread over several sockets, and a socket that refuses new
//! handshakes.

use std::net::TcpListener;

use socket2::{SockFilter, SockRef, Socket};

/// Whether the system spreads connections over sockets that share a port.
pub(super) const BALANCES: bool = true;

/// Lets sockets of this program share the port of `socket`.
pub(super) fn share_port(socket: &Socket) -> std::io::Result<()> {
    socket.set_reuse_port(true)
}

/// Makes a socket ignore new handshakes. Those that are under way can be completed.
///
/// Closing the socket resets connections that a client believes to be established. Without new
/// handshakes, the queue is empty once all of them were accepted. A client whose handshake is
/// ignored repeats it after a second, and is refused then.
pub(super) fn refuse_handshakes(listener: &TcpListener) {
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    let instruction = |code: u32, if_true, if_false, k| {
        SockFilter::new(code.try_into().unwrap_or_default(), if_true, if_false, k)
    };
    // The filter sees each segment from the TCP header on, and returns how much of it is kept.
    let filter = [
        instruction(
            libc::BPF_LD | libc::BPF_B | libc::BPF_ABS,
            0,
            0,
            FLAGS_OFFSET,
        ),
        instruction(
            libc::BPF_ALU | libc::BPF_AND | libc::BPF_K,
            0,
            0,
            SYN_AND_ACK,
        ),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    // Without it, a connection that is established while the socket is closed is reset.
    SockRef::from(listener).attach_filter(&filter).ok();
}
