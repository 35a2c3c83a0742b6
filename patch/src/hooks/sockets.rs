//! Sockets: send and receive.

use std::ffi::{c_int, c_void};
use std::ptr;

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::hooks::Caller;
use libc::{size_t, sockaddr, socklen_t, ssize_t};

use super::system::{returned, system_call};
use super::wait::on_socket;

hooks! {
    SOCKET: fn recv(fd: c_int, buffer: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
        |caller| receive(caller, &"recv", fd, (buffer, len), flags, ptr::null_mut(), ptr::null_mut())
    }

    SOCKET: fn recvfrom(
        fd: c_int,
        buffer: *mut c_void,
        len: size_t,
        flags: c_int,
        address: *mut sockaddr,
        address_len: *mut socklen_t,
    ) -> ssize_t {
        |caller| receive(caller, &"recvfrom", fd, (buffer, len), flags, address, address_len)
    }
}

/// Receives as `recvfrom`.
unsafe fn receive(
    caller: Caller,
    name: &'static &'static str,
    fd: c_int,
    (buffer, len): (*mut c_void, size_t),
    flags: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> ssize_t {
    let attempt = |done: usize, flags: c_int| {
        let buffer = buffer.cast::<u8>().wrapping_add(done);
        // SAFETY: as for the function of the C library (caller).
        unsafe {
            system_call!(
                SYS_recvfrom,
                fd,
                buffer,
                len - done,
                flags,
                address,
                address_len
            )
        }
    };
    if flags & libc::MSG_DONTWAIT != 0 {
        return returned(attempt(0, flags));
    }
    let each = (flags & !libc::MSG_WAITALL) | libc::MSG_DONTWAIT;
    let mut done = 0;
    loop {
        let received = on_socket(caller, name, fd, Direction::Read, || attempt(done, each));
        match usize::try_from(received) {
            Err(_) if done == 0 => return received,
            Err(_) | Ok(0) => return done.cast_signed(),
            Ok(received) => done += received,
        }
        if flags & libc::MSG_WAITALL == 0 || done >= len {
            return done.cast_signed();
        }
    }
}
