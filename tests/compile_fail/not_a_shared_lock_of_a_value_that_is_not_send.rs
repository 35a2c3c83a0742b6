//! A lock prevents access by two green threads at the same time, but not access on two OS threads.

use std::cell::Cell;
use std::rc::Rc;

use evy::sync::{Arc, LazyLock, Mutex, OnceLock, RwLock};

/// Requires what `std::thread::spawn` requires.
fn cross<T: Send + 'static>(_: T) {}

fn main() {
    cross(Arc::new(Mutex::new(Rc::new(1)))); //~ E0277: cannot be sent between threads safely
    cross(Arc::new(RwLock::new(Cell::new(1)))); //~ E0277: cannot be shared between threads safely
    cross(Arc::new(OnceLock::<Cell<u8>>::new())); //~ E0277: cannot be shared between threads safely
    cross(Arc::new(LazyLock::new(|| Cell::new(1)))); //~ E0277: cannot be shared between threads safely
}
