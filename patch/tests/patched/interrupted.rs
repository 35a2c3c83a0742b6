//! Kills and timeouts around calls that park.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use evy_test_support::within;

use crate::is_patched;

const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(100);

/// Kills a green thread that is in `call`, and returns the `errno` that the call then reports.
fn killed_in(call: impl FnOnce() -> std::io::Result<()> + 'static) -> Option<i32> {
    let errno = Rc::new(Cell::new(None));
    let found = Rc::clone(&errno);
    let green = evy::spawn(move || {
        found.set(call().unwrap_err().raw_os_error());
        evy::sleep(LONG);
    });
    evy::sleep(SHORT);
    green.kill();
    assert!(green.join().unwrap_err().is_killed());
    errno.get()
}

#[test]
fn a_kill_ends_calls_on_sockets_with_an_error() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (mut a, _b) = UnixStream::pair().unwrap();
        assert_eq!(
            killed_in(move || a.read(&mut [0]).map(drop)),
            Some(libc::ECANCELED)
        );
        let (mut a, _b) = UnixStream::pair().unwrap();
        let write = move || a.write_all(&vec![0; 1 << 22]);
        assert_eq!(killed_in(write), Some(libc::ECANCELED));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(
            killed_in(move || listener.accept().map(drop)),
            Some(libc::ECANCELED)
        );
    });
}

#[test]
fn a_timeout_ends_calls_on_sockets_with_an_error() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (mut a, _b) = UnixStream::pair().unwrap();
        let error = evy::timeout(SHORT, || a.read(&mut [0]).unwrap_err()).unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    });
}

#[test]
fn a_pipe_is_read_to_the_end_of_the_call() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let green = evy::spawn(move || {
            assert_eq!(reader.read(&mut [0; 4]).unwrap(), 1);
            evy::sleep(LONG);
        });
        evy::sleep(SHORT);
        green.kill();
        evy::sleep(SHORT);
        assert!(!green.is_finished());
        writer.write_all(b"x").unwrap();
        assert!(green.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_kill_ends_a_sleep_early_but_not_one_after_another() {
    if !is_patched() {
        return;
    }
    within(|| {
        let green = evy::spawn(|| {
            std::thread::sleep(LONG);
            // A loop that retries must not become a busy one.
            let start = std::time::Instant::now();
            std::thread::sleep(SHORT);
            assert!(start.elapsed() >= SHORT);
            evy::sleep(LONG);
        });
        evy::sleep(SHORT);
        green.kill();
        assert!(green.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_shutdown_ends_green_threads_in_calls_on_sockets() {
    if !is_patched() {
        return;
    }
    std::thread::spawn(|| {
        evy::spawn_n(|| {
            let (mut a, _b) = UnixStream::pair().unwrap();
            assert_eq!(
                a.read(&mut [0]).unwrap_err().raw_os_error(),
                Some(libc::ECANCELED)
            );
        });
        evy::spawn_n(|| std::thread::sleep(LONG));
        evy::sleep(SHORT);
        assert_eq!(evy::shutdown(SHORT), 0);
    })
    .join()
    .unwrap();
}

#[test]
fn a_loop_that_ignores_the_error_of_a_kill_is_not_a_busy_one() {
    if !is_patched() {
        return;
    }
    within(|| {
        let is_over = Rc::new(Cell::new(false));
        let over = Rc::clone(&is_over);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let green = evy::spawn(move || {
            let errors = listener.incoming().filter(|client| client.is_err());
            errors.take_while(|_| !over.get()).count()
        });
        evy::sleep(SHORT);
        green.kill();
        evy::sleep(Duration::from_millis(300));
        is_over.set(true);
        let errors = green.join().unwrap();
        assert!((2..1000).contains(&errors), "{errors}");
    });
}
