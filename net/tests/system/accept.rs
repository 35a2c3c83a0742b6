//! Errors of accept(2) that are about one connection.

use std::cell::Cell;
use std::io;

use evy_net::{Server, connect, listen};
use evy_runtime::spawn;
use evy_test_support::{shares_thread_locals, within};

thread_local! {
    /// The error with which the next connections of this OS thread fail, and how many.
    static FAILURES: Cell<(i32, usize)> = const { Cell::new((0, 0)) };
}

/// Accepts a connection like the C library, but closes it and fails if the test has said so.
///
/// # Safety
///
/// The arguments are those of accept4(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn accept4(
    fd: i32,
    addr: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
    flags: i32,
) -> i32 {
    // SAFETY: the arguments are passed on (caller).
    let accepted = unsafe { libc::syscall(libc::SYS_accept4, fd, addr, len, flags) } as i32;
    let (code, left) = FAILURES.get();
    if accepted < 0 || left == 0 {
        return accepted;
    }
    FAILURES.set((code, left - 1));
    // SAFETY: the descriptor was returned just now, and nothing else has it; `errno` may be set.
    unsafe {
        libc::close(accepted);
        *libc::__errno_location() = code;
    }
    -1
}

const OF_ONE_CONNECTION: [i32; 10] = [
    libc::ECONNABORTED,
    libc::ECONNRESET,
    libc::EPROTO,
    libc::ENETDOWN,
    libc::ENETUNREACH,
    libc::EHOSTUNREACH,
    libc::EHOSTDOWN,
    libc::ENONET,
    libc::ENOPROTOOPT,
    libc::ETIMEDOUT,
];

#[test]
fn accept_skips_connections_that_have_failed() {
    within(|| {
        for code in OF_ONE_CONNECTION {
            let listener = listen("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            FAILURES.set((code, 2));
            let clients = [(); 3].map(|()| connect(addr).unwrap());
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer, clients[2].local_addr().unwrap(), "{code}");
        }
    });
}

#[test]
fn accept_returns_an_error_that_may_be_about_every_connection() {
    within(|| {
        for code in [libc::EPERM, libc::EOPNOTSUPP, libc::EMFILE] {
            let listener = listen("127.0.0.1:0").unwrap();
            let _client = connect(listener.local_addr().unwrap()).unwrap();
            FAILURES.set((code, 1));
            let error = listener.accept().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(code));
        }
    });
}

#[test]
fn a_server_reports_the_connections_that_accept_skips() {
    // The faults are planned in a thread local.
    if !shares_thread_locals() {
        return;
    }
    within(|| {
        let listener = listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (errors, reported) = std::sync::mpsc::channel();
        let server = Server::new().on_error(move |error| {
            errors.send(error.raw_os_error()).unwrap();
        });
        let serving = spawn(move || server.serve(listener, |client, _| drop(client)));
        for code in OF_ONE_CONNECTION.into_iter().chain([libc::EPERM]) {
            FAILURES.set((code, 1));
            let _failing = connect(addr).unwrap();
            let mut client = connect(addr).unwrap();
            assert_eq!(io::Read::read(&mut client, &mut [0]).unwrap(), 0);
            assert_eq!(reported.try_recv().unwrap(), Some(code));
        }
        serving.kill();
    });
}
