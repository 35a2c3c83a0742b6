//! Tests of short timers, also where the kernel refuses `epoll_pwait2`.
#![cfg(target_os = "linux")]

use std::time::Duration;

use evy_runtime::lowlevel::now;
use evy_runtime::sleep;
use evy_test_support::{forbid_system_call, is_emulated, rerun_ignored};

/// Sleeps for less than a millisecond a number of times, and returns the shortest time that a sleep
/// took. The others may be longer because the machine is busy.
fn shortest_sleep() -> Duration {
    const DURATION: Duration = Duration::from_micros(100);
    let one = |_| {
        let start = now();
        sleep(DURATION);
        now() - start
    };
    let shortest = (0..50).map(one).min().expect("there are some");
    assert!(shortest >= DURATION, "{shortest:?}");
    shortest
}

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn a_sleep_is_not_rounded_to_milliseconds() {
    assert!(shortest_sleep() < MILLISECOND);
}

#[test]
fn a_sleep_is_not_rounded_where_the_exact_poll_is_missing_or_forbidden() {
    if is_emulated() {
        return;
    }
    for errno in [libc::ENOSYS, libc::EPERM] {
        let output = rerun_ignored("timers::sleeps_without_the_exact_poll")
            .env("EVY_TEST_ERRNO", errno.to_string())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
#[ignore = "forbids a system call"]
fn sleeps_without_the_exact_poll() {
    let errno: i32 = std::env::var("EVY_TEST_ERRNO").unwrap().parse().unwrap();
    forbid_system_call(libc::SYS_epoll_pwait2, errno);
    assert!(shortest_sleep() < MILLISECOND);
    // Data still ends a wait that has a deadline.
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    evy_runtime::spawn_n(move || {
        sleep(MILLISECOND);
        std::io::Write::write_all(&mut writer, b"x").unwrap();
    });
    let received = evy_runtime::timeout(Duration::from_secs(60), || {
        evy_runtime::select! { readable(&reader) -> ready => ready.unwrap() }
        std::io::Read::read(&mut reader, &mut [0]).unwrap()
    });
    assert_eq!(received, Ok(1));
}
