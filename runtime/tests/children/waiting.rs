//! Tests of the wait for a child: who else runs meanwhile, what an interrupted wait leaves behind, and
//! which processes are reaped.
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::process::{Child, Command, ExitStatus, Stdio};
use evy_runtime::{lowlevel, scope, sleep, spawn, spawn_n, test, timeout};
use evy_test_support::{is_emulated, rerun_ignored, within};
use libc::pid_t;

const SOON: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(30);

/// A child that runs `script`. Its output is captured.
pub(super) fn sh(script: &str) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// A child that ends with the code 7 as soon as its input ends.
pub(super) fn until_input_ends() -> Child {
    sh("cat >/dev/null; exit 7")
}

fn pid(child: &Child) -> pid_t {
    pid_t::try_from(child.id()).unwrap()
}

/// Blocks until the child has ended, and leaves it to be reaped.
fn block_until_ended(pid: pid_t) {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let id = WaitId::Pid(Pid::from_raw(pid).unwrap());
    waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
}

pub(super) fn send_signal(pid: pid_t, signal: libc::c_int) {
    // SAFETY: a system call without a pointer.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// Whether the system knows the process still, if only as a zombie.
fn exists(pid: pid_t) -> bool {
    // SAFETY: a system call without a pointer. The signal 0 has no effect.
    unsafe { libc::kill(pid, 0) == 0 }
}

/// Waits for the child, for at most `limit`. Returns `None` if that has passed.
pub(super) fn wait_at_most(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    timeout(limit, || child.wait()).ok().map(Result::unwrap)
}

#[test]
fn children_run_at_the_same_time_and_so_do_green_threads() {
    within(|| {
        let begun = lowlevel::now();
        let ticks = Rc::new(Cell::new(0));
        let counted = Rc::clone(&ticks);
        let ticker = spawn(move || {
            loop {
                sleep(Duration::from_millis(10));
                counted.set(counted.get() + 1);
            }
        });
        let wait = || Command::new("sleep").arg("0.3").status().unwrap();
        let waits: Vec<_> = (0..10).map(|_| spawn(wait)).collect();
        for wait in waits {
            assert!(wait.join().unwrap().success());
        }
        ticker.kill();
        // One after the other, they would take three seconds.
        let elapsed = begun.elapsed();
        assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
        assert!(ticks.get() >= 5, "{}", ticks.get());
    });
}

/// They end before, during and after the call that waits for them.
#[test]
fn no_end_of_many_short_children_is_missed() {
    within(|| {
        let wait = |n: u32| {
            let script = if n.is_multiple_of(3) {
                "sleep 0.01; exit 4"
            } else {
                "exit 4"
            };
            let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            if n.is_multiple_of(2) {
                sleep(Duration::from_millis(u64::from(n % 5)));
            }
            child.wait().unwrap().code()
        };
        for round in 0..10 {
            let waits = (0..20).map(|n| spawn(move || wait(round + n)));
            for wait in waits.collect::<Vec<_>>() {
                assert_eq!(wait.join().unwrap(), Some(4));
            }
        }
    });
}

#[test]
fn a_child_that_has_ended_before_the_wait_has_its_status() {
    within(|| {
        let mut child = sh("exit 3");
        block_until_ended(pid(&child));
        assert_eq!(child.wait().unwrap().code(), Some(3));
    });
}

#[test]
fn every_wait_after_the_first_returns_the_same_status() {
    within(|| {
        let mut child = sh("exit 3");
        let first = child.wait().unwrap();
        assert!(!exists(pid(&child)));
        assert_eq!(child.wait().unwrap(), first);
        assert_eq!(child.try_wait().unwrap(), Some(first));
    });
}

#[test]
fn a_kill_after_the_wait_has_no_effect() {
    within(|| {
        let mut child = sh("exit 0");
        assert!(child.wait().unwrap().success());
        child.kill().unwrap();
    });
}

#[test]
fn a_killed_child_has_the_signal_in_its_status() {
    within(|| {
        let mut child = sh("exec sleep 60");
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn a_wait_closes_the_input_of_the_child_first() {
    within(|| {
        let mut child = until_input_ends();
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert!(child.stdin.is_none());
    });
}

#[test]
fn a_wait_that_times_out_leaves_the_child_and_its_status() {
    within(|| {
        let mut child = until_input_ends();
        let input = child.stdin.take();
        for _ in 0..3 {
            assert_eq!(wait_at_most(&mut child, SOON), None);
            assert_eq!(child.try_wait().unwrap(), None);
        }
        drop(input);
        assert_eq!(wait_at_most(&mut child, LIMIT).unwrap().code(), Some(7));
    });
}

#[test]
fn a_wait_that_is_killed_leaves_the_child_and_its_status() {
    within(|| {
        let mut child = until_input_ends();
        let input = child.stdin.take();
        scope(|scope| {
            let waiter = scope.spawn(|| child.wait());
            test::wait_all_parked();
            waiter.kill();
            assert!(waiter.join().unwrap_err().is_killed());
        });
        assert_eq!(child.try_wait().unwrap(), None);
        drop(input);
        assert_eq!(wait_at_most(&mut child, LIMIT).unwrap().code(), Some(7));
    });
}

/// Each wait is interrupted, before it begins, while it is parked, or when it has been woken.
#[test]
fn a_fault_in_a_waiter_loses_no_status() {
    let faults = test::inject_faults(|injector| {
        let child = Rc::new(RefCell::new(Some(until_input_ends())));
        let (waits, returned) = (Rc::clone(&child), Rc::new(Cell::new(false)));
        let returns = Rc::clone(&returned);
        let victim = injector.spawn(move || {
            let mut guard = PutBack(waits.take(), &waits);
            let status = guard.0.as_mut().unwrap().wait();
            returns.set(status.unwrap().code() == Some(7));
        });
        victim.join().ok();
        let mut child = child.take().unwrap();
        if !returned.get() {
            assert_eq!(child.wait().unwrap().code(), Some(7));
        }
    });
    assert!(faults >= 4, "{faults}");
}

/// Puts a child back when it is dropped.
struct PutBack<'a>(Option<Child>, &'a RefCell<Option<Child>>);

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        self.1.replace(self.0.take());
    }
}

#[test]
fn a_loop_of_try_wait_lets_the_green_thread_run_that_ends_the_child() {
    within(|| {
        let mut child = until_input_ends();
        let input = child.stdin.take();
        spawn_n(move || drop(input));
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
        };
        assert_eq!(status.code(), Some(7));
    });
}

#[test]
fn a_stopped_child_has_not_ended() {
    within(|| {
        let mut child = sh("exec sleep 60");
        send_signal(pid(&child), libc::SIGSTOP);
        assert_eq!(wait_at_most(&mut child, SOON), None);
        send_signal(pid(&child), libc::SIGCONT);
        assert_eq!(wait_at_most(&mut child, SOON), None);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn a_dropped_child_goes_on_and_is_not_reaped() {
    within(|| {
        let mut child = until_input_ends();
        let (input, pid) = (child.stdin.take(), pid(&child));
        assert_eq!(wait_at_most(&mut child, SOON), None);
        drop(child);
        assert!(exists(pid));
        drop(input);
        block_until_ended(pid);
        sleep(SOON);
        let mut status = 0;
        // SAFETY: the pointer is valid.
        let reaped = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!((reaped, libc::WEXITSTATUS(status)), (pid, 7));
    });
}

#[test]
fn a_wait_reaps_no_child_of_other_code() {
    within(|| {
        let mut of_other_code = std::process::Command::new("true").spawn().unwrap();
        let mut child = sh("exit 0");
        block_until_ended(pid_t::try_from(of_other_code.id()).unwrap());
        assert!(child.wait().unwrap().success());
        assert!(of_other_code.wait().unwrap().success());
    });
}

#[test]
fn a_child_that_other_code_has_reaped_is_an_error_as_in_std() {
    within(|| {
        let mut child = until_input_ends();
        let (input, pid) = (child.stdin.take(), pid(&child));
        spawn_n(move || {
            drop(input);
            // SAFETY: the pointer may be null.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        });
        let error = timeout(LIMIT, || child.wait()).unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
    });
}

#[test]
fn a_process_that_ignores_the_end_of_its_children_gets_the_error_of_std() {
    let test = "waiting::ignores_the_end_of_children";
    assert!(rerun_ignored(test).status().unwrap().success());
}

#[test]
#[ignore = "changes the handling of a signal"]
fn ignores_the_end_of_children() {
    // SAFETY: no handler is involved.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let mut child = until_input_ends();
    let input = child.stdin.take();
    assert_eq!(wait_at_most(&mut child, SOON), None);
    drop(input);
    let mut of_std = std::process::Command::new("true").spawn().unwrap();
    let expected = of_std.wait().unwrap_err();
    let error = child.wait().unwrap_err();
    assert_eq!(error.raw_os_error(), expected.raw_os_error());
    assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
}

#[test]
fn a_child_may_be_waited_for_on_one_os_thread_after_the_other() {
    within(|| {
        let mut child = until_input_ends();
        let input = child.stdin.take();
        assert_eq!(wait_at_most(&mut child, SOON), None);
        let on_another = std::thread::spawn(move || {
            assert_eq!(wait_at_most(&mut child, SOON), None);
            child
        });
        let mut child = on_another.join().unwrap();
        let status = std::thread::spawn(move || child.wait());
        drop(input);
        assert_eq!(status.join().unwrap().unwrap().code(), Some(7));
    });
}

#[test]
fn several_os_threads_wait_for_children_of_their_own() {
    within(|| {
        let wait_for_some = |first: i32| {
            for code in first..first + 10 {
                let status = sh(&format!("exit {code}")).wait().unwrap();
                assert_eq!(status.code(), Some(code));
            }
        };
        let threads = [10, 20, 30].map(|first| std::thread::spawn(move || wait_for_some(first)));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// The background process of the shell inherits the pipe.
#[test]
fn a_wait_does_not_wait_for_a_grandchild_that_keeps_the_pipe_open() {
    within(|| {
        let mut child = sh("sleep 60 & echo $!");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let status = wait_at_most(&mut child, LIMIT);
        assert!(status.unwrap().success());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(timeout(SOON, || output.read(&mut [0])).is_err());
        send_signal(line.trim().parse().unwrap(), libc::SIGKILL);
        assert_eq!(output.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn output_waits_until_a_grandchild_closes_the_pipe() {
    within(|| {
        let output = sh("(sleep 0.2; echo late) & echo early").wait_with_output();
        assert_eq!(output.unwrap().stdout, b"early\nlate\n");
    });
}

#[test]
fn a_program_that_does_not_exist_is_not_found_and_leaves_no_child() {
    // The emulator does not report that a program could not be started.
    if is_emulated() {
        return;
    }
    let test = "waiting::starts_no_program";
    assert!(rerun_ignored(test).status().unwrap().success());
}

#[test]
#[ignore = "must have no other children"]
fn starts_no_program() {
    use evy_runtime::os::unix::process::CommandExt;
    let mut missing = Command::new("/there/is/no/such/program");
    for _ in 0..3 {
        assert_eq!(missing.spawn().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(missing.output().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(missing.status().unwrap_err().kind(), ErrorKind::NotFound);
        // SAFETY: the closure does nothing. With it, the child is created with `fork`.
        unsafe { missing.pre_exec(|| Ok(())) };
    }
    // SAFETY: the pointer may be null.
    let any = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    assert_eq!(any, -1);
    let error = std::io::Error::last_os_error();
    assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
}
