//! Waiting for several descriptors: `poll`, `select`, `epoll_wait`.
//!
//! A kill or an enclosing `timeout` does not end these waits. Code that uses them takes an error
//! for a defect, and an empty result for a reason to call again at once.

use std::cell::Cell;
use std::ffi::{c_int, c_short};
use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption, WaitEnd};
use libc::{epoll_event, fd_set, nfds_t, pollfd, sigset_t, size_t, timespec, timeval};

use super::descriptors::{InUse, while_open};
use super::masks::Mask;
use super::pointers::{is_readable, value};
use super::system::{errno, returned, set_errno, system_call};
use super::time::limit;

hooks! {
    SELECT: fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
        |caller| {
            let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
            poll_all(caller, &"poll", fds, count, timeout, &Mask::NONE)
        }
    }

    SELECT: fn ppoll(
        fds: *mut pollfd,
        count: nfds_t,
        timeout: *const timespec,
        mask: *const sigset_t,
    ) -> c_int {
        |caller| {
            let (Some(time), Some(own)) = (limit(timeout), Mask::of(mask)) else {
                return real::ppoll(fds, count, timeout, mask);
            };
            poll_all(caller, &"ppoll", fds, count, time, &own)
        }
    }

    SELECT: fn __poll_chk(
        fds: *mut pollfd,
        count: nfds_t,
        timeout: c_int,
        fds_size: size_t,
    ) -> c_int {
        |_caller| {
            if fds_size / size_of::<pollfd>() < count as usize {
                // It reports the overflow, and aborts.
                return real::__poll_chk(fds, count, timeout, fds_size);
            }
            poll(fds, count, timeout)
        }
    }

    SELECT: fn __ppoll_chk(
        fds: *mut pollfd,
        count: nfds_t,
        timeout: *const timespec,
        mask: *const sigset_t,
        fds_size: size_t,
    ) -> c_int {
        |_caller| {
            if fds_size / size_of::<pollfd>() < count as usize {
                return real::__ppoll_chk(fds, count, timeout, mask, fds_size);
            }
            ppoll(fds, count, timeout, mask)
        }
    }

    SELECT: fn select(
        count: c_int,
        read: *mut fd_set,
        write: *mut fd_set,
        except: *mut fd_set,
        timeout: *mut timeval,
    ) -> c_int {
        |caller| {
            let started = Instant::now();
            let Some(time) = limit_of_select(timeout) else {
                return real::select(count, read, write, except, timeout);
            };
            let sets = [read, write, except];
            let found = select_from(caller, &"select", count, sets, time, &Mask::NONE);
            let Some(ready) = found else {
                return real::select(count, read, write, except, timeout);
            };
            // Linux leaves the time that is left there.
            if let (Some(timeout), Some(time)) = (timeout.as_mut(), time) {
                let left = time.saturating_sub(started.elapsed());
                timeout.tv_sec = left.as_secs() as _;
                timeout.tv_usec = left.subsec_micros().into();
            }
            ready
        }
    }

    SELECT: fn pselect(
        count: c_int,
        read: *mut fd_set,
        write: *mut fd_set,
        except: *mut fd_set,
        timeout: *const timespec,
        mask: *const sigset_t,
    ) -> c_int {
        |caller| {
            let sets = [read, write, except];
            let found = match (limit(timeout), Mask::of(mask)) {
                (Some(time), Some(own)) => {
                    select_from(caller, &"pselect", count, sets, time, &own)
                }
                _ => None,
            };
            match found {
                Some(ready) => ready,
                None => real::pselect(count, read, write, except, timeout, mask),
            }
        }
    }

    SELECT: fn epoll_wait(
        epoll: c_int,
        events: *mut epoll_event,
        capacity: c_int,
        timeout: c_int,
    ) -> c_int {
        |caller| {
            let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
            wait_on_epoll(caller, &"epoll_wait", epoll, (events, capacity), timeout, &Mask::NONE)
        }
    }

    SELECT: fn epoll_pwait(
        epoll: c_int,
        events: *mut epoll_event,
        capacity: c_int,
        timeout: c_int,
        mask: *const sigset_t,
    ) -> c_int {
        |caller| {
            let Some(own) = Mask::of(mask) else {
                return real::epoll_pwait(epoll, events, capacity, timeout, mask);
            };
            let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
            wait_on_epoll(caller, &"epoll_pwait", epoll, (events, capacity), timeout, &own)
        }
    }

    SELECT: fn epoll_pwait2(
        epoll: c_int,
        events: *mut epoll_event,
        capacity: c_int,
        timeout: *const timespec,
        mask: *const sigset_t,
    ) -> c_int {
        |caller| {
            let (Some(time), Some(own)) = (limit(timeout), Mask::of(mask)) else {
                return real::epoll_pwait2(epoll, events, capacity, timeout, mask);
            };
            wait_on_epoll(caller, &"epoll_pwait2", epoll, (events, capacity), time, &own)
        }
    }
}

/// Returns the limit of a `select` like [`limit`].
unsafe fn limit_of_select(time: *const timeval) -> Option<Option<Duration>> {
    if time.is_null() {
        return Some(None);
    }
    // SAFETY: nothing writes to it (caller).
    let time = unsafe { value(time) }?;
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let micros = u64::try_from(time.tv_usec).ok()?;
    Some(Some(
        Duration::from_secs(seconds) + Duration::from_micros(micros),
    ))
}

/// Whether a descriptor is ready now for one of `events`, or has failed.
pub(super) fn is_ready(fd: c_int, events: c_short) -> bool {
    found(fd, events) != 0
}

/// Whether nothing more will arrive on a socket, so that a call which receives does not block.
pub(super) fn has_ended(fd: c_int) -> bool {
    found(fd, libc::POLLRDHUP) & libc::POLLRDHUP != 0
}

/// Returns those of `events` that a descriptor is ready for now, and its errors.
fn found(fd: c_int, events: c_short) -> c_short {
    let mut one = pollfd {
        fd,
        events,
        revents: 0,
    };
    // SAFETY: the pointer is valid.
    unsafe { poll_now(&raw mut one, 1, &Mask::NONE) };
    one.revents
}

/// A time that has passed.
pub(super) const AT_ONCE: timespec = timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Polls without waiting. Returns what the kernel returns.
///
/// # Safety
///
/// As for `poll`.
pub(super) unsafe fn poll_now(fds: *mut pollfd, count: nfds_t, mask: &Mask) -> isize {
    let time = AT_ONCE;
    // SAFETY: as for `poll` (caller).
    unsafe { system_call!(SYS_ppoll, fds, count, &raw const time, mask.pointer(), 8) }
}

/// Polls as `poll`.
///
/// # Safety
///
/// As for `poll`.
pub(super) unsafe fn poll_all(
    caller: Caller,
    name: &'static &'static str,
    fds: *mut pollfd,
    count: nfds_t,
    timeout: Option<Duration>,
    mask: &Mask,
) -> c_int {
    // SAFETY: as for `poll` (caller).
    let attempt = || unsafe { poll_now(fds, count, mask) };
    let list = || match count {
        0 => &mut [],
        // SAFETY: it is called after the kernel has accepted the array.
        _ => unsafe { std::slice::from_raw_parts_mut(fds, count as usize) },
    };
    let wanted = || {
        let open = list().iter().filter(|one| one.fd >= 0);
        open.flat_map(|one| directions(one.events).map(|direction| (one.fd, direction)))
            .collect()
    };
    let closed = |uses: &[InUse]| report_closed(list(), uses);
    until_ready(caller, name, timeout, mask, attempt, wanted, closed)
}

/// Repeats `attempt` until it does not return zero, or the time is over, and returns its result as
/// the C library does. `wanted` says what to wait for, and `closed` what to return if some of that
/// is closed.
fn until_ready(
    caller: Caller,
    name: &'static &'static str,
    timeout: Option<Duration>,
    mask: &Mask,
    attempt: impl Fn() -> isize,
    wanted: impl FnOnce() -> Vec<(c_int, Direction)>,
    closed: impl FnOnce(&[InUse]) -> isize,
) -> c_int {
    let found = attempt();
    if found != 0 {
        return returned(found) as c_int;
    }
    if timeout == Some(Duration::ZERO) {
        caller.yield_now();
        return returned(attempt()) as c_int;
    }
    let deadline = timeout.and_then(|timeout| caller.deadline_after(timeout));
    let before = errno();
    let mut wanted = wanted();
    let watched = wanted.iter().take(WATCHED);
    let uses: Vec<InUse> = watched.map(|(fd, _)| InUse::begin(*fd)).collect();
    let reason = match wanted.first() {
        Some((fd, _)) => WaitReason::CallOnDescriptor(name, *fd),
        None => WaitReason::Sleep,
    };
    let signals = match mask.descriptor() {
        Ok(signals) => signals,
        Err(error) => return returned(error) as c_int,
    };
    wanted.extend(signals.iter().map(|signals| (signals.0, Direction::Read)));
    let mut registered = None;
    let result = loop {
        let mut park = || {
            if wanted.is_empty() {
                return Ok(caller.park(reason, deadline, Interruption::Waits));
            }
            let registered = match &mut registered {
                Some(registered) => registered,
                none => none.insert(caller.register(&wanted)?),
            };
            io::Result::Ok(registered.wait(reason, deadline, Interruption::Waits))
        };
        let Some(end) = while_open(caller, &uses, &mut park) else {
            break closed(&uses);
        };
        let found = attempt();
        match end {
            _ if found != 0 => break found,
            Ok(WaitEnd::TimedOut) => break 0,
            Ok(WaitEnd::Deadlocked) => break -(libc::EDEADLK as isize),
            Ok(_) => {}
            // A file that is always ready has nothing else to report.
            Err(error) if is_of_one(&error) => {
                let count = wanted.len();
                wanted.retain(|one| {
                    !caller
                        .register(&[*one])
                        .is_err_and(|error| is_of_one(&error))
                });
                if wanted.len() == count {
                    break -(error.raw_os_error().unwrap_or(libc::EIO) as isize);
                }
            }
            Err(error) => break -(error.raw_os_error().unwrap_or(libc::EIO) as isize),
        }
    };
    set_errno(before);
    returned(result) as c_int
}

/// Whether an error says that a descriptor is not open, or has no events.
fn is_of_one(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EBADF))
}

/// How many descriptors of a call are watched for being closed.
const WATCHED: usize = 16;

/// Reports the descriptors that were closed meanwhile, and only those.
fn report_closed(list: &mut [pollfd], uses: &[InUse]) -> isize {
    let is_closed = |fd| uses.iter().any(|one| one.is_of(fd) && one.is_over());
    let mut closed = 0;
    for one in list.iter_mut().filter(|one| is_closed(one.fd)) {
        one.revents = libc::POLLNVAL;
        closed += 1;
    }
    closed
}

/// Returns the directions to wait in for `events`. Errors and ends are reported in both.
fn directions(events: c_short) -> impl Iterator<Item = Direction> {
    let writes = events & (libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND) != 0;
    let others = events & !(libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND) != 0;
    let read = (others || !writes).then_some(Direction::Read);
    read.into_iter().chain(writes.then_some(Direction::Write))
}

/// Selects. Returns `None` if the real function must do it.
unsafe fn select_from(
    caller: Caller,
    name: &'static &'static str,
    count: c_int,
    sets: [*mut fd_set; 3],
    timeout: Option<Duration>,
    mask: &Mask,
) -> Option<c_int> {
    /// The most descriptors. Larger sets are left to the kernel.
    const MOST: usize = 1 << 16;
    let count = usize::try_from(count).ok().filter(|count| *count <= MOST)?;
    let words = count.div_ceil(64);
    let is_valid = |set: &*mut fd_set| words == 0 || set.is_null() || is_readable(*set, words * 8);
    if !sets.iter().all(is_valid) {
        return None;
    }
    // Programs may use sets that are larger than usual.
    let sets = sets.map(|set| match set.is_null() {
        true => &[][..],
        // SAFETY: the sets are valid (caller), and others do not write to them meanwhile.
        false => unsafe { std::slice::from_raw_parts(set.cast::<Cell<u64>>(), words) },
    });
    let before = sets.map(|set| set.iter().map(Cell::get).collect::<Vec<u64>>());
    let restore = || {
        for (set, before) in sets.iter().zip(&before) {
            set.iter()
                .zip(before)
                .for_each(|(word, before)| word.set(*before));
        }
    };
    let attempt = || {
        restore();
        let pointers = sets.map(|set| match set {
            [] => ptr::null(),
            set => set.as_ptr(),
        });
        let [read, write, except] = pointers;
        let time = AT_ONCE;
        let mask = [mask.pointer().expose_provenance(), 8];
        // SAFETY: the sets are valid, and so are the time and the mask.
        unsafe {
            system_call!(
                SYS_pselect6,
                count,
                read,
                write,
                except,
                &raw const time,
                mask.as_ptr()
            )
        }
    };
    let wanted = || {
        let directions = [Direction::Read, Direction::Write, Direction::Read];
        let of_set = |(set, direction): (&Vec<u64>, Direction)| {
            let has = |fd: &usize| {
                set.get(fd / 64)
                    .is_some_and(|word| word >> (fd % 64) & 1 == 1)
            };
            let fds = (0..count).filter(has);
            fds.map(|fd| (fd as c_int, direction)).collect::<Vec<_>>()
        };
        before.iter().zip(directions).flat_map(of_set).collect()
    };
    let closed = |_: &[InUse]| {
        restore();
        -(libc::EBADF as isize)
    };
    Some(until_ready(
        caller, name, timeout, mask, attempt, wanted, closed,
    ))
}

unsafe fn wait_on_epoll(
    caller: Caller,
    name: &'static &'static str,
    epoll: c_int,
    (events, capacity): (*mut epoll_event, c_int),
    timeout: Option<Duration>,
    mask: &Mask,
) -> c_int {
    let attempt = || {
        // SAFETY: as for `epoll_wait` (caller).
        let found = unsafe { system_call!(SYS_epoll_pwait, epoll, events, capacity, 0, 0, 8) };
        match found == 0 && mask.opens_signals() {
            // Without a time to wait, that call does not deliver signals.
            // SAFETY: there is no array.
            true => unsafe { poll_now(ptr::null_mut(), 0, mask) },
            false => found,
        }
    };
    // An epoll descriptor can itself be polled.
    let wanted = || vec![(epoll, Direction::Read)];
    let closed = |_: &[InUse]| -(libc::EBADF as isize);
    until_ready(caller, name, timeout, mask, attempt, wanted, closed)
}
