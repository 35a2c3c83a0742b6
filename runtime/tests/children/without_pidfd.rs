//! Tests of the wait for a child where the system has no pidfd: on an old kernel, or in a sandbox that
//! forbids the system call.
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use evy_runtime::process::Command;
use evy_runtime::{lowlevel, scope, spawn, test, thread};
use evy_test_support::{is_emulated, rerun_ignored};

use super::waiting::{sh, until_input_ends, wait_at_most};

const SOON: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(30);

/// Makes `pidfd_open` fail in this process with `ENOSYS`, as on an old kernel.
fn forbid_pidfds() {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const SKIP_UNLESS_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
    let mut steps = [
        // The number of the system call is the first word of the data.
        step(LOAD, 0, 0),
        step(SKIP_UNLESS_EQUAL, libc::SYS_pidfd_open as u32, 1),
        step(RETURN, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let filter = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the pointers are valid during the calls.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        let set = libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter);
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
        assert_eq!(libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0), -1);
    }
}

#[test]
fn without_pidfds_children_are_waited_for_on_helper_os_threads() {
    if is_emulated() {
        return;
    }
    let output = rerun_ignored("without_pidfd::waits_on_helper_os_threads")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {text}", output.status);
}

fn number_of_os_threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
#[ignore = "forbids a system call"]
fn waits_on_helper_os_threads() {
    forbid_pidfds();
    let wait = || Command::new("sleep").arg("0.3").status().unwrap();
    let begun = lowlevel::now();
    let waits: Vec<_> = (0..30).map(|_| spawn(wait)).collect();
    for wait in waits {
        assert!(wait.join().unwrap().success());
    }
    // One after the other, they would take nine seconds.
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );

    // A waiter that leaves reaps nothing, and the next one joins its helper OS thread.
    let mut child = until_input_ends();
    let input = child.stdin.take();
    assert_eq!(wait_at_most(&mut child, SOON), None);
    let before = number_of_os_threads();
    for _ in 0..10 {
        assert_eq!(wait_at_most(&mut child, SOON), None);
    }
    assert!(number_of_os_threads() <= before);
    scope(|scope| {
        let waiter = scope.spawn(|| child.wait());
        test::wait_all_parked();
        waiter.kill();
        assert!(waiter.join().unwrap_err().is_killed());
    });
    assert_eq!(child.try_wait().unwrap(), None);
    drop(input);
    assert_eq!(wait_at_most(&mut child, LIMIT).unwrap().code(), Some(7));
    assert_eq!(child.wait().unwrap().code(), Some(7));

    // The end of a child is known to `try_wait` alone, while a helper OS thread waits.
    let mut child = until_input_ends();
    let input = child.stdin.take();
    assert_eq!(wait_at_most(&mut child, SOON), None);
    drop(input);
    while child.try_wait().unwrap().is_none() {
        thread::yield_now();
    }
    assert_eq!(child.wait().unwrap().code(), Some(7));

    let mut child = sh("exec sleep 60");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));

    // SAFETY: no handler is involved.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let error = sh("sleep 0.1").wait().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
}
