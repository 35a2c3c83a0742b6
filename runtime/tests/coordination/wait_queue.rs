//! Tests of `WaitQueue`: the values that a waiter and its waker hand over, and that their
//! destructors run only when the waiter has been woken.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::lowlevel::{WaitQueue, WaitReason, now};
use evy_runtime::test::virtual_time;
use evy_runtime::{sleep, spawn, spawn_n, timeout, yield_now};

const REASON: WaitReason = WaitReason::Other("a value");
const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

/// A value with a destructor that parks if `parks` is true.
struct Slow {
    parks: bool,
}

impl Drop for Slow {
    fn drop(&mut self) {
        if self.parks {
            sleep(LONG);
        }
    }
}

#[test]
fn a_value_that_a_waker_replaces_is_dropped_after_the_waiter_was_woken() {
    virtual_time(|| {
        let queue = Rc::new(WaitQueue::with_slots());
        let other = Rc::clone(&queue);
        let waiter = spawn(move || {
            let deadline = Some(now() + SHORT);
            let brought = Some(Slow { parks: true });
            other.wait_with_slot(REASON, deadline, brought, drop)
        });
        yield_now();
        let start = now();
        assert!(queue.wake_one_with(Slow { parks: false }).is_ok());
        assert!(now() - start >= LONG, "the destructor has parked");
        // The deadline has passed meanwhile, but the waiter had been woken before.
        let slot = waiter.join().unwrap().ok().flatten();
        assert!(slot.is_some_and(|slow| !slow.parks));
    });
}

#[test]
fn a_destructor_that_wakes_the_next_waiter_finds_the_queue_consistent() {
    virtual_time(|| {
        struct WakesNext(Rc<WaitQueue<Self>>, bool);
        impl Drop for WakesNext {
            fn drop(&mut self) {
                if self.1 {
                    self.0.wake_one();
                }
            }
        }
        let queue = Rc::new(WaitQueue::with_slots());
        let waiter = |wakes_next| {
            let queue = Rc::clone(&queue);
            spawn(move || {
                let value = WakesNext(Rc::clone(&queue), wakes_next);
                let slot = queue.wait_with_slot(REASON, None, Some(value), drop);
                let slot = slot.unwrap_or_else(|_| unreachable!("there is no deadline"));
                slot.map(std::mem::forget).is_some()
            })
        };
        let (first, second) = (waiter(true), waiter(false));
        yield_now();
        let handed = WakesNext(Rc::clone(&queue), false);
        assert!(queue.wake_one_with(handed).is_ok());
        assert!(queue.is_empty());
        assert!(first.join().unwrap() && second.join().unwrap());
    });
}

#[test]
fn a_closure_for_unwinding_is_dropped_when_no_waker_can_reach_the_waiter() {
    virtual_time(|| {
        let queue = Rc::new(WaitQueue::with_slots());
        let waker = Rc::clone(&queue);
        spawn_n(move || {
            sleep(SHORT * 2);
            assert!(waker.wake_one_with("late").is_err(), "nothing waits");
        });
        let parks_when_dropped = Slow { parks: true };
        let on_unwind = move |_: Option<&str>| drop(parks_when_dropped);
        let waited = queue.wait_with_slot(REASON, Some(now() + SHORT), None, on_unwind);
        assert_eq!(waited, Err(None));
    });
}

#[test]
fn a_waiter_that_unwinds_after_its_wake_up_gives_back_what_it_was_handed() {
    virtual_time(|| {
        let (queue, given_back) = (Rc::new(WaitQueue::with_slots()), Rc::new(Cell::new(None)));
        let (other, slot) = (Rc::clone(&queue), Rc::clone(&given_back));
        let waiter = spawn(move || {
            timeout(LONG, || {
                other
                    .wait_with_slot(REASON, None, None, |value| slot.set(value))
                    .ok()
            })
        });
        yield_now();
        assert!(queue.wake_one_with(7).is_ok());
        waiter.kill();
        assert!(waiter.join().unwrap_err().is_killed());
        assert_eq!(given_back.get(), Some(7));
    });
}
