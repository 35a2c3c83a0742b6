//! A delayed start that ends with its spawner.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::exit_hooks;
use super::functions::spawn_after;
use super::join_handle::JoinHandle;
use crate::sched;

/// As [`spawn_after`], but cancelled if the caller has ended before it starts. Never parks.
///
/// # Panics
///
/// If there is no memory for a stack.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let timer = evy_runtime::spawn(|| evy_runtime::spawn_after_local(Duration::from_secs(1), || ()));
/// let timer = timer.join().unwrap();
/// assert!(timer.join().unwrap_err().is_killed());
/// ```
#[track_caller]
pub fn spawn_after_local<F, T>(delay: Duration, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let spawner = sched::current().running();
    let link = Rc::new(Cell::new(0));
    let own_link = Rc::clone(&link);
    let handle = spawn_after(delay, move || {
        // It has started, so the spawner lives: its end would have cancelled this.
        exit_hooks::remove(spawner, own_link.get());
        f()
    });
    link.set(exit_hooks::add(spawner, Box::new(handle.canceller())));
    handle
}
