//! The backend for Linux and Android, which uses epoll on the poller's descriptor directly.
//!
//! `polling::Poller::wait` makes three system calls, or five with a timeout, because it re-arms its
//! notifier and a timer descriptor each time. Here a poll is usually one system call. `polling` is
//! called only if the notifier has fired, to clear it.
//!
//! Descriptors are registered here as well, because `polling` does not ask for `EPOLLRDHUP`.
//! Without that flag, an event for the last data and the end of the stream cannot be distinguished
//! from one for data alone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polling::Poller;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use rustix::io::Errno;

use super::{Event, MAX_EVENTS, Urgent};

/// The key that `polling` gives to its notifier.
const NOTIFIER: u64 = usize::MAX as u64;

pub(super) fn add(
    poller: &Poller,
    fd: BorrowedFd<'_>,
    key: usize,
    urgent: Urgent,
) -> io::Result<()> {
    let data = epoll::EventData::new_u64(key as u64);
    let flags = match urgent {
        Urgent::Reported => flags(),
        Urgent::Ignored => flags() - epoll::EventFlags::PRI,
    };
    Ok(epoll::add(poller, fd, data, flags)?)
}

/// Registers a descriptor once more, so that its readiness is reported again.
///
/// # Errors
///
/// Returns `NotFound` if the descriptor is not registered.
pub(super) fn modify(poller: &Poller, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
    let data = epoll::EventData::new_u64(key as u64);
    Ok(epoll::modify(poller, fd, data, flags())?)
}

/// Both directions, edge-triggered.
fn flags() -> epoll::EventFlags {
    use epoll::EventFlags as E;
    E::IN | E::OUT | E::RDHUP | E::PRI | E::ET
}

/// The longest timeout of a poll, a month. A longer one may be more than the kernel can count. The
/// caller polls again.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The events that the last poll has reported.
pub(super) struct Events {
    raw: Vec<epoll::Event>,
    /// The events that `polling` reports when it clears the notifier.
    cleared: polling::Events,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("len", &self.raw.len())
            .finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new() -> Self {
        Self {
            raw: Vec::with_capacity(MAX_EVENTS),
            cleared: polling::Events::new(),
        }
    }

    pub(super) fn wait(&mut self, poller: &Poller, timeout: Option<Duration>) -> io::Result<()> {
        self.raw.clear();
        self.cleared.clear();
        match wait_for(poller, &mut self.raw, timeout) {
            Ok(()) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        if self.raw.iter().any(|event| event.data.u64() == NOTIFIER) {
            poller.wait(&mut self.cleared, Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// Whether the last poll has reported as many events as it can, so there may be more.
    pub(super) fn is_full(&self) -> bool {
        self.raw.len() >= MAX_EVENTS
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Event> {
        let raw = self
            .raw
            .iter()
            .filter(|event| event.data.u64() != NOTIFIER)
            .map(|event| {
                use epoll::EventFlags as E;
                let flags = event.flags;
                let closed_or_failed = flags.intersects(E::RDHUP | E::HUP | E::ERR);
                Event {
                    key: event.data.u64() as usize,
                    readable: closed_or_failed || flags.intersects(E::IN | E::PRI),
                    writable: flags.intersects(E::OUT | E::HUP | E::ERR),
                    // A read stops at urgent data, even if there is more behind.
                    may_hide_more: closed_or_failed || flags.contains(E::PRI),
                }
            });
        raw.chain(self.cleared.iter().map(|event| Event {
            key: event.key,
            readable: event.readable,
            writable: event.writable,
            may_hide_more: true,
        }))
    }
}

/// Waits for events, for at most `timeout`, as exactly as the kernel can.
fn wait_for(
    poller: &Poller,
    events: &mut Vec<epoll::Event>,
    timeout: Option<Duration>,
) -> Result<(), Errno> {
    /// Set if the system call is missing, because the kernel is older than Linux 5.11, or forbidden,
    /// as in some containers.
    static PWAIT2_REFUSED: AtomicBool = AtomicBool::new(false);

    // Only `epoll_pwait2` takes a timeout with fractions of a millisecond.
    let timeout = match timeout {
        None | Some(Duration::ZERO) => return wait_or_poll(poller, events, timeout),
        Some(timeout) => timeout.min(LONGEST),
    };
    if !PWAIT2_REFUSED.load(Ordering::Relaxed) {
        match pwait2(poller, events, timeout) {
            Err(Errno::NOSYS | Errno::PERM) => PWAIT2_REFUSED.store(true, Ordering::Relaxed),
            other => return other,
        }
    }
    // An epoll descriptor can itself be polled, with an exact timeout.
    let exact = timespec(timeout);
    rustix::event::poll(&mut [PollFd::new(poller, PollFlags::IN)], Some(&exact))?;
    wait_or_poll(poller, events, Some(Duration::ZERO))
}

/// Waits for events with a timeout of zero, or with none.
fn wait_or_poll(
    poller: &Poller,
    events: &mut Vec<epoll::Event>,
    timeout: Option<Duration>,
) -> Result<(), Errno> {
    epoll::wait(
        poller,
        spare_capacity(events),
        timeout.map(timespec).as_ref(),
    )
    .map(|_| ())
}

/// Makes the system call `epoll_pwait2`. `rustix` makes it only for the longest timeouts.
fn pwait2(poller: &Poller, events: &mut Vec<epoll::Event>, timeout: Duration) -> Result<(), Errno> {
    /// The kernel's `__kernel_timespec`, which has 64 bits on every architecture.
    #[repr(C)]
    struct KernelTimespec {
        seconds: i64,
        nanoseconds: i64,
    }
    let timeout = KernelTimespec {
        seconds: timeout.as_secs() as i64,
        nanoseconds: i64::from(timeout.subsec_nanos()),
    };
    let spare = events.spare_capacity_mut();
    // SAFETY:
    // - the pointers are valid, and the kernel writes at most `spare.len()` events;
    // - a signal mask of null leaves the mask unchanged.
    let found = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            poller.as_fd().as_raw_fd(),
            spare.as_mut_ptr(),
            spare.len() as libc::c_int,
            &raw const timeout,
            ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    match usize::try_from(found) {
        Ok(found) => {
            // SAFETY: the kernel has written that many events behind the end of the vector.
            unsafe { events.set_len(events.len() + found) };
            Ok(())
        }
        Err(_) => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs() as _,
        tv_nsec: duration.subsec_nanos() as _,
    }
}
