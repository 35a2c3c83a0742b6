//! Tests of the pipes to a child: nothing deadlocks, nothing is lost, and the child never sees that
//! this process's ends are non-blocking.
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use evy_runtime::process::{ChildStdin, ChildStdout, Command, Stdio};
use evy_runtime::{scope, sleep, spawn, test, timeout};
use evy_test_support::within;
use rustix::fs::OFlags;

use super::waiting::{sh, until_input_ends};

const SOON: Duration = Duration::from_millis(20);
/// More than both pipes hold.
const LARGE: usize = 10_000_000;

fn is_non_blocking(fd: impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(fd)
        .unwrap()
        .contains(OFlags::NONBLOCK)
}

/// A program that prints the modes of its standard streams.
fn prints_modes() -> Command {
    let files = [
        "/proc/self/fdinfo/0",
        "/proc/self/fdinfo/1",
        "/proc/self/fdinfo/2",
    ];
    let mut command = Command::new("grep");
    command.args(["-h", "flags"]).args(files);
    command
}

/// Whether all three of the modes that a child has printed are blocking.
fn are_blocking(modes: &str) -> bool {
    let flags = modes
        .lines()
        .map(|line| line.trim_start_matches("flags:\t"));
    let flags: Vec<_> = flags.map(|flags| u32::from_str_radix(flags, 8)).collect();
    let non_blocking = OFlags::NONBLOCK.bits();
    let is_blocking = |flags: &Result<u32, _>| flags.as_ref().unwrap() & non_blocking == 0;
    flags.len() == 3 && flags.iter().all(is_blocking)
}

#[test]
fn a_child_that_fills_both_outputs_does_not_deadlock() {
    within(|| {
        let script = format!(
            "head -c {LARGE} /dev/zero >&2 & head -c {LARGE} /dev/zero; wait; echo end >&2"
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success());
        assert_eq!(output.stdout.len(), LARGE);
        assert_eq!(output.stderr.len(), LARGE + 4);
    });
}

/// The second output ends long before the first one, or the other way around.
#[test]
fn a_child_that_fills_one_output_after_the_other_does_not_deadlock() {
    within(|| {
        for (first, second) in [(1, 2), (2, 1)] {
            let fill = |to| format!("head -c {LARGE} /dev/zero >&{to}");
            let script = format!("{}; {}", fill(first), fill(second));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!((output.stdout.len(), output.stderr.len()), (LARGE, LARGE));
        }
    });
}

#[test]
fn an_output_that_times_out_is_closed_and_ends_a_child_that_writes() {
    within(|| {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >&2; exec cat /dev/zero"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let pid = libc::pid_t::try_from(child.id()).unwrap();
        assert!(timeout(SOON, || child.wait_with_output()).is_err());
        let mut status = 0;
        // SAFETY: the pointer is valid.
        let reaped = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!((reaped, libc::WTERMSIG(status)), (pid, libc::SIGPIPE));
    });
}

#[test]
fn much_data_passes_through_a_child() {
    within(|| {
        let mut child = sh("exec cat");
        let mut input = child.stdin.take().unwrap();
        let writer = spawn(move || input.write_all(&vec![7; LARGE]));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.stdout.iter().all(|byte| *byte == 7));
        assert_eq!(output.stdout.len(), LARGE);
    });
}

#[test]
fn a_write_to_a_child_that_has_ended_is_a_broken_pipe() {
    within(|| {
        let mut child = sh("exit 0");
        let mut input = child.stdin.take().unwrap();
        assert!(child.wait().unwrap().success());
        let error = input.write_all(b"late").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_write_that_waits_for_room_fails_when_the_child_ends() {
    within(|| {
        let mut child = sh("exec sleep 60");
        let mut input = child.stdin.take().unwrap();
        let writer = spawn(move || input.write_all(&vec![0; LARGE]));
        test::wait_all_parked();
        child.kill().unwrap();
        let error = writer.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        child.wait().unwrap();
    });
}

#[test]
fn only_this_process_has_the_non_blocking_ends() {
    within(|| {
        let mut command = prints_modes();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        assert!(is_non_blocking(child.stdin.as_ref().unwrap()));
        let mut modes = String::new();
        let mut output = child.stdout.take().unwrap();
        output.read_to_string(&mut modes).unwrap();
        assert!(is_non_blocking(&output));
        assert!(are_blocking(&modes), "{modes}");
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_pipe_of_one_child_is_blocking_for_the_next_child() {
    within(|| {
        let (mut source, mut sink) = (sh("read line; echo $line; cat"), sh("exec cat"));
        let mut output = source.stdout.take().unwrap();
        assert!(timeout(SOON, || output.read(&mut [0])).is_err());
        let mut command = prints_modes();
        command.stdin(output).stdout(sink.stdin.take().unwrap());
        assert!(command.status().unwrap().success());
        drop(command);
        let modes = String::from_utf8(sink.wait_with_output().unwrap().stdout).unwrap();
        assert!(are_blocking(&modes), "{modes}");
        source.wait().unwrap();
    });
}

/// A child that finds its input non-blocking fails instead of waiting.
#[test]
fn a_child_waits_for_the_output_of_another_child() {
    within(|| {
        let mut source = sh("echo one; read line; echo two");
        let mut output = source.stdout.take().unwrap();
        output.read_exact(&mut [0; 4]).unwrap();
        assert!(timeout(SOON, || output.read(&mut [0])).is_err());
        let mut command = Command::new("cat");
        let reader = spawn(move || command.stdin(output).output());
        test::wait_all_parked();
        sleep(SOON);
        source.stdin.as_mut().unwrap().write_all(b"now\n").unwrap();
        let read = reader.join().unwrap().unwrap();
        assert!(read.status.success(), "{read:?}");
        assert_eq!(read.stdout, b"two\n");
        source.wait().unwrap();
    });
}

#[test]
fn the_descriptor_of_a_handle_is_blocking_again() {
    within(|| {
        let mut child = until_input_ends();
        let input = OwnedFd::from(child.stdin.take().unwrap());
        let output = OwnedFd::from(child.stdout.take().unwrap());
        assert!(!is_non_blocking(&input) && !is_non_blocking(&output));
        let (input, mut output) = (ChildStdin::from(input), ChildStdout::from(output));
        assert!(is_non_blocking(&input) && is_non_blocking(&output));
        assert!(timeout(SOON, || output.read(&mut [0])).is_err());
        drop(input);
        assert_eq!(output.read(&mut [0]).unwrap(), 0);
        child.wait().unwrap();
    });
}

#[test]
fn a_shared_reference_to_the_input_can_be_written_to() {
    within(|| {
        let mut child = sh("exec cat");
        let input = child.stdin.take().unwrap();
        (&input).write_all(b"a").unwrap();
        (&input).flush().unwrap();
        let written = (&input).write_vectored(&[IoSlice::new(b"b"), IoSlice::new(b"c")]);
        assert!((1..=2).contains(&written.unwrap()));
        drop(input);
        let mut output = child.stdout.take().unwrap();
        let (mut first, mut second) = ([0; 1], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert!(output.read_vectored(&mut bufs).unwrap() >= 1);
        assert_eq!(first, *b"a");
        child.wait().unwrap();
    });
}

#[test]
fn several_green_threads_may_write_to_one_child() {
    within(|| {
        let mut child = sh("sleep 0.1; exec wc -c");
        let input = child.stdin.take().unwrap();
        scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (&input).write_all(&vec![0; LARGE / 4]).unwrap());
            }
        });
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.stdout, format!("{LARGE}\n").as_bytes());
    });
}

#[test]
fn a_select_waits_for_the_output_of_one_of_two_children() {
    within(|| {
        let (mut silent, mut speaks) = (until_input_ends(), sh("echo hello"));
        let of_silent = silent.stdout.take().unwrap();
        let mut of_speaks = speaks.stdout.take().unwrap();
        let first = evy_runtime::select! {
            readable(&of_silent) => 1,
            readable(&of_speaks) => 2,
        };
        assert_eq!(first, 2);
        let mut text = String::new();
        of_speaks.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello\n");
        assert!(speaks.wait().unwrap().success());
        assert_eq!(silent.wait().unwrap().code(), Some(7));
    });
}

#[test]
fn a_reader_that_is_killed_loses_nothing() {
    within(|| {
        let mut child = sh("read line; echo $line");
        let mut output = child.stdout.take().unwrap();
        scope(|scope| {
            let reader = scope.spawn(|| output.read(&mut [0]));
            test::wait_all_parked();
            reader.kill();
            assert!(reader.join().is_err());
        });
        child.stdin.as_mut().unwrap().write_all(b"kept\n").unwrap();
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept\n");
        child.wait().unwrap();
    });
}
