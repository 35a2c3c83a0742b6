//! A handle reaches into the scheduler of its OS thread.

/// As `std::thread::spawn` asks for.
fn cross<T: Send + 'static>(_: T) {}

fn main() {
    cross(evy::spawn(|| 5));
    cross(evy::thread::current());
}
