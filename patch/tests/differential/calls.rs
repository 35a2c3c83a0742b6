//! The calls, with arguments of all kinds.

use std::ffi::c_int;
use std::ptr;

use libc::{iovec, timespec};

use crate::files::{child, loopback, signal_set};
use crate::round::Round;

/// Makes a random call.
pub(crate) fn make(round: &mut Round) {
    const CALLS: &[fn(&mut Round)] = &[
        read, read, write, write, parts, parts, receive, receive, send, send, message, message,
        messages, accept, connect, poll, poll, select, epoll, splice, splice, sendfile, map, lock,
        sleep, wait, signal, names, close,
    ];
    round.random.choose(CALLS)(round);
}

/// An address that is not mapped.
const NOWHERE: usize = 16;

/// Memory for a call, which may be invalid.
struct Memory {
    bytes: Vec<u8>,
    address: *mut u8,
}

impl Memory {
    fn new(round: &mut Round, len: usize) -> Self {
        let mut bytes = vec![b'm'; len.max(1)];
        let address = match round.random.below(24) {
            0 => ptr::null_mut(),
            1 => ptr::without_provenance_mut(NOWHERE),
            _ => bytes.as_mut_ptr(),
        };
        Self { bytes, address }
    }

    fn name(&self) -> &str {
        match self.address.addr() {
            0 => "null",
            NOWHERE => "nowhere",
            _ => "memory",
        }
    }

    /// Notes what a call has written.
    fn note(&self, round: &Round) {
        let is_changed = |byte: &&u8| **byte != b'm';
        let changed: Vec<u8> = self.bytes.iter().filter(is_changed).copied().collect();
        round.note(&format!("; {} ", String::from_utf8_lossy(&changed)));
    }
}

fn len(round: &mut Round) -> usize {
    round.random.choose(&[0, 1, 3, 8, 16, 100, 600, 5000])
}

/// Returns a pointer to `value`, to nothing, or to nowhere.
fn pointer<T>(round: &mut Round, value: &mut T) -> *mut T {
    match round.random.below(24) {
        0 => ptr::null_mut(),
        1 => ptr::without_provenance_mut(NOWHERE),
        _ => value,
    }
}

fn read(round: &mut Round) {
    let (fd, name) = round.file();
    let len = len(round);
    let memory = Memory::new(round, len);
    let text = format!("read({name}, {}, {len})", memory.name());
    // SAFETY: the kernel checks the arguments.
    round.call(&text, || unsafe { libc::read(fd, memory.address.cast(), len) } as i64);
    memory.note(round);
}

fn write(round: &mut Round) {
    let (fd, name) = round.file();
    let len = len(round);
    let memory = Memory::new(round, len);
    let text = format!("write({name}, {}, {len})", memory.name());
    // SAFETY: the kernel checks the arguments.
    round.call(&text, || unsafe { libc::write(fd, memory.address.cast(), len) } as i64);
}

/// Parts of memory for a call.
struct Parts {
    memory: Vec<Memory>,
    list: Vec<iovec>,
    address: *mut iovec,
    count: usize,
    name: String,
}

impl Parts {
    /// Returns some that the kernel may refuse. All memory `is_valid`, or it may be anywhere.
    fn new(round: &mut Round, is_valid: bool) -> Self {
        let count = round.random.choose(&[0, 1, 1, 2, 3, 17, 20]);
        let lens: Vec<usize> = (0..count).map(|_| len(round)).collect();
        let mut memory: Vec<_> = lens.iter().map(|len| Memory::new(round, *len)).collect();
        if is_valid {
            memory.iter_mut().for_each(|memory| memory.address = memory.bytes.as_mut_ptr());
        }
        let part = |(memory, len): (&Memory, &usize)| iovec {
            iov_base: memory.address.cast(),
            iov_len: *len,
        };
        let mut list: Vec<_> = memory.iter().zip(&lens).map(part).collect();
        if round.random.once_in(20)
            && let Some(part) = list.last_mut()
        {
            part.iov_len = usize::MAX;
        }
        let address = match round.random.below(20) {
            0 => ptr::null_mut(),
            1 => ptr::without_provenance_mut(NOWHERE),
            _ => list.as_mut_ptr(),
        };
        // A count that is refused is refused first.
        let count = match round.random.below(20) {
            0 => 1025,
            1 => usize::MAX,
            _ => count,
        };
        let places: Vec<_> = memory.iter().map(Memory::name).collect();
        let name = format!("{:?} {lens:?} {places:?}, {count}", address.addr() == list.as_ptr().addr());
        Self {
            memory,
            list,
            address,
            count,
            name,
        }
    }

    fn note(&self, round: &Round) {
        for memory in &self.memory {
            memory.note(round);
        }
    }
}

fn parts(round: &mut Round) {
    let (fd, name) = round.file();
    // These are written to in pieces, of which the first may be valid.
    let is_written_in_pieces = name.starts_with("terminal") || name.starts_with("fifo");
    let parts = Parts::new(round, is_written_in_pieces);
    let (address, count) = (parts.address, parts.count as c_int);
    let (call, function): (&str, unsafe extern "C" fn(c_int, *const iovec, c_int) -> isize) =
        round.random.choose(&[("readv", libc::readv), ("writev", libc::writev)]);
    let total = parts.list.iter().fold(0, |total: usize, part| total.saturating_add(part.iov_len));
    if name.starts_with("terminal") && total > 1000 {
        // How much room there is changes by itself.
        return;
    }
    let text = format!("{call}({name}, {})", parts.name);
    // SAFETY: the kernel checks the arguments.
    round.call(&text, || unsafe { function(fd, address, count) } as i64);
    if call == "readv" {
        parts.note(round);
    }
}

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

fn receive(round: &mut Round) {
    let (fd, name) = round.file();
    let len = len(round);
    let memory = Memory::new(round, len);
    let flags = round.random.flags(RECEIVE_FLAGS);
    if round.random.once_in(2) {
        let text = format!("recv({name}, {}, {len}, {flags:x})", memory.name());
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::recv(fd, memory.address.cast(), len, flags) } as i64);
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
    // SAFETY: the kernel checks the arguments.
    round.call(&text, || unsafe {
        libc::recvfrom(fd, memory.address.cast(), len, flags, pointers.0.cast(), pointers.1)
    } as i64);
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

fn send(round: &mut Round) {
    let (fd, name) = round.file();
    let len = len(round);
    let memory = Memory::new(round, len);
    let flags = round.random.flags(SEND_FLAGS) | libc::MSG_NOSIGNAL;
    if round.random.once_in(2) {
        let text = format!("send({name}, {}, {len}, {flags:x})", memory.name());
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::send(fd, memory.address.cast(), len, flags) } as i64);
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
    // SAFETY: the kernel checks the arguments.
    round.call(&text, || unsafe {
        libc::sendto(fd, memory.address.cast(), len, flags, address.cast(), size)
    } as i64);
}

/// Returns a message with these parts.
fn message_of(round: &mut Round, parts: &Parts, control: &mut [u64; 16], name: &mut [u8; 128]) -> libc::msghdr {
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

fn message(round: &mut Round) {
    let (fd, name) = round.file();
    let parts = Parts::new(round, false);
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
    let text = format!("{text} {}", if own.addr() > NOWHERE { 1 } else { own.addr() });
    if round.random.once_in(2) {
        let flags = round.random.flags(RECEIVE_FLAGS);
        let text = format!("recvmsg{text}, {flags:x})");
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::recvmsg(fd, own, flags) } as i64);
        parts.note(round);
        round.note(&format!(
            "{:x} {} {} {:?}",
            message.msg_flags, message.msg_controllen, message.msg_namelen, &address[..2]
        ));
    } else {
        let flags = round.random.flags(SEND_FLAGS) | libc::MSG_NOSIGNAL;
        let text = format!("sendmsg{text}, {flags:x})");
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::sendmsg(fd, own, flags) } as i64);
    }
}

fn messages(round: &mut Round) {
    let (fd, name) = round.file();
    let all: Vec<Parts> = (0..3).map(|_| Parts::new(round, false)).collect();
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
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::sendmmsg(fd, address, count, flags) }.into());
    } else {
        let flags = round.random.flags(RECEIVE_FLAGS) | round.random.choose(&[0, libc::MSG_WAITFORONE]);
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
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::recvmmsg(fd, address, count, flags, own) }.into());
        all.iter().for_each(|parts| parts.note(round));
        round.note(&format!(" {}", left(&before, &time)));
    }
    let lens: Vec<_> = list.iter().map(|one| one.msg_len).collect();
    round.note(&format!("; {lens:?}"));
}

/// Returns a time that is short, or invalid.
fn time(round: &mut Round) -> timespec {
    let (tv_sec, tv_nsec) = round.random.choose(&[
        (0, 0),
        (0, 1),
        (0, 300_000),
        (0, -1),
        (-1, 0),
        (0, 1_000_000_000),
        (0, i64::MAX),
        (i64::MIN, 0),
    ]);
    timespec { tv_sec, tv_nsec }
}

/// Describes what a call has left of a time.
fn left(before: &timespec, after: &timespec) -> &'static str {
    match (before.tv_sec, before.tv_nsec) == (after.tv_sec, after.tv_nsec) {
        true => "same time",
        false if (after.tv_sec, after.tv_nsec) == (0, 0) => "no time",
        false => "some time",
    }
}

fn accept(round: &mut Round) {
    let (fd, name) = round.file();
    let mut address = [0_u8; 128];
    let mut size = round.random.choose(&[0_u32, 2, 16, 128, 1 << 31]);
    let (address, len) = (pointer(round, &mut address), pointer(round, &mut size));
    let kinds = [address.addr(), len.addr()].map(|address| address.min(NOWHERE + 1));
    let flags = match round.random.once_in(8) {
        true => 1,
        false => round.random.flags(&[libc::SOCK_CLOEXEC, libc::SOCK_NONBLOCK]),
    };
    // SAFETY: the kernel checks the arguments.
    match round.random.once_in(3) {
        true => round.call_for_file(&format!("accept({name}, {kinds:?} {size})"), || unsafe {
            libc::accept(fd, address.cast(), len)
        }),
        false => {
            let text = format!("accept4({name}, {kinds:?} {size}, {flags:x})");
            round.call_for_file(&text, || unsafe {
                libc::accept4(fd, address.cast(), len, flags)
            });
        }
    }
    round.note(&format!(" {size}"));
}

fn connect(round: &mut Round) {
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
    // SAFETY: the kernel checks the arguments.
    round.call(&text, || unsafe { libc::connect(fd, address.cast(), size) }.into());
}

fn poll(round: &mut Round) {
    let count = round.random.choose(&[0, 1, 2, 3]);
    let mut names = String::new();
    let mut list: Vec<libc::pollfd> = Vec::new();
    for _ in 0..3 {
        let (fd, name) = round.file();
        let events = round.random.choose(&[
            0,
            libc::POLLIN,
            libc::POLLOUT,
            libc::POLLIN | libc::POLLOUT,
            libc::POLLPRI,
            libc::POLLRDHUP,
            libc::POLLRDNORM | libc::POLLWRBAND,
            -1,
        ]);
        names += &format!("{name} {events:x}, ");
        list.push(libc::pollfd {
            fd,
            events,
            revents: 0x55,
        });
    }
    let address = match round.random.below(20) {
        0 => ptr::null_mut(),
        1 => ptr::without_provenance_mut(NOWHERE),
        _ => list.as_mut_ptr(),
    };
    let count = match round.random.once_in(20) {
        true => 1 << 30,
        false => count,
    };
    let kind = address.addr().min(NOWHERE + 1);
    if round.random.once_in(2) {
        // Without a limit, only with a descriptor that the watcher knows how to feed.
        let time = round.random.choose(&[0, 1, 1]);
        let text = format!("poll({kind} [{names}], {count}, {time})");
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::poll(address, count, time) }.into());
    } else {
        let mut time = time(round);
        let before = time;
        let own = pointer(round, &mut time);
        let own = if own.addr() <= NOWHERE { &raw mut time } else { own };
        let is_there = own.addr() > NOWHERE;
        let text = format!("ppoll({kind} [{names}], {count}, {is_there} {before:?})");
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::ppoll(address, count, own, ptr::null()) }.into());
        round.note(left(&before, &time));
    }
    let found: Vec<_> = list.iter().map(|one| one.revents).collect();
    round.note(&format!("; {found:x?}"));
}

fn select(round: &mut Round) {
    let mut sets = [[0_u64; 16]; 3];
    let mut names = String::new();
    let mut highest = 0;
    for set in &mut sets {
        for _ in 0..round.random.below(3) {
            let (fd, name) = round.file();
            if let Ok(fd @ ..1024) = usize::try_from(fd) {
                set[fd / 64] |= 1 << (fd % 64);
                names += &name;
                highest = highest.max(fd);
            }
        }
        names += "; ";
    }
    let mut before = sets;
    let pointers = sets.each_mut().map(|set| match round.random.below(12) {
        0 => ptr::without_provenance_mut(NOWHERE),
        1..4 => ptr::null_mut(),
        _ => set.as_mut_ptr().cast::<libc::fd_set>(),
    });
    let kinds = pointers.map(|pointer| pointer.addr().min(NOWHERE + 1));
    let (count, kind) = match round.random.below(10) {
        0 => (-1, "-1"),
        1 => (0, "0"),
        2 => (1024, "1024"),
        3 => (64, "64"),
        _ => (highest as c_int + 1, "all"),
    };
    let [read, write, except] = pointers;
    let mut time = time(round);
    let own = pointer(round, &mut time);
    let own = if own.addr() <= NOWHERE { &raw mut time } else { own };
    let is_there = own.addr() > NOWHERE;
    if round.random.once_in(2) {
        let text = format!("pselect({kind}, {kinds:?} {names}, {is_there} {time:?})");
        let before = time;
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe {
            libc::pselect(count, read, write, except, own, ptr::null())
        }.into());
        round.note(left(&before, &time));
    } else {
        // Microseconds, of which there may be many.
        time.tv_nsec = (time.tv_nsec / 1000).min(999_999);
        let before = time;
        let text = format!("select({kind}, {kinds:?} {names}, {is_there} {time:?})");
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::select(count, read, write, except, own.cast()) }.into());
        round.note(left(&before, &time));
    }
    for (set, before) in sets.iter().zip(&mut before) {
        let ones: u32 = set.iter().map(|word| word.count_ones()).sum();
        round.note(&format!(" {} {ones}", set == before));
    }
}

fn epoll(round: &mut Round) {
    let (fd, name) = round.file();
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
    let count = round.random.choose(&[-1, 0, 1, 4, 4]);
    let address = pointer(round, &mut events).cast::<libc::epoll_event>();
    let kind = address.addr().min(NOWHERE + 1);
    if round.random.once_in(2) {
        let time = round.random.choose(&[0, 1, -1, -1]);
        let text = format!("epoll_wait({name}, {kind}, {count}, {time})");
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::epoll_wait(fd, address, count, time) }.into());
    } else {
        let mut time = time(round);
        let own = pointer(round, &mut time);
        let is_there = own.addr().min(NOWHERE + 1);
        let text = format!("epoll_pwait2({name}, {kind}, {count}, {is_there} {time:?})");
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe {
            libc::epoll_pwait2(fd, address, count, own, ptr::null())
        }.into());
    }
    for event in events {
        let (events, data) = (event.events, event.u64);
        round.note(&format!(" {events:x} {data}"));
    }
}

fn splice(round: &mut Round) {
    let ((from, from_name), (to, to_name)) = (round.file(), round.file());
    let len = len(round);
    let flags = round.random.flags(&[1, 2, 4, 8, 16]).cast_unsigned();
    if round.random.once_in(3) {
        let text = format!("tee({from_name}, {to_name}, {len}, {flags:x})");
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::tee(from, to, len, flags) } as i64);
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
    // SAFETY: the kernel checks the arguments.
    round.call(&text, || unsafe { libc::splice(from, first, to, second, len, flags) } as i64);
    round.note(&format!("{offsets:?}"));
}

fn sendfile(round: &mut Round) {
    let ((from, from_name), (to, to_name)) = (round.file(), round.file());
    let len = len(round);
    let mut offset = round.random.choose(&[2_i64, -1, 100]);
    let own = match round.random.once_in(3) {
        true => pointer(round, &mut offset),
        false => ptr::null_mut(),
    };
    let kind = own.addr().min(NOWHERE + 1);
    let text = format!("sendfile({to_name}, {from_name}, {kind} {offset}, {len})");
    // SAFETY: the kernel checks the arguments.
    round.call(&text, || unsafe { libc::sendfile(to, from, own, len) } as i64);
    round.note(&format!("; {offset}"));
}

fn map(round: &mut Round) {
    let (fd, name) = round.file();
    let parts = Parts::new(round, false);
    let (address, count) = (parts.address, parts.count);
    let flags = round.random.flags(&[1, 2, 4, 8, 16]).cast_unsigned();
    let text = format!("vmsplice({name}, {}, {flags:x})", parts.name);
    // SAFETY: the kernel checks the arguments.
    round.call(&text, || unsafe { libc::vmsplice(fd, address, count, flags) } as i64);
    parts.note(round);
}

fn lock(round: &mut Round) {
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
            // SAFETY: the kernel checks the arguments.
            round.call(&text, || unsafe { libc::flock(fd, operation) }.into());
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
            // SAFETY: the kernel checks the arguments.
            round.call(&text, || unsafe { libc::lockf(fd, command, len) }.into());
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
            // SAFETY: the kernel checks the arguments.
            round.call(&text, || unsafe { libc::fcntl(fd, command, own) }.into());
        }
    }
}

fn sleep(round: &mut Round) {
    let mut time = time(round);
    let mut remaining = timespec {
        tv_sec: 3,
        tv_nsec: 3,
    };
    let clock = round.random.choose(&[
        libc::CLOCK_REALTIME,
        libc::CLOCK_MONOTONIC,
        libc::CLOCK_BOOTTIME,
        libc::CLOCK_TAI,
        libc::CLOCK_MONOTONIC_RAW,
        libc::CLOCK_REALTIME_COARSE,
        libc::CLOCK_THREAD_CPUTIME_ID,
        77,
        -1,
    ]);
    let flags = round.random.choose(&[0, libc::TIMER_ABSTIME, 2, 0x100]);
    if clock == libc::CLOCK_THREAD_CPUTIME_ID {
        // It would not end.
        time.tv_nsec = time.tv_nsec.min(1);
    }
    let what = round.random.below(4);
    let before = format!("{time:?}");
    let own = match what {
        // The C library reads it itself.
        2 => &raw mut time,
        _ => pointer(round, &mut time),
    };
    let kind = own.addr().min(NOWHERE + 1);
    let remaining = &raw mut remaining;
    match what {
        0 => {
            let text = format!("clock_nanosleep({clock}, {flags:x}, {kind} {before})");
            // SAFETY: the kernel checks the arguments.
            round.call(&text, || unsafe { libc::clock_nanosleep(clock, flags, own, remaining) }.into());
        }
        1 => {
            let text = format!("nanosleep({kind} {before})");
            // SAFETY: the kernel checks the arguments.
            round.call(&text, || unsafe { libc::nanosleep(own, remaining) }.into());
        }
        2 => {
            let text = format!("thrd_sleep({before})");
            // SAFETY: the times are valid.
            round.call(&text, || unsafe { thrd_sleep(own, remaining) }.into());
        }
        _ => {
            let micros = round.random.choose(&[0, 1, 1000]);
            // SAFETY: the call takes a number only.
            round.call(&format!("usleep({micros})"), || unsafe { libc::usleep(micros) }.into());
        }
    }
    // SAFETY: the time is valid.
    round.note(&format!("; {:?}", unsafe { *remaining }));
}

unsafe extern "C" {
    fn thrd_sleep(time: *const timespec, remaining: *mut timespec) -> c_int;
}

fn wait(round: &mut Round) {
    let ends = round.random.once_in(4);
    let child = match round.random.once_in(2) {
        true => Some(child(ends)),
        false => None,
    };
    // A child that does not end is asked for only without waiting.
    let at_once = match child.is_some() && !ends {
        true => libc::WNOHANG,
        false => 0,
    };
    let options = at_once
        | round.random.flags(&[
            libc::WNOHANG,
            libc::WUNTRACED,
            libc::WCONTINUED,
            libc::__WALL,
            libc::__WCLONE,
            libc::__WNOTHREAD,
            libc::WEXITED,
            libc::WNOWAIT,
            0x40,
        ]);
    // Another process than a child cannot be waited for.
    let id = child.unwrap_or_else(|| round.random.choose(&[1, i32::MAX, -i32::MAX, i32::MIN]));
    let name = match child {
        Some(_) => format!("child {ends}"),
        None => format!("{id}"),
    };
    let (mut status, mut usage) = (77, [0_u64; 18]);
    if round.random.once_in(2) {
        let status_at = pointer(round, &mut status);
        let usage_at = pointer(round, &mut usage);
        let kinds = [status_at.addr(), usage_at.addr()].map(|address| address.min(NOWHERE + 1));
        let text = format!("wait4({name}, {kinds:?}, {options:x})");
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || {
            let found = unsafe { libc::wait4(id, status_at, options, usage_at.cast()) };
            i64::from(if Some(found) == child { 1 } else { found })
        });
        round.note(&format!("; {status}"));
    } else {
        let kind = round.random.choose(&[libc::P_PID, libc::P_PID, libc::P_PIDFD, 77]);
        let options = options | round.random.choose(&[0, libc::WEXITED]);
        // SAFETY: all zeros is a valid value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        info.si_code = 55;
        let own = pointer(round, &mut info);
        let is_there = own.addr().min(NOWHERE + 1);
        let text = format!("waitid({kind}, {name}, {is_there}, {options:x})");
        // SAFETY: the kernel checks the arguments.
        round.call(&text, || unsafe { libc::waitid(kind, id as u32, own, options) }.into());
        let (code, signal) = (info.si_code, info.si_signo);
        round.note(&format!("; {code} {signal}"));
    }
    if let Some(child) = child {
        // SAFETY: the child is this test's own, unless it has been waited for.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let is_left = libc::syscall(
                libc::SYS_waitid,
                libc::P_PID,
                child,
                &raw mut info,
                libc::WEXITED | libc::WNOHANG | libc::WNOWAIT,
                0,
            );
            round.note(&format!("; left {is_left}"));
            if is_left == 0 {
                libc::kill(child, libc::SIGKILL);
                libc::syscall(libc::SYS_wait4, child, 0, 0, 0);
            }
        }
    }
}

fn signal(round: &mut Round) {
    let mut set = signal_set();
    // SAFETY: the set is initialized.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    let raises = round.random.once_in(2);
    if raises {
        // SAFETY: the signal is blocked.
        unsafe {
            libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), libc::SIGURG);
        }
    }
    let mut time = time(round);
    let before = format!("{time:?}");
    // SAFETY: all zeros is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let (set_at, time_at) = (pointer(round, &mut set), pointer(round, &mut time));
    let time_at = if time_at.is_null() { &raw mut time } else { time_at };
    let info_at = pointer(round, &mut info);
    let kinds = [set_at.addr(), time_at.addr(), info_at.addr()];
    let kinds = kinds.map(|address| address.min(NOWHERE + 1));
    let text = format!("sigtimedwait({raises}, {kinds:?}, {before})");
    // The C library writes the information itself.
    let info_at = if info_at.addr() == NOWHERE { ptr::null_mut() } else { info_at };
    // SAFETY: the kernel checks the arguments.
    round.call(&text, || unsafe { libc::sigtimedwait(set_at, info_at, time_at) }.into());
    let (code, signal) = (info.si_code, info.si_signo);
    round.note(&format!("; {code} {signal}"));
}

fn names(round: &mut Round) {
    let node = round.random.choose(&[None, Some(c""), Some(c"127.0.0.1"), Some(c"::1"), Some(c"localhost"), Some(c"1"), Some(c"127.0.0.1 ")]);
    let service = round.random.choose(&[None, Some(c"80"), Some(c"http"), Some(c"nothing"), Some(c"-1")]);
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
    let hints = if has_hints { &raw const hints } else { ptr::null() };
    let mut list = ptr::null_mut();
    // SAFETY: the arguments are valid or null.
    let found = round.call(&text, || {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap();
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
                round.note(&format!("; {} {} {}", one.ai_family, one.ai_socktype, one.ai_protocol));
                next = one.ai_next;
            }
            libc::freeaddrinfo(list);
        }
        round.note(&format!("; {count}"));
    }
}

fn close(round: &mut Round) {
    let (fd, name) = round.file();
    match round.random.below(3) {
        0 => {
            let to = round.random.choose(&[fd, -1, 1 << 30]);
            let kind = if to == fd { "itself" } else { "wrong" };
            // SAFETY: the call takes numbers only.
            round.call(&format!("dup2({name}, {kind})"), || {
                i64::from(unsafe { libc::dup2(fd, to) } == fd)
            });
        }
        1 => {
            let to = round.random.choose(&[fd, -1, 1 << 30]);
            let flags = round.random.choose(&[0, 1, libc::O_CLOEXEC]);
            let kind = if to == fd { "itself" } else { "wrong" };
            // SAFETY: the call takes numbers only.
            round.call(&format!("dup3({name}, {kind}, {flags:x})"), || {
                unsafe { libc::dup3(fd, to, flags) }.into()
            });
        }
        _ => {
            let fd = round.random.choose(&[-1, 1 << 30, 899]);
            // SAFETY: no such descriptor is open.
            round.call(&format!("close({fd})"), || unsafe { libc::close(fd) }.into());
        }
    }
}
