//! Bounds on how long a test may take.

use std::sync::mpsc;
use std::time::Duration;

use evy_runtime::test::virtual_time;

use crate::program::is_emulated;

/// Runs `body` on an OS thread of its own, and panics if it takes longer than a generous bound: a
/// hang is a failure, not a wait.
pub fn within<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let result = body();
        sender.send(()).ok();
        result
    });
    let bound = Duration::from_secs(if is_emulated() { 300 } else { 60 });
    match receiver.recv_timeout(bound) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        _ => match worker.join() {
            Ok(result) => result,
            Err(payload) => std::panic::resume_unwind(payload),
        },
    }
}

/// Runs `body` as [`within`] does, on a paused clock.
pub fn virtually<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    within(|| virtual_time(body))
}
