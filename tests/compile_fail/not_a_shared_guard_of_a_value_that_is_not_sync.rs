//! Two OS threads that share a guard both have a reference to the data, which must be `Sync`.

use std::cell::Cell;

use evy::sync::Mutex;

/// Requires what a reference that is sent to another OS thread requires.
fn share<T: Sync>(_: &T) {}

fn main() {
    share(&Mutex::new(Cell::new(1)).lock().unwrap()); //~ E0277: cannot be shared between threads safely
}
