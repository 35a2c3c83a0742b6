//! Closing descriptors: a green thread that waits for one gets `EBADF`.
//!
//! A descriptor is a number, and the system gives a number that was closed to the next file. A call
//! that waits and then tries again must not reach that file. So each call notes at its begin how
//! often its number has been closed ([`InUse`]), and waits only if that has not changed. From then
//! on it is in the table of waiters, where a close wakes it before the number is free.
//!
//! Only closes through these functions count, and not those of the C library itself, as in
//! `fclose`.

use std::ffi::{c_int, c_uint};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use evy_runtime::lowlevel::hooks::Caller;

use super::system::{returned, system_call};
use super::wait_table::{self, Key};
use super::waits;
use crate::state;

/// How often the numbers have been closed. Larger numbers are not counted.
static CLOSES: [Closes; 1 << 16] = [const {
    Closes {
        begun: AtomicU32::new(0),
        ended: AtomicU32::new(0),
    }
}; 1 << 16];

/// How often one number has been closed. It never ends more often than it begins.
struct Closes {
    begun: AtomicU32,
    ended: AtomicU32,
}

impl Closes {
    fn of(fd: c_int) -> Option<&'static Self> {
        CLOSES.get(usize::try_from(fd).ok()?)
    }
}

/// The use of a descriptor by a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct InUse {
    fd: c_int,
    closes: u32,
}

impl InUse {
    /// Begins the use. While another OS thread closes the number, it is not clear which file the
    /// call would reach, so it waits for that, but not forever: a close may wait for a peer.
    pub(super) fn begin(fd: c_int) -> Self {
        let mut closes = 0;
        if let Some(all) = Closes::of(fd) {
            for _ in 0..1000 {
                let ended = all.ended.load(SeqCst);
                closes = all.begun.load(SeqCst);
                if closes == ended {
                    break;
                }
                // SAFETY: the call has no arguments.
                unsafe { system_call!(SYS_sched_yield) };
            }
        }
        Self { fd, closes }
    }

    pub(super) fn is_of(self, fd: c_int) -> bool {
        self.fd == fd
    }

    /// Whether it is known that the number has not been closed since the use began.
    fn is_still_open(self) -> bool {
        Closes::of(self.fd).is_some() && !self.is_over()
    }

    /// Whether the number has been closed since the use began.
    pub(super) fn is_over(self) -> bool {
        Closes::of(self.fd).is_some_and(|all| all.begun.load(SeqCst) != self.closes)
    }
}

/// Runs `park` while the green thread is in the table for all of these. Returns `None` if one of
/// them is closed, or has been. `park` does not unwind.
pub(super) fn while_open<R>(
    caller: Caller,
    uses: &[InUse],
    park: &mut dyn FnMut() -> R,
) -> Option<R> {
    let Some((first, others)) = uses.split_first() else {
        return Some(park());
    };
    let (key, is_due) = (Key::Descriptor(first.fd), || !first.is_over());
    let parked = waits::while_queued(caller.into(), key, u32::MAX, is_due, |_| {
        while_open(caller, others, park)
    });
    match parked {
        // A wake may have come for nothing.
        Some((result, is_woken)) if !is_woken || first.is_still_open() => result,
        _ => None,
    }
}

/// Makes a call that closes descriptors. Those that wait for them get `EBADF`.
fn closing<R>(numbers: impl Iterator<Item = c_int> + Clone, call: impl FnOnce() -> R) -> R {
    for fd in numbers.clone() {
        if let Some(all) = Closes::of(fd) {
            all.begun.fetch_add(1, SeqCst);
        }
        wait_table::wake_from_signal_handler(Key::Descriptor(fd), usize::MAX);
    }
    let result = call();
    for all in numbers.filter_map(Closes::of) {
        all.ended.fetch_add(1, SeqCst);
    }
    result
}

/// Whether the call makes `new` another name of `old`, which closes `new`.
fn replaces(old: c_int, new: c_int) -> bool {
    // SAFETY: the call reads flags, and fails if `old` is not open.
    old != new && state::is_in_use() && unsafe { system_call!(SYS_fcntl, old, libc::F_GETFD) } >= 0
}

/// Returns the numbers from `first` to `last` that are counted.
fn numbers(first: c_uint, last: c_uint) -> impl Iterator<Item = c_int> + Clone {
    let end = (last as usize).saturating_add(1).min(CLOSES.len());
    (first as usize..end).map(|fd| fd as c_int)
}

unsafe extern "C-unwind" {
    fn pthread_testcancel();
}

hooks! {
    @always fn close(fd: c_int) -> c_int {
        if !state::is_in_use() {
            return real::close(fd);
        }
        // The real function is a cancellation point, which would leave the count of the number open.
        let closed = closing(std::iter::once(fd), || returned(system_call!(SYS_close, fd)) as c_int);
        pthread_testcancel();
        closed
    }

    @always fn dup2(old: c_int, new: c_int) -> c_int {
        if !replaces(old, new) {
            return real::dup2(old, new);
        }
        closing(std::iter::once(new), || real::dup2(old, new))
    }

    @always fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int {
        if !replaces(old, new) {
            return real::dup3(old, new, flags);
        }
        closing(std::iter::once(new), || real::dup3(old, new, flags))
    }

    @always fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
        let closes = flags & libc::CLOSE_RANGE_CLOEXEC as c_int == 0;
        if !closes || !state::is_in_use() {
            return real::close_range(first, last, flags);
        }
        closing(numbers(first, last), || real::close_range(first, last, flags))
    }

    @always fn closefrom(first: c_int) -> () {
        if !state::is_in_use() {
            return real::closefrom(first);
        }
        let first_number = first.max(0).cast_unsigned();
        closing(numbers(first_number, c_uint::MAX), || real::closefrom(first));
    }
}
