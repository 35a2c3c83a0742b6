//! Waiting for several descriptors: `poll`, `select`, `epoll_wait`.
//!
//! A kill or an enclosing `timeout` does not end these waits. Code that uses them takes an error
//! for a defect, and an empty result for a reason to call again at once.

use std::ffi::{c_int, c_short};
use std::time::{Duration, Instant};

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, Interruption, WaitEnd};
use libc::{epoll_event, fd_set, nfds_t, pollfd, sigset_t, size_t, timespec, timeval};

use super::descriptors::{InUse, while_open};
use super::system::{errno, fail, returned, set_errno, system_call};
use super::time::duration;
use super::wait::{Call, Limits, Next};

hooks! {
    SELECT: fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
        |caller| {
            let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
            poll_all(caller, &"poll", fds, count, timeout)
        }
    }

    SELECT: fn ppoll(
        fds: *mut pollfd,
        count: nfds_t,
        timeout: *const timespec,
        mask: *const sigset_t,
    ) -> c_int {
        |caller| {
            let time = timeout.as_ref().map(duration);
            if !mask.is_null() || time == Some(None) {
                // The mask would hold for all green threads.
                return real::ppoll(fds, count, timeout, mask);
            }
            poll_all(caller, &"ppoll", fds, count, time.flatten())
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
            let time = timeout.as_ref().map(|time| {
                let seconds = u64::try_from(time.tv_sec).ok()?;
                let micros = u64::try_from(time.tv_usec).ok()?;
                Some(Duration::from_secs(seconds) + Duration::from_micros(micros))
            });
            if time == Some(None) || !is_size_of_set(count) {
                // It finds the error, or the sets are larger than usual.
                return real::select(count, read, write, except, timeout);
            }
            let time = time.flatten();
            let ready = select_from(caller, &"select", count, [read, write, except], time);
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
            let time = timeout.as_ref().map(duration);
            if !mask.is_null() || time == Some(None) || !is_size_of_set(count) {
                return real::pselect(count, read, write, except, timeout, mask);
            }
            select_from(caller, &"pselect", count, [read, write, except], time.flatten())
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
            wait_on_epoll(caller, &"epoll_wait", epoll, events, capacity, timeout)
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
            if !mask.is_null() {
                return real::epoll_pwait(epoll, events, capacity, timeout, mask);
            }
            let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
            wait_on_epoll(caller, &"epoll_pwait", epoll, events, capacity, timeout)
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
            let time = timeout.as_ref().map(duration);
            if !mask.is_null() || time == Some(None) {
                return real::epoll_pwait2(epoll, events, capacity, timeout, mask);
            }
            wait_on_epoll(caller, &"epoll_pwait2", epoll, events, capacity, time.flatten())
        }
    }
}

/// Whether the sets of a `select` with this number have the usual size.
fn is_size_of_set(count: c_int) -> bool {
    (0..=libc::FD_SETSIZE as c_int).contains(&count)
}

/// Whether a descriptor is ready now for one of `events`, or has failed.
pub(super) fn is_ready(fd: c_int, events: c_short) -> bool {
    let mut one = pollfd {
        fd,
        events,
        revents: 0,
    };
    // SAFETY: the pointer is valid.
    unsafe { poll_now(&raw mut one, 1) != 0 }
}

/// Polls without waiting. Returns what the kernel returns.
///
/// # Safety
///
/// As for `poll`.
pub(super) unsafe fn poll_now(fds: *mut pollfd, count: nfds_t) -> isize {
    let zero = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: as for `poll` (caller).
    unsafe { system_call!(SYS_ppoll, fds, count, &raw const zero, 0, 0) }
}

unsafe fn poll_all(
    caller: Caller,
    name: &'static &'static str,
    fds: *mut pollfd,
    count: nfds_t,
    timeout: Option<Duration>,
) -> c_int {
    // SAFETY: as for `poll` (caller).
    let found = unsafe { poll_now(fds, count) };
    if found != 0 {
        return returned(found) as c_int;
    }
    if timeout == Some(Duration::ZERO) {
        caller.yield_now();
        // SAFETY: as above.
        return returned(unsafe { poll_now(fds, count) }) as c_int;
    }
    let deadline = timeout.and_then(|timeout| caller.deadline_after(timeout));
    let before = errno();
    let list = match count {
        0 => &mut [],
        // SAFETY: the array is valid (caller).
        _ => unsafe { std::slice::from_raw_parts_mut(fds, count as usize) },
    };
    let mut wanted: Vec<(c_int, Direction)> = list
        .iter()
        .filter(|one| one.fd >= 0)
        .flat_map(|one| directions(one.events).map(|direction| (one.fd, direction)))
        .collect();
    let watched = wanted.iter().take(WATCHED);
    let uses: Vec<InUse> = watched.map(|(fd, _)| InUse::begin(*fd)).collect();
    let reason = match wanted.first() {
        Some((fd, _)) => WaitReason::CallOnDescriptor(name, *fd),
        None => WaitReason::Sleep,
    };
    let result = loop {
        let mut park = || match wanted.is_empty() {
            true => Ok(caller.park(reason, deadline, Interruption::Waits)),
            false => caller.wait_for_descriptors(&wanted, reason, deadline, Interruption::Waits),
        };
        let Some(end) = while_open(caller, &uses, &mut park) else {
            break report_closed(list, &uses);
        };
        // SAFETY: as for `poll` (caller).
        let found = unsafe { poll_now(list.as_mut_ptr(), count) };
        match end {
            _ if found != 0 => break found,
            Ok(WaitEnd::TimedOut) => break 0,
            Ok(WaitEnd::Deadlocked) => break -(libc::EDEADLK as isize),
            Ok(_) => {}
            Err(error)
                if error.raw_os_error() == Some(libc::EPERM)
                    && wanted.iter().any(|(fd, _)| !is_pollable(*fd)) =>
            {
                // A file that is always ready has nothing else to report.
                wanted.retain(|(fd, _)| is_pollable(*fd));
            }
            Err(error) => break -(error.raw_os_error().unwrap_or(libc::EIO) as isize),
        }
    };
    set_errno(before);
    returned(result) as c_int
}

/// Whether events of a descriptor can be waited for.
fn is_pollable(fd: c_int) -> bool {
    // SAFETY: all zeros is a valid value. The calls read it, and fail if `fd` is not open.
    unsafe {
        let epoll = system_call!(SYS_epoll_create1, libc::EPOLL_CLOEXEC);
        let event: epoll_event = std::mem::zeroed();
        let added = system_call!(
            SYS_epoll_ctl,
            epoll,
            libc::EPOLL_CTL_ADD,
            fd,
            &raw const event
        );
        system_call!(SYS_close, epoll);
        added != -(libc::EPERM as isize)
    }
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

unsafe fn select_from(
    caller: Caller,
    name: &'static &'static str,
    count: c_int,
    sets: [*mut fd_set; 3],
    timeout: Option<Duration>,
) -> c_int {
    /// What `select` asks for, and what it takes for an answer.
    const EVENTS: [(c_short, c_short); 3] = [
        (libc::POLLIN, libc::POLLIN | libc::POLLHUP | libc::POLLERR),
        (libc::POLLOUT, libc::POLLOUT | libc::POLLERR),
        (libc::POLLPRI, libc::POLLPRI),
    ];
    // SAFETY: a set is valid or null (caller), and `fd` is below its size.
    let has = |set: *mut fd_set, fd: c_int| unsafe { !set.is_null() && libc::FD_ISSET(fd, set) };
    let before = errno();
    let mut fds: Vec<pollfd> = (0..count)
        .map(|fd| {
            let wanted = sets.iter().zip(EVENTS).filter(|(set, _)| has(**set, fd));
            pollfd {
                fd,
                events: wanted.fold(0, |events, (_, (asked, _))| events | asked),
                revents: 0,
            }
        })
        .filter(|one| one.events != 0)
        .collect();
    set_errno(before);
    // SAFETY: the array is valid.
    let found = unsafe { poll_all(caller, name, fds.as_mut_ptr(), fds.len() as nfds_t, timeout) };
    if found < 0 {
        return found;
    }
    if fds.iter().any(|one| one.revents & libc::POLLNVAL != 0) {
        return fail(libc::EBADF) as c_int;
    }
    let mut ready = 0;
    for (set, (asked, answers)) in sets.into_iter().zip(EVENTS) {
        if set.is_null() {
            continue;
        }
        // SAFETY: the set is valid (caller), and each descriptor is below its size.
        unsafe {
            for fd in 0..count {
                libc::FD_CLR(fd, set);
            }
            for one in fds.iter().filter(|one| one.events & asked != 0) {
                if one.revents & answers != 0 {
                    libc::FD_SET(one.fd, set);
                    ready += 1;
                }
            }
        }
    }
    ready
}

unsafe fn wait_on_epoll(
    caller: Caller,
    name: &'static &'static str,
    epoll: c_int,
    events: *mut epoll_event,
    capacity: c_int,
    timeout: Option<Duration>,
) -> c_int {
    // SAFETY: as for `epoll_wait` (caller).
    let attempt = || unsafe { system_call!(SYS_epoll_pwait, epoll, events, capacity, 0, 0, 8) };
    let found = attempt();
    if found != 0 {
        return returned(found) as c_int;
    }
    if timeout == Some(Duration::ZERO) {
        caller.yield_now();
        return returned(attempt()) as c_int;
    }
    let deadline = timeout.and_then(|timeout| caller.deadline_after(timeout));
    // An epoll descriptor can itself be polled.
    let mut call = Call::begin(caller, name, epoll, Direction::Read).with_limits(Limits {
        deadline,
        interruption: Interruption::Waits,
    });
    loop {
        let next = call.wait();
        let found = attempt();
        if found != 0 {
            return returned(found) as c_int;
        }
        match next {
            Next::TryAgain => {}
            Next::TimedOut => return 0,
            Next::Fail(errno) => return fail(errno) as c_int,
            Next::IsNotPollable => return fail(libc::EINVAL) as c_int,
        }
    }
}
