//! Waiting for signals.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched, outcome, while_ticking};

fn set_of(signal: i32) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialized before it is used.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        set.assume_init()
    }
}

#[test]
fn a_wait_for_a_signal_parks() {
    if !is_patched() {
        return;
    }
    // SAFETY: all pointers in these are valid or null.
    let waits: [fn(i32) -> i32; 3] = [
        |signal| unsafe {
            let mut found = 0;
            assert_eq!(libc::sigwait(&set_of(signal), &raw mut found), 0);
            found
        },
        |signal| unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let found = libc::sigwaitinfo(&set_of(signal), &raw mut info);
            assert_eq!(info.si_signo, signal);
            found
        },
        |signal| unsafe {
            let time = libc::timespec {
                tv_sec: 100,
                tv_nsec: 0,
            };
            libc::sigtimedwait(&set_of(signal), ptr::null_mut(), &raw const time)
        },
    ];
    within(move || {
        let signal = libc::SIGWINCH;
        // SAFETY: the signal is blocked for this OS thread, which alone gets it.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set_of(signal), ptr::null_mut()) };
        for wait in waits {
            let release = move || {
                // SAFETY: the signal is blocked.
                assert_eq!(unsafe { libc::raise(signal) }, 0);
            };
            assert_eq!(while_ticking(1, move |_| wait(signal), release), [signal]);
        }
        let short = libc::timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000,
        };
        // SAFETY: the pointers are valid or null.
        let late =
            unsafe { libc::sigtimedwait(&set_of(signal), ptr::null_mut(), &raw const short) };
        assert_eq!(outcome(late), (-1, Some(libc::EAGAIN)));
    });
}

/// A wait with a signal mask, for nothing else, and for a time in milliseconds.
type MaskedWait = fn(mask: &libc::sigset_t, time: i32) -> (i64, Option<i32>);

fn time_of(millis: i32) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::from(millis) / 1000,
        tv_nsec: i64::from(millis) % 1000 * 1_000_000,
    }
}

fn on_epoll(wait: impl FnOnce(i32, *mut libc::epoll_event) -> i32) -> (i64, Option<i32>) {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: the descriptor is this function's own.
    unsafe {
        let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        let ended = outcome(wait(epoll, &raw mut event));
        libc::close(epoll);
        ended
    }
}

/// The functions that take a signal mask.
// SAFETY: all pointers in these are valid or null.
const MASKED_WAITS: [MaskedWait; 4] = [
    |mask, time| {
        let none = ptr::null_mut();
        outcome(unsafe { libc::ppoll(none, 0, &time_of(time), mask) })
    },
    |mask, time| {
        let none = ptr::null_mut();
        outcome(unsafe { libc::pselect(0, none, none, none, &time_of(time), mask) })
    },
    |mask, time| on_epoll(|epoll, event| unsafe { libc::epoll_pwait(epoll, event, 1, time, mask) }),
    |mask, time| {
        on_epoll(|epoll, event| unsafe {
            libc::epoll_pwait2(epoll, event, 1, &time_of(time), mask)
        })
    },
];

#[test]
fn a_wait_with_a_signal_mask_parks() {
    if !is_patched() {
        return;
    }
    within(|| {
        let mask = set_of(libc::SIGURG);
        for wait in MASKED_WAITS {
            let ended = while_ticking(5, move |_| wait(&mask, 300), || {});
            assert_eq!(ended, [(0, None); 5]);
        }
    });
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(_: i32) {
    HANDLED.fetch_add(1, Relaxed);
}

/// Handles a signal that the calling OS thread blocks.
fn handle_though_blocked(signal: i32) {
    // SAFETY: the handler only counts, and the pointers are valid or null.
    unsafe {
        libc::signal(signal, handle as *const () as usize);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set_of(signal), ptr::null_mut());
    }
}

#[test]
fn a_signal_that_only_the_mask_of_a_wait_admits_ends_it() {
    if !is_patched() {
        return;
    }
    within(|| {
        let signal = libc::SIGURG;
        handle_though_blocked(signal);
        let all_but = |admitted: Option<i32>| {
            let mut mask = set_of(signal);
            if let Some(signal) = admitted {
                // SAFETY: the set is valid.
                unsafe { libc::sigdelset(&raw mut mask, signal) };
            }
            mask
        };
        // SAFETY: the signal is blocked, so its handler runs later.
        let raise = move || assert_eq!(unsafe { libc::raise(signal) }, 0);
        for wait in MASKED_WAITS {
            let before = HANDLED.load(Relaxed);
            let admits = all_but(Some(signal));
            let ended = while_ticking(1, move |_| wait(&admits, 100_000), raise);
            assert_eq!(ended, [(-1, Some(libc::EINTR))]);
            assert_eq!(HANDLED.load(Relaxed), before + 1);

            // A signal that the mask blocks too stays pending.
            raise();
            assert_eq!(wait(&all_but(None), 20), (0, None));
            assert_eq!(HANDLED.load(Relaxed), before + 1);
            assert_eq!(wait(&admits, 100_000), (-1, Some(libc::EINTR)));
            assert_eq!(HANDLED.load(Relaxed), before + 2);
        }
    });
}

#[test]
fn waits_with_a_mask_return_what_those_of_c_return() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            let mut found = Vec::new();
            for wait in MASKED_WAITS {
                let mask = set_of(libc::SIGUSR2);
                found.extend([wait(&mask, 0), wait(&mask, 1)]);
                let mut ready = libc::pollfd {
                    fd: libc::STDERR_FILENO,
                    events: libc::POLLOUT,
                    revents: 0,
                };
                // SAFETY: the pointers are valid or null.
                found.push(outcome(unsafe {
                    libc::ppoll(&raw mut ready, 1, ptr::null(), &raw const mask)
                }));
                let invalid = libc::timespec {
                    tv_sec: -1,
                    tv_nsec: 0,
                };
                // SAFETY: the pointers are valid or null.
                found.push(outcome(unsafe {
                    libc::ppoll(ptr::null_mut(), 0, &raw const invalid, &raw const mask)
                }));
            }
            found
        });
    });
}
