//! The readers-writer lock: who writes is alone, and whoever waits is let in when it can be.

use std::rc::Rc;

use crate::primitive::{Cell, model, model_of_two};
use crate::sync::rwlock::{RwLock, RwLockWriteGuard};
use crate::waiter::{Thread, spawn, unless_killed};

/// Two that are equal whenever nobody writes.
type Pair = [Cell<u32>; 2];

fn new() -> Rc<RwLock<Pair>> {
    Rc::new(RwLock::new([Cell::new(0), Cell::new(0)]))
}

fn add(pair: &Pair) {
    for half in pair {
        half.set(half.get() + 1);
    }
}

fn look(pair: &Pair) -> u32 {
    assert_eq!(pair[0].get(), pair[1].get());
    pair[0].get()
}

/// Both in a loom thread that may be killed while it waits; `None` if it was.
fn read(lock: &Rc<RwLock<Pair>>) -> Thread<Option<u32>> {
    let lock = Rc::clone(lock);
    spawn(move || unless_killed(|| look(&lock.read().unwrap())))
}

fn write(lock: &Rc<RwLock<Pair>>) -> Thread<Option<()>> {
    let lock = Rc::clone(lock);
    spawn(move || unless_killed(|| add(&lock.write().unwrap())))
}

/// Nobody holds it and nobody waits.
fn is_free(lock: &RwLock<Pair>) -> bool {
    lock.try_write().is_ok()
}

#[test]
fn a_writer_is_alone_among_readers() {
    model(|| {
        let lock = new();
        let others = (read(&lock), write(&lock));
        let seen = look(&lock.read().unwrap());
        assert!(seen <= 1 && others.0.join().is_some_and(|seen| seen <= 1));
        assert!(others.1.join().is_some());
        assert_eq!(look(&lock.read().unwrap()), 1);
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
            look(&pair);
        }
        other.join();
        assert_eq!(look(&lock.read().unwrap()), 2);
        assert!(is_free(&lock));
    });
}

#[test]
fn the_last_of_two_readers_lets_the_writer_in() {
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
fn a_writer_that_gives_up_lets_in_the_readers_behind_it() {
    model(|| {
        let lock = new();
        let first = lock.read().unwrap();
        let victim = write(&lock);
        let behind = read(&lock);
        victim.kill();
        // While this one reads.
        assert_eq!(behind.join(), Some(0));
        drop(first);
        victim.join();
        assert!(is_free(&lock));
    });
}

#[test]
fn who_is_let_in_and_killed_lets_in_the_next() {
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
fn a_writer_that_reads_from_now_on_lets_in_those_who_read() {
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
fn a_writer_waits_for_one_that_wrote_and_reads() {
    model_of_two(|| {
        let lock = new();
        let first = lock.write().unwrap();
        let next = write(&lock);
        add(&first);
        let still = RwLockWriteGuard::downgrade(first);
        assert_eq!(look(&still), 1);
        drop(still);
        assert!(next.join().is_some());
        assert_eq!(look(&lock.read().unwrap()), 2);
    });
}
