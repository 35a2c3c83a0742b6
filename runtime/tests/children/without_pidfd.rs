//! Tests of the wait for a child where the system has no pidfd: on an old kernel, or in a sandbox that
//! forbids the system call.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use evy_runtime::process::{Child, Command};
use evy_runtime::{lowlevel, scope, spawn, test, thread};
use evy_test_support::{forbid_system_call, is_emulated, rerun_ignored};

use super::waiting::{send_signal, sh, until_input_ends, wait_at_most};

const SOON: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(30);

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
    forbid_system_call(libc::SYS_pidfd_open, libc::ENOSYS);
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

    // The wait for a short child does not wait for the end of many long ones.
    let mut long: Vec<_> = (0..30).map(|_| sh("exec sleep 60")).collect();
    let pids: Vec<_> = long.iter().map(Child::id).collect();
    scope(|scope| {
        let waits = long.iter_mut().map(|child| scope.spawn(|| child.wait()));
        let waits: Vec<_> = waits.collect();
        test::wait_all_parked();
        let status = wait_at_most(&mut sh("sleep 0.1; exit 3"), LIMIT);
        assert_eq!(status.unwrap().code(), Some(3));
        for pid in pids {
            send_signal(pid.try_into().unwrap(), libc::SIGKILL);
        }
        for wait in waits {
            let status = wait.join().unwrap().unwrap();
            assert_eq!(status.signal(), Some(libc::SIGKILL));
        }
    });

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

    // SAFETY: no handler is involved.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let error = sh("sleep 0.1").wait().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
}
