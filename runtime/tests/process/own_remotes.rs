//! Tests of deadlock reports where another OS thread could end the wait, if there were one. Each runs
//! in a process with one OS thread, which a test has only in a child.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "these tests use OS threads")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use evy_runtime::signal::{SIGALRM, Signals};
use evy_runtime::sync::{Arc, Mutex, RwLock, mpsc};
use evy_runtime::thread::Remote;
use evy_runtime::{Queue, select, spawn, thread, yield_now};
use evy_test_support::{is_emulated, rerun_ignored, shares_thread_locals};

/// Runs an ignored test of this file in a process of its own.
fn run(name: &str) {
    // Without `/proc` of its own, an emulated program sees the OS threads of the emulator.
    if is_emulated() || !cfg!(target_os = "linux") {
        return;
    }
    let mut command = rerun_ignored(&format!("own_remotes::{name}"));
    let output = command.env("RUST_BACKTRACE", "0").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

/// Runs `body` in a process with one OS thread, in which evy has not been used.
fn alone(body: impl FnOnce()) {
    // SAFETY: the child runs on the stack of the caller only. The locks that it needs are free,
    // because the other OS thread of this process waits for the test.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // Ends a child that would wait forever.
        // SAFETY: no requirements.
        unsafe { libc::alarm(20) };
        let code = i32::from(catch_unwind(AssertUnwindSafe(body)).is_err());
        // SAFETY: ends the process, and nothing else.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the pointer is valid, and the child belongs to this process.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
}

fn is_reported(wait: impl FnOnce()) -> bool {
    let payload = catch_unwind(AssertUnwindSafe(wait)).err();
    payload.is_some_and(|payload| {
        let text = payload.downcast_ref::<String>();
        text.is_some_and(|text| text.starts_with("deadlock"))
    })
}

#[test]
fn a_remote_of_a_program_with_own_remotes_does_not_hide_a_deadlock() {
    run("deadlocks_alone");
}

#[test]
#[ignore = "forks"]
fn deadlocks_alone() {
    alone(|| {
        let own = Remote::current();
        let parked = own.spawn(thread::park);
        // Starts the ticker.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(50) {
            yield_now();
        }
        assert!(is_reported(|| Queue::<()>::unbounded().get()));
        // Another one is reported too.
        assert!(is_reported(|| Queue::<()>::unbounded().get()));
        parked.kill();
        assert!(parked.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_remote_that_another_os_thread_may_hold_hides_a_deadlock() {
    if !shares_thread_locals() {
        return;
    }
    run("waits_for_another_os_thread");
}

#[test]
#[ignore = "forks"]
fn waits_for_another_os_thread() {
    alone(|| {
        thread_local!(static ITEMS: Queue<Box<u32>> = Queue::unbounded());
        let own = Remote::current();
        let theirs = own.clone();
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(2));
            drop(theirs.spawn(|| ITEMS.with(|items| items.put(Box::new(7)))));
        });
        assert_eq!(ITEMS.with(Queue::clone).get(), Box::new(7));
        other.join().unwrap();
        assert!(is_reported(|| drop(ITEMS.with(Queue::clone).get())));
        drop(own);
    });
}

#[test]
fn a_wait_that_only_another_os_thread_could_end_is_a_deadlock_if_there_is_none() {
    run("waits_for_what_os_threads_share");
}

#[test]
#[ignore = "forks"]
fn waits_for_what_os_threads_share() {
    alone(|| {
        let mutex = Mutex::new(());
        let guard = mutex.lock().unwrap();
        // Evy has no green threads here yet.
        assert!(is_reported(|| drop(mutex.lock())));
        yield_now();
        assert!(is_reported(|| drop(mutex.lock())));
        drop(guard);
        drop(mutex.lock().unwrap());

        let lock = RwLock::new(());
        let reader = lock.read().unwrap();
        assert!(is_reported(|| drop(lock.write())));
        drop(reader);

        let (sender, receiver) = mpsc::channel::<()>();
        assert!(is_reported(|| _ = receiver.recv()));
        assert!(is_reported(|| select! { recv(&receiver) -> _ => () }));
        drop(sender);

        // A cycle of two green threads, which the root waits for.
        let pair = Arc::new((Mutex::new(()), Mutex::new(())));
        let (one, other) = (Arc::clone(&pair), pair);
        let first = spawn(move || {
            let _held = one.0.lock().unwrap();
            yield_now();
            drop(one.1.lock());
        });
        let second = spawn(move || {
            let _held = other.1.lock().unwrap();
            yield_now();
            drop(other.0.lock());
        });
        assert!(is_reported(|| first.wait()));
        first.kill();
        second.join().unwrap();
    });
}

#[test]
fn a_wait_for_a_signal_is_no_deadlock() {
    run("waits_for_an_alarm");
}

#[test]
#[ignore = "forks"]
fn waits_for_an_alarm() {
    alone(|| {
        let signals = Signals::new([SIGALRM]).unwrap();
        // SAFETY: no requirements.
        unsafe { libc::alarm(2) };
        assert_eq!(signals.recv(), SIGALRM);
        // SAFETY: as above.
        unsafe { libc::alarm(2) };
        let (_sender, receiver) = mpsc::channel::<()>();
        let received = select! {
            signal(&signals) -> signal => signal,
            recv(&receiver) -> _ => 0,
        };
        assert_eq!(received, SIGALRM);
    });
}
