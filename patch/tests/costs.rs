//! What the hooks cost an OS thread that has never used evy. Prints a table, in Markdown:
//!
//! ```text
//! cargo test --release -p evy-patch --test costs -- --ignored --nocapture
//! ```
#![cfg(target_os = "linux")]

use std::ffi::{CStr, c_int, c_long, c_void};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::time::Instant;

/// Functions of the C library: those that calls reach, or its own.
struct Functions {
    lock: unsafe extern "C" fn(*mut libc::pthread_mutex_t) -> c_int,
    unlock: unsafe extern "C" fn(*mut libc::pthread_mutex_t) -> c_int,
    signal: unsafe extern "C" fn(*mut libc::pthread_cond_t) -> c_int,
    read_lock: unsafe extern "C" fn(*mut libc::pthread_rwlock_t) -> c_int,
    read_unlock: unsafe extern "C" fn(*mut libc::pthread_rwlock_t) -> c_int,
    post: unsafe extern "C" fn(*mut libc::sem_t) -> c_int,
    wait: unsafe extern "C" fn(*mut libc::sem_t) -> c_int,
    once: unsafe extern "C" fn(*mut c_int, extern "C" fn()) -> c_int,
    syscall: unsafe extern "C" fn(c_long, usize, c_int, usize, usize, usize, usize) -> c_long,
    write: unsafe extern "C" fn(c_int, *const c_void, usize) -> isize,
    read: unsafe extern "C" fn(c_int, *mut c_void, usize) -> isize,
    send: unsafe extern "C" fn(c_int, *const c_void, usize, c_int) -> isize,
    recv: unsafe extern "C" fn(c_int, *mut c_void, usize, c_int) -> isize,
    poll: unsafe extern "C" fn(*mut libc::pollfd, libc::nfds_t, c_int) -> c_int,
}

fn functions(library: *mut c_void) -> Functions {
    macro_rules! find {
        ($name:literal) => {{
            let name: &CStr = $name;
            // SAFETY: the C library has a function of this name, with the signature of the field.
            unsafe { std::mem::transmute(libc::dlsym(library, name.as_ptr())) }
        }};
    }
    Functions {
        lock: find!(c"pthread_mutex_lock"),
        unlock: find!(c"pthread_mutex_unlock"),
        signal: find!(c"pthread_cond_signal"),
        read_lock: find!(c"pthread_rwlock_rdlock"),
        read_unlock: find!(c"pthread_rwlock_unlock"),
        post: find!(c"sem_post"),
        wait: find!(c"sem_wait"),
        once: find!(c"pthread_once"),
        syscall: find!(c"syscall"),
        write: find!(c"write"),
        read: find!(c"read"),
        send: find!(c"send"),
        recv: find!(c"recv"),
        poll: find!(c"poll"),
    }
}

/// The objects that the calls work on.
struct Objects {
    mutex: libc::pthread_mutex_t,
    condvar: libc::pthread_cond_t,
    rwlock: libc::pthread_rwlock_t,
    semaphore: libc::sem_t,
    once: c_int,
    pipe: [c_int; 2],
    sockets: [c_int; 2],
}

impl Objects {
    fn new() -> Self {
        let mut semaphore = MaybeUninit::uninit();
        let (mut pipe, mut sockets) = ([0; 2], [0; 2]);
        // SAFETY: the pointers are valid.
        unsafe {
            assert_eq!(libc::sem_init(semaphore.as_mut_ptr(), 0, 0), 0);
            assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
            let pair = libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, sockets.as_mut_ptr());
            assert_eq!(pair, 0);
            Self {
                mutex: libc::PTHREAD_MUTEX_INITIALIZER,
                condvar: libc::PTHREAD_COND_INITIALIZER,
                rwlock: libc::PTHREAD_RWLOCK_INITIALIZER,
                semaphore: semaphore.assume_init(),
                once: 0,
                pipe,
                sockets,
            }
        }
    }

    /// Measures each row: its name, and the shortest time of one call in nanoseconds.
    fn measure(&mut self, f: &Functions) -> Vec<(&'static str, f64)> {
        extern "C" fn nothing() {}
        let mut byte = [1_u8];
        let buffer: *mut c_void = byte.as_mut_ptr().cast();
        let mutex = &raw mut self.mutex;
        let condvar = &raw mut self.condvar;
        let rwlock = &raw mut self.rwlock;
        let semaphore = &raw mut self.semaphore;
        let once = &raw mut self.once;
        let ([from, to], [a, b]) = (self.pipe, self.sockets);
        let word = 0_u32;
        let word = (&raw const word).addr();
        let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        let mut none = libc::pollfd {
            fd: -1,
            events: 0,
            revents: 0,
        };
        let none = &raw mut none;
        // SAFETY: all objects are valid, and no call blocks.
        unsafe {
            vec![
                time("`pthread_mutex_lock`, `unlock`", 10_000, || {
                    (f.lock)(mutex);
                    (f.unlock)(mutex);
                }),
                time("`pthread_cond_signal`", 10_000, || {
                    (f.signal)(condvar);
                }),
                time("`pthread_rwlock_rdlock`, `unlock`", 10_000, || {
                    (f.read_lock)(rwlock);
                    (f.read_unlock)(rwlock);
                }),
                time("`sem_post`, `sem_wait`", 10_000, || {
                    (f.post)(semaphore);
                    (f.wait)(semaphore);
                }),
                time("`pthread_once`, done", 10_000, || {
                    (f.once)(once, nothing);
                }),
                time("`syscall`: futex wake", 1000, || {
                    (f.syscall)(libc::SYS_futex, word, wake, 1, 0, 0, 0);
                }),
                time("`write`, `read`: a pipe", 1000, || {
                    (f.write)(to, buffer, 1);
                    (f.read)(from, buffer, 1);
                }),
                time("`send`, `recv`: a Unix socket", 1000, || {
                    (f.send)(a, buffer, 1, 0);
                    (f.recv)(b, buffer, 1, 0);
                }),
                time("`poll`", 1000, || {
                    (f.poll)(none, 1, 0);
                }),
            ]
        }
    }
}

fn time(name: &'static str, calls: u32, f: impl Fn()) -> (&'static str, f64) {
    let measure = || {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(&f)();
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    };
    (name, (0..5).map(|_| measure()).fold(f64::MAX, f64::min))
}

/// Takes the lesser of two measurements of each row.
fn least(best: &mut Vec<(&'static str, f64)>, rows: Vec<(&'static str, f64)>) {
    if best.is_empty() {
        *best = rows;
        return;
    }
    for (best, row) in best.iter_mut().zip(rows) {
        best.1 = best.1.min(row.1);
    }
}

#[test]
#[ignore = "it measures"]
fn hooks_on_an_os_thread() {
    // SAFETY: the C library is loaded already.
    let library = unsafe { libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_NOW) };
    let (real, hooks) = (functions(library), functions(libc::RTLD_DEFAULT));
    let mut objects = Objects::new();
    let (mut unhooked, mut off, mut on) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..20 {
        least(&mut unhooked, objects.measure(&real));
        least(&mut off, objects.measure(&hooks));
    }
    if let Err(error) = evy::patch::monkey_patch() {
        println!("skipped: {error}");
        return;
    }
    // Another OS thread runs green threads that wait, as in a program that uses them.
    std::thread::spawn(|| {
        let all: Vec<_> = (0..100).map(|_| evy::spawn(std::thread::park)).collect();
        evy::wait_all(all);
    });
    for _ in 0..20 {
        least(&mut unhooked, objects.measure(&real));
        least(&mut on, objects.measure(&hooks));
    }
    println!("| calls | without hooks | not enabled | enabled |");
    println!("|---|---|---|---|");
    for ((unhooked, off), on) in unhooked.iter().zip(off).zip(on) {
        println!(
            "| {} | {:.1} ns | {:.1} ns | {:.1} ns |",
            unhooked.0, unhooked.1, off.1, on.1
        );
    }
}
