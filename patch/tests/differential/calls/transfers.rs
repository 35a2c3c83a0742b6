//! Reads, writes, and what moves data between descriptors.

use std::ffi::c_int;
use std::ptr;

use libc::iovec;

use crate::memory::{Memory, NOWHERE, Parts, len, pointer};
use crate::round::Round;

pub(crate) fn read(round: &mut Round) {
    let (fd, name) = round.file();
    let len = len(round);
    let memory = Memory::new(round, len);
    let text = format!("read({name}, {}, {len})", memory.name());
    call!(round, text, libc::read(fd, memory.address.cast(), len));
    memory.note(round);
}

pub(crate) fn write(round: &mut Round) {
    let (fd, name) = round.file();
    let len = len(round);
    let memory = Memory::new(round, len);
    let text = format!("write({name}, {}, {len})", memory.name());
    call!(round, text, libc::write(fd, memory.address.cast(), len));
}

pub(crate) fn parts(round: &mut Round) {
    let (fd, name) = round.file();
    let parts = Parts::new(round);
    let (address, count) = (parts.address, parts.count as c_int);
    let (call, function): (
        &str,
        unsafe extern "C" fn(c_int, *const iovec, c_int) -> isize,
    ) = round
        .random
        .choose(&[("readv", libc::readv), ("writev", libc::writev)]);
    let total = parts
        .list
        .iter()
        .fold(0, |total: usize, part| total.saturating_add(part.iov_len));
    if name.starts_with("terminal") && total > 1000 {
        // How much room there is changes by itself.
        return;
    }
    let text = format!("{call}({name}, {})", parts.name);
    call!(round, text, function(fd, address, count));
    if call == "readv" {
        parts.note(round);
    }
}

pub(crate) fn splice(round: &mut Round) {
    let ((from, from_name), (to, to_name)) = (round.file(), round.file());
    if from_name.starts_with("terminal") {
        // The kernel locks a pipe while it waits for the terminal, also for the watcher.
        return;
    }
    let len = len(round);
    let flags = round.random.flags(&[1, 2, 4, 8, 16]).cast_unsigned();
    if round.random.once_in(3) {
        let text = format!("tee({from_name}, {to_name}, {len}, {flags:x})");
        call!(round, text, libc::tee(from, to, len, flags));
        return;
    }
    let mut offsets = [2_i64, 2];
    let offset = |round: &mut Round, offset: &mut i64| match round.random.once_in(3) {
        true => pointer(round, offset),
        false => ptr::null_mut(),
    };
    let [first, second] = offsets.each_mut().map(|one| offset(round, one));
    let kinds = [first, second].map(|pointer| pointer.addr().min(NOWHERE + 1));
    let text = format!("splice({from_name}, {to_name}, {kinds:?}, {len}, {flags:x})");
    call!(
        round,
        text,
        libc::splice(from, first, to, second, len, flags)
    );
    round.note(&format!("{offsets:?}"));
}

pub(crate) fn sendfile(round: &mut Round) {
    let ((from, from_name), (to, to_name)) = (round.file(), round.file());
    if from_name.starts_with("terminal") {
        // The kernel locks a pipe while it waits for the terminal, also for the watcher.
        return;
    }
    let len = len(round);
    let mut offset = round.random.choose(&[2_i64, -1, 100]);
    let own = match round.random.once_in(3) {
        true => pointer(round, &mut offset),
        false => ptr::null_mut(),
    };
    let kind = own.addr().min(NOWHERE + 1);
    let text = format!("sendfile({to_name}, {from_name}, {kind} {offset}, {len})");
    call!(round, text, libc::sendfile(to, from, own, len));
    round.note(&format!("; {offset}"));
}

pub(crate) fn map(round: &mut Round) {
    let (fd, name) = round.file();
    let parts = Parts::new(round);
    if parts.memory.iter().any(|memory| memory.bytes.len() > 16) {
        // How many pages it is on would depend on its address.
        return;
    }
    let (address, count) = (parts.address, parts.count);
    let flags = round.random.flags(&[1, 2, 4, 8, 16]).cast_unsigned();
    let text = format!("vmsplice({name}, {}, {flags:x})", parts.name);
    call!(round, text, libc::vmsplice(fd, address, count, flags));
    parts.note(round);
}
