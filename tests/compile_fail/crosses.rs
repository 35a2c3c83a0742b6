//! What may go to another OS thread, or be shared with it. The others fail for no other reason.

use std::cell::Cell;
use std::thread::scope;

use evy::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, mpsc};

/// As `std::thread::spawn` asks for.
fn cross<T: Send + 'static>(_: T) {}

/// As a reference that crosses asks for.
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
    // A scoped green thread borrows what was there before its scope.
    let mut local = 1;
    evy::scope(|s| {
        s.spawn(|| local += 1);
    });
    // And so may one of std's, that waits for green threads meanwhile.
    scope(|s| {
        s.spawn(|| evy::spawn(|| 2).join().unwrap());
    });
}
