//! Whether the holder unwinds is asked where the guard is dropped.

use evy::sync::{Mutex, RwLock};

static MUTEX: Mutex<u8> = Mutex::new(1);
static LOCK: RwLock<u8> = RwLock::new(1);

/// As `std::thread::spawn` asks for.
fn cross<T: Send + 'static>(_: T) {}

fn main() {
    cross(MUTEX.lock().unwrap()); //~ E0277: cannot be sent between threads safely
    cross(LOCK.read().unwrap()); //~ E0277: cannot be sent between threads safely
    cross(LOCK.write().unwrap()); //~ E0277: cannot be sent between threads safely
}
