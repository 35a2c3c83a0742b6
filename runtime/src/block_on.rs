//! `block_on`: a future, awaited by a green thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::green::WaitReason;
use crate::primitive::{AtomicBool, Ordering};
use crate::thread::{Parker, Unparker, current, park_while};

/// Runs `future` to its end on the calling green thread, which parks while the future is not ready.
///
/// The future may be woken from any OS thread. What it polls runs on the green thread's stack, and may
/// call whatever parks. If the caller is killed or times out, the future is dropped where it is. A
/// future that needs a runtime of its own (a reactor, timers) finds none here: enter it, or have it
/// run there and await its handle.
///
/// # Panics
///
/// As the future does.
///
/// # Examples
///
/// ```
/// let answer = evy::block_on(async { 6 * 7 });
/// assert_eq!(answer, 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // First, for it starts evy on this OS thread, which may be new to it: the parker of one that is
    // would wake the OS thread out of a wait that it is not in.
    let unparker = current().unparker();
    let signal = Arc::new(Signal {
        woken: AtomicBool::new(false),
        parker: Parker::current(),
        _unparker: unparker,
    });
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        while !park_while(WaitReason::Future, None, || {
            !signal.woken.load(Ordering::Acquire)
        }) {}
        // What was done before the latest wake-up is to be seen by the poll.
        signal.woken.swap(false, Ordering::AcqRel);
    }
}

/// Whether the future wants to be polled again.
struct Signal {
    woken: AtomicBool,
    parker: Parker,
    /// As long as a waker lives, the wait is not taken for a stall.
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
