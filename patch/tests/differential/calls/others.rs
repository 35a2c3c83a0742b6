//! Locks of files, names, and the ends of descriptors.

use std::ptr;

use crate::memory::{NOWHERE, pointer};
use crate::round::Round;

pub(crate) fn lock(round: &mut Round) {
    let (fd, name) = round.file();
    match round.random.below(3) {
        0 => {
            let operation = round.random.choose(&[
                libc::LOCK_SH,
                libc::LOCK_EX,
                libc::LOCK_UN,
                libc::LOCK_EX | libc::LOCK_NB,
                0,
                99,
            ]);
            let text = format!("flock({name}, {operation})");
            call!(round, text, libc::flock(fd, operation));
        }
        1 => {
            let command = round.random.choose(&[
                libc::F_LOCK,
                libc::F_TLOCK,
                libc::F_ULOCK,
                libc::F_TEST,
                99,
            ]);
            let len = round.random.choose(&[0, 1, -1, i64::MAX]);
            let text = format!("lockf({name}, {command}, {len})");
            call!(round, text, libc::lockf(fd, command, len));
        }
        _ => {
            let command = round.random.choose(&[libc::F_SETLKW, libc::F_OFD_SETLKW]);
            // SAFETY: all zeros is a valid value.
            let mut lock: libc::flock = unsafe { std::mem::zeroed() };
            lock.l_type = round.random.choose(&[0, 1, 2, 9]);
            lock.l_whence = round.random.choose(&[0, 1, 2, 9]);
            lock.l_pid = round.random.choose(&[0, 0, 1]);
            lock.l_len = round.random.choose(&[0, 1, -1]);
            let text = format!("fcntl({name}, {command}, {lock:?}");
            let own = pointer(round, &mut lock);
            let text = format!("{text} {})", own.addr().min(NOWHERE + 1));
            call!(round, text, libc::fcntl(fd, command, own));
        }
    }
}

pub(crate) fn names(round: &mut Round) {
    let node = round.random.choose(&[
        None,
        Some(c""),
        Some(c"127.0.0.1"),
        Some(c"::1"),
        Some(c"localhost"),
        Some(c"1"),
        Some(c"127.0.0.1 "),
    ]);
    let service = round.random.choose(&[
        None,
        Some(c"80"),
        Some(c"http"),
        Some(c"nothing"),
        Some(c"-1"),
    ]);
    // SAFETY: all zeros is a valid value.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_flags = round.random.flags(&[
        libc::AI_NUMERICHOST,
        libc::AI_PASSIVE,
        libc::AI_NUMERICSERV,
        libc::AI_CANONNAME,
        1 << 28,
    ]);
    hints.ai_family = round.random.choose(&[0, libc::AF_INET, libc::AF_INET6, 99]);
    // What is not in a file would be asked for elsewhere.
    let node = node.filter(|node| *node != c"localhost" || hints.ai_family != libc::AF_INET6);
    hints.ai_socktype = round.random.choose(&[0, libc::SOCK_STREAM, 99]);
    let has_hints = !round.random.once_in(6);
    let text = format!(
        "getaddrinfo({node:?}, {service:?}, {has_hints} {:x} {} {})",
        hints.ai_flags, hints.ai_family, hints.ai_socktype
    );
    let pointer = |text: Option<&std::ffi::CStr>| text.map_or(ptr::null(), std::ffi::CStr::as_ptr);
    let hints = if has_hints {
        &raw const hints
    } else {
        ptr::null()
    };
    let mut list = ptr::null_mut();
    let found = round.call(&text, || {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap();
        // SAFETY: the arguments are valid or null.
        unsafe {
            let found = libc::getaddrinfo(pointer(node), pointer(service), hints, &raw mut list);
            // It means nothing, except for system errors.
            *libc::__errno_location() = errno;
            found.into()
        }
    });
    if found == 0 {
        let mut next = list;
        let mut count = 0;
        // SAFETY: the list is that of the call.
        unsafe {
            while let Some(one) = next.as_ref() {
                count += 1;
                round.note(&format!(
                    "; {} {} {}",
                    one.ai_family, one.ai_socktype, one.ai_protocol
                ));
                next = one.ai_next;
            }
            libc::freeaddrinfo(list);
        }
        round.note(&format!("; {count}"));
    }
}

pub(crate) fn close(round: &mut Round) {
    let (fd, name) = round.file();
    match round.random.below(3) {
        0 => {
            let to = round.random.choose(&[fd, -1, 1 << 30]);
            let kind = if to == fd { "itself" } else { "wrong" };
            let text = format!("dup2({name}, {kind})");
            call!(round, text, i32::from(libc::dup2(fd, to) == fd));
        }
        1 => {
            let to = round.random.choose(&[fd, -1, 1 << 30]);
            let flags = round.random.choose(&[0, 1, libc::O_CLOEXEC]);
            let kind = if to == fd { "itself" } else { "wrong" };
            call!(
                round,
                format!("dup3({name}, {kind}, {flags:x})"),
                libc::dup3(fd, to, flags)
            );
        }
        _ => {
            let fd = round.random.choose(&[-1, 1 << 30, 899]);
            call!(round, format!("close({fd})"), libc::close(fd));
        }
    }
}
