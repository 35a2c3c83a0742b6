//! They wake without a lock.

/// As `std::thread::spawn` asks for.
fn cross<T: Send + 'static>(_: T) {}

fn main() {
    cross(evy::Queue::<u8>::unbounded());
    cross(evy::Event::<u8>::new());
    cross(evy::Semaphore::new(1));
    cross(evy::GreenPool::new(1));
}
