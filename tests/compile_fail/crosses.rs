//! Values that may be sent to another OS thread or shared with it. This case compiles, which shows
//! that the other cases fail for no other reason than their own.

use std::cell::Cell;
use std::thread::scope;

use evy::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, mpsc};

/// Requires what `std::thread::spawn` requires.
fn cross<T: Send + 'static>(_: T) {}

/// Requires what a reference that is sent to another OS thread requires.
fn share<T: Sync>(_: &T) {}

fn main() {
    let mutex = Arc::new(Mutex::new(Cell::new(1)));
    cross(Arc::clone(&mutex));
    share(&mutex.lock().unwrap().replace(2));
    let lock = RwLock::new(1);
    share(&lock.read().unwrap());
    cross(lock);
    cross((Condvar::new(), Barrier::new(1), Once::new()));
    cross((OnceLock::<Cell<u8>>::new(), LazyLock::<u8>::default()));
    let (sender, receiver) = mpsc::channel::<Cell<u8>>();
    share(&sender);
    cross((sender, receiver));
    cross(evy::thread::current().unparker());
    cross(evy::listen("127.0.0.1:0").unwrap());
    // A scoped green thread borrows data that was created before its scope.
    let mut local = 1;
    evy::scope(|s| {
        s.spawn(|| local += 1);
    });
    // A scoped OS thread of std may do so too, and wait for green threads meanwhile.
    scope(|s| {
        s.spawn(|| evy::spawn(|| 2).join().unwrap());
    });
}
