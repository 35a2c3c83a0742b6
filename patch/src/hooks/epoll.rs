//! Waiting in an epoll descriptor, which can itself be polled.
//!
//! A kill or an enclosing `timeout` does not end these waits, as for `poll`.

use std::ffi::c_int;
use std::time::{Duration, Instant};

use evy_runtime::io::Direction;
use evy_runtime::lowlevel::hooks::{Caller, Interruption};
use libc::{epoll_event, pollfd, sigset_t, timespec};

use super::readiness::poll_all;
use super::signal_mask::Admitted;
use super::system::{fail, returned, system_call};
use super::time::duration;
use super::wait::{Call, Limits, Next};

hooks! {
    SELECT: fn epoll_wait(
        epoll: c_int,
        events: *mut epoll_event,
        capacity: c_int,
        timeout: c_int,
    ) -> c_int {
        |caller| {
            let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
            wait(caller, &"epoll_wait", epoll, events, capacity, timeout, None)
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
            let Ok(signals) = Admitted::by(mask) else {
                return real::epoll_pwait(epoll, events, capacity, timeout, mask);
            };
            let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
            wait(caller, &"epoll_pwait", epoll, events, capacity, timeout, signals.as_ref())
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
            let (time, Ok(signals)) = (timeout.as_ref().map(duration), Admitted::by(mask)) else {
                return real::epoll_pwait2(epoll, events, capacity, timeout, mask);
            };
            if time == Some(None) {
                return real::epoll_pwait2(epoll, events, capacity, timeout, mask);
            }
            let time = time.flatten();
            wait(caller, &"epoll_pwait2", epoll, events, capacity, time, signals.as_ref())
        }
    }
}

unsafe fn wait(
    caller: Caller,
    name: &'static &'static str,
    epoll: c_int,
    events: *mut epoll_event,
    capacity: c_int,
    timeout: Option<Duration>,
    signals: Option<&Admitted>,
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
    if signals.is_some() {
        return wait_for_signals_too(caller, name, epoll, deadline, signals, attempt);
    }
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

/// Waits until `attempt` finds events, or until the handler of one of the signals has run.
fn wait_for_signals_too(
    caller: Caller,
    name: &'static &'static str,
    epoll: c_int,
    deadline: Option<Instant>,
    signals: Option<&Admitted>,
    attempt: impl Fn() -> isize,
) -> c_int {
    loop {
        let mut one = pollfd {
            fd: epoll,
            events: libc::POLLIN,
            revents: 0,
        };
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        // SAFETY: the pointer is valid.
        let ready = unsafe { poll_all(caller, name, &raw mut one, 1, left, signals) };
        if ready <= 0 {
            return ready;
        }
        let found = attempt();
        if found != 0 {
            return returned(found) as c_int;
        }
    }
}
