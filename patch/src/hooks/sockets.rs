//! Sockets: connect, accept, send and receive.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;
use std::time::Duration;

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption};
use libc::{mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t, timespec};

use super::system::{WOULD_BLOCK, fail, returned, system_call};
use super::wait::{Next, is_nonblocking, on_socket, timeout_of, wait_for_descriptor};

/// The time after which a connection to a Unix socket is tried again whose backlog is full. No event
/// says that there is room.
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);

hooks! {
    SOCKET: fn recv(fd: c_int, buffer: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
        |caller| receive(caller, &"recv", fd, (buffer, len), flags, (ptr::null_mut(), ptr::null_mut()))
    }

    SOCKET: fn recvfrom(
        fd: c_int,
        buffer: *mut c_void,
        len: size_t,
        flags: c_int,
        address: *mut sockaddr,
        address_len: *mut socklen_t,
    ) -> ssize_t {
        |caller| receive(caller, &"recvfrom", fd, (buffer, len), flags, (address, address_len))
    }

    SOCKET: fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
        |caller| {
            let attempt = |flags: c_int| system_call!(SYS_recvmsg, fd, message, flags);
            if flags & libc::MSG_DONTWAIT != 0 {
                return returned(attempt(flags));
            }
            on_socket(caller, &"recvmsg", fd, Direction::Read, || {
                attempt(flags | libc::MSG_DONTWAIT)
            })
        }
    }

    SOCKET: fn recvmmsg(
        fd: c_int,
        messages: *mut mmsghdr,
        count: c_uint,
        flags: c_int,
        timeout: *mut timespec,
    ) -> c_int {
        |caller| {
            if flags & libc::MSG_DONTWAIT != 0 || !timeout.is_null() {
                return real::recvmmsg(fd, messages, count, flags, timeout);
            }
            let each = flags | libc::MSG_DONTWAIT;
            let mut done = 0;
            loop {
                let received = on_socket(caller, &"recvmmsg", fd, Direction::Read, || {
                    let rest = messages.wrapping_add(done as usize);
                    system_call!(SYS_recvmmsg, fd, rest, count - done, each, 0)
                });
                match u32::try_from(received) {
                    Err(_) if done == 0 => return received as c_int,
                    Err(_) | Ok(0) => return done as c_int,
                    Ok(received) => done += received,
                }
                if flags & libc::MSG_WAITFORONE != 0 || done >= count {
                    return done as c_int;
                }
            }
        }
    }

    SOCKET: fn send(fd: c_int, buffer: *const c_void, len: size_t, flags: c_int) -> ssize_t {
        |caller| transmit(caller, &"send", fd, (buffer, len), flags, (ptr::null(), 0))
    }

    SOCKET: fn sendto(
        fd: c_int,
        buffer: *const c_void,
        len: size_t,
        flags: c_int,
        address: *const sockaddr,
        address_len: socklen_t,
    ) -> ssize_t {
        |caller| transmit(caller, &"sendto", fd, (buffer, len), flags, (address, address_len))
    }

    SOCKET: fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
        |caller| send_message(caller, fd, message, flags)
    }

    SOCKET: fn sendmmsg(
        fd: c_int,
        messages: *mut mmsghdr,
        count: c_uint,
        flags: c_int,
    ) -> c_int {
        |caller| {
            let mut done = 0;
            while done < count {
                let message = messages.wrapping_add(done as usize);
                let sent = send_message(caller, fd, &raw const (*message).msg_hdr, flags);
                if sent < 0 {
                    return if done == 0 { -1 } else { done as c_int };
                }
                (*message).msg_len = sent as c_uint;
                done += 1;
            }
            done as c_int
        }
    }

    SOCKET: fn connect(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
        |caller| establish(caller, fd, address, len)
    }

    SOCKET: fn accept4(
        fd: c_int,
        address: *mut sockaddr,
        len: *mut socklen_t,
        flags: c_int,
    ) -> c_int {
        |caller| accept_one(caller, &"accept4", fd, (address, len), flags)
    }

    SOCKET: fn accept(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int {
        |caller| accept_one(caller, &"accept", fd, (address, len), 0)
    }
}

/// Receives as `recvfrom`.
unsafe fn receive(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    (buffer, len): (*mut c_void, size_t),
    flags: c_int,
    (address, address_len): (*mut sockaddr, *mut socklen_t),
) -> ssize_t {
    let attempt = |done: usize, flags: c_int| {
        let (buffer, len) = (buffer.wrapping_byte_add(done), len - done);
        // SAFETY: as for the function of the C library (caller).
        unsafe { system_call!(SYS_recvfrom, fd, buffer, len, flags, address, address_len) }
    };
    if flags & libc::MSG_DONTWAIT != 0 {
        return returned(attempt(0, flags));
    }
    let each = (flags & !libc::MSG_WAITALL) | libc::MSG_DONTWAIT;
    // Peeking does not take data away, so a loop would find the same data again.
    let waits_for_all = flags & libc::MSG_WAITALL != 0 && flags & libc::MSG_PEEK == 0;
    let mut done = 0;
    loop {
        let received = on_socket(caller, name, fd, Direction::Read, || attempt(done, each));
        match usize::try_from(received) {
            Err(_) if done == 0 => return received,
            Err(_) | Ok(0) => return done.cast_signed(),
            Ok(received) => done += received,
        }
        if !waits_for_all || done >= len || !is_stream(fd) {
            return done.cast_signed();
        }
    }
}

/// Sends as `sendto`. Like the kernel, it returns once everything is sent.
unsafe fn transmit(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    (buffer, len): (*const c_void, size_t),
    flags: c_int,
    (address, address_len): (*const sockaddr, socklen_t),
) -> ssize_t {
    let attempt = |done: usize, flags: c_int| {
        let (buffer, len) = (buffer.wrapping_byte_add(done), len - done);
        // SAFETY: as for the function of the C library (caller).
        unsafe { system_call!(SYS_sendto, fd, buffer, len, flags, address, address_len) }
    };
    if flags & libc::MSG_DONTWAIT != 0 {
        return returned(attempt(0, flags));
    }
    let mut done = 0;
    loop {
        let sent = on_socket(caller, name, fd, Direction::Write, || {
            attempt(done, flags | libc::MSG_DONTWAIT)
        });
        match usize::try_from(sent) {
            Err(_) if done == 0 => return sent,
            Err(_) => return done.cast_signed(),
            Ok(sent) => done += sent,
        }
        if done >= len || is_nonblocking(fd) {
            return done.cast_signed();
        }
    }
}

/// Sends as `sendmsg`. The rest of a message of which a part was sent follows without its ancillary
/// data, which has left with the first part.
unsafe fn send_message(caller: Caller, fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    let attempt = |message: *const msghdr, flags: c_int| {
        // SAFETY: as for the function of the C library (caller).
        unsafe { system_call!(SYS_sendmsg, fd, message, flags) }
    };
    if flags & libc::MSG_DONTWAIT != 0 {
        return returned(attempt(message, flags));
    }
    let each = flags | libc::MSG_DONTWAIT;
    let first = on_socket(caller, &"sendmsg", fd, Direction::Write, || {
        attempt(message, each)
    });
    let Ok(mut done) = usize::try_from(first) else {
        return first;
    };
    // SAFETY: the message is valid (caller).
    let parts = unsafe { std::slice::from_raw_parts((*message).msg_iov, (*message).msg_iovlen) };
    for part in super::files::rest_of(parts, done) {
        let sent = loop {
            // SAFETY: the parts of the message are readable (caller).
            let sent = unsafe { transmit(caller, &"sendmsg", fd, part, flags, (ptr::null(), 0)) };
            if sent != 0 || part.1 == 0 {
                break sent;
            }
        };
        match usize::try_from(sent) {
            Err(_) => return done.cast_signed(),
            Ok(sent) => done += sent,
        }
        if sent.cast_unsigned() < part.1 {
            return done.cast_signed();
        }
    }
    done.cast_signed()
}

/// Connects as `connect`.
unsafe fn establish(caller: Caller, fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: as for the function of the C library (caller).
    let attempt = || unsafe { system_call!(SYS_connect, fd, address, len) };
    if is_nonblocking(fd) {
        return returned(attempt()) as c_int;
    }
    let deadline =
        timeout_of(fd, Direction::Write).and_then(|timeout| caller.deadline_after(timeout));
    loop {
        match without_blocking(fd, attempt) {
            WOULD_BLOCK => {
                if deadline.is_some_and(|at| at <= std::time::Instant::now()) {
                    return fail(libc::EAGAIN) as c_int;
                }
                let pause = caller.deadline_after(BACKLOG_PAUSE);
                let reason = WaitReason::CallOnDescriptor(&"connect", fd);
                let _end = caller.park(reason, pause, Interruption::Waits);
            }
            result if result == -(libc::EINPROGRESS as isize) => break,
            result => return returned(result) as c_int,
        }
    }
    loop {
        let (name, ends) = (&"connect", Interruption::Ends);
        match wait_for_descriptor(caller, name, fd, Direction::Write, deadline, ends) {
            Next::TryAgain => {}
            Next::TimedOut | Next::IsNotPollable => return fail(libc::EINPROGRESS) as c_int,
            Next::Fail(errno) => return fail(errno) as c_int,
        }
        if super::readiness::is_ready(fd, libc::POLLOUT) {
            break;
        }
    }
    match option(fd, libc::SO_ERROR) {
        0 => 0,
        errno => fail(errno) as c_int,
    }
}

/// Accepts as `accept4`.
unsafe fn accept_one(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    (address, len): (*mut sockaddr, *mut socklen_t),
    flags: c_int,
) -> c_int {
    // SAFETY: as for the function of the C library (caller).
    let attempt = || unsafe { system_call!(SYS_accept4, fd, address, len, flags) };
    on_socket(caller, name, fd, Direction::Read, || {
        if is_nonblocking(fd) {
            return attempt();
        }
        // Nothing says "without blocking" for this call alone. So it is made only if there is a
        // connection, and the description is non-blocking for the moment of the call, because another
        // OS thread may take that connection.
        if super::readiness::is_ready(fd, libc::POLLIN) {
            without_blocking(fd, attempt)
        } else {
            WOULD_BLOCK
        }
    }) as c_int
}

/// Makes a call with `O_NONBLOCK` set. No other green thread runs meanwhile.
fn without_blocking(fd: c_int, call: impl FnOnce() -> isize) -> isize {
    // SAFETY: the calls read and write flags, and fail if `fd` is not open.
    unsafe {
        let flags = system_call!(SYS_fcntl, fd, libc::F_GETFL);
        if flags < 0 {
            return flags;
        }
        let nonblocking = flags | libc::O_NONBLOCK as isize;
        system_call!(SYS_fcntl, fd, libc::F_SETFL, nonblocking);
        let result = call();
        system_call!(SYS_fcntl, fd, libc::F_SETFL, flags);
        result
    }
}

/// Whether the socket is a stream, and not one of messages.
fn is_stream(fd: c_int) -> bool {
    option(fd, libc::SO_TYPE) == libc::SOCK_STREAM
}

/// Returns an option of a socket. Zero if it cannot be read.
fn option(fd: c_int, name: c_int) -> c_int {
    let mut value: c_int = 0;
    let mut len = size_of::<c_int>() as socklen_t;
    // SAFETY: the pointers are valid, and the kernel writes at most `len` bytes.
    unsafe {
        system_call!(
            SYS_getsockopt,
            fd,
            libc::SOL_SOCKET,
            name,
            &raw mut value,
            &raw mut len
        );
    }
    value
}
