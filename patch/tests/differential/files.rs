//! Descriptors of all kinds, in all states.

use std::ffi::{CString, c_int};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use crate::random::Random;
use crate::watch::Release;

/// A descriptor, and what belongs to it.
pub(crate) struct Opened {
    pub(crate) name: String,
    pub(crate) fd: c_int,
    pub(crate) releases: Vec<Release>,
    /// What else is closed at the end.
    others: Vec<c_int>,
    child: Option<i32>,
    path: Option<CString>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        for fd in self.others.iter().chain([&self.fd]) {
            close(*fd);
        }
        // SAFETY: the pointers are valid, and the child is this test's own.
        unsafe {
            if let Some(path) = &self.path {
                libc::unlink(path.as_ptr());
            }
            if let Some(child) = self.child {
                libc::kill(child, libc::SIGKILL);
                libc::syscall(libc::SYS_wait4, child, 0, 0, 0);
            }
        }
    }
}

/// The signal for signal descriptors. It is ignored where it is not blocked.
const SIGNAL: c_int = libc::SIGURG;

/// The number of a descriptor that is never open.
const CLOSED: c_int = 900;

/// What all files contain.
const CONTENT: &[u8] = b"0123456789abcdef";

pub(crate) fn close(fd: c_int) {
    if fd != CLOSED && fd >= 0 {
        // SAFETY: the descriptor is this test's own.
        unsafe { libc::syscall(libc::SYS_close, fd) };
    }
}

fn checked(result: c_int) -> c_int {
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    result
}

pub(crate) fn signal_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialized before it is used.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), SIGNAL);
        set.assume_init()
    }
}

pub(crate) fn discard_signals() {
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let set = signal_set();
    // SAFETY: the pointers are valid or null.
    unsafe {
        while libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const set,
            0,
            &raw const now,
            8,
        ) > 0
        {}
    }
}

/// Opens a descriptor of one kind.
type Open = fn(&mut Opened, &mut Random);

/// Opens a random descriptor.
pub(crate) fn open(random: &mut Random) -> Opened {
    let mut opened = Opened {
        name: String::new(),
        fd: -1,
        releases: Vec::new(),
        others: Vec::new(),
        child: None,
        path: None,
    };
    let kinds: &[(&str, Open)] = &[
        ("closed", |opened, random| {
            opened.fd = random.choose(&[CLOSED, -1, c_int::MAX, -100]);
        }),
        ("file", open_file),
        ("directory", |opened, _| {
            opened.fd = open_path(c"/tmp", libc::O_RDONLY);
        }),
        ("pipe reader", open_reader),
        ("pipe writer", open_writer),
        ("unix stream", |opened, random| {
            open_pair(opened, random, libc::SOCK_STREAM);
        }),
        ("unix datagram", |opened, random| {
            open_pair(opened, random, libc::SOCK_DGRAM);
        }),
        ("unix packets", |opened, random| {
            open_pair(opened, random, libc::SOCK_SEQPACKET);
        }),
        ("tcp", open_tcp),
        ("tcp unconnected", |opened, _| {
            opened.fd = socket(libc::AF_INET, libc::SOCK_STREAM);
        }),
        ("tcp listener", open_listener),
        ("udp", open_udp),
        ("eventfd", open_eventfd),
        ("timerfd", open_timerfd),
        ("signalfd", open_signalfd),
        ("inotify", open_inotify),
        ("epoll", open_epoll),
        ("terminal", open_terminal),
        ("device", |opened, random| {
            let path = random.choose(&[c"/dev/null", c"/dev/zero", c"/proc/version"]);
            opened.fd = open_path(path, libc::O_RDONLY);
            opened.name += path.to_str().unwrap();
        }),
        ("path", |opened, _| {
            opened.fd = open_path(c"/tmp", libc::O_PATH);
        }),
        ("fifo", open_fifo),
        ("pidfd", open_pidfd),
    ];
    let (name, kind) = kinds[random.below(kinds.len())];
    opened.name = format!("{name} ");
    kind(&mut opened, random);
    if random.once_in(4) && opened.fd >= 0 && opened.fd != CLOSED {
        opened.name += "nonblocking ";
        set_nonblocking(opened.fd);
    }
    opened
}

fn open_path(path: &std::ffi::CStr, flags: c_int) -> c_int {
    // SAFETY: the path is a C string.
    checked(unsafe { libc::open(path.as_ptr(), flags) })
}

fn own_path() -> CString {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Relaxed);
    let name = format!("differential-{}-{number}", std::process::id());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    CString::new(path.to_str().unwrap()).unwrap()
}

fn set_nonblocking(fd: c_int) {
    // SAFETY: the call changes flags of a descriptor of this test.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}

fn socket(family: c_int, kind: c_int) -> c_int {
    // SAFETY: the call takes numbers only.
    checked(unsafe { libc::socket(family, kind, 0) })
}

pub(crate) fn set_option(fd: c_int, name: c_int, value: impl Copy) {
    // SAFETY: the value is readable, and the kernel checks its size.
    unsafe {
        let (value, len) = ((&raw const value).cast(), size_of_val(&value) as u32);
        libc::setsockopt(fd, libc::SOL_SOCKET, name, value, len);
    }
}

/// Waits for events of a descriptor for at most a number of seconds, and returns them.
fn poll(fd: c_int, events: i16, tv_sec: i64) -> i16 {
    let mut one = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    let time = libc::timespec { tv_sec, tv_nsec: 0 };
    // SAFETY: the pointers are valid or null. The call does not use the hook.
    unsafe { libc::syscall(libc::SYS_ppoll, &raw mut one, 1, &raw const time, 0, 0) };
    one.revents
}

fn write(fd: c_int, bytes: &[u8]) -> bool {
    // SAFETY: the bytes are readable. The call does not use the hook.
    unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) > 0 }
}

/// Writes to a description that is not blocking until it is full.
fn fill(fd: c_int) {
    while write(fd, &[b'f'; 512]) {}
    while write(fd, b"f") {}
}

/// Ends waits of the other end of `peer`, a description that is not blocking.
fn feed_and_drain(peer: c_int) -> Release {
    let mut times = 0;
    Box::new(move || {
        // Once, so that a call finds the same however late it looks.
        if times == 0 {
            for _ in 0..4 {
                write(peer, &[b'F'; 1300]);
            }
        }
        times += 1;
        if times == 100 {
            // The call wants more. If this is a socket, no more will come.
            // SAFETY: the call takes numbers only.
            unsafe { libc::shutdown(peer, libc::SHUT_WR) };
        }
        let mut bytes = [0_u8; 4096];
        // SAFETY: the bytes are writable.
        while unsafe { libc::syscall(libc::SYS_read, peer, bytes.as_mut_ptr(), 4096) } > 0 {}
    })
}

/// Ends waits of a socket without a peer.
fn shut(fd: c_int) -> Release {
    // SAFETY: the call takes numbers only.
    Box::new(move || unsafe {
        libc::shutdown(fd, libc::SHUT_RDWR);
    })
}

fn open_file(opened: &mut Opened, random: &mut Random) {
    let path = own_path();
    let fd = open_path_with_mode(&path, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC);
    write(fd, CONTENT);
    close(fd);
    let flags = random.choose(&[
        libc::O_RDONLY,
        libc::O_RDWR,
        libc::O_WRONLY,
        libc::O_RDWR | libc::O_APPEND,
    ]);
    opened.name += &format!("{flags:o} ");
    opened.fd = open_path(&path, flags);
    opened.path = Some(path);
}

fn open_path_with_mode(path: &std::ffi::CStr, flags: c_int) -> c_int {
    // SAFETY: the path is a C string.
    checked(unsafe { libc::open(path.as_ptr(), flags, 0o600) })
}

/// Returns the ends of a pipe of one page.
fn pipe() -> [c_int; 2] {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors.
    unsafe {
        checked(libc::pipe(ends.as_mut_ptr()));
        libc::fcntl(ends[0], libc::F_SETPIPE_SZ, 4096);
    }
    ends
}

fn open_reader(opened: &mut Opened, random: &mut Random) {
    let [reader, writer] = pipe();
    opened.fd = reader;
    set_nonblocking(writer);
    if random.once_in(2) {
        opened.name += "filled ";
        write(writer, CONTENT);
    }
    if random.once_in(4) {
        opened.name += "ended ";
        close(writer);
    } else {
        opened.others.push(writer);
        opened.releases.push(Box::new(move || {
            write(writer, b"FEED");
        }));
    }
}

fn open_writer(opened: &mut Opened, random: &mut Random) {
    let [reader, writer] = pipe();
    opened.fd = writer;
    set_nonblocking(reader);
    if random.once_in(2) {
        opened.name += "full ";
        let flags = open_path(
            &CString::new(format!("/proc/self/fd/{writer}")).unwrap(),
            libc::O_WRONLY | libc::O_NONBLOCK,
        );
        fill(flags);
        close(flags);
    }
    if random.once_in(4) {
        opened.name += "broken ";
        close(reader);
    } else {
        opened.others.push(reader);
        opened.releases.push(feed_and_drain(reader));
    }
}

/// Gives a connected socket some state.
fn arrange(opened: &mut Opened, random: &mut Random, peer: c_int) {
    set_nonblocking(peer);
    if random.once_in(2) {
        opened.name += "with data ";
        write(peer, CONTENT);
        write(peer, b"more");
    }
    if random.once_in(3) {
        opened.name += "full ";
        // SAFETY: the bytes are readable.
        unsafe {
            for len in [512, 1] {
                let bytes = [b'f'; 512];
                while libc::syscall(
                    libc::SYS_sendto,
                    opened.fd,
                    bytes.as_ptr(),
                    len,
                    libc::MSG_DONTWAIT,
                    0,
                    0,
                ) > 0
                {}
            }
        }
    }
    if random.once_in(6) {
        let how = random.choose(&[libc::SHUT_RD, libc::SHUT_WR, libc::SHUT_RDWR]);
        opened.name += &format!("shut {how} ");
        // SAFETY: the call takes numbers only.
        unsafe { libc::shutdown(opened.fd, how) };
    }
    match random.below(8) {
        0 => {
            opened.name += "peer shut ";
            // SAFETY: the call takes numbers only.
            unsafe { libc::shutdown(peer, libc::SHUT_WR) };
            opened.releases.push(shut(opened.fd));
        }
        1 => {
            opened.name += "peer closed ";
            close(peer);
            opened.releases.push(shut(opened.fd));
            return;
        }
        2 => {
            opened.name += "peer reset ";
            let linger = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            set_option(peer, libc::SO_LINGER, linger);
            close(peer);
            opened.releases.push(shut(opened.fd));
            return;
        }
        _ => {}
    }
    opened.others.push(peer);
    opened.releases.push(feed_and_drain(peer));
}

fn set_some_options(opened: &mut Opened, random: &mut Random) {
    let short = libc::timeval {
        tv_sec: 0,
        tv_usec: 1000,
    };
    if random.once_in(6) {
        opened.name += "receive timeout ";
        set_option(opened.fd, libc::SO_RCVTIMEO, short);
    }
    if random.once_in(6) {
        opened.name += "send timeout ";
        set_option(opened.fd, libc::SO_SNDTIMEO, short);
    }
    if random.once_in(12) {
        opened.name += "low water ";
        set_option(opened.fd, libc::SO_RCVLOWAT, 3);
    }
}

fn open_pair(opened: &mut Opened, random: &mut Random, kind: c_int) {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors.
    unsafe { checked(libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr())) };
    opened.fd = ends[0];
    set_option(ends[0], libc::SO_SNDBUF, 4608);
    set_some_options(opened, random);
    arrange(opened, random, ends[1]);
}

pub(crate) fn loopback(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes([127, 0, 0, 1]),
        },
        sin_zero: [0; 8],
    }
}

fn bind(fd: c_int) {
    let address = loopback(0);
    // SAFETY: the address is readable.
    unsafe { checked(libc::bind(fd, (&raw const address).cast(), 16)) };
}

fn address_of(fd: c_int) -> libc::sockaddr_in {
    let mut address = loopback(0);
    let mut len = 16;
    // SAFETY: the pointers are valid.
    unsafe {
        checked(libc::getsockname(
            fd,
            (&raw mut address).cast(),
            &raw mut len,
        ))
    };
    address
}

fn connect(fd: c_int, address: libc::sockaddr_in) {
    // SAFETY: the address is readable.
    unsafe { libc::syscall(libc::SYS_connect, fd, &raw const address, 16) };
}

fn listener() -> c_int {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM);
    bind(fd);
    // SAFETY: the call takes numbers only.
    unsafe { checked(libc::listen(fd, 16)) };
    fd
}

fn open_tcp(opened: &mut Opened, random: &mut Random) {
    let listener = listener();
    opened.fd = socket(libc::AF_INET, libc::SOCK_STREAM);
    set_option(opened.fd, libc::SO_SNDBUF, 4608);
    connect(opened.fd, address_of(listener));
    // SAFETY: no address is asked for.
    let peer = unsafe { libc::syscall(libc::SYS_accept4, listener, 0, 0, 0) } as c_int;
    close(listener);
    set_some_options(opened, random);
    arrange(opened, random, checked(peer));
    if random.once_in(6)
        && let Some(peer) = opened.others.first()
    {
        opened.name += "urgent ";
        // SAFETY: the bytes are readable.
        unsafe {
            libc::syscall(
                libc::SYS_sendto,
                *peer,
                c"!".as_ptr(),
                1,
                libc::MSG_OOB,
                0,
                0,
            )
        };
    }
}

fn open_listener(opened: &mut Opened, random: &mut Random) {
    opened.fd = listener();
    set_some_options(opened, random);
    let address = address_of(opened.fd);
    let mut others = Vec::new();
    for _ in 0..random.below(3) {
        opened.name += "pending ";
        let client = socket(libc::AF_INET, libc::SOCK_STREAM);
        connect(client, address);
        others.push(client);
    }
    let client = socket(libc::AF_INET, libc::SOCK_STREAM);
    set_nonblocking(client);
    others.push(client);
    opened.others = others;
    opened
        .releases
        .push(Box::new(move || connect(client, address)));
}

fn open_udp(opened: &mut Opened, random: &mut Random) {
    opened.fd = socket(libc::AF_INET, libc::SOCK_DGRAM);
    set_some_options(opened, random);
    bind(opened.fd);
    let peer = socket(libc::AF_INET, libc::SOCK_DGRAM);
    bind(peer);
    connect(peer, address_of(opened.fd));
    if random.once_in(2) {
        opened.name += "connected ";
        connect(opened.fd, address_of(peer));
    }
    set_nonblocking(peer);
    if random.once_in(2) {
        opened.name += "with data ";
        write(peer, CONTENT);
    }
    if random.once_in(4) {
        opened.name += "peer closed ";
        close(peer);
        opened.releases.push(shut(opened.fd));
        return;
    }
    opened.others.push(peer);
    opened.releases.push(feed_and_drain(peer));
}

fn open_eventfd(opened: &mut Opened, random: &mut Random) {
    let flags = random.choose(&[0, libc::EFD_SEMAPHORE]);
    let count = random.choose(&[0, 3]);
    opened.name += &format!("{flags} {count} ");
    // SAFETY: the call takes numbers only.
    opened.fd = checked(unsafe { libc::eventfd(count, flags) });
    if flags == 0 && random.once_in(4) {
        opened.name += "full ";
        write(opened.fd, &(u64::MAX - 1 - u64::from(count)).to_ne_bytes());
    }
    let fd = opened.fd;
    opened.releases.push(Box::new(move || {
        if poll(fd, libc::POLLIN, 0) == 0 {
            write(fd, &1_u64.to_ne_bytes());
        } else {
            let mut count = [0_u8; 8];
            // SAFETY: the bytes are writable.
            unsafe { libc::syscall(libc::SYS_read, fd, count.as_mut_ptr(), 8) };
        }
    }));
}

fn open_timerfd(opened: &mut Opened, random: &mut Random) {
    // SAFETY: the call takes numbers only.
    let fd = checked(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) });
    opened.fd = fd;
    let expire = move || {
        // SAFETY: all zeros is a valid value, and the pointers are valid or null.
        unsafe {
            let mut time: libc::itimerspec = std::mem::zeroed();
            time.it_value.tv_nsec = 1;
            libc::timerfd_settime(fd, 0, &raw const time, ptr::null_mut());
        }
    };
    if random.once_in(2) {
        opened.name += "expired ";
        expire();
        poll(fd, libc::POLLIN, 1);
    }
    opened.releases.push(Box::new(expire));
}

fn open_signalfd(opened: &mut Opened, random: &mut Random) {
    let set = signal_set();
    // SAFETY: the pointers are valid or null. The signal is blocked for this OS thread.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
        opened.fd = checked(libc::signalfd(-1, &raw const set, 0));
        let thread = libc::syscall(libc::SYS_gettid) as c_int;
        let process = libc::getpid();
        let mut raise: Release = Box::new(move || {
            libc::syscall(libc::SYS_tgkill, process, thread, SIGNAL);
        });
        if random.once_in(2) {
            opened.name += "pending ";
            raise();
        }
        opened.releases.push(raise);
    }
}

fn open_inotify(opened: &mut Opened, random: &mut Random) {
    let path = own_path();
    close(open_path_with_mode(&path, libc::O_RDWR | libc::O_CREAT));
    let changed = path.clone();
    let mut change: Release = Box::new(move || {
        let fd = open_path(&changed, libc::O_WRONLY);
        write(fd, b"x");
        close(fd);
    });
    // SAFETY: the path is a C string.
    unsafe {
        opened.fd = checked(libc::inotify_init());
        checked(libc::inotify_add_watch(
            opened.fd,
            path.as_ptr(),
            libc::IN_MODIFY,
        ));
    }
    opened.path = Some(path);
    if random.once_in(2) {
        opened.name += "with event ";
        change();
    }
    opened.releases.push(change);
}

fn open_epoll(opened: &mut Opened, random: &mut Random) {
    // SAFETY: the event is valid.
    unsafe {
        opened.fd = checked(libc::epoll_create1(0));
        let [reader, writer] = pipe();
        opened.others = vec![reader, writer];
        let events = random.choose(&[libc::EPOLLIN, libc::EPOLLIN | libc::EPOLLET]) as u32;
        let mut event = libc::epoll_event {
            events: events | random.choose(&[0, libc::EPOLLONESHOT as u32]),
            u64: 5,
        };
        libc::epoll_ctl(opened.fd, libc::EPOLL_CTL_ADD, reader, &raw mut event);
        if random.once_in(2) {
            opened.name += "ready ";
            write(writer, b"x");
        }
        set_nonblocking(writer);
        let epoll = opened.fd;
        opened.releases.push(Box::new(move || {
            write(writer, b"x");
            // What is reported once only is reported once more.
            libc::epoll_ctl(epoll, libc::EPOLL_CTL_MOD, reader, &raw mut event);
        }));
    }
}

fn open_terminal(opened: &mut Opened, random: &mut Random) {
    // SAFETY: the pointers are valid.
    unsafe {
        let master = checked(libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY));
        libc::grantpt(master);
        libc::unlockpt(master);
        let mut name = [0_u8; 64];
        libc::ptsname_r(master, name.as_mut_ptr().cast(), 64);
        let name = std::ffi::CStr::from_bytes_until_nul(&name).unwrap();
        let slave = open_path(name, libc::O_RDWR | libc::O_NOCTTY);
        let mut modes: libc::termios = std::mem::zeroed();
        libc::tcgetattr(slave, &raw mut modes);
        libc::cfmakeraw(&raw mut modes);
        libc::tcsetattr(slave, libc::TCSANOW, &raw const modes);
        let (fd, peer) = match random.once_in(2) {
            true => {
                opened.name += "master ";
                (master, slave)
            }
            false => (slave, master),
        };
        opened.fd = fd;
        set_nonblocking(peer);
        if random.once_in(2) {
            opened.name += "with data ";
            write(peer, CONTENT);
            poll(fd, libc::POLLIN, 1);
        }
        opened.others.push(peer);
        opened.releases.push(feed_and_drain(peer));
    }
}

fn open_fifo(opened: &mut Opened, random: &mut Random) {
    let path = own_path();
    // SAFETY: the path is a C string.
    unsafe { checked(libc::mkfifo(path.as_ptr(), 0o600)) };
    let (fd, peer) = (
        open_path(&path, libc::O_RDWR),
        open_path(&path, libc::O_RDWR | libc::O_NONBLOCK),
    );
    opened.path = Some(path);
    opened.fd = fd;
    match random.below(3) {
        0 => {
            opened.name += "filled ";
            write(peer, CONTENT);
        }
        1 => {
            opened.name += "full ";
            fill(peer);
        }
        _ => {}
    }
    opened.others.push(peer);
    opened.releases.push(feed_and_drain(peer));
    opened.releases.push(Box::new(move || {
        write(peer, b"FEED");
    }));
}

fn open_pidfd(opened: &mut Opened, random: &mut Random) {
    let child = child(random.once_in(2));
    // SAFETY: the child is this test's own.
    opened.fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) } as c_int;
    opened.child = Some(child);
    // SAFETY: as above.
    opened.releases.push(Box::new(move || unsafe {
        libc::kill(child, libc::SIGKILL);
    }));
}

/// Starts a process that ends at once or never.
pub(crate) fn child(ends: bool) -> i32 {
    let (name, time) = (c"sleep", if ends { c"0" } else { c"1000" });
    let arguments = [
        name.as_ptr().cast_mut(),
        time.as_ptr().cast_mut(),
        ptr::null_mut(),
    ];
    let mut child = 0;
    // SAFETY: the arguments are C strings, and the lists end with null.
    unsafe {
        let failed = libc::posix_spawnp(
            &raw mut child,
            name.as_ptr(),
            ptr::null(),
            ptr::null(),
            arguments.as_ptr(),
            [ptr::null_mut()].as_ptr(),
        );
        assert_eq!(failed, 0);
        if ends {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOWAIT;
            libc::syscall(
                libc::SYS_waitid,
                libc::P_PID,
                child,
                &raw mut info,
                options,
                0,
            );
        }
    }
    child
}

/// Describes the flags of a descriptor.
pub(crate) fn flags_of(fd: c_int) -> String {
    // SAFETY: the calls read flags.
    unsafe {
        format!(
            "flags {:o} {}",
            libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFL),
            libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFD)
        )
    }
}

/// Describes what can be seen of a descriptor from outside.
pub(crate) fn state_of(fd: c_int) -> String {
    let all = libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLRDHUP;
    let events = poll(fd, all, 0);
    let mut queued: c_int = -1;
    // SAFETY: the pointer is valid.
    unsafe {
        libc::syscall(libc::SYS_ioctl, fd, libc::FIONREAD, &raw mut queued);
        let position = libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR);
        format!(
            "events {events:x}, {queued} bytes, at {position}, {}",
            flags_of(fd)
        )
    }
}
