//! Calls of sockets.

use std::ffi::c_int;
use std::ptr;

use crate::files::loopback;
use crate::memory::{Memory, NOWHERE, Parts, left, len, pointer, time};
use crate::round::Round;

const RECEIVE_FLAGS: &[c_int] = &[
    libc::MSG_DONTWAIT,
    libc::MSG_PEEK,
    libc::MSG_WAITALL,
    libc::MSG_TRUNC,
    libc::MSG_OOB,
    libc::MSG_ERRQUEUE,
    libc::MSG_NOSIGNAL,
    libc::MSG_CMSG_CLOEXEC,
    1 << 29,
];

pub(crate) fn receive(round: &mut Round) {
    let (fd, name) = round.file();
    let len = len(round);
    let memory = Memory::new(round, len);
    let flags = round.random.flags(RECEIVE_FLAGS);
    if round.random.once_in(2) {
        let text = format!("recv({name}, {}, {len}, {flags:x})", memory.name());
        call!(
            round,
            text,
            libc::recv(fd, memory.address.cast(), len, flags)
        );
        memory.note(round);
        return;
    }
    let mut address = [0_u8; 128];
    let mut size = round.random.choose(&[0_u32, 2, 16, 128, 1 << 31]);
    let mut pointers = (address.as_mut_ptr(), ptr::from_mut(&mut size));
    pointers.0 = pointer(round, &mut address).cast();
    pointers.1 = pointer(round, &mut size);
    let is_wanted = !pointers.0.is_null();
    let text = format!(
        "recvfrom({name}, {}, {len}, {flags:x}, {:?}, {:?} {size})",
        memory.name(),
        pointers.0.addr() == address.as_ptr().addr(),
        pointers.1.addr() == (&raw const size).addr(),
    );
    call!(
        round,
        text,
        libc::recvfrom(
            fd,
            memory.address.cast(),
            len,
            flags,
            pointers.0.cast(),
            pointers.1,
        )
    );
    memory.note(round);
    round.note(&format!("{is_wanted} {size} {:?}", &address[..2]));
}

const SEND_FLAGS: &[c_int] = &[
    libc::MSG_DONTWAIT,
    libc::MSG_OOB,
    libc::MSG_DONTROUTE,
    libc::MSG_EOR,
    libc::MSG_MORE,
    libc::MSG_CONFIRM,
    1 << 29,
];

pub(crate) fn send(round: &mut Round) {
    let (fd, name) = round.file();
    let len = len(round);
    let memory = Memory::new(round, len);
    let flags = round.random.flags(SEND_FLAGS) | libc::MSG_NOSIGNAL;
    if round.random.once_in(2) {
        let text = format!("send({name}, {}, {len}, {flags:x})", memory.name());
        call!(
            round,
            text,
            libc::send(fd, memory.address.cast(), len, flags)
        );
        return;
    }
    let mut address = loopback(9);
    let address = pointer(round, &mut address);
    let size = round.random.choose(&[0, 2, 16, 16, 200]);
    let text = format!(
        "sendto({name}, {}, {len}, {flags:x}, {}, {size})",
        memory.name(),
        address.addr() > NOWHERE,
    );
    call!(
        round,
        text,
        libc::sendto(fd, memory.address.cast(), len, flags, address.cast(), size)
    );
}

/// Returns a message with these parts.
pub(crate) fn message_of(
    round: &mut Round,
    parts: &Parts,
    control: &mut [u64; 16],
    name: &mut [u8; 128],
) -> libc::msghdr {
    // SAFETY: all zeros is a valid value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.address;
    message.msg_iovlen = parts.count;
    if round.random.once_in(4) {
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = round.random.choose(&[0, 4, 24, 128]);
    }
    if round.random.once_in(4) {
        message.msg_name = name.as_mut_ptr().cast();
        message.msg_namelen = round.random.choose(&[0, 2, 16, 128]);
    }
    message
}

pub(crate) fn message(round: &mut Round) {
    let (fd, name) = round.file();
    let parts = Parts::new(round);
    let (mut control, mut address) = ([0_u64; 16], [0_u8; 128]);
    let mut message = message_of(round, &parts, &mut control, &mut address);
    let text = format!(
        "({name}, {}, {} {:?}, {} {:?}",
        parts.name,
        message.msg_controllen,
        message.msg_control.is_null(),
        message.msg_namelen,
        message.msg_name.is_null(),
    );
    let own = pointer(round, &mut message);
    let text = format!(
        "{text} {}",
        if own.addr() > NOWHERE { 1 } else { own.addr() }
    );
    if round.random.once_in(2) {
        let flags = round.random.flags(RECEIVE_FLAGS);
        let text = format!("recvmsg{text}, {flags:x})");
        call!(round, text, libc::recvmsg(fd, own, flags));
        parts.note(round);
        round.note(&format!(
            "{:x} {} {} {:?}",
            message.msg_flags,
            message.msg_controllen,
            message.msg_namelen,
            &address[..2]
        ));
    } else {
        let flags = round.random.flags(SEND_FLAGS) | libc::MSG_NOSIGNAL;
        let text = format!("sendmsg{text}, {flags:x})");
        call!(round, text, libc::sendmsg(fd, own, flags));
    }
}

pub(crate) fn messages(round: &mut Round) {
    let (fd, name) = round.file();
    let all: Vec<Parts> = (0..3).map(|_| Parts::new(round)).collect();
    let message = |parts: &Parts| {
        // SAFETY: all zeros is a valid value.
        let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        message.msg_hdr.msg_iov = parts.address;
        message.msg_hdr.msg_iovlen = parts.count;
        message.msg_len = 99;
        message
    };
    let mut list: Vec<libc::mmsghdr> = all.iter().map(message).collect();
    let count = round.random.choose(&[0, 1, 2, 3]);
    let address = match round.random.below(16) {
        0 => ptr::null_mut(),
        1 => ptr::without_provenance_mut(NOWHERE),
        _ => list.as_mut_ptr(),
    };
    let names: Vec<&str> = all.iter().map(|parts| parts.name.as_str()).collect();
    let text = format!("({name}, {} {names:?}, {count}", address.addr() > NOWHERE);
    if round.random.once_in(2) {
        let flags = round.random.flags(SEND_FLAGS) | libc::MSG_NOSIGNAL;
        let text = format!("sendmmsg{text}, {flags:x})");
        call!(round, text, libc::sendmmsg(fd, address, count, flags));
    } else {
        let flags =
            round.random.flags(RECEIVE_FLAGS) | round.random.choose(&[0, libc::MSG_WAITFORONE]);
        let mut time = time(round);
        if (1..1_000_000_000).contains(&time.tv_nsec) {
            // How many messages arrive in such a time depends on the machine.
            time.tv_nsec = 0;
        }
        let before = time;
        let own = match round.random.once_in(2) {
            true => ptr::null_mut(),
            false => pointer(round, &mut time),
        };
        let kind = if own.addr() > NOWHERE { 1 } else { own.addr() };
        let text = format!("recvmmsg{text}, {flags:x}, {kind} {before:?})");
        call!(round, text, libc::recvmmsg(fd, address, count, flags, own));
        all.iter().for_each(|parts| parts.note(round));
        round.note(&format!(" {}", left(&before, &time)));
    }
    let lens: Vec<_> = list.iter().map(|one| one.msg_len).collect();
    round.note(&format!("; {lens:?}"));
}

pub(crate) fn accept(round: &mut Round) {
    let (fd, name) = round.file();
    let mut address = [0_u8; 128];
    let mut size = round.random.choose(&[0_u32, 2, 16, 128, 1 << 31]);
    let (address, len) = (pointer(round, &mut address), pointer(round, &mut size));
    let kinds = [address.addr(), len.addr()].map(|address| address.min(NOWHERE + 1));
    let flags = match round.random.once_in(8) {
        true => 1,
        false => round
            .random
            .flags(&[libc::SOCK_CLOEXEC, libc::SOCK_NONBLOCK]),
    };
    if round.random.once_in(3) {
        let text = format!("accept({name}, {kinds:?} {size})");
        // SAFETY: the kernel checks the arguments.
        round.call_for_file(&text, || unsafe { libc::accept(fd, address.cast(), len) });
    } else {
        let text = format!("accept4({name}, {kinds:?} {size}, {flags:x})");
        // SAFETY: the kernel checks the arguments.
        round.call_for_file(&text, || unsafe {
            libc::accept4(fd, address.cast(), len, flags)
        });
    }
    round.note(&format!(" {size}"));
}

pub(crate) fn connect(round: &mut Round) {
    let (fd, name) = round.file();
    let mut address = loopback(1);
    address.sin_family = round.random.choose(&[
        libc::AF_INET as u16,
        libc::AF_INET as u16,
        libc::AF_UNSPEC as u16,
        libc::AF_UNIX as u16,
        99,
    ]);
    let family = address.sin_family;
    let address = pointer(round, &mut address);
    let size = round.random.choose(&[0, 2, 16, 16, 16, 200]);
    let kind = address.addr().min(NOWHERE + 1);
    let text = format!("connect({name}, {kind} {family}, {size})");
    call!(round, text, libc::connect(fd, address.cast(), size));
}
