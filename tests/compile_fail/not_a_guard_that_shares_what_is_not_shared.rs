//! Two OS threads with one guard have two references to the data.

use std::cell::Cell;

use evy::sync::Mutex;

/// As a reference that crosses asks for.
fn share<T: Sync>(_: &T) {}

fn main() {
    share(&Mutex::new(Cell::new(1)).lock().unwrap()); //~ E0277: cannot be shared between threads safely
}
