//! What every test needs.

use std::sync::mpsc;
use std::time::Duration;

/// Runs `body` on an OS thread of its own and fails if it takes longer than a generous bound: a hang
/// is a failure, not a wait.
pub(crate) fn within<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let result = body();
        sender.send(()).ok();
        result
    });
    let bound = Duration::from_secs(if std::env::var_os("EVY_UNDER_QEMU").is_some() {
        300
    } else {
        60
    });
    match receiver.recv_timeout(bound) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        _ => match worker.join() {
            Ok(result) => result,
            Err(payload) => std::panic::resume_unwind(payload),
        },
    }
}
