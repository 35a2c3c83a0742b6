//! Queues, events, semaphores and pools wake without a lock, so they stay on their OS thread.

/// Requires what `std::thread::spawn` requires.
fn cross<T: Send + 'static>(_: T) {}

fn main() {
    cross(evy::Queue::<u8>::unbounded()); //~ E0277: `*const StaysOnItsOsThread` cannot be sent //~ E0277: `Rc<
    cross(evy::Event::<u8>::new()); //~ E0277: `*const StaysOnItsOsThread` cannot be sent //~ E0277: `Rc<
    cross(evy::Semaphore::new(1)); //~ E0277: `*const StaysOnItsOsThread` cannot be sent //~ E0277: `Rc<
    cross(evy::GreenPool::new(1)); //~ E0277: `*const StaysOnItsOsThread` cannot be sent //~ E0277: `Rc<
}
