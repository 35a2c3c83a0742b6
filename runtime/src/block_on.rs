//! `block_on`: runs a future on a green thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::green::WaitReason;
use crate::io::FutureWaits;
use crate::primitive::{AtomicBool, Ordering};
use crate::thread::{Parker, Unparker, charge, current, park_while};

/// Runs `future` to completion on the calling green thread and returns its output.
///
/// The future may be woken from any OS thread. It is polled on the green thread's stack, so it may
/// call functions that park. If the caller is killed or times out, the future is dropped where it
/// is.
///
/// # What a future can wait for
///
/// - Channels and other things that need no runtime.
/// - Cooperative descriptors. With the feature `futures-io`, [`Green`](crate::io::Green), the pipes
///   of `evy::io` and the sockets of `evy::net` implement `AsyncRead` and `AsyncWrite` of the crate
///   `futures-io`. They work inside of `block_on`, and in no other executor. Several futures can be
///   joined in one call; each wake-up takes time in proportion to the number of descriptors that
///   they wait for.
/// - Nothing of tokio's I/O and timers. They need a tokio runtime that runs on another OS thread.
///
/// # Beside a tokio runtime
///
/// Build one runtime with worker threads, and keep it for as long as it is needed. Spawn what needs
/// tokio there, and await the handle here:
///
/// ```
/// # use std::time::Duration;
/// let runtime = tokio::runtime::Builder::new_multi_thread()
///     .worker_threads(1)
///     .enable_all()
///     .build()?;
/// let task = runtime.spawn(async {
///     tokio::time::sleep(Duration::from_millis(1)).await;
///     6 * 7
/// });
/// assert_eq!(evy::block_on(task)?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// For a library that looks up the current runtime itself, call `Runtime::enter` once on the OS
/// thread, before the green threads are spawned, and keep the guard until the end. The guard belongs
/// to the OS thread. Guards of several green threads would be dropped in another order than they
/// were created in, at which tokio panics. For the same reason do not call `Runtime::block_on` on a
/// green thread: it blocks the OS thread.
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
    // Declared after the future, so dropped before it: its destructor runs in no `block_on`.
    let waits = FutureWaits::enter();
    loop {
        charge(|| false);
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let queued = waits.queue();
        while !park_while(WaitReason::Future, None, || {
            !signal.woken.load(Ordering::Acquire) && !queued.is_any_due()
        }) {}
        drop(queued);
        waits.wake_due();
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
