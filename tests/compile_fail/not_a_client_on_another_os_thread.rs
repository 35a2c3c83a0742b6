//! The green threads of one OS thread share the idle connections of a client, which stays there.

/// Requires what `std::thread::spawn` requires.
fn cross<T: Send + 'static>(_: T) {}

fn main() {
    cross(evy::http::Client::new()); //~ E0277: `*const StaysOnItsOsThread` cannot be sent //~ E0277: `Rc<
}
