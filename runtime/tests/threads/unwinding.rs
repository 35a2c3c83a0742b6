//! Green threads beside one that parks in a destructor while it unwinds: std counts the panics of an
//! OS thread, and evy must not let one's unwinding change what another one sees.

#![expect(
    clippy::disallowed_methods,
    reason = "tests compare with what std does"
)]

use std::cell::Cell;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::thread::JoinHandle;
use evy_runtime::{lowlevel, shield, sleep, spawn, test, timeout, yield_now};
use evy_test_support::within;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// Parks so often for a second in its destructor.
struct Slow(u32);

impl Drop for Slow {
    fn drop(&mut self) {
        (0..self.0).for_each(|_| sleep(SECOND));
    }
}

/// One that has begun to unwind, and takes so many seconds for it.
fn unwinding_for(seconds: u32) -> JoinHandle<()> {
    let unwinds = spawn(move || {
        let _slow = Slow(seconds);
        resume_unwind(Box::new("on purpose"));
    });
    yield_now();
    unwinds
}

#[test]
fn who_unwinds_is_told_apart() {
    within(|| {
        test::virtual_time(|| {
            struct Look(Rc<Cell<bool>>);
            impl Drop for Look {
                fn drop(&mut self) {
                    assert!(evy_runtime::thread::panicking());
                    sleep(SECOND);
                    assert!(evy_runtime::thread::panicking());
                    self.0.set(true);
                }
            }
            let looked = Rc::new(Cell::new(false));
            let look = Look(Rc::clone(&looked));
            let unwinds = unwinding_for(5);
            let also = spawn(move || {
                let _look = look;
                sleep(LONG);
            });
            yield_now();
            assert!(std::thread::panicking() && !evy_runtime::thread::panicking());
            let neighbour = spawn(evy_runtime::thread::panicking);
            assert!(!neighbour.join().unwrap());
            assert!(unwinds.join().is_err());
            also.kill();
            assert!(!evy_runtime::thread::panicking());
            assert!(also.join().is_err() && looked.get());
            assert!(!std::thread::panicking() && !evy_runtime::thread::panicking());
        });
    });
}

#[test]
fn a_timeout_that_is_set_meanwhile_comes() {
    within(|| {
        test::virtual_time(|| {
            let unwinds = unwinding_for(3);
            let start = lowlevel::now();
            let neighbour = spawn(|| timeout(10 * SECOND, || sleep(LONG)).is_err());
            assert!(neighbour.join().unwrap());
            assert_eq!(lowlevel::now() - start, 10 * SECOND);
            assert!(unwinds.join().is_err());
        });
    });
}

/// Nothing is thrown until the other one is done, but then at once.
#[test]
fn a_timeout_that_is_due_meanwhile_comes_afterwards() {
    within(|| {
        test::virtual_time(|| {
            let unwinds = unwinding_for(3);
            let start = lowlevel::now();
            let shielded = spawn(|| shield(|| timeout(SECOND, || sleep(LONG)).is_err()));
            let neighbour = spawn(|| timeout(SECOND, || sleep(LONG)).is_err());
            assert!(neighbour.join().unwrap() && shielded.join().unwrap());
            assert_eq!(lowlevel::now() - start, 3 * SECOND);
            assert!(unwinds.join().is_err());
        });
    });
}

#[test]
fn a_kill_of_one_that_parked_meanwhile_arrives() {
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
                assert_eq!(arrived, killed_at.max(4) * SECOND);
                assert!(unwinds.join().is_err());
            });
        }
    });
}

#[test]
fn a_wait_that_was_begun_meanwhile_ends_when_it_should() {
    within(|| {
        test::virtual_time(|| {
            let unwinds = unwinding_for(2);
            let start = lowlevel::now();
            let sleeper = spawn(|| sleep(5 * SECOND));
            let door = evy_runtime::Semaphore::new(0);
            let inner = door.clone();
            let waiter = spawn(move || drop(inner.acquire_guard()));
            sleeper.join().unwrap();
            assert_eq!(lowlevel::now() - start, 5 * SECOND);
            assert!(!waiter.is_finished());
            door.release();
            waiter.join().unwrap();
            assert!(unwinds.join().is_err());
        });
    });
}
