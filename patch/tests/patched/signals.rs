//! Waiting for signals.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use evy_test_support::{rerun_ignored, within};

use crate::{is_patched, outcome, while_ticking};

#[test]
fn a_handler_may_post_a_semaphore_whatever_it_has_interrupted() {
    if is_patched() {
        let status = rerun_ignored("signals::posts_in_a_handler").status();
        assert!(status.unwrap().success());
    }
}

/// Green threads wait for posts of a handler, and do nothing but switch in between.
#[test]
#[ignore = "run by `a_handler_may_post_a_semaphore_whatever_it_has_interrupted`"]
fn posts_in_a_handler() {
    const POSTS: usize = 5000;
    struct Semaphore(UnsafeCell<MaybeUninit<libc::sem_t>>);
    // SAFETY: a semaphore can be shared.
    unsafe impl Sync for Semaphore {}
    static SEMAPHORE: Semaphore = Semaphore(UnsafeCell::new(MaybeUninit::uninit()));
    static LEFT: AtomicUsize = AtomicUsize::new(POSTS);
    extern "C" fn post(_: i32) {
        let one_less = |left: usize| left.checked_sub(1);
        if LEFT.fetch_update(SeqCst, SeqCst, one_less).is_ok() {
            // SAFETY: the semaphore is initialized.
            unsafe { libc::sem_post(SEMAPHORE.0.get().cast()) };
        }
    }
    assert!(is_patched());
    within(|| {
        let every = libc::timeval {
            tv_sec: 0,
            tv_usec: 50,
        };
        let timer = libc::itimerval {
            it_interval: every,
            it_value: every,
        };
        // SAFETY: the objects are valid, and the handler only posts.
        unsafe {
            libc::sem_init(SEMAPHORE.0.get().cast(), 0, 0);
            let handler = post as extern "C" fn(i32);
            libc::signal(libc::SIGALRM, handler as libc::sighandler_t);
            libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut());
        }
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                evy::spawn(|| {
                    for _ in 0..POSTS / 10 {
                        // SAFETY: the semaphore is initialized.
                        assert_eq!(unsafe { libc::sem_wait(SEMAPHORE.0.get().cast()) }, 0);
                    }
                })
            })
            .collect();
        while !waiters.iter().all(evy::thread::JoinHandle::is_finished) {
            (0..100).for_each(|_| evy::yield_now());
            evy::sleep(Duration::from_micros(10));
        }
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
    });
}

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
