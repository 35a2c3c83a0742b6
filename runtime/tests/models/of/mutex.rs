//! The mutex: one at a time, and nobody who waits is forgotten.

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

    /// By the holder, who ceases to be.
    fn add_and_unlock(&self) {
        self.count.set(self.count.get() + 1);
        self.lock.unlock();
    }

    fn add(&self) {
        self.lock.lock();
        self.add_and_unlock();
    }

    /// Adds in a loom thread that may be killed while it waits; whether it was not.
    fn add_elsewhere(self: &Rc<Self>) -> Thread<bool> {
        let counter = Rc::clone(self);
        spawn(move || unless_killed(|| counter.add()).is_some())
    }
}

#[test]
fn it_excludes_one_who_is_passed_over() {
    model_of_two(|| {
        let counter = Counter::new();
        let shared = Rc::clone(&counter);
        let other = spawn(move || shared.add());
        // The second time it may pass over the other, which demands the lock then.
        for _ in 0..3 {
            counter.add();
        }
        other.join();
        assert_eq!(counter.count.get(), 4);
    });
}

#[test]
fn it_excludes_three() {
    model(|| {
        let counter = Counter::new();
        let others = [counter.add_elsewhere(), counter.add_elsewhere()];
        counter.add();
        assert_eq!(join_all(others), [true; 2]);
        assert_eq!(counter.count.get(), 3);
    });
}

#[test]
fn it_excludes_one_who_tries() {
    model_of_two(|| {
        let counter = Counter::new();
        let other = counter.add_elsewhere();
        let tried = counter.lock.try_lock();
        if tried {
            counter.add_and_unlock();
        }
        other.join();
        assert_eq!(counter.count.get(), 1 + u32::from(tried));
        assert!(counter.lock.try_lock(), "it is free at last");
    });
}

#[test]
fn who_is_invited_and_killed_passes_the_invitation_on() {
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
        assert!(counter.lock.try_lock(), "it is free at last");
    });
}

#[test]
fn who_is_handed_the_lock_and_killed_releases_it() {
    model_of_two(|| {
        let counter = Counter::new();
        counter.lock.lock();
        let victim = counter.add_elsewhere();
        counter.add_and_unlock();
        // The victim was invited, perhaps, and is too late, perhaps: then it is handed the lock.
        counter.lock.lock();
        victim.kill();
        counter.add_and_unlock();
        counter.add();
        let killed = !victim.join();
        assert_eq!(counter.count.get(), 4 - u32::from(killed));
        assert!(counter.lock.try_lock(), "it is free at last");
    });
}
