//! Waits for descriptors, times, children and signals.

use std::ffi::c_int;
use std::ptr;

use libc::timespec;

use crate::files::{child, signal_set};
use crate::memory::{NOWHERE, left, pointer, time};
use crate::round::Round;

pub(crate) fn poll(round: &mut Round) {
    let count = round.random.choose(&[0, 1, 2, 3]);
    let mut names = String::new();
    let mut list: Vec<libc::pollfd> = Vec::new();
    for _ in 0..3 {
        let (fd, name) = round.file();
        let events = round.random.choose(&[
            0,
            libc::POLLIN,
            libc::POLLOUT,
            libc::POLLIN | libc::POLLOUT,
            libc::POLLPRI,
            libc::POLLRDHUP,
            libc::POLLRDNORM | libc::POLLWRBAND,
            -1,
        ]);
        names += &format!("{name} {events:x}, ");
        list.push(libc::pollfd {
            fd,
            events,
            revents: 0x55,
        });
    }
    let address = match round.random.below(20) {
        0 => ptr::null_mut(),
        1 => ptr::without_provenance_mut(NOWHERE),
        _ => list.as_mut_ptr(),
    };
    let count = match round.random.once_in(20) {
        true => 1 << 30,
        false => count,
    };
    let kind = address.addr().min(NOWHERE + 1);
    if round.random.once_in(2) {
        // Without a limit, only with a descriptor that the watcher knows how to feed.
        let time = round.random.choose(&[0, 1, 1]);
        let text = format!("poll({kind} [{names}], {count}, {time})");
        call!(round, text, libc::poll(address, count, time));
    } else {
        let mut time = time(round);
        let before = time;
        // The C library itself reads the time, so a wrong pointer would end the process.
        let limit = &raw mut time;
        let text = format!("ppoll({kind} [{names}], {count}, {before:?})");
        call!(round, text, libc::ppoll(address, count, limit, ptr::null()));
        round.note(left(&before, &time));
    }
    let found: Vec<_> = list.iter().map(|one| one.revents).collect();
    round.note(&format!("; {found:x?}"));
}

pub(crate) fn select(round: &mut Round) {
    let mut sets = [[0_u64; 16]; 3];
    let mut names = String::new();
    let mut highest = 0;
    for set in &mut sets {
        for _ in 0..round.random.below(3) {
            let (fd, name) = round.file();
            if let Ok(fd @ ..1024) = usize::try_from(fd) {
                set[fd / 64] |= 1 << (fd % 64);
                names += &name;
                highest = highest.max(fd);
            }
        }
        names += "; ";
    }
    let mut before = sets;
    let pointers = sets.each_mut().map(|set| match round.random.below(12) {
        0 => ptr::without_provenance_mut(NOWHERE),
        1..4 => ptr::null_mut(),
        _ => set.as_mut_ptr().cast::<libc::fd_set>(),
    });
    let kinds = pointers.map(|pointer| pointer.addr().min(NOWHERE + 1));
    let (count, kind) = match round.random.below(10) {
        0 => (-1, "-1"),
        1 => (0, "0"),
        2 => (1024, "1024"),
        3 => (64, "64"),
        _ => (highest as c_int + 1, "all"),
    };
    let [read, write, except] = pointers;
    let mut time = time(round);
    let limit = &raw mut time;
    if round.random.once_in(2) {
        let text = format!("pselect({kind}, {kinds:?} {names}, {time:?})");
        let before = time;
        call!(
            round,
            text,
            libc::pselect(count, read, write, except, limit, ptr::null())
        );
        round.note(left(&before, &time));
    } else {
        // Microseconds, of which there may be many.
        time.tv_nsec = (time.tv_nsec / 1000).min(999_999);
        let before = time;
        let text = format!("select({kind}, {kinds:?} {names}, {time:?})");
        call!(
            round,
            text,
            libc::select(count, read, write, except, limit.cast())
        );
        round.note(left(&before, &time));
    }
    for (set, before) in sets.iter().zip(&mut before) {
        let ones: u32 = set.iter().map(|word| word.count_ones()).sum();
        round.note(&format!(" {} {ones}", set == before));
    }
}

pub(crate) fn epoll(round: &mut Round) {
    let (fd, name) = round.file();
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
    let count = round.random.choose(&[-1, 0, 1, 4, 4]);
    let address = pointer(round, &mut events).cast::<libc::epoll_event>();
    let kind = address.addr().min(NOWHERE + 1);
    if round.random.once_in(2) {
        let time = round.random.choose(&[0, 1, -1, -1]);
        let text = format!("epoll_wait({name}, {kind}, {count}, {time})");
        call!(round, text, libc::epoll_wait(fd, address, count, time));
    } else {
        let mut time = time(round);
        let own = pointer(round, &mut time);
        let is_there = own.addr().min(NOWHERE + 1);
        let text = format!("epoll_pwait2({name}, {kind}, {count}, {is_there} {time:?})");
        call!(
            round,
            text,
            libc::epoll_pwait2(fd, address, count, own, ptr::null())
        );
    }
    for event in events {
        let (events, data) = (event.events, event.u64);
        round.note(&format!(" {events:x} {data}"));
    }
}

pub(crate) fn sleep(round: &mut Round) {
    let mut time = time(round);
    let mut remaining = timespec {
        tv_sec: 3,
        tv_nsec: 3,
    };
    let clock = round.random.choose(&[
        libc::CLOCK_REALTIME,
        libc::CLOCK_MONOTONIC,
        libc::CLOCK_BOOTTIME,
        libc::CLOCK_TAI,
        libc::CLOCK_MONOTONIC_RAW,
        libc::CLOCK_REALTIME_COARSE,
        libc::CLOCK_THREAD_CPUTIME_ID,
        77,
        -1,
    ]);
    let flags = round.random.choose(&[0, libc::TIMER_ABSTIME, 2, 0x100]);
    if clock == libc::CLOCK_THREAD_CPUTIME_ID {
        // It would not end.
        time.tv_nsec = time.tv_nsec.min(1);
    }
    let what = round.random.below(4);
    let before = format!("{time:?}");
    let own = match what {
        // The C library reads it itself.
        2 => &raw mut time,
        _ => pointer(round, &mut time),
    };
    let kind = own.addr().min(NOWHERE + 1);
    let remaining = &raw mut remaining;
    match what {
        0 => {
            let text = format!("clock_nanosleep({clock}, {flags:x}, {kind} {before})");
            call!(
                round,
                text,
                libc::clock_nanosleep(clock, flags, own, remaining)
            );
        }
        1 => {
            let text = format!("nanosleep({kind} {before})");
            call!(round, text, libc::nanosleep(own, remaining));
        }
        2 => {
            let text = format!("thrd_sleep({before})");
            call!(round, text, thrd_sleep(own, remaining));
        }
        _ => {
            let micros = round.random.choose(&[0, 1, 1000]);
            call!(round, format!("usleep({micros})"), libc::usleep(micros));
        }
    }
    // SAFETY: the time is valid.
    let remaining = unsafe { *remaining };
    round.note(&format!("; {remaining:?}"));
}

unsafe extern "C" {
    fn thrd_sleep(time: *const timespec, remaining: *mut timespec) -> c_int;
}

pub(crate) fn wait(round: &mut Round) {
    let ends = round.random.once_in(4);
    let child = match round.random.once_in(2) {
        true => Some(child(ends)),
        false => None,
    };
    // A child that does not end is asked for only without waiting.
    let at_once = match child.is_some() && !ends {
        true => libc::WNOHANG,
        false => 0,
    };
    let options = at_once
        | round.random.flags(&[
            libc::WNOHANG,
            libc::WUNTRACED,
            libc::WCONTINUED,
            libc::__WALL,
            libc::__WCLONE,
            libc::__WNOTHREAD,
            libc::WEXITED,
            libc::WNOWAIT,
            0x40,
        ]);
    // Another process than a child cannot be waited for.
    let id = child.unwrap_or_else(|| round.random.choose(&[1, i32::MAX, -i32::MAX, i32::MIN]));
    let name = match child {
        Some(_) => format!("child {ends}"),
        None => format!("{id}"),
    };
    let (mut status, mut usage) = (77, [0_u64; 18]);
    if round.random.once_in(2) {
        let status_at = pointer(round, &mut status);
        let usage_at = pointer(round, &mut usage);
        let kinds = [status_at.addr(), usage_at.addr()].map(|address| address.min(NOWHERE + 1));
        let text = format!("wait4({name}, {kinds:?}, {options:x})");
        round.call(&text, || {
            // SAFETY: the kernel checks the arguments.
            let found = unsafe { libc::wait4(id, status_at, options, usage_at.cast()) };
            i64::from(if Some(found) == child { 1 } else { found })
        });
        round.note(&format!("; {status}"));
    } else {
        let kind = round
            .random
            .choose(&[libc::P_PID, libc::P_PID, libc::P_PIDFD, 77]);
        let options = options | round.random.choose(&[0, libc::WEXITED]);
        // SAFETY: all zeros is a valid value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        info.si_code = 55;
        let own = pointer(round, &mut info);
        let is_there = own.addr().min(NOWHERE + 1);
        let text = format!("waitid({kind}, {name}, {is_there}, {options:x})");
        call!(round, text, libc::waitid(kind, id as u32, own, options));
        let (code, signal) = (info.si_code, info.si_signo);
        round.note(&format!("; {code} {signal}"));
    }
    if let Some(child) = child {
        // SAFETY: the child is this test's own, unless it has been waited for.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let is_left = libc::syscall(
                libc::SYS_waitid,
                libc::P_PID,
                child,
                &raw mut info,
                libc::WEXITED | libc::WNOHANG | libc::WNOWAIT,
                0,
            );
            round.note(&format!("; left {is_left}"));
            if is_left == 0 {
                libc::kill(child, libc::SIGKILL);
                libc::syscall(libc::SYS_wait4, child, 0, 0, 0);
            }
        }
    }
}

pub(crate) fn signal(round: &mut Round) {
    let mut set = signal_set();
    // SAFETY: the set is initialized.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    let raises = round.random.once_in(2);
    if raises {
        // SAFETY: the signal is blocked.
        unsafe {
            libc::syscall(
                libc::SYS_tgkill,
                libc::getpid(),
                libc::gettid(),
                libc::SIGURG,
            );
        }
    }
    let mut time = time(round);
    let before = format!("{time:?}");
    // SAFETY: all zeros is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let (set_at, time_at) = (pointer(round, &mut set), pointer(round, &mut time));
    let time_at = if time_at.is_null() {
        &raw mut time
    } else {
        time_at
    };
    let info_at = pointer(round, &mut info);
    let kinds = [set_at.addr(), time_at.addr(), info_at.addr()];
    let kinds = kinds.map(|address| address.min(NOWHERE + 1));
    let text = format!("sigtimedwait({raises}, {kinds:?}, {before})");
    // The C library writes the information itself.
    let info_at = if info_at.addr() == NOWHERE {
        ptr::null_mut()
    } else {
        info_at
    };
    call!(round, text, libc::sigtimedwait(set_at, info_at, time_at));
    let (code, signal) = (info.si_code, info.si_signo);
    round.note(&format!("; {code} {signal}"));
}
