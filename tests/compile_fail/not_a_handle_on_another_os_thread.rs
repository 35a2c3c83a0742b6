//! A handle accesses the scheduler of its OS thread. The first error says so.

/// Requires what `std::thread::spawn` requires.
fn cross<T: Send + 'static>(_: T) {}

fn main() {
    cross(evy::spawn(|| 5)); //~ E0277: `*const StaysOnItsOsThread` cannot be sent //~ E0277: `Rc<
    cross(evy::thread::current()); //~ E0277: `*const StaysOnItsOsThread` cannot be sent
}
