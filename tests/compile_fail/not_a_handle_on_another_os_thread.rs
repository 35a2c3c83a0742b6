//! A handle accesses the scheduler of its OS thread.

/// Requires what `std::thread::spawn` requires.
fn cross<T: Send + 'static>(_: T) {}

fn main() {
    cross(evy::spawn(|| 5)); //~ E0277: cannot be sent between threads safely
    cross(evy::thread::current()); //~ E0277: cannot be sent between threads safely
}
