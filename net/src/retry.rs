//! `retry`: attempts with pauses, for operations that the system refuses for a while without
//! reporting when it will not.
//!
//! Linux has two: connecting to a Unix socket whose backlog is full, and sending to a Unix datagram
//! socket that is not connected and whose queue is full. Both block in a blocking socket, and in a
//! non-blocking one, `EAGAIN` is not followed by an event.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use evy_runtime::io::{Direction, Green, Sharing, Timeout};
use evy_runtime::lowlevel::{charge, now, wait_any};

/// The first and the longest pause.
const PAUSE_MIN: Duration = Duration::from_micros(50);
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// Runs `op` until it does not return `WouldBlock`.
///
/// Parks in the pauses between two attempts, for at most `timeout` in all. Several green threads
/// that wait for the same room get it in any order.
///
/// # Errors
///
/// Returns the error of `op`, and `TimedOut` or `WouldBlock` according to `timeout`.
pub(crate) fn retry<T: AsFd, R>(
    io: &Green<T>,
    timeout: Timeout,
    mut op: impl FnMut(&T) -> io::Result<R>,
) -> io::Result<R> {
    let mut attempt = || {
        let (direction, sharing) = (Direction::Write, Sharing::Shared);
        io.with_io(direction, sharing, Timeout::NonBlocking, &mut op, |_| false)
    };
    let deadline = match timeout {
        Timeout::NonBlocking => return attempt(),
        Timeout::At(deadline) => Some(deadline),
        Timeout::After(duration) => now().checked_add(duration),
        _ => None,
    };
    charge();
    let mut pause = PAUSE_MIN;
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        wait(pause, deadline)?;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Parks for `pause`, or until `deadline`.
///
/// # Errors
///
/// Returns `TimedOut` if the deadline has passed. In a program that cannot unwind, returns the
/// error of an interrupted wait.
fn wait(pause: Duration, deadline: Option<Instant>) -> io::Result<()> {
    let end = now() + pause;
    let first = deadline.map_or(end, |deadline| deadline.min(end));
    match wait_any(&[], Direction::Write, Timeout::At(first)) {
        Err(error) if error.kind() != io::ErrorKind::TimedOut => Err(error),
        _ if deadline.is_some_and(|deadline| deadline <= now()) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer had no room in time",
        )),
        _ => Ok(()),
    }
}
