//! `wait_any`: waits for the first of several descriptors.

use std::io;
use std::os::fd::BorrowedFd;

use super::readiness::ReadinessWaiter;
use super::timeout::Timeout;
use crate::green::{WaitReason, Wake};
use crate::reactor::Direction;
use crate::sched;
use crate::thread;

/// Waits until one of the descriptors is ready in `direction`. The caller tries them all, because
/// the wait may end spuriously.
///
/// Parks until then, for at most `timeout`.
///
/// # Errors
///
/// Returns `TimedOut` or `WouldBlock` according to `timeout`, and the error of the system if there
/// are too many descriptors, since each wait duplicates those it waits for.
///
/// # Examples
///
/// ```
/// use evy::io::{Direction, Timeout};
/// use evy::lowlevel::wait_any;
/// use std::os::fd::AsFd;
///
/// let ((first, _first_writer), (second, writer)) = (std::io::pipe()?, std::io::pipe()?);
/// drop(writer);
/// wait_any(&[first.as_fd(), second.as_fd()], Direction::Read, Timeout::Never)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn wait_any(
    fds: &[BorrowedFd<'_>],
    direction: Direction,
    mut timeout: Timeout,
) -> io::Result<()> {
    let scheduler = sched::try_current()?;
    let deadline = timeout
        .deadline(scheduler)
        .inspect_err(|_| thread::charge_failure())?;
    let waiters = fds.iter().map(|fd| ReadinessWaiter::new(*fd, direction));
    let waiters: Vec<_> = waiters.collect::<io::Result<_>>()?;
    waiters.iter().for_each(ReadinessWaiter::queue);
    match thread::wait_or_fail(scheduler, WaitReason::Select, deadline) {
        Wake::Unparked => Ok(()),
        Wake::TimedOut => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "no descriptor was ready in time",
        )),
        Wake::Interrupted | Wake::Deadlocked => Err(thread::interrupted_error()),
    }
}
