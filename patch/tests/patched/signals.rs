//! Waiting for signals.

use std::mem::MaybeUninit;
use std::ptr;

use evy_test_support::within;

use crate::{is_patched, outcome, while_ticking};

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
