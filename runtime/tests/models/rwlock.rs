//! Models of the readers-writer lock: a writer holds it alone, and each waiter is handed the lock
//! as soon as possible.

use std::rc::Rc;

use crate::primitive::{Cell, model, model_of_two};
use crate::sync::rwlock::{RwLock, RwLockWriteGuard};
use crate::waiter::{Thread, spawn, unless_killed};

/// Two numbers that are equal whenever no writer holds the lock.
type Pair = [Cell<u32>; 2];

fn new() -> Rc<RwLock<Pair>> {
    Rc::new(RwLock::new([Cell::new(0), Cell::new(0)]))
}

fn add(pair: &Pair) {
    for half in pair {
        half.set(half.get() + 1);
    }
}

fn read_equal(pair: &Pair) -> u32 {
    assert_eq!(pair[0].get(), pair[1].get());
    pair[0].get()
}

/// Reads in a loom thread that may be killed while it waits. Returns `None` if it was killed.
fn read(lock: &Rc<RwLock<Pair>>) -> Thread<Option<u32>> {
    let lock = Rc::clone(lock);
    spawn(move || unless_killed(|| read_equal(&lock.read().unwrap())))
}

/// Writes in a loom thread that may be killed while it waits. Returns `None` if it was killed.
fn write(lock: &Rc<RwLock<Pair>>) -> Thread<Option<()>> {
    let lock = Rc::clone(lock);
    spawn(move || unless_killed(|| add(&lock.write().unwrap())))
}

/// Whether the lock has no holder and no waiter.
fn is_free(lock: &RwLock<Pair>) -> bool {
    lock.try_write().is_ok()
}

#[test]
fn a_writer_excludes_readers() {
    model(|| {
        let lock = new();
        let others = (read(&lock), write(&lock));
        let seen = read_equal(&lock.read().unwrap());
        assert!(seen <= 1 && others.0.join().is_some_and(|seen| seen <= 1));
        assert!(others.1.join().is_some());
        assert_eq!(read_equal(&lock.read().unwrap()), 1);
        assert!(is_free(&lock));
    });
}

#[test]
fn writers_exclude_each_other() {
    model_of_two(|| {
        let lock = new();
        let other = write(&lock);
        add(&lock.write().unwrap());
        if let Ok(pair) = lock.try_read() {
            read_equal(&pair);
        }
        other.join();
        assert_eq!(read_equal(&lock.read().unwrap()), 2);
        assert!(is_free(&lock));
    });
}

#[test]
fn the_last_of_two_readers_hands_the_lock_to_the_writer() {
    model(|| {
        let lock = new();
        let first = lock.read().unwrap();
        let others = (read(&lock), write(&lock));
        drop(first);
        others.0.join();
        assert!(others.1.join().is_some());
        assert!(is_free(&lock));
    });
}

#[test]
fn the_readers_behind_a_writer_that_gives_up_are_handed_the_lock() {
    model(|| {
        let lock = new();
        let first = lock.read().unwrap();
        let victim = write(&lock);
        let behind = read(&lock);
        victim.kill();
        // The first reader holds the lock meanwhile.
        assert_eq!(behind.join(), Some(0));
        drop(first);
        victim.join();
        assert!(is_free(&lock));
    });
}

#[test]
fn a_waiter_killed_after_it_was_handed_the_lock_hands_it_to_the_next() {
    model(|| {
        let lock = new();
        let first = lock.write().unwrap();
        let victim = read(&lock);
        let next = write(&lock);
        victim.kill();
        drop(first);
        assert!(next.join().is_some());
        victim.join();
        assert!(is_free(&lock));
    });
}

#[test]
fn a_downgrade_hands_the_lock_to_waiting_readers() {
    model_of_two(|| {
        let lock = new();
        let first = lock.write().unwrap();
        let reader = read(&lock);
        add(&first);
        let still = RwLockWriteGuard::downgrade(first);
        assert_eq!(reader.join(), Some(1));
        drop(still);
        assert!(is_free(&lock));
    });
}

#[test]
fn a_writer_waits_for_a_writer_that_was_downgraded() {
    model_of_two(|| {
        let lock = new();
        let first = lock.write().unwrap();
        let next = write(&lock);
        add(&first);
        let still = RwLockWriteGuard::downgrade(first);
        assert_eq!(read_equal(&still), 1);
        drop(still);
        assert!(next.join().is_some());
        assert_eq!(read_equal(&lock.read().unwrap()), 2);
    });
}
