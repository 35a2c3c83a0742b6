//! Tests of what a child inherits: no descriptor of evy, and the signals of a child of std.
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use evy_runtime::io::Green;
use evy_runtime::os::unix::process::CommandExt;
use evy_runtime::process::{Child, Command, Stdio};
use evy_runtime::{sleep, spawn, timeout, unblock};
use evy_test_support::{is_emulated, rerun_ignored, within};

const SOON: Duration = Duration::from_millis(20);

/// Runs an ignored test of this file in a process of its own.
fn run(name: &str) {
    let output = rerun_ignored(&format!("environment::{name}"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {text}", output.status);
}

fn text(output: io::Result<std::process::Output>) -> String {
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes the child be created with `fork`.
fn with_closure(command: &mut Command) {
    // SAFETY: the closure does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
}

#[test]
fn a_child_inherits_no_descriptor_of_evy() {
    run("lists_descriptors");
}

#[test]
#[ignore = "must not share its descriptors with other tests"]
fn lists_descriptors() {
    let arguments = ["-c", "ls /proc/self/fd"];
    let before = text(std::process::Command::new("sh").args(arguments).output());
    // An event queue, a notifier, a socket, a pidfd, a helper OS thread, and pipes.
    let (near, _far) = UnixStream::pair().unwrap();
    let mut near = Green::new(near).unwrap();
    assert!(timeout(SOON, || near.read(&mut [0])).is_err());
    unblock(|| ());
    let mut waited = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = waited.stdin.take();
    assert!(timeout(SOON, || waited.wait()).is_err());
    assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() > before.lines().count() + 5);
    let mut command = Command::new("sh");
    command.args(arguments);
    assert_eq!(text(command.output()), before);
    with_closure(&mut command);
    assert_eq!(text(command.output()), before);
    drop(input);
    let number = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let with_pidfd = number();
    assert!(waited.wait().unwrap().success());
    // An emulator may have no pidfds.
    if is_emulated() {
        return;
    }
    assert_eq!(number(), with_pidfd - 1);
    let mut waited = Command::new("sleep").arg("100").spawn().unwrap();
    let without_pidfd = number();
    assert!(timeout(SOON, || waited.wait()).is_err());
    assert_eq!(number(), without_pidfd + 1);
    waited.kill().unwrap();
    while waited.try_wait().unwrap().is_none() {}
    assert_eq!(number(), without_pidfd);
}

#[test]
fn a_child_has_the_signals_of_a_child_of_std() {
    within(|| {
        use std::os::unix::process::CommandExt as _;
        let arguments = ["-c", "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"];
        let mut of_std = std::process::Command::new("sh");
        let spawned = text(of_std.args(arguments).output());
        // SAFETY: the closure does nothing.
        let forked = text(unsafe { of_std.pre_exec(|| Ok(())) }.output());
        for signals in [&spawned, &forked] {
            let set = |name| {
                let line = signals.lines().find(|line| line.starts_with(name)).unwrap();
                u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap()
            };
            assert_eq!(set("SigBlk"), 0);
            assert_eq!(set("SigIgn") & (1 << (libc::SIGPIPE - 1)), 0);
        }
        let of_evy = spawn(move || {
            let mut command = Command::new("sh");
            let spawned = text(command.args(arguments).output());
            with_closure(&mut command);
            (spawned, text(command.output()))
        });
        assert_eq!(of_evy.join().unwrap(), (spawned, forked));
    });
}

/// The closure runs in a forked child, in which evy does not work.
#[test]
fn a_closure_before_the_program_runs_in_the_child_alone() {
    if is_emulated() {
        return;
    }
    within(|| {
        sleep(SOON);
        let (reader, mut writer) = io::pipe().unwrap();
        let mut reader = Green::new(reader).unwrap();
        let mut command = Command::new("true");
        let closure = move || {
            let refused = Command::new("true").spawn().is_err();
            writer.write_all(&[u8::from(refused)])
        };
        // SAFETY: the closure writes to a pipe. `spawn` of evy fails before it does anything.
        unsafe { command.pre_exec(closure) };
        for _ in 0..3 {
            let status = spawn({
                let mut child = command.spawn().unwrap();
                move || child.wait()
            });
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [1]);
            assert!(status.join().unwrap().unwrap().success());
            sleep(SOON);
        }
    });
}

#[test]
fn an_error_of_the_closure_before_the_program_is_the_error_of_spawn() {
    within(|| {
        let mut command = Command::new("true");
        let closure = || Err(io::Error::from_raw_os_error(libc::EXDEV));
        // SAFETY: the closure only returns a value.
        unsafe { command.pre_exec(closure) };
        let error = command.spawn().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EXDEV));
    });
}

#[test]
fn without_free_descriptors_a_spawn_fails_and_a_wait_works() {
    run("uses_up_descriptors");
}

#[test]
#[ignore = "uses up the descriptors"]
fn uses_up_descriptors() {
    let spawn_silent = || {
        let mut command = Command::new("sh");
        command
            .args(["-c", "sleep 0.2; exit 5"])
            .stdin(Stdio::inherit());
        command.spawn()
    };
    let wait = |mut child: Child| spawn(move || child.wait().unwrap().code());
    // The scheduler has its own descriptors from now on.
    sleep(SOON);
    let waits: Vec<_> = (0..3).map(|_| spawn_silent().unwrap()).collect();
    // SAFETY: the pointer is valid.
    unsafe {
        let limit = libc::rlimit {
            rlim_cur: 64,
            rlim_max: 64,
        };
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    let mut used: Vec<OwnedFd> = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        used.push(file.into());
    }
    let error = Command::new("true").output().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    // No pidfd can be opened. The children are waited for at the same time nevertheless.
    let waits: Vec<_> = waits.into_iter().map(wait).collect();
    for wait in waits {
        assert_eq!(wait.join().unwrap(), Some(5));
    }
    drop(used);
    assert_eq!(wait(spawn_silent().unwrap()).join().unwrap(), Some(5));
    assert!(Command::new("true").output().unwrap().status.success());
}

#[test]
fn exec_replaces_the_process() {
    let output = rerun_ignored("environment::replaces_itself")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("executed: name"), "{text}");
    assert_eq!(output.status.code(), Some(9), "{text}");
}

#[test]
#[ignore = "replaces the process"]
fn replaces_itself() {
    let error = Command::new("/there/is/no/such/program").exec();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    // evy works after an attempt that has failed.
    sleep(SOON);
    spawn(|| {
        let mut command = Command::new("sh");
        command
            .arg0("name")
            .args(["-c", "echo executed: $0; exit 9"]);
        panic!("{}", command.exec());
    })
    .join()
    .unwrap();
}
