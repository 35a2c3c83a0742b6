//! A guard that is dropped checks whether its holder is unwinding, so it stays on its OS thread.

use evy::sync::{Mutex, RwLock};

static MUTEX: Mutex<u8> = Mutex::new(1);
static LOCK: RwLock<u8> = RwLock::new(1);

/// Requires what `std::thread::spawn` requires.
fn cross<T: Send + 'static>(_: T) {}

fn main() {
    cross(MUTEX.lock().unwrap()); //~ E0277: `*const StaysOnItsOsThread` cannot be sent
    cross(LOCK.read().unwrap()); //~ E0277: cannot be sent between threads safely
    cross(LOCK.write().unwrap()); //~ E0277: `*const StaysOnItsOsThread` cannot be sent
}
