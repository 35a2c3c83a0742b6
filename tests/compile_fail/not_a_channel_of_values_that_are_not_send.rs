//! A message is dropped on the receiving OS thread, and one OS thread at a time uses a receiver.

use std::rc::Rc;

use evy::sync::mpsc;

/// Requires what `std::thread::spawn` requires.
fn cross<T: Send + 'static>(_: T) {}

/// Requires what a reference that is sent to another OS thread requires.
fn share<T: Sync>(_: &T) {}

fn main() {
    let (sender, receiver) = mpsc::channel::<Rc<u8>>();
    cross(sender); //~ E0277: cannot be sent between threads safely
    cross(receiver); //~ E0277: cannot be sent between threads safely
    let (_sender, receiver) = mpsc::channel::<u8>();
    share(&receiver); //~ E0277: cannot be shared between threads safely
}
