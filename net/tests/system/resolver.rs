//! Name resolution by a resolver that may not answer: no timeout waits for it, and nothing else
//! does either.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "real time is measured")]

use std::ffi::{CStr, c_char, c_int};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use evy_net::{ToSocketAddrs, connect, connect_timeout, listen};
use evy_runtime::thread::JoinHandle;
use evy_runtime::{fs, sleep, spawn, timeout, unblock};
use evy_test_support::{rerun_ignored, within};

const SHORT: Duration = Duration::from_millis(50);

/// How long the resolver is silent.
const SILENCE: Duration = Duration::from_secs(3);

static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static MOST_RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Answers according to the first label of the name: `silent` after a long time and `slow` after a
/// short one, both that there is no such host; `twin` with 127.0.0.1 and 127.0.0.2.
///
/// # Safety
///
/// The arguments are those of getaddrinfo(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn getaddrinfo(
    host: *const c_char,
    _service: *const c_char,
    _hints: *const libc::addrinfo,
    result: *mut *mut libc::addrinfo,
) -> c_int {
    // SAFETY: the name is a string (caller).
    let host = unsafe { CStr::from_ptr(host) }.to_str().unwrap();
    LOOKUPS.fetch_add(1, Ordering::Relaxed);
    let running = RUNNING.fetch_add(1, Ordering::Relaxed) + 1;
    MOST_RUNNING.fetch_max(running, Ordering::Relaxed);
    let addresses: &[[u8; 4]] = match host.split(['.', '-']).next() {
        Some("silent") => {
            std::thread::sleep(SILENCE);
            &[]
        }
        Some("slow") => {
            std::thread::sleep(SHORT);
            &[]
        }
        Some("twin") => &[[127, 0, 0, 1], [127, 0, 0, 2]],
        _ => &[],
    };
    RUNNING.fetch_sub(1, Ordering::Relaxed);
    if addresses.is_empty() {
        return libc::EAI_NONAME;
    }
    let list = addresses.iter().rev().fold(ptr::null_mut(), entry);
    // SAFETY: the result may be written (caller).
    unsafe { result.write(list) };
    0
}

/// Returns a list of addresses with one more in front. It is never freed.
fn entry(next: *mut libc::addrinfo, address: &[u8; 4]) -> *mut libc::addrinfo {
    let addr = Box::new(libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(*address),
        },
        sin_zero: [0; 8],
    });
    let entry = libc::addrinfo {
        ai_flags: 0,
        ai_family: libc::AF_INET,
        ai_socktype: libc::SOCK_STREAM,
        ai_protocol: 0,
        ai_addrlen: size_of::<libc::sockaddr_in>() as libc::socklen_t,
        ai_addr: Box::into_raw(addr).cast(),
        ai_canonname: ptr::null_mut(),
        ai_next: next,
    };
    Box::into_raw(Box::new(entry))
}

/// Keeps the list, which this file has allocated.
///
/// # Safety
///
/// None of it is used.
#[unsafe(no_mangle)]
unsafe extern "C" fn freeaddrinfo(_list: *mut libc::addrinfo) {}

/// Runs `op` and checks that it ends much earlier than the resolver answers.
fn soon<T>(op: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = op();
    let took = start.elapsed();
    assert!(took < SILENCE / 2, "{took:?}");
    result
}

#[test]
fn connect_timeout_covers_the_resolution_of_a_name() {
    within(|| {
        let error = soon(|| connect_timeout("silent.a:80", SHORT)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "the name was not resolved in time");
    });
}

/// A type of a program, which resolves a name in its own way.
struct Service(&'static str);

impl ToSocketAddrs for Service {
    type Iter = std::vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (self.0, 80).to_socket_addrs()
    }
}

#[test]
fn connect_timeout_covers_the_resolution_by_a_type_of_the_program() {
    within(|| {
        let error = soon(|| connect_timeout(Service("silent.b"), SHORT)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn connect_timeout_covers_the_resolution_of_a_name_in_a_destructor_while_unwinding() {
    struct Connect(std::sync::mpsc::Sender<io::Result<()>>);
    impl Drop for Connect {
        fn drop(&mut self) {
            let outcome = soon(|| connect_timeout("silent.e:80", SHORT));
            self.0.send(outcome.map(drop)).unwrap();
        }
    }
    within(|| {
        let (sender, outcome) = std::sync::mpsc::channel();
        let unwinding = spawn(move || {
            let _connect = Connect(sender);
            std::panic::resume_unwind(Box::new("unwinds"));
        });
        assert!(unwinding.join().unwrap_err().is_panic());
        let error = outcome.recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_lookup_can_be_killed_and_times_out_while_others_run() {
    within(|| {
        assert!(soon(|| timeout(SHORT, || connect("silent.c:80"))).is_err());
        let lookup = spawn(|| ("silent.d", 80).to_socket_addrs());
        soon(|| sleep(SHORT));
        lookup.kill();
        assert!(soon(|| lookup.join()).unwrap_err().is_killed());
    });
}

#[test]
fn green_threads_that_resolve_the_same_name_share_a_lookup() {
    within(|| {
        let before = LOOKUPS.load(Ordering::Relaxed);
        let lookups: Vec<JoinHandle<_>> = (0..100)
            .map(|port| spawn(move || ("slow.shared", port).to_socket_addrs().map(drop)))
            .collect();
        for lookup in lookups {
            assert!(lookup.join().unwrap().is_err());
        }
        // Other tests look up a few names meanwhile.
        assert!(LOOKUPS.load(Ordering::Relaxed) - before < 50);
    });
}

#[test]
fn an_error_of_the_resolver_is_that_of_std() {
    within(|| {
        let ours = "unknown.here:80".to_socket_addrs().map(drop).unwrap_err();
        let theirs = std::net::ToSocketAddrs::to_socket_addrs("unknown.here:80");
        let theirs = theirs.map(drop).unwrap_err();
        assert_eq!(
            (ours.kind(), ours.to_string()),
            (theirs.kind(), theirs.to_string())
        );
    });
}

#[test]
fn every_address_of_a_name_is_tried_at_the_port() {
    within(|| {
        let server = listen("127.0.0.2:0").unwrap();
        let addr = server.local_addr().unwrap();
        let stream = connect(("twin.a", addr.port())).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        drop(server);
        let error = connect(("twin.a", addr.port())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        for host in ["127.0.0.1", "127.0.0.2"] {
            let expected = format!("{host}:{}: Connection refused", addr.port());
            assert!(error.to_string().contains(&expected), "{error}");
        }
    });
}

// The lookups of the other tests would count, so this test has a process of its own.
#[test]
fn an_outage_of_the_resolver_affects_lookups_only() {
    let output = rerun_ignored("resolver::a_child_gives_up_many_lookups")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

#[test]
#[ignore = "is the child of `an_outage_of_the_resolver_affects_lookups_only`"]
fn a_child_gives_up_many_lookups() {
    let given_up = |n: usize| spawn(move || timeout(SHORT, || connect(format!("silent-{n}:80"))));
    let lookups: Vec<_> = (0..10).map(given_up).collect();
    for lookup in lookups {
        assert!(soon(|| lookup.join()).unwrap().is_err());
    }
    // Ten lookups that were given up leave room for sixteen others.
    assert!(soon(|| connect("unknown.here:80")).is_err());
    assert!(
        soon(|| connect_timeout("unknown.here:80", SHORT * 10))
            .is_err_and(|error| { error.kind() != ErrorKind::TimedOut })
    );

    let lookups: Vec<_> = (10..600).map(given_up).collect();
    for lookup in lookups {
        assert!(soon(|| lookup.join()).unwrap().is_err());
    }
    assert!(MOST_RUNNING.load(Ordering::Relaxed) <= 64);
    assert!(soon(|| fs::metadata("/")).is_ok());
    assert_eq!(soon(|| unblock(|| 1)), 1);
    // No lookup can begin now, and each waits for its own deadline.
    let error = soon(|| connect_timeout("unknown.here:80", SHORT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // The outage ends.
    assert!(connect("unknown.here:80").is_err());
    std::process::exit(0);
}
