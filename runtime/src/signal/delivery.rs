//! How a signal gets from its handler to the receivers.
//!
//! A handler may interrupt any code of any OS thread, so it must not lock, allocate or wake. It does
//! two things: it counts the signal, and writes a byte to a pipe. From there on ordinary code
//! continues:
//!
//! | step | by |
//! | --- | --- |
//! | counts the signal, and writes to the pipe | the handler |
//! | reads from the pipe | the helper OS thread `evy-signals` |
//! | moves the counts to the inboxes of all `Signals`, and wakes receivers | the helper, or a receiver that is about to look into its inbox |
//!
//! A receiver therefore finds a signal as soon as its handler has returned. The helper is for those
//! that wait already. They may be green threads of any OS thread, or OS threads without green threads,
//! so no reactor could wake them all.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use super::disposition::{self, Disposition};
use super::inbox::Inbox;
use crate::fork;
use crate::helper_thread;
use crate::primitive::{Arc, AtomicUsize, Mutex, Ordering, lock};
use crate::sched;
use crate::sync::wait_list::PendingUnpark;

/// The signals that have been received at some time.
static SIGNALS: Mutex<BTreeMap<i32, Delivery>> = Mutex::new(BTreeMap::new());

/// The pipe that wakes the helper. It is created once, with the helper, and never closed.
static WAKE: OnceLock<PipeWriter> = OnceLock::new();

/// One signal.
struct Delivery {
    /// How often the handler has run since the last distribution. Never freed, because a handler may
    /// run at any time.
    arrived: &'static AtomicUsize,
    disposition: Disposition,
    /// The inboxes of all `Signals` for this signal.
    inboxes: Vec<Arc<Inbox>>,
}

/// Delivers `signal` to `inbox` from now on.
///
/// # Errors
///
/// Returns `InvalidInput` if the signal cannot be received, and the error of the system if it has no
/// descriptor or no OS thread.
pub(super) fn subscribe(signal: i32, inbox: &Arc<Inbox>) -> io::Result<()> {
    disposition::check(signal)?;
    let mut signals = lock(&SIGNALS);
    let wake = start_helper()?;
    let delivery = signals.entry(signal).or_insert_with(|| Delivery {
        arrived: Box::leak(Box::new(AtomicUsize::new(0))),
        disposition: Disposition::new(signal),
        inboxes: Vec::new(),
    });
    if delivery.inboxes.is_empty() {
        let arrived = delivery.arrived;
        arrived.store(0, Ordering::Relaxed);
        let handler = move || handle(arrived, wake);
        // SAFETY: the handler makes a system call and changes an atomic, which a signal handler may
        // do. It cannot panic.
        unsafe { delivery.disposition.install(handler) }?;
    }
    delivery.inboxes.push(Arc::clone(inbox));
    Ok(())
}

/// Delivers `signal` to `inbox` no more. If this was the last inbox, the signal has its former effect
/// again.
pub(super) fn unsubscribe(signal: i32, inbox: &Arc<Inbox>) {
    // In a child, an OS thread that does not exist there may have held the lock.
    if fork::is_child() {
        return;
    }
    let mut signals = lock(&SIGNALS);
    if let Some(delivery) = signals.get_mut(&signal) {
        delivery.inboxes.retain(|other| !Arc::ptr_eq(other, inbox));
        if delivery.inboxes.is_empty() {
            delivery.disposition.restore();
        }
    }
}

/// Runs in the signal handler.
fn handle(arrived: &AtomicUsize, wake: BorrowedFd<'_>) {
    // In a child, the pipe is that of the parent.
    if fork::is_child() {
        return;
    }
    arrived.fetch_add(1, Ordering::Release);
    // The only failure is a full pipe, which wakes the helper as well.
    rustix::io::write(wake, &[0]).ok();
}

/// Moves the signals that have arrived to the inboxes, and wakes receivers.
pub(super) fn distribute() {
    let mut notified = Vec::new();
    let signals = lock(&SIGNALS);
    for (signal, delivery) in &*signals {
        if delivery.arrived.load(Ordering::Relaxed) > 0 {
            let count = delivery.arrived.swap(0, Ordering::Acquire);
            for inbox in &delivery.inboxes {
                inbox.add(*signal, count, &mut notified);
            }
        }
    }
    drop(signals);
    notified.into_iter().for_each(PendingUnpark::unpark);
}

/// Starts the helper, unless it runs already. Returns the end of the pipe that wakes it. Called under
/// the lock of [`SIGNALS`].
///
/// # Errors
///
/// Returns the error of the system if it has no descriptor or no OS thread.
fn start_helper() -> io::Result<BorrowedFd<'static>> {
    if WAKE.get().is_none() {
        let (reader, writer) = io::pipe()?;
        // The handler must not wait for room in the pipe.
        rustix::io::ioctl_fionbio(writer.as_fd(), true)?;
        // The stack is small, because the helper calls little.
        helper_thread::start("evy-signals", Some(64 << 10), || help(reader))?;
        WAKE.set(writer).ok();
    }
    Ok(WAKE.get().expect("set above").as_fd())
}

fn help(mut wakes: PipeReader) {
    sched::block_signals();
    let mut buf = [0; 512];
    while wakes.read(&mut buf).is_ok_and(|len| len > 0) {
        distribute();
    }
}
