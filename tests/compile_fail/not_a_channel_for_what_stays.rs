//! A message is dropped where it is received, and a receiver is used by one at a time.

use std::rc::Rc;

use evy::sync::mpsc;

/// As `std::thread::spawn` asks for.
fn cross<T: Send + 'static>(_: T) {}

/// As a reference that crosses asks for.
fn share<T: Sync>(_: &T) {}

fn main() {
    let (sender, receiver) = mpsc::channel::<Rc<u8>>();
    cross(sender); //~ E0277: cannot be sent between threads safely
    cross(receiver); //~ E0277: cannot be sent between threads safely
    let (_sender, receiver) = mpsc::channel::<u8>();
    share(&receiver); //~ E0277: cannot be shared between threads safely
}
