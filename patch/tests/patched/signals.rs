//! Waiting for signals.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

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

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: i32) {
    HANDLED.fetch_add(1, SeqCst);
}

#[test]
fn a_wait_with_a_signal_mask_parks_and_ends_when_the_handler_has_run() {
    if !is_patched() {
        return;
    }
    let signal = libc::SIGUSR2;
    // SAFETY: the pointers in these are valid or null.
    let waits: [fn(&libc::sigset_t) -> i32; 5] = [
        |mask| unsafe { libc::ppoll(ptr::null_mut(), 0, ptr::null(), mask) },
        |mask| unsafe {
            let none = ptr::null_mut();
            libc::pselect(0, none, none, none, ptr::null(), mask)
        },
        |mask| unsafe {
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            let found = libc::epoll_pwait(epoll, &raw mut event, 1, -1, mask);
            let errno = *libc::__errno_location();
            libc::close(epoll);
            *libc::__errno_location() = errno;
            found
        },
        |mask| unsafe {
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            let found = libc::epoll_pwait2(epoll, &raw mut event, 1, ptr::null(), mask);
            let errno = *libc::__errno_location();
            libc::close(epoll);
            *libc::__errno_location() = errno;
            found
        },
        |mask| unsafe { libc::sigsuspend(mask) },
    ];
    within(move || {
        let mut mask = MaybeUninit::uninit();
        // SAFETY: the handler only counts, and the mask is initialized before it is used. All
        // signals are blocked for this OS thread, so that no handler of another test can end a wait.
        let mask = unsafe {
            libc::sigfillset(mask.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), ptr::null_mut());
            libc::sigdelset(mask.as_mut_ptr(), signal);
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = count as *const () as usize;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
            mask.assume_init()
        };
        for wait in waits {
            let before = HANDLED.load(SeqCst);
            let release = move || {
                assert_eq!(HANDLED.load(SeqCst), before, "the handler has run early");
                // SAFETY: the signal is blocked.
                assert_eq!(unsafe { libc::raise(signal) }, 0);
            };
            let found = while_ticking(1, move |_| outcome(wait(&mask)), release);
            assert_eq!(found, [(-1, Some(libc::EINTR))]);
            assert_eq!(HANDLED.load(SeqCst), before + 1);
        }
        // A signal that is pending already ends the wait at once.
        // SAFETY: as above.
        unsafe { libc::raise(signal) };
        assert_eq!(outcome(waits[0](&mask)), (-1, Some(libc::EINTR)));
    });
}
