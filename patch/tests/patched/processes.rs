//! Waiting for child processes.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::ptr;
use std::time::Duration;

use evy_test_support::within;

use crate::{as_on_os_thread, at_once, is_patched, outcome, while_ticking};

/// Starts a child that ends with the status 7 once its standard input is closed.
fn child(group: Option<i32>) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", "read x; exit 7"]).stdin(Stdio::piped());
    if let Some(group) = group {
        command.process_group(group);
    }
    command.spawn().unwrap()
}

fn check(result: i32, status: i32, child: u32) {
    assert_eq!(
        result,
        child.cast_signed(),
        "{}",
        io::Error::last_os_error()
    );
    assert_eq!(ExitStatus::from_raw(status).code(), Some(7));
}

/// Waits for a child, and checks its status.
type Wait = fn(u32);

const WAITS: [(&str, Wait); 5] = [
    // SAFETY: the pointers are valid.
    ("waitpid", |child| unsafe {
        let mut status = 0;
        check(
            libc::waitpid(child.cast_signed(), &raw mut status, 0),
            status,
            child,
        );
    }),
    // SAFETY: the pointers are valid.
    ("waitpid, also for a stop", |child| unsafe {
        let mut status = 0;
        let pid = libc::waitpid(child.cast_signed(), &raw mut status, libc::WUNTRACED);
        check(pid, status, child);
    }),
    // SAFETY: the pointers are valid.
    ("waitpid for a group", |child| unsafe {
        let mut status = 0;
        check(
            libc::waitpid(-child.cast_signed(), &raw mut status, 0),
            status,
            child,
        );
    }),
    // SAFETY: the pointers are valid.
    ("wait4", |child| unsafe {
        let (mut status, mut usage) = (0, std::mem::zeroed());
        let pid = libc::wait4(child.cast_signed(), &raw mut status, 0, &raw mut usage);
        check(pid, status, child);
        assert_ne!(usage.ru_maxrss, 0);
    }),
    // SAFETY: the pointers are valid.
    ("waitid", |child| unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let result = libc::waitid(libc::P_PID, child, &raw mut info, libc::WEXITED);
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        assert_eq!((info.si_pid(), info.si_status()), (child.cast_signed(), 7));
    }),
];

#[test]
fn each_wait_for_a_child_parks() {
    if !is_patched() {
        return;
    }
    within(|| {
        for (name, wait) in WAITS {
            println!("{name}");
            let mut children: Vec<Child> = (0..5).map(|_| child(Some(0))).collect();
            let ids: Vec<u32> = children.iter().map(Child::id).collect();
            while_ticking(
                5,
                move |n| wait(ids[n]),
                move || {
                    children
                        .iter_mut()
                        .for_each(|child| drop(child.stdin.take()));
                },
            );
        }
    });
}

#[test]
fn a_wait_by_pidfd_parks() {
    if !is_patched() {
        return;
    }
    within(|| {
        #[expect(
            clippy::zombie_processes,
            reason = "the test waits for it by its descriptor"
        )]
        let mut child = child(None);
        // SAFETY: the call takes numbers.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
        let Ok(pidfd @ 0..) = i32::try_from(pidfd) else {
            return println!("skipped: no pidfd");
        };
        let wait = move |_| {
            // SAFETY: the pointer is valid.
            unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                let kind = libc::P_PIDFD;
                let result = libc::waitid(kind, pidfd as u32, &raw mut info, libc::WEXITED);
                assert_eq!(result, 0);
                info.si_status()
            }
        };
        let stdin = child.stdin.take();
        assert_eq!(while_ticking(1, wait, move || drop(stdin)), [7]);
        // SAFETY: it was opened above.
        unsafe { libc::close(pidfd) };
    });
}

#[test]
fn a_wait_that_does_not_block_returns_at_once() {
    if !is_patched() {
        return;
    }
    within(|| {
        let mut child = child(None);
        let id = child.id().cast_signed();
        // SAFETY: the pointers are null, or valid.
        unsafe {
            assert_eq!(libc::waitpid(id, ptr::null_mut(), libc::WNOHANG), 0);
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOHANG;
            assert_eq!(
                libc::waitid(libc::P_PID, child.id(), &raw mut info, options),
                0
            );
            assert_eq!(info.si_pid(), 0);
        }
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(7));
    });
}

#[test]
fn errors_of_waits_are_those_of_c() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            let none = ptr::null_mut();
            // SAFETY: the pointers may be null.
            unsafe {
                [
                    outcome(libc::waitpid(1, none, 0)),
                    outcome(libc::waitpid(i32::MAX, none, 0)),
                    outcome(libc::waitpid(1, none, 0x4000_0000)),
                    outcome(libc::waitid(libc::P_PID, 1, ptr::null_mut(), libc::WEXITED)),
                    outcome(libc::waitid(libc::P_PID, 1, ptr::null_mut(), 0)),
                ]
            }
        });
    });
}

#[test]
fn outputs_of_commands_are_collected_at_once() {
    if !is_patched() {
        return;
    }
    within(|| {
        let time = Duration::from_millis(300);
        let all = at_once(10, time, |n| {
            let script = format!("sleep 0.3; echo {n}; echo e{n} >&2; exit {n}");
            Command::new("sh").args(["-c", &script]).output().unwrap()
        });
        for (n, output) in all.into_iter().enumerate() {
            assert_eq!(output.stdout, format!("{n}\n").as_bytes());
            assert_eq!(output.stderr, format!("e{n}\n").as_bytes());
            assert_eq!(output.status.code(), Some(n as i32));
        }
    });
}

#[test]
fn a_command_that_is_started_by_fork_works() {
    if !is_patched() {
        return;
    }
    within(|| {
        let all = at_once(5, Duration::from_millis(300), |_| {
            let mut command = Command::new("sh");
            // SAFETY: the closure does nothing.
            unsafe { command.pre_exec(|| Ok(())) };
            command.args(["-c", "sleep 0.3; echo x"]).output().unwrap()
        });
        assert!(all.iter().all(|output| output.stdout == b"x\n"));
    });
}

#[test]
fn a_green_thread_that_is_killed_in_a_wait_reaps_the_child_first() {
    if !is_patched() {
        return;
    }
    within(|| {
        let mut child = child(None);
        let id = child.id();
        let stdin = child.stdin.take();
        let waiter = evy::spawn(move || {
            // The first error after the kill would be taken for one of the system.
            let status = child.wait().unwrap();
            assert_eq!(status.code(), Some(7));
            evy::sleep(Duration::from_secs(100));
        });
        evy::sleep(Duration::from_millis(5));
        waiter.kill();
        evy::sleep(Duration::from_millis(5));
        assert!(!waiter.is_finished());
        drop(stdin);
        assert!(waiter.join().unwrap_err().is_killed());
        // SAFETY: the pointer may be null.
        let again = unsafe { libc::waitpid(id.cast_signed(), ptr::null_mut(), libc::WNOHANG) };
        assert_eq!(outcome(again), (-1, Some(libc::ECHILD)));
    });
}
