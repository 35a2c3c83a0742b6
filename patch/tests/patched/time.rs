//! Sleeps of std and of C.

use std::time::{Duration, Instant};

use evy_test_support::within;
use libc::timespec;

use crate::{as_on_os_thread, at_once, is_patched, outcome, parking};

const TIME: Duration = Duration::from_millis(200);

static TIME_SPEC: timespec = timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

fn spec(time: Duration) -> timespec {
    timespec {
        tv_sec: time.as_secs() as _,
        tv_nsec: time.subsec_nanos().into(),
    }
}

#[test]
fn a_sleep_of_std_parks() {
    if !is_patched() {
        return;
    }
    within(|| at_once(20, TIME, |_| std::thread::sleep(TIME)));
}

#[test]
fn the_sleeps_of_c_park_and_last_as_long_as_asked_for() {
    if !is_patched() {
        return;
    }
    unsafe extern "C" {
        fn thrd_sleep(request: *const timespec, remaining: *mut timespec) -> i32;
    }
    let sleeps: [fn() -> i32; 5] = [
        // SAFETY: the pointers are valid or null.
        || unsafe { libc::nanosleep(&raw const TIME_SPEC, std::ptr::null_mut()) },
        // SAFETY: the pointers are valid or null.
        || unsafe { thrd_sleep(&raw const TIME_SPEC, std::ptr::null_mut()) },
        // SAFETY: the pointers are valid or null.
        || unsafe { libc::usleep(TIME.as_micros() as u32) },
        // SAFETY: the pointers are valid or null.
        || unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_REALTIME,
                0,
                &raw const TIME_SPEC,
                std::ptr::null_mut(),
            )
        },
        // SAFETY: the pointers are valid or null.
        || unsafe {
            let mut now = spec(Duration::ZERO);
            libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now);
            let now = Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
            let at = spec(now + TIME);
            let absolute = libc::TIMER_ABSTIME;
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                absolute,
                &raw const at,
                std::ptr::null_mut(),
            )
        },
    ];
    within(move || {
        for sleep in sleeps {
            let all = at_once(10, TIME, move |_| {
                let start = Instant::now();
                (sleep(), start.elapsed())
            });
            for (result, time) in all {
                assert_eq!(result, 0);
                assert!(time >= TIME, "{time:?}");
            }
        }
    });
}

#[test]
fn errors_of_sleeps_are_those_of_c() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            let invalid = timespec {
                tv_sec: 0,
                tv_nsec: 1_000_000_000,
            };
            let none = std::ptr::null_mut();
            // SAFETY: the pointers are valid, and the kernel checks the null one.
            unsafe {
                let clock = libc::CLOCK_MONOTONIC;
                [
                    outcome(libc::nanosleep(&raw const invalid, none)),
                    outcome(libc::nanosleep(std::ptr::null(), none)),
                    outcome(libc::clock_nanosleep(clock, 0, &raw const invalid, none)),
                    outcome(libc::clock_nanosleep(77, 0, &spec(Duration::ZERO), none)),
                ]
            }
        });
    });
}

#[test]
fn a_yield_of_std_lets_the_others_run() {
    if !is_patched() {
        return;
    }
    within(|| parking(std::thread::yield_now));
}
