//! Tests of green threads that run beside one that parks in a destructor while it unwinds.
//!
//! std counts panics per OS thread. evy must not let the unwinding of one green thread change what
//! another one observes.

#![expect(clippy::disallowed_methods, reason = "the tests compare evy with std")]

use std::cell::Cell;
use std::io::{ErrorKind, PipeReader, Read};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::io::Green;
use evy_runtime::thread::JoinHandle;
use evy_runtime::{lowlevel, shield, sleep, spawn, test, timeout, yield_now};
use evy_test_support::{shares_thread_locals, within};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// Sleeps in its destructor, one second at a time, for this number of seconds.
struct SleepsOnDrop(u32);

impl Drop for SleepsOnDrop {
    fn drop(&mut self) {
        (0..self.0).for_each(|_| sleep(SECOND));
    }
}

/// Spawns a green thread that unwinds for `seconds`, and returns when it has begun to unwind.
fn unwinding_for(seconds: u32) -> JoinHandle<()> {
    let unwinds = spawn(move || {
        let _sleeps_on_drop = SleepsOnDrop(seconds);
        resume_unwind(Box::new("on purpose"));
    });
    yield_now();
    unwinds
}

/// Drops `value` on a green thread that a kill unwinds.
fn drop_while_unwinding<T: 'static>(value: T) {
    let victim = spawn(move || {
        let _value = value;
        sleep(LONG);
    });
    yield_now();
    victim.kill();
    assert!(victim.join().is_err_and(|error| error.is_killed()));
}

#[test]
fn only_the_green_thread_that_unwinds_is_panicking() {
    if !shares_thread_locals() {
        return;
    }
    within(|| {
        test::virtual_time(|| {
            struct ChecksInDrop(Rc<Cell<bool>>);
            impl Drop for ChecksInDrop {
                fn drop(&mut self) {
                    assert!(evy_runtime::thread::panicking());
                    sleep(SECOND);
                    assert!(evy_runtime::thread::panicking());
                    self.0.set(true);
                }
            }
            let checked = Rc::new(Cell::new(false));
            let checks = ChecksInDrop(Rc::clone(&checked));
            let unwinds = unwinding_for(5);
            let also = spawn(move || {
                let _checks = checks;
                sleep(LONG);
            });
            yield_now();
            assert!(std::thread::panicking() && !evy_runtime::thread::panicking());
            let other = spawn(evy_runtime::thread::panicking);
            assert!(!other.join().unwrap());
            assert!(unwinds.join().is_err());
            also.kill();
            assert!(!evy_runtime::thread::panicking());
            assert!(also.join().is_err() && checked.get());
            assert!(!std::thread::panicking() && !evy_runtime::thread::panicking());
        });
    });
}

#[test]
fn a_timeout_set_during_another_unwinding_expires_on_time() {
    within(|| {
        test::virtual_time(|| {
            let unwinds = unwinding_for(3);
            let start = lowlevel::now();
            let other = spawn(|| timeout(10 * SECOND, || sleep(LONG)).is_err());
            assert!(other.join().unwrap());
            assert_eq!(lowlevel::now() - start, 10 * SECOND);
            assert!(unwinds.join().is_err());
        });
    });
}

#[test]
fn a_timeout_that_is_due_while_another_green_thread_unwinds_expires_on_time() {
    within(|| {
        test::virtual_time(|| {
            let unwinds = unwinding_for(3);
            let start = lowlevel::now();
            let shielded = spawn(|| shield(|| timeout(SECOND, || sleep(LONG)).is_err()));
            let other = spawn(|| timeout(SECOND, || sleep(LONG)).is_err());
            assert!(other.join().unwrap() && shielded.join().unwrap());
            assert_eq!(lowlevel::now() - start, SECOND);
            assert!(unwinds.join().is_err());
        });
    });
}

#[test]
fn a_green_thread_that_parked_during_another_unwinding_can_be_killed() {
    within(|| {
        for killed_at in [2, 5] {
            test::virtual_time(|| {
                let unwinds = unwinding_for(4);
                let start = lowlevel::now();
                let victim = spawn(|| sleep(LONG));
                sleep(killed_at * SECOND);
                victim.kill();
                assert!(victim.join().unwrap_err().is_killed());
                let arrived = lowlevel::now() - start;
                assert_eq!(arrived, killed_at * SECOND);
                assert!(unwinds.join().is_err());
            });
        }
    });
}

#[test]
fn a_wait_that_began_during_another_unwinding_ends_on_time() {
    within(|| {
        test::virtual_time(|| {
            let unwinds = unwinding_for(2);
            let start = lowlevel::now();
            let sleeper = spawn(|| sleep(5 * SECOND));
            let gate = evy_runtime::Semaphore::new(0);
            let inner = gate.clone();
            let waiter = spawn(move || drop(inner.acquire_guard()));
            sleeper.join().unwrap();
            assert_eq!(lowlevel::now() - start, 5 * SECOND);
            assert!(!waiter.is_finished());
            gate.release();
            waiter.join().unwrap();
            assert!(unwinds.join().is_err());
        });
    });
}

/// The destructor cannot be unwound once more, so the wait in it returns an error instead.
#[test]
fn a_timeout_that_a_destructor_opens_bounds_a_read_by_an_error() {
    struct ReadsOnDrop(Green<PipeReader>, Rc<Cell<Option<ErrorKind>>>);
    impl Drop for ReadsOnDrop {
        fn drop(&mut self) {
            let read = timeout(SECOND, || (&self.0).read(&mut [0]));
            let error = read.expect("`timeout` returns what the closure returns");
            self.1.set(error.err().map(|error| error.kind()));
        }
    }
    within(|| {
        let (reader, _writer) = std::io::pipe().unwrap();
        let seen = Rc::new(Cell::new(None));
        let reads = ReadsOnDrop(Green::new(reader).unwrap(), Rc::clone(&seen));
        drop_while_unwinding(reads);
        assert_eq!(seen.get(), Some(ErrorKind::TimedOut));
    });
}

#[test]
fn a_timeout_that_a_destructor_opens_does_not_end_a_wait_that_cannot_fail() {
    struct SleepsInTimeout(Rc<Cell<bool>>);
    impl Drop for SleepsInTimeout {
        fn drop(&mut self) {
            let slept = timeout(SECOND, || sleep(3 * SECOND));
            self.0.set(slept.is_ok());
        }
    }
    within(|| {
        test::virtual_time(|| {
            let start = lowlevel::now();
            let done = Rc::new(Cell::new(false));
            let sleeps = SleepsInTimeout(Rc::clone(&done));
            drop_while_unwinding(sleeps);
            assert!(done.get());
            assert_eq!(lowlevel::now() - start, 3 * SECOND);
        });
    });
}

/// A panic that is caught while another green thread is parked in a destructor looks as if it were
/// still in progress. That ends with the other unwinding.
#[test]
fn a_green_thread_that_catches_a_panic_during_another_unwinding_can_be_interrupted_after_it() {
    within(|| {
        test::virtual_time(|| {
            let unwinds = unwinding_for(2);
            let catches = || std::panic::catch_unwind(|| panic!("on purpose")).is_err();
            let expires = spawn(move || {
                assert!(catches());
                timeout(SECOND, || sleep(LONG)).is_err()
            });
            let victim = spawn(move || {
                assert!(catches());
                sleep(LONG);
            });
            assert!(expires.join().unwrap());
            assert!(unwinds.join().is_err());
            victim.kill();
            assert!(victim.join().unwrap_err().is_killed());
        });
    });
}

#[test]
fn a_timeout_that_a_destructor_opens_ends_reads_that_never_have_to_park() {
    struct ReadsOnDrop(Green<std::fs::File>);
    impl Drop for ReadsOnDrop {
        fn drop(&mut self) {
            let limit = Duration::from_millis(10);
            let error = timeout(limit, || {
                loop {
                    if let Err(error) = (&self.0).read(&mut [0]) {
                        return error;
                    }
                }
            });
            assert_eq!(error.expect("it returns").kind(), ErrorKind::TimedOut);
        }
    }
    within(|| {
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let reads = ReadsOnDrop(Green::new(zeros).unwrap());
        drop_while_unwinding(reads);
    });
}
