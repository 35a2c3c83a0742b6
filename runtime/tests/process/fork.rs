//! Tests of `fork`: the parent loses no event to a child, and the child's evy calls fail with a
//! reason.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use evy_runtime::io::Green;
use evy_runtime::lowlevel::{HelperPool, WaitReason};
use evy_runtime::process::{Command, Stdio};
use evy_runtime::sync::{Arc, Mutex};
use evy_runtime::{Queue, fs, sleep, spawn, spawn_n, thread, timeout, yield_now};
use evy_test_support::{is_emulated, rerun_ignored};

const SHORT: Duration = Duration::from_millis(1);

/// Runs `body` in a child, and returns its exit code. Polls for the end of the child, so that the
/// other green threads of the parent run meanwhile.
fn in_child(body: impl FnOnce() -> i32) -> i32 {
    let child = fork();
    if child == 0 {
        let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(99);
        // SAFETY: ends the process, and nothing else.
        unsafe { libc::_exit(code) };
    }
    loop {
        let mut status = 0;
        // SAFETY: the pointer is valid, and the child belongs to this process.
        match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
            0 => sleep(SHORT),
            _ if libc::WIFEXITED(status) => return libc::WEXITSTATUS(status),
            _ => return -libc::WTERMSIG(status),
        }
    }
}

fn fork() -> libc::pid_t {
    // SAFETY: the child runs on the stack of the caller only. The locks that it needs are free,
    // because the other OS threads of these tests wait.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    child
}

/// Runs an ignored test of this file in a process of its own. Returns its standard error.
fn run(name: &str) -> String {
    let output = rerun_ignored(name)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{:?}: {text}", output.status);
    text
}

type Stream = Green<UnixStream>;

/// A stream and its other end, which a green thread echoes to.
fn echo() -> Stream {
    let (near, far) = UnixStream::pair().unwrap();
    let (near, mut far) = (Green::new(near).unwrap(), Green::new(far).unwrap());
    spawn_n(move || {
        let mut byte = [0];
        while far.read(&mut byte).unwrap() > 0 {
            far.write_all(&byte).unwrap();
        }
    });
    near
}

fn exchange(stream: &mut Stream) {
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

#[test]
fn a_parent_loses_no_event_to_its_children() {
    if !is_emulated() {
        run("fork::forks_while_streams_are_busy");
    }
}

#[test]
#[ignore = "forks"]
fn forks_while_streams_are_busy() {
    let mut streams = [echo(), echo(), echo()];
    streams.iter_mut().for_each(exchange);
    let exchanged = timeout(Duration::from_secs(30), || {
        let [mut first, mut second, dropped] = streams;
        let code = in_child(|| {
            // Only evy's own copy is closed: the registration is that of the parent.
            drop(dropped);
            // Each of these would poll, or take an event, if evy ran on in the child.
            let fails = |call: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(call)).is_err();
            let all_fail = fails(&mut || sleep(SHORT))
                && fails(&mut yield_now)
                && fails(&mut || exchange(&mut first))
                && fails(&mut || Queue::unbounded().get());
            i32::from(!all_fail)
        });
        assert_eq!(code, 0);
        let waits = fork();
        if waits == 0 {
            // SAFETY: waits for a signal, which ends the process.
            unsafe { libc::pause() };
        }
        for _ in 0..500 {
            exchange(&mut first);
            exchange(&mut second);
        }
        // SAFETY: the child belongs to this process.
        unsafe { libc::kill(waits, libc::SIGKILL) };
    });
    assert!(exchanged.is_ok());
}

#[test]
fn a_call_in_a_child_fails_with_the_reason() {
    if is_emulated() {
        return;
    }
    let text = run("fork::calls_evy_in_a_child");
    assert!(text.contains("was created with `fork`"), "{text}");
}

#[test]
#[ignore = "forks"]
fn calls_evy_in_a_child() {
    let mut stream = echo();
    exchange(&mut stream);
    let locked = Arc::new(Mutex::new(()));
    let (ready, holder) = (Arc::clone(&locked), Arc::clone(&locked));
    let guard = holder.lock().unwrap();
    let remote = thread::Remote::current();
    let code = in_child(|| {
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("`fork`"), "{error}");
        let error = thread::Builder::new().spawn(|| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(catch_unwind(|| sleep(SHORT)).is_err());
        assert!(catch_unwind(|| evy_runtime::unblock(|| ())).is_err());
        assert!(catch_unwind(thread::Remote::current).is_err());
        // No OS thread of the parent exists here.
        let job = remote.spawn(|| unreachable!("it never runs"));
        assert!(job.join().unwrap_err().is_abandoned());
        // A wait that no other OS thread could end.
        assert!(catch_unwind(AssertUnwindSafe(|| drop(ready.lock()))).is_err());
        // Plain code goes on, and so does what needs no scheduler.
        assert!(ready.try_lock().is_err());
        assert_eq!(std::fs::read("/dev/null").unwrap(), b"");
        std::thread::spawn(|| ()).join().unwrap();
        7
    });
    drop(guard);
    assert_eq!(code, 7);
    // A grandchild is no better off.
    let code = in_child(|| {
        let child = fork();
        if child == 0 {
            let failed = catch_unwind(|| sleep(SHORT)).is_err();
            // SAFETY: ends the process, and nothing else.
            unsafe { libc::_exit(if failed { 5 } else { 6 }) };
        }
        let mut status = 0;
        // SAFETY: the pointer is valid, and the child belongs to this process.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        libc::WEXITSTATUS(status)
    });
    assert_eq!(code, 5);
}

#[test]
fn what_returns_an_io_error_does_so_in_a_child() {
    if !is_emulated() {
        run("fork::uses_files_and_children_in_a_child");
    }
}

#[test]
#[ignore = "forks"]
fn uses_files_and_children_in_a_child() {
    static LENGTHS: HelperPool<usize> = HelperPool::new(1, 1, |name| Ok(name.len()));

    let here = std::env::current_dir().unwrap();
    let file = fs::File::open("/dev/null").unwrap();
    let cat = || {
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::null()).stdout(Stdio::piped());
        cat.stderr(Stdio::piped()).spawn().unwrap()
    };
    let (mut waited, read) = (cat(), cat());
    let entries = fs::read_dir(&here).unwrap();
    let code = in_child(|| {
        let forked = |error: io::Error| {
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains("`fork`"), "{error}");
        };
        forked(fs::read("/dev/null").unwrap_err());
        forked(fs::write("/dev/null", "").unwrap_err());
        forked(fs::metadata(&here).unwrap_err());
        forked(fs::rename("/nowhere", "/elsewhere").unwrap_err());
        forked(fs::read_dir(&here).unwrap_err());
        forked(fs::File::open("/dev/null").unwrap_err());
        forked(fs::DirBuilder::new().create("/nowhere/at/all").unwrap_err());
        forked(file.sync_all().unwrap_err());
        // What needs no helper works, and what an iterator has not read ends with an error.
        assert_eq!((&file).read(&mut [0]).unwrap(), 0);
        let errors = entries.filter_map(Result::err);
        errors.for_each(forked);
        forked(LENGTHS.call("name", WaitReason::Unblock).unwrap_err());
        forked(Command::new("true").status().unwrap_err());
        forked(read.wait_with_output().unwrap_err());
        // The child of the parent is none of this process.
        assert!(waited.wait().is_err());
        // A limit of time does not hide the reason.
        let read = timeout(SHORT, || fs::read("/dev/null")).unwrap();
        forked(read.unwrap_err());
        7
    });
    assert_eq!(code, 7);
}

#[test]
fn a_child_can_execute_another_program() {
    if !is_emulated() {
        run("fork::executes_in_a_child");
    }
}

#[test]
#[ignore = "forks"]
fn executes_in_a_child() {
    spawn(yield_now).join().unwrap();
    let code = in_child(|| {
        let program = c"/bin/sh".as_ptr();
        let arguments = [
            program,
            c"-c".as_ptr(),
            c"exit 3".as_ptr(),
            std::ptr::null(),
        ];
        // SAFETY: the arguments are valid strings, and a null pointer follows them.
        unsafe { libc::execv(program, arguments.as_ptr()) }
    });
    assert_eq!(code, 3);
    let (reader, writer): (PipeReader, PipeWriter) = io::pipe().unwrap();
    let echo = std::process::Command::new("/bin/echo")
        .arg("there")
        .stdout(OwnedFd::from(writer))
        .status();
    assert!(echo.unwrap().success());
    let mut text = String::new();
    Green::new(reader)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "there\n");
}

#[test]
fn a_green_thread_that_ends_in_a_child_ends_the_child_with_the_reason() {
    if is_emulated() {
        return;
    }
    let text = run("fork::a_green_thread_returns_in_a_child");
    assert!(
        text.contains("evy: this process was created with `fork`"),
        "{text}"
    );
    assert_eq!(text.matches("a neighbor ran").count(), 1, "{text}");
}

#[test]
#[ignore = "forks"]
fn a_green_thread_returns_in_a_child() {
    let forks = spawn(fork);
    spawn_n(|| eprintln!("a neighbor ran"));
    let child = forks.join().unwrap();
    let mut status = 0;
    yield_now();
    // SAFETY: the pointer is valid, and the child belongs to this process.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(libc::WTERMSIG(status), libc::SIGABRT);
}

#[test]
fn a_program_that_forks_before_it_uses_evy_can_use_it_in_the_child() {
    if !is_emulated() {
        run("fork::uses_evy_first_in_a_child");
    }
}

#[test]
#[ignore = "forks"]
fn uses_evy_first_in_a_child() {
    let child = fork();
    if child == 0 {
        sleep(SHORT);
        let code = spawn(|| 4).join().unwrap_or(0);
        // SAFETY: ends the process, and nothing else.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the pointer is valid, and the child belongs to this process.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(libc::WEXITSTATUS(status), 4);
}
