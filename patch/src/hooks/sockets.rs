//! Sockets: connect, accept, send and receive.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;
use std::time::Instant;

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::hooks::Caller;
use libc::{mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t, timespec};

use super::blocking_mode::{is_nonblocking, without_blocking};
use super::files::{len_of, rest_of};
use super::readiness::{has_ended, is_ready};
use super::system::{WOULD_BLOCK, errno, fail, returned, set_errno, system_call};
use super::time::limit;
use super::wait::{Call, Next, PAUSE};

/// What the kernel returns once a connection has begun.
const IN_PROGRESS: isize = -(libc::EINPROGRESS as isize);

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

    SOCKET: fn __recv_chk(
        fd: c_int,
        buffer: *mut c_void,
        len: size_t,
        buffer_len: size_t,
        flags: c_int,
    ) -> ssize_t {
        |_caller| {
            if len > buffer_len {
                // It reports the overflow, and aborts.
                return real::__recv_chk(fd, buffer, len, buffer_len, flags);
            }
            recv(fd, buffer, len, flags)
        }
    }

    SOCKET: fn __recvfrom_chk(
        fd: c_int,
        buffer: *mut c_void,
        len: size_t,
        buffer_len: size_t,
        flags: c_int,
        address: *mut sockaddr,
        address_len: *mut socklen_t,
    ) -> ssize_t {
        |_caller| {
            if len > buffer_len {
                return real::__recvfrom_chk(fd, buffer, len, buffer_len, flags, address, address_len);
            }
            recvfrom(fd, buffer, len, flags, address, address_len)
        }
    }

    SOCKET: fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
        |caller| receive_message(caller, fd, message, flags)
    }

    SOCKET: fn recvmmsg(
        fd: c_int,
        messages: *mut mmsghdr,
        count: c_uint,
        flags: c_int,
        timeout: *mut timespec,
    ) -> c_int {
        |caller| receive_messages(caller, fd, (messages, count), flags, timeout)
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
            if count == 0 {
                return real::sendmmsg(fd, messages, count, flags);
            }
            // The kernel sends no more at once.
            let count = count.min(libc::UIO_MAXIOV as c_uint);
            let before = errno();
            let mut done = 0;
            while done < count {
                let message = messages.wrapping_add(done as usize);
                let sent = send_message(caller, fd, &raw const (*message).msg_hdr, flags);
                if sent < 0 && done == 0 {
                    return -1;
                }
                if sent < 0 {
                    set_errno(before);
                    break;
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

/// Whether a call with these flags never blocks. There are no events for errors and urgent data.
fn never_blocks(flags: c_int) -> bool {
    flags & (libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE | libc::MSG_OOB) != 0
}

/// Whether a call with these flags waits until its buffer is full.
fn waits_for_all(fd: c_int, flags: c_int) -> bool {
    flags & libc::MSG_WAITALL != 0 && option(fd, libc::SO_TYPE) == libc::SOCK_STREAM
}

/// Peeks until there are `len` bytes or no more will come. Each attempt finds the same data again.
fn peek_all(call: &mut Call, fd: c_int, len: usize, attempt: impl Fn() -> isize) -> ssize_t {
    loop {
        let found = attempt();
        let is_all = usize::try_from(found).map_or(found != WOULD_BLOCK, |found| found >= len);
        if is_all || is_nonblocking(fd) || found > 0 && is_ready(fd, libc::POLLRDHUP) {
            return returned(found);
        }
        let errno = match call.wait() {
            Next::TryAgain => continue,
            Next::Fail(errno) => errno,
            Next::TimedOut | Next::IsNotPollable => libc::EAGAIN,
        };
        return if found > 0 { found } else { fail(errno) };
    }
}

/// Receives without blocking.
fn at_once(fd: c_int, flags: c_int, receive: impl Fn(c_int) -> isize) -> isize {
    match receive(flags | libc::MSG_DONTWAIT) {
        // Of datagrams, only a call that may block reports the end.
        WOULD_BLOCK if has_ended(fd) => receive(flags),
        received => received,
    }
}

/// Receives as `recvfrom`.
unsafe fn receive(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    part: (*mut c_void, size_t),
    flags: c_int,
    (address, address_len): (*mut sockaddr, *mut socklen_t),
) -> ssize_t {
    if never_blocks(flags) {
        let (buffer, len) = part;
        // SAFETY: as for the function of the C library (caller).
        return returned(unsafe {
            system_call!(SYS_recvfrom, fd, buffer, len, flags, address, address_len)
        });
    }
    let mut call = Call::begin(caller, name, fd, Direction::Read);
    // SAFETY: as for the function of the C library (caller).
    unsafe { receive_part(&mut call, fd, 0, part, flags, (address, address_len)) }
}

/// Receives into one buffer, after `before` bytes of the same call.
unsafe fn receive_part(
    call: &mut Call,
    fd: c_int,
    before: usize,
    (buffer, len): (*mut c_void, size_t),
    flags: c_int,
    (address, address_len): (*mut sockaddr, *mut socklen_t),
) -> ssize_t {
    let each = flags & !libc::MSG_WAITALL;
    let mut done = 0;
    loop {
        let (buffer, len) = (buffer.wrapping_byte_add(done), len - done);
        // SAFETY: as for the function of the C library (caller).
        let attempt = |flags: c_int| unsafe {
            system_call!(SYS_recvfrom, fd, buffer, len, flags, address, address_len)
        };
        let attempt = || at_once(fd, each, attempt);
        if flags & libc::MSG_PEEK != 0 && waits_for_all(fd, flags) {
            return peek_all(call, fd, len, attempt);
        }
        let received = call.complete_after(before + done, attempt, || WOULD_BLOCK);
        match usize::try_from(received) {
            Err(_) if done == 0 => return received,
            Err(_) | Ok(0) => return done.cast_signed(),
            Ok(received) => done += received,
        }
        if received.cast_unsigned() == len || !waits_for_all(fd, flags) {
            return done.cast_signed();
        }
    }
}

/// Receives as `recvmsg`.
unsafe fn receive_message(
    caller: Caller,
    fd: c_int,
    message: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    let attempt = |flags: c_int| {
        // SAFETY: as for the function of the C library (caller).
        unsafe { system_call!(SYS_recvmsg, fd, message, flags) }
    };
    if never_blocks(flags) {
        return returned(attempt(flags));
    }
    let mut call = Call::begin(caller, &"recvmsg", fd, Direction::Read);
    let each = flags & !libc::MSG_WAITALL;
    let received = call.complete(|| at_once(fd, each, attempt), || WOULD_BLOCK);
    let Ok(mut done @ 1..) = usize::try_from(received) else {
        return received;
    };
    if !waits_for_all(fd, flags) {
        return received;
    }
    // SAFETY: the kernel has just accepted the message.
    let parts = unsafe { std::slice::from_raw_parts((*message).msg_iov, (*message).msg_iovlen) };
    if flags & libc::MSG_PEEK != 0 {
        return peek_all(&mut call, fd, len_of(parts), || at_once(fd, each, attempt));
    }
    for (buffer, len) in rest_of(parts, done) {
        let part = (buffer.cast_mut(), len);
        let nowhere = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the parts of the message are writable (caller).
        let received = unsafe { receive_part(&mut call, fd, done, part, flags, nowhere) };
        match usize::try_from(received) {
            Err(_) => break,
            Ok(received) => done += received,
        }
        if received.cast_unsigned() < len {
            break;
        }
    }
    done.cast_signed()
}

/// Receives as `recvmmsg`. Like the kernel, it looks at the time after a message only.
unsafe fn receive_messages(
    caller: Caller,
    fd: c_int,
    (messages, count): (*mut mmsghdr, c_uint),
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    let attempt = |done: c_uint, flags: c_int| {
        let left = messages.wrapping_add(done as usize);
        // The time counts after each message.
        let most = match timeout.is_null() {
            true => count - done,
            false => 1,
        };
        // SAFETY: as for the function of the C library (caller).
        unsafe { system_call!(SYS_recvmmsg, fd, left, most, flags, 0) }
    };
    let started = Instant::now();
    // SAFETY: as for the function of the C library (caller).
    let time = match unsafe { limit(timeout) } {
        Some(time) if count > 0 && !never_blocks(flags) => time,
        // It does not wait, or finds the error.
        // SAFETY: as above.
        _ => return unsafe { real::recvmmsg(fd, messages, count, flags, timeout) },
    };
    let mut call = Call::begin(caller, &"recvmmsg", fd, Direction::Read);
    let mut done = 0;
    while done < count {
        let each = |flags| attempt(done, flags);
        let attempt = || at_once(fd, flags, each);
        let received = call.complete_after(done as usize, attempt, || WOULD_BLOCK);
        match u32::try_from(received) {
            Err(_) if done == 0 => return received as c_int,
            Err(_) | Ok(0) => break,
            Ok(received) => done += received,
        }
        let is_late = time.is_some_and(|time| time <= started.elapsed());
        if flags & libc::MSG_WAITFORONE != 0 || is_late {
            break;
        }
    }
    // SAFETY: it has been read.
    if let (Some(timeout), Some(time)) = (unsafe { timeout.as_mut() }, time) {
        let left = time.saturating_sub(started.elapsed());
        timeout.tv_sec = left.as_secs() as _;
        timeout.tv_nsec = left.subsec_nanos().into();
    }
    done as c_int
}

/// Sends as `sendto`. Like the kernel, it returns once everything is sent.
unsafe fn transmit(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    part: (*const c_void, size_t),
    flags: c_int,
    to: (*const sockaddr, socklen_t),
) -> ssize_t {
    let (buffer, len) = part;
    if flags & libc::MSG_DONTWAIT != 0 {
        // SAFETY: as for the function of the C library (caller).
        return returned(unsafe { system_call!(SYS_sendto, fd, buffer, len, flags, to.0, to.1) });
    }
    let mut call = Call::begin(caller, name, fd, Direction::Write);
    if flags & libc::MSG_FASTOPEN == 0 {
        // SAFETY: as for the function of the C library (caller).
        return unsafe { transmit_part(&mut call, fd, 0, part, flags, to) };
    }
    let each = flags | libc::MSG_DONTWAIT;
    // SAFETY: as for the function of the C library (caller).
    let first = unsafe { system_call!(SYS_sendto, fd, buffer, len, each, to.0, to.1) };
    let done = match usize::try_from(first) {
        Ok(done) => done,
        // SAFETY: the kernel has just accepted the address.
        Err(_) if unsafe { is_connected(caller, fd, first, to) } => 0,
        Err(_) if first == IN_PROGRESS && !is_nonblocking(fd) => return -1,
        Err(_) => return returned(first),
    };
    let rest = (buffer.wrapping_byte_add(done), len - done);
    if rest.1 == 0 && done > 0 {
        return first;
    }
    let flags = flags & !libc::MSG_FASTOPEN;
    // SAFETY: as for the function of the C library (caller).
    let sent = unsafe { transmit_part(&mut call, fd, done, rest, flags, (ptr::null(), 0)) };
    match done {
        0 => sent,
        _ => first + sent.max(0),
    }
}

/// Sends one buffer, after `before` bytes of the same call.
unsafe fn transmit_part(
    call: &mut Call,
    fd: c_int,
    before: usize,
    (buffer, len): (*const c_void, size_t),
    flags: c_int,
    (address, address_len): (*const sockaddr, socklen_t),
) -> ssize_t {
    let each = flags | libc::MSG_DONTWAIT;
    let mut done = 0;
    loop {
        let (buffer, left) = (buffer.wrapping_byte_add(done), len - done);
        // SAFETY: as for the function of the C library (caller).
        let attempt =
            || unsafe { system_call!(SYS_sendto, fd, buffer, left, each, address, address_len) };
        let sent = call.complete_after(before + done, attempt, || WOULD_BLOCK);
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

/// Waits for the connection that a call with `MSG_FASTOPEN` has begun, if the socket is blocking.
/// Returns `false` if there is none.
unsafe fn is_connected(
    caller: Caller,
    fd: c_int,
    sent: isize,
    (address, len): (*const sockaddr, socklen_t),
) -> bool {
    // SAFETY: as for `connect` (caller).
    sent == IN_PROGRESS
        && !is_nonblocking(fd)
        && unsafe { establish(caller, fd, address, len) } == 0
}

/// Sends as `sendmsg`. If a part of a message was sent, the remainder follows without its ancillary
/// data, which has left with the first part.
unsafe fn send_message(caller: Caller, fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    let attempt = |flags: c_int, message: *const msghdr| {
        // SAFETY: as for the function of the C library (caller).
        unsafe { system_call!(SYS_sendmsg, fd, message, flags) }
    };
    if flags & libc::MSG_DONTWAIT != 0 {
        return returned(attempt(flags, message));
    }
    let mut call = Call::begin(caller, &"sendmsg", fd, Direction::Write);
    let mut first = attempt(flags | libc::MSG_DONTWAIT, message);
    if first == IN_PROGRESS && !is_nonblocking(fd) {
        // SAFETY: the kernel has just accepted the message.
        let mut plain = unsafe { message.read() };
        let to = (plain.msg_name.cast_const().cast(), plain.msg_namelen);
        // SAFETY: as above.
        if !unsafe { is_connected(caller, fd, first, to) } {
            return -1;
        }
        (plain.msg_name, plain.msg_namelen) = (ptr::null_mut(), 0);
        // SAFETY: as for the function of the C library (caller).
        return unsafe { send_message(caller, fd, &raw const plain, flags & !libc::MSG_FASTOPEN) };
    }
    if first == WOULD_BLOCK {
        let again = || attempt(flags | libc::MSG_DONTWAIT, message);
        first = call.complete(again, || WOULD_BLOCK);
    } else {
        first = returned(first);
    }
    let Ok(mut done @ 1..) = usize::try_from(first) else {
        return first;
    };
    let flags = flags & !libc::MSG_FASTOPEN;
    // SAFETY: the kernel has just accepted the message.
    let parts = unsafe { std::slice::from_raw_parts((*message).msg_iov, (*message).msg_iovlen) };
    for part in rest_of(parts, done) {
        if is_nonblocking(fd) {
            break;
        }
        // SAFETY: the parts of the message are readable (caller).
        let sent = unsafe { transmit_part(&mut call, fd, done, part, flags, (ptr::null(), 0)) };
        match usize::try_from(sent) {
            Err(_) => break,
            Ok(sent) => done += sent,
        }
        if sent.cast_unsigned() < part.1 {
            break;
        }
    }
    done.cast_signed()
}

/// Connects as `connect`.
unsafe fn establish(caller: Caller, fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    /// An earlier call has begun it.
    const ALREADY: isize = -(libc::EALREADY as isize);
    // SAFETY: as for the function of the C library (caller).
    let attempt = || unsafe { system_call!(SYS_connect, fd, address, len) };
    if is_nonblocking(fd) {
        return returned(attempt()) as c_int;
    }
    let mut call = Call::begin(caller, &"connect", fd, Direction::Write);
    let mut has_begun = false;
    loop {
        let result = without_blocking(fd, attempt);
        has_begun |= matches!(result, IN_PROGRESS | ALREADY);
        let next = match result {
            // The backlog of a Unix socket is full. No event says that there is room.
            WOULD_BLOCK => call.pause(PAUSE),
            IN_PROGRESS | ALREADY => call.wait(),
            // The kernel says this of a connection that was established meanwhile and waited for.
            result if has_begun && result == -(libc::EISCONN as isize) => return 0,
            result => return returned(result) as c_int,
        };
        match next {
            Next::TryAgain => {}
            // As the kernel does.
            Next::TimedOut if has_begun => return fail(libc::EINPROGRESS) as c_int,
            Next::TimedOut | Next::IsNotPollable => return fail(libc::EAGAIN) as c_int,
            Next::Fail(errno) => return fail(errno) as c_int,
        }
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
    let accept = || unsafe { system_call!(SYS_accept4, fd, address, len, flags) };
    let attempt = || {
        // Nothing says "without blocking" for this call alone. So it is made only if there is a
        // connection, and the description is non-blocking for the moment of the call, because
        // another OS thread may take that connection.
        match is_ready(fd, libc::POLLIN) {
            true => without_blocking(fd, accept),
            false if is_nonblocking(fd) || !may_accept(fd, flags) => accept(),
            false => WOULD_BLOCK,
        }
    };
    let mut call = Call::begin(caller, name, fd, Direction::Read);
    let accepted = call.complete(attempt, || WOULD_BLOCK);
    let error = errno();
    if accepted < 0 && error != libc::EAGAIN {
        // Servers repeat the call at once, also if there are too many connections. Then these must
        // be able to end.
        caller.yield_now();
        set_errno(error);
    }
    accepted as c_int
}

/// Whether there can ever be a connection to accept. Otherwise the call fails at once.
fn may_accept(fd: c_int, flags: c_int) -> bool {
    flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) == 0 && option(fd, libc::SO_ACCEPTCONN) != 0
}

/// Returns an option of a socket. Zero if it cannot be read.
pub(super) fn option(fd: c_int, name: c_int) -> c_int {
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
