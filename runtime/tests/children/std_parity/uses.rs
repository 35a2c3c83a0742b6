//! The program: it uses every item of `process` in the ways that its signature in std allows.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::{Debug, Write as _};
use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::os::unix::process::{CommandExt, ExitStatusExt, parent_id};
use super::process::{
    Child, ChildStderr, ChildStdin, ChildStdout, Command, CommandArgs, CommandEnvs, ExitCode,
    ExitStatus, Output, Stdio, Termination, abort, exit, id,
};

fn assert_traits<T: Send + Sync + Unpin + Debug>() {}
fn assert_unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
fn assert_handle<T: AsFd + AsRawFd + IntoRawFd + Into<OwnedFd> + Into<Stdio> + From<OwnedFd>>() {}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn show(text: &mut String, output: &Output) {
    let lossy = String::from_utf8_lossy;
    writeln!(
        text,
        "{:?} {:?} {:?}",
        output.status.code(),
        lossy(&output.stdout),
        lossy(&output.stderr)
    )
    .unwrap();
}

pub(crate) fn use_builder() -> String {
    let mut text = String::new();
    assert_traits::<Command>();
    let mut command = Command::new("printenv");
    command
        .arg("A")
        .args(["B", "C"])
        .env("A", "1")
        .envs([("B", "2"), ("C", "3")])
        .env_remove("D")
        .current_dir("/");
    let args: CommandArgs<'_> = command.get_args();
    let envs: CommandEnvs<'_> = command.get_envs();
    writeln!(text, "{args:?} {} {envs:?} {}", args.len(), envs.len()).unwrap();
    let (program, folder) = (command.get_program(), command.get_current_dir());
    writeln!(text, "{program:?} {folder:?}").unwrap();
    writeln!(text, "{command:?} {command:#?}").unwrap();
    show(&mut text, &command.output().unwrap());
    let cleared = Command::new("/usr/bin/env")
        .env_clear()
        .env("ONLY", "this")
        .output();
    show(&mut text, &cleared.unwrap());
    show(
        &mut text,
        &sh("pwd; exit 4").current_dir("/tmp").output().unwrap(),
    );
    let not_found = Command::new("/there/is/no/such/program")
        .spawn()
        .unwrap_err();
    writeln!(text, "{not_found:?}").unwrap();
    let no_folder = sh("true").current_dir("/there/is/no/such/folder").status();
    writeln!(text, "{:?}", no_folder.unwrap_err().kind()).unwrap();
    let with_nul = Command::new("a\0b").output().unwrap_err();
    writeln!(text, "{with_nul:?}").unwrap();
    text
}

pub(crate) fn use_streams() -> String {
    let mut text = String::new();
    assert_traits::<Stdio>();
    // What `output` does with streams that are redirected, before and after.
    let mut command = sh("cat; echo out; echo err >&2");
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    show(&mut text, &command.output().unwrap());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    show(&mut text, &command.output().unwrap());
    let mut child = command.spawn().unwrap();
    let shown = (&child.stdin, &child.stdout, &child.stderr);
    writeln!(text, "{shown:?} {child:?} {child:#?}").unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"in\n").unwrap();
    (&input).write_all(b"in\n").unwrap();
    input.flush().unwrap();
    writeln!(text, "{}", input.as_raw_fd() == input.as_fd().as_raw_fd()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    show(&mut text, &output);
    // After `output`, streams that are not redirected are inherited again.
    let mut command = sh("read line || echo empty");
    show(&mut text, &command.output().unwrap());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut child = child.unwrap();
    writeln!(text, "{}", child.stdout.is_none() && child.stderr.is_none()).unwrap();
    child.wait().unwrap();
    // A pipe, a file, and another child.
    let (mut reader, writer): (PipeReader, _) = std::io::pipe().unwrap();
    assert!(sh("echo piped").stdout(writer).status().unwrap().success());
    let mut piped = String::new();
    reader.read_to_string(&mut piped).unwrap();
    text += &piped;
    let file = std::fs::File::open("/proc/self/comm").unwrap();
    let from_file = sh("cat >/dev/null && echo read").stdin(file).output();
    show(&mut text, &from_file.unwrap());
    let mut first = sh("echo first; echo error >&2");
    let mut first = first
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let second = sh("cat").stdin(first.stdout.take().unwrap()).output();
    show(&mut text, &second.unwrap());
    let mut error = first.stderr.take().unwrap();
    let mut text_of_error = String::new();
    error.read_to_string(&mut text_of_error).unwrap();
    text += &text_of_error;
    assert!(first.wait().unwrap().success());
    text
}

pub(crate) fn use_children() -> String {
    let mut text = String::new();
    assert_traits::<Child>();
    assert_traits::<ChildStdin>();
    assert_traits::<ChildStdout>();
    assert_traits::<ChildStderr>();
    assert_unwind_safe::<Child>();
    assert_unwind_safe::<ChildStdin>();
    assert_handle::<ChildStdin>();
    assert_handle::<ChildStdout>();
    assert_handle::<ChildStderr>();
    let mut child = sh("exec cat").stdin(Stdio::piped()).spawn().unwrap();
    writeln!(
        text,
        "{:?} {}",
        child.try_wait().unwrap(),
        child.id() != id()
    )
    .unwrap();
    child.kill().unwrap();
    let status: ExitStatus = child.wait().unwrap();
    writeln!(
        text,
        "{status} {status:?} {:?} {}",
        status.code(),
        status.success()
    )
    .unwrap();
    writeln!(text, "{:?} {:?}", child.kill(), child.try_wait().unwrap()).unwrap();
    writeln!(text, "{:?}", sh("exit 3").status().unwrap()).unwrap();
    let codes = [ExitCode::SUCCESS, ExitCode::FAILURE, ExitCode::from(7)];
    writeln!(text, "{codes:?} {:?}", ().report()).unwrap();
    let _: (fn(i32) -> !, fn() -> !) = (exit, abort);
    text
}

pub(crate) fn use_extensions() -> String {
    let mut text = String::new();
    let mut command = sh(
        "echo $0 $PPID; read id name state parent group rest </proc/$$/stat; echo $id $group >&2",
    );
    let output = command.arg0("shell").process_group(0).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let (process, group) = error.trim().split_once(' ').unwrap();
    writeln!(text, "{}", process == group).unwrap();
    let parent = String::from_utf8(output.stdout).unwrap();
    writeln!(text, "{}", parent == format!("sh {}\n", id())).unwrap();
    // SAFETY: the closure only returns a value.
    let command = unsafe { command.pre_exec(|| Err(std::io::ErrorKind::Other.into())) };
    writeln!(text, "{:?}", command.spawn().unwrap_err().kind()).unwrap();
    // SAFETY: a system call without a pointer.
    let (user, group) = unsafe { (libc::getuid(), libc::getgid()) };
    let user = sh("id -u").uid(user).gid(group).output().unwrap();
    show(&mut text, &user);
    let status = ExitStatus::from_raw(9);
    writeln!(
        text,
        "{status:?} {:?} {}",
        status.signal(),
        status.core_dumped()
    )
    .unwrap();
    writeln!(text, "{:?} {}", status.stopped_signal(), status.into_raw()).unwrap();
    writeln!(text, "{}", parent_id() > 0).unwrap();
    text
}
