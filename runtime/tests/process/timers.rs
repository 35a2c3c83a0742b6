//! Tests of short timers, also where the kernel refuses `epoll_pwait2`.
#![cfg(target_os = "linux")]

use std::time::Duration;

use evy_runtime::lowlevel::now;
use evy_runtime::sleep;
use evy_test_support::{is_emulated, rerun_ignored};

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
    forbid(libc::SYS_epoll_pwait2, errno);
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

/// Makes a system call fail with `errno`, for the calling OS thread and those that it starts.
fn forbid(call: libc::c_long, errno: i32) {
    let instruction = |code: u32, jump_if_false, k| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: jump_if_false,
        k,
    };
    let mut filter = [
        // The number of the system call is the first field of the data.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, call as u32),
        instruction(
            libc::BPF_RET | libc::BPF_K,
            0,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program is valid during the calls, and the kernel copies it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program),
            0
        );
    }
}
