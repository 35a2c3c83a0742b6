//! `ExitNotice`: the event that one child has ended.
//!
//! The event only says that a status may be there, and takes none. So a waiter that is killed loses
//! nothing, and only the caller's own call reaps the child.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::green::WaitReason;
use crate::helper_pool::HelperPool;
use crate::io::{Direction, Green, Sharing, Timeout};

/// Where the event comes from: the pidfd of the child, which the first wait opens, or a helper OS
/// thread where the system has no pidfd for it.
#[derive(Default)]
pub(super) struct ExitNotice(Option<Green<OwnedFd>>);

impl ExitNotice {
    /// Calls `try_wait` until it returns a status, parking in between.
    ///
    /// `try_wait` must have returned `None` for `pid` before: the process is a child of this one
    /// then, so the id is not in use for another process.
    ///
    /// # Errors
    ///
    /// Returns the error of `try_wait` or of the reactor, or an error if no helper OS thread can be
    /// started.
    pub(super) fn wait_until(
        &mut self,
        pid: u32,
        mut try_wait: impl FnMut() -> io::Result<Option<ExitStatus>>,
    ) -> io::Result<ExitStatus> {
        let pid = checked(pid)?;
        if self.0.is_none() {
            // Reading is never tried, so it does not matter whether it would block.
            self.0 = open_pidfd(pid).ok().map(Green::from_non_blocking);
        }
        let status = match &self.0 {
            Some(pidfd) => pidfd.with_io(
                Direction::Read,
                Sharing::Exclusive,
                Timeout::Never,
                |_| try_wait()?.ok_or_else(|| io::ErrorKind::WouldBlock.into()),
                |_| false,
            )?,
            None => loop {
                wait_on_helper(pid)?;
                if let Some(status) = try_wait()? {
                    break status;
                }
            },
        };
        // A handle that is kept does not keep the descriptor.
        self.0 = None;
        Ok(status)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_pidfd(pid: Pid) -> io::Result<OwnedFd> {
    use rustix::process::{PidfdFlags, pidfd_open};
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_pidfd(_: Pid) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Waits for the end of the child on a helper OS thread.
///
/// Each child has one of its own, because the system offers no wait for a set of children that
/// leaves the others of the process alone. A limit would make a short child wait for the end of
/// long ones. A waiter that leaves does not end the helper OS thread, and the next waiter for the
/// same child joins it.
fn wait_on_helper(pid: Pid) -> io::Result<()> {
    static EXITS: HelperPool<()> = HelperPool::new(usize::MAX, usize::MAX, |pid| {
        let pid = pid.parse().map_err(io::Error::other)?;
        wait_without_reaping(checked(pid)?);
        Ok(())
    });
    let reason = WaitReason::Other("the end of a child process");
    EXITS.call(&pid.to_string(), reason)
}

/// Blocks until the child has ended. Ends at once if there is no such child any more.
fn wait_without_reaping(pid: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let wait = || waitid(WaitId::Pid(pid), options);
    rustix::io::retry_on_intr(wait).ok();
}

fn checked(pid: u32) -> io::Result<Pid> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
