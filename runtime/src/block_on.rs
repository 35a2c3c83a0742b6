//! `block_on`: runs a future on a green thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::green::WaitReason;
use crate::primitive::{AtomicBool, Ordering};
use crate::thread::{Parker, Unparker, charge, current, park_while};

/// Runs `future` to completion on the calling green thread and returns its output.
///
/// The future may be woken from any OS thread. It is polled on the green thread's stack, so it may
/// call functions that park. If the caller is killed or times out, the future is dropped where it
/// is.
///
/// A future that needs a runtime of its own, with a reactor or timers, finds none here. Enter the
/// context of that runtime, or spawn the future there and await its handle.
///
/// Parks until the future is ready.
///
/// # Panics
///
/// Panics if the future panics.
///
/// # Examples
///
/// ```
/// let answer = evy::block_on(async { 6 * 7 });
/// assert_eq!(answer, 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // Must come first, because it starts evy on this OS thread if that has not happened yet. Before
    // that, `Parker::current` would return a parker that unparks the OS thread itself, but it is
    // the green thread that waits below.
    let unparker = current().unparker();
    let signal = Arc::new(Signal {
        woken: AtomicBool::new(false),
        parker: Parker::current(),
        _unparker: unparker,
    });
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    loop {
        charge(|| false);
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        while !park_while(WaitReason::Future, None, || {
            !signal.woken.load(Ordering::Acquire)
        }) {}
        // `Acquire`, so that the poll sees everything that was done before the latest wake-up.
        signal.woken.swap(false, Ordering::AcqRel);
    }
}

/// The state behind the waker: whether the future is to be polled again, and how to wake its green
/// thread.
struct Signal {
    woken: AtomicBool,
    parker: Parker,
    /// Held so that the wait does not count as a deadlock while a waker exists.
    _unparker: Unparker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.parker.unpark();
        }
    }
}
