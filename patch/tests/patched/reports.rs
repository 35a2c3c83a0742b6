//! What dumps and the watchdog say of patched calls.

use std::io::Read;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use evy_test_support::within;

use crate::is_patched;

#[test]
fn a_dump_names_the_call_and_what_it_waits_for() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (reader, writer) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let (pair_of_waiter, descriptors) = (
            Arc::clone(&pair),
            [reader.as_raw_fd(), listener.as_raw_fd()],
        );
        let all = [
            evy::spawn(move || drop((&reader).read(&mut [0]))),
            evy::spawn(move || drop(listener.accept())),
            evy::spawn(move || {
                let mut descriptor = libc::pollfd {
                    fd: descriptors[1],
                    events: libc::POLLIN,
                    revents: 0,
                };
                // SAFETY: the pointer is valid.
                unsafe { libc::poll(&raw mut descriptor, 1, -1) };
            }),
            evy::spawn(|| std::thread::sleep(Duration::from_millis(200))),
            evy::spawn(move || {
                let (is_done, changed) = &*pair_of_waiter;
                let done = is_done.lock().unwrap();
                drop(changed.wait_while(done, |done| !*done).unwrap());
            }),
        ];
        evy::yield_now();
        let text = evy::dump();
        let address = std::ptr::from_ref(&pair.1).addr();
        for part in [
            format!("waits for `recv` on descriptor {}\n", descriptors[0]),
            format!("waits for `accept4` on descriptor {}\n", descriptors[1]),
            format!("waits for `poll` on descriptor {}\n", descriptors[1]),
            "waits for the end of a sleep\n".into(),
            format!("waits for `futex` on the object at {address:#x}\n"),
        ] {
            assert!(text.contains(&part), "{part} in:\n{text}");
        }
        drop(writer);
        *pair.0.lock().unwrap() = true;
        pair.1.notify_all();
        all[1].thread().kill();
        let [reader, accept, poll, sleeper, waiter] = all;
        reader.join().unwrap();
        assert!(accept.join().is_ok());
        poll.join().unwrap();
        sleeper.join().unwrap();
        waiter.join().unwrap();
    });
}
