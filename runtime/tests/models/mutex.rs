//! Models of the mutex: one holder at a time, and no waiter is forgotten.

use std::rc::Rc;

use crate::primitive::{Cell, model, model_of_two};
use crate::sync::raw_mutex::RawMutex;
use crate::waiter::{Thread, join_all, spawn, unless_killed};

struct Counter {
    lock: RawMutex,
    count: Cell<u32>,
}

impl Counter {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            lock: RawMutex::new(),
            count: Cell::new(0),
        })
    }

    /// Called by the holder, which releases the lock.
    fn add_and_unlock(&self) {
        self.count.set(self.count.get() + 1);
        self.lock.unlock();
    }

    fn add(&self) {
        self.lock.lock();
        self.add_and_unlock();
    }

    /// Adds in a loom thread that may be killed while it waits. Returns `false` if it was killed.
    fn add_elsewhere(self: &Rc<Self>) -> Thread<bool> {
        let counter = Rc::clone(self);
        spawn(move || unless_killed(|| counter.add()).is_some())
    }
}

#[test]
fn the_mutex_excludes_a_waiter_that_is_overtaken() {
    model_of_two(|| {
        let counter = Counter::new();
        let shared = Rc::clone(&counter);
        let other = spawn(move || shared.add());
        // The second time it may overtake the other waiter, which then requests a handoff.
        for _ in 0..3 {
            counter.add();
        }
        other.join();
        assert_eq!(counter.count.get(), 4);
    });
}

#[test]
fn the_mutex_has_one_holder_at_a_time_among_three() {
    model(|| {
        let counter = Counter::new();
        let others = [counter.add_elsewhere(), counter.add_elsewhere()];
        counter.add();
        assert_eq!(join_all(others), [true; 2]);
        assert_eq!(counter.count.get(), 3);
    });
}

#[test]
fn a_successful_try_lock_excludes_others() {
    model_of_two(|| {
        let counter = Counter::new();
        let other = counter.add_elsewhere();
        let tried = counter.lock.try_lock();
        if tried {
            counter.add_and_unlock();
        }
        other.join();
        assert_eq!(counter.count.get(), 1 + u32::from(tried));
        assert!(counter.lock.try_lock(), "the lock is free in the end");
    });
}

#[test]
fn a_waiter_killed_after_it_was_woken_wakes_the_next() {
    model(|| {
        let counter = Counter::new();
        counter.lock.lock();
        let victim = counter.add_elsewhere();
        let next = counter.add_elsewhere();
        victim.kill();
        counter.add_and_unlock();
        assert!(next.join());
        let killed = !victim.join();
        assert_eq!(counter.count.get(), 3 - u32::from(killed));
        assert!(counter.lock.try_lock(), "the lock is free in the end");
    });
}

#[test]
fn a_waiter_killed_after_it_was_handed_the_lock_releases_it() {
    model_of_two(|| {
        let counter = Counter::new();
        counter.lock.lock();
        let victim = counter.add_elsewhere();
        counter.add_and_unlock();
        // The victim may have been woken, and it may come too late. Then it is handed the lock.
        counter.lock.lock();
        victim.kill();
        counter.add_and_unlock();
        counter.add();
        let killed = !victim.join();
        assert_eq!(counter.count.get(), 4 - u32::from(killed));
        assert!(counter.lock.try_lock(), "the lock is free in the end");
    });
}
