//! Tests of `evy::io::{stdin, stdout, stderr}`. Each runs this test binary again, with descriptors
//! of its own, for one test that is otherwise ignored.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::io::{BufRead, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use evy_runtime::fs::File;
use evy_runtime::io::{PipeReader, PipeWriter};
use evy_runtime::stdio::{
    IsTerminal, Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock, stderr, stdin, stdout,
};
use evy_runtime::{sleep, spawn, spawn_n, test, timeout, yield_now};
use evy_test_support::{rerun_ignored, within};

const SOON: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

#[test]
fn the_handles_and_locks_have_the_auto_traits_of_those_of_std() {
    use std::panic::{RefUnwindSafe, UnwindSafe};
    fn check<T: UnwindSafe + RefUnwindSafe>() {}
    fn check_shared<T: UnwindSafe + RefUnwindSafe + Send + Sync>() {}
    check_shared::<Stdin>();
    check_shared::<Stdout>();
    check_shared::<Stderr>();
    check_shared::<PipeReader>();
    check_shared::<PipeWriter>();
    check_shared::<File>();
    check::<StdinLock<'_>>();
    check::<StdoutLock<'_>>();
    check::<StderrLock<'_>>();
}

/// Starts the ignored test `name` with these descriptors.
fn start(name: &str, input: impl Into<Stdio>, output: impl Into<Stdio>) -> Child {
    rerun_ignored(&format!("stdio::{name}"))
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the end of a program, which must succeed, and returns its output as text.
fn finish(program: Child) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = within(|| program.wait_with_output().unwrap());
    let text = String::from_utf8(stdout).unwrap();
    let errors = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{text}\n{errors}");
    text
}

/// Reads what a program writes until that ends with `text`.
fn read_until(output: &mut impl Read, text: &str) {
    let mut seen = Vec::new();
    while !seen.ends_with(text.as_bytes()) {
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}

/// Runs the ignored test `name`, and gives it `input` when it says that it waits.
fn with_input(name: &str, input: &[u8]) -> String {
    let mut program = start(name, Stdio::piped(), Stdio::piped());
    let mut writer = program.stdin.take().unwrap();
    read_until(program.stdout.as_mut().unwrap(), "waiting\n");
    writer.write_all(input).unwrap();
    drop(writer);
    finish(program)
}

fn is_non_blocking(fd: &impl AsFd) -> bool {
    let flags = rustix::fs::fcntl_getfl(fd).unwrap();
    flags.contains(rustix::fs::OFlags::NONBLOCK)
}

#[test]
fn reading_a_line_parks_and_leaves_the_rest_to_others() {
    let text = with_input("reads_lines", b"first\nsecond\nthird");
    assert!(
        text.contains("read [\"first\\n\", \"second\", \"third\"]"),
        "{text}"
    );
}

#[test]
#[ignore = "reads the standard input"]
fn reads_lines() {
    let ticks = spawn(|| (0..10).for_each(|_| sleep(Duration::from_millis(1))));
    let reader = spawn(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).unwrap();
        line
    });
    ticks.join().unwrap();
    assert!(!reader.is_finished(), "there is no input yet");
    println!("waiting");
    let mut lines = vec![reader.join().unwrap()];
    lines.extend(stdin().lines().map(Result::unwrap));
    assert_eq!(stdin().read(&mut [0]).unwrap(), 0);
    println!("read {lines:?}");
}

#[test]
fn two_green_threads_and_another_os_thread_read_whole_lines() {
    let lines: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    let text = with_input("shares_lines", lines.as_bytes());
    assert!(text.contains(&format!("all {}", 3000 * 2999 / 2)), "{text}");
}

#[test]
#[ignore = "reads the standard input"]
fn shares_lines() {
    fn sum() -> u64 {
        let (mut sum, mut line) = (0, String::new());
        while stdin().read_line(&mut line).unwrap() > 0 {
            let number = line.trim_end().strip_prefix("line ").unwrap();
            sum += number.parse::<u64>().unwrap();
            line.clear();
            yield_now();
        }
        sum
    }
    println!("waiting");
    let green = [spawn(sum), spawn(sum)];
    let elsewhere = std::thread::spawn(sum);
    let sum: u64 = green.into_iter().map(|reader| reader.join().unwrap()).sum();
    println!("all {}", sum + elsewhere.join().unwrap());
}

#[test]
fn a_reader_that_is_killed_or_times_out_loses_nothing() {
    let mut program = start("reads_after_a_kill", Stdio::piped(), Stdio::piped());
    let mut writer = program.stdin.take().unwrap();
    writer.write_all(b"ab").unwrap();
    read_until(program.stdout.as_mut().unwrap(), "waiting\n");
    writer.write_all(b"cd\nrest").unwrap();
    drop(writer);
    let text = finish(program);
    assert!(text.contains("read \"abcd\\n\" and \"rest\""), "{text}");
}

#[test]
#[ignore = "reads the standard input"]
fn reads_after_a_kill() {
    let mut line = String::new();
    assert!(timeout(SOON, || stdin().read_line(&mut line)).is_err());
    assert_eq!(line, "");
    let victim = spawn(|| {
        let mut lock = stdin().lock();
        lock.read_exact(&mut [0; 3]).unwrap();
    });
    test::wait_all_parked();
    victim.kill();
    assert!(victim.join().unwrap_err().is_killed());
    let mut everything = Vec::new();
    assert!(timeout(SOON, || stdin().read_to_end(&mut everything)).is_err());
    assert_eq!(stdin().lock().fill_buf().unwrap(), b"ab");
    println!("waiting");
    stdin().read_line(&mut line).unwrap();
    let mut rest = String::new();
    stdin().read_to_string(&mut rest).unwrap();
    println!("read {line:?} and {rest:?}");
}

#[test]
fn a_line_that_is_not_text_is_an_error_and_the_next_one_can_be_read() {
    let long = "x".repeat(100_000);
    let input = [b"\xff\n", long.as_bytes(), b"\nlast\n"].concat();
    let text = with_input("reads_what_is_not_text", &input);
    assert!(text.contains("long 100001, last"), "{text}");
}

#[test]
#[ignore = "reads the standard input"]
fn reads_what_is_not_text() {
    println!("waiting");
    let mut line = String::from("kept");
    let error = stdin().read_line(&mut line).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert_eq!(line, "kept");
    line.clear();
    let length = stdin().read_line(&mut line).unwrap();
    let last = stdin().lines().next().unwrap().unwrap();
    println!("long {length}, {last}");
}

#[test]
fn standard_input_that_is_closed_or_empty_is_at_its_end() {
    finish(start("is_at_the_end", Stdio::null(), Stdio::piped()));
    finish(start("is_closed", Stdio::null(), Stdio::piped()));
}

#[test]
#[ignore = "reads the standard input"]
fn is_at_the_end() {
    assert_eq!(stdin().read(&mut [0; 8]).unwrap(), 0);
    assert!(stdin().lines().next().is_none());
    assert!(!stdin().is_terminal());
}

#[test]
#[ignore = "closes the standard streams"]
fn is_closed() {
    // The descriptors that evy needs are opened before, so that they get other numbers.
    yield_now();
    for number in 0..3 {
        // SAFETY: std takes closed standard streams for empty ones.
        assert_eq!(unsafe { libc::close(number) }, 0);
    }
    let read = stdin().read(&mut [0; 8]).unwrap();
    let lines = stdin().lines().count();
    writeln!(stdout(), "nowhere").unwrap();
    writeln!(stderr(), "nowhere").unwrap();
    std::process::exit(if (read, lines) == (0, 0) { 0 } else { 3 });
}

/// Both ends are blocking here. If the program changed the mode, this process would see it.
#[test]
fn the_standard_streams_are_left_as_they_are() {
    let (input, mut to_input) = std::io::pipe().unwrap();
    let (mut from_output, output) = std::io::pipe().unwrap();
    let mut program = start(
        "uses_all_streams",
        input.try_clone().unwrap(),
        output.try_clone().unwrap(),
    );
    to_input.write_all(b"x").unwrap();
    // The program waits for more input, and its output is full.
    read_until(program.stderr.as_mut().unwrap(), "parked\n");
    assert!(!is_non_blocking(&input) && !is_non_blocking(&output));
    drop((output, to_input));
    let mut rest = Vec::new();
    from_output.read_to_end(&mut rest).unwrap();
    assert!(rest.iter().filter(|byte| **byte == b'y').count() >= 200_000);
    assert!(within(move || program.wait().unwrap()).success());
    assert!(!is_non_blocking(&input));
}

#[test]
#[ignore = "uses the standard streams"]
fn uses_all_streams() {
    assert_eq!(stdin().read(&mut [0; 8]).unwrap(), 1);
    let reader = spawn(|| stdin().read(&mut [0; 8]).unwrap());
    let writer = spawn(|| {
        let mut lock = stdout().lock();
        lock.write_all(&vec![b'y'; 200_000]).unwrap();
        lock.flush().unwrap();
    });
    // Both are parked, and this one goes on.
    for _ in 0..10 {
        sleep(Duration::from_millis(1));
    }
    assert!(!writer.is_finished() && !reader.is_finished());
    writeln!(stderr(), "parked").unwrap();
    writer.join().unwrap();
    assert_eq!(reader.join().unwrap(), 0);
}

/// Standard input, output and error are one terminal, as in an interactive shell.
#[test]
fn a_program_on_a_terminal_reads_lines_and_leaves_the_terminal_as_it_is() {
    let (mut near, mut far) = (0, 0);
    // SAFETY: the first two pointers are valid, and the others may be null.
    let opened = unsafe {
        libc::openpty(
            &raw mut near,
            &raw mut far,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    assert_eq!(opened, 0);
    use std::os::fd::FromRawFd;
    // SAFETY: the descriptors are new, so nothing else owns them.
    let [near, far] = [near, far].map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let mut emulator = std::fs::File::from(near);
    let mut program = rerun_ignored("stdio::uses_a_terminal")
        .stdin(far.try_clone().unwrap())
        .stdout(far.try_clone().unwrap())
        .stderr(far.try_clone().unwrap())
        .spawn()
        .unwrap();
    let mut seen = String::new();
    let mut see = |text: &str, emulator: &mut std::fs::File| {
        let mut buffer = [0; 4096];
        while !seen.contains(text) {
            let n = emulator.read(&mut buffer).unwrap();
            seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    };
    see("name?", &mut emulator);
    sleep(2 * SOON);
    assert!(!is_non_blocking(&far));
    emulator.write_all(b"evy\n").unwrap();
    see("hello evy", &mut emulator);
    see(&"y".repeat(1000), &mut emulator);
    assert!(!is_non_blocking(&far));
    see("the end", &mut emulator);
    assert!(within(move || program.wait().unwrap()).success());
}

#[test]
#[ignore = "uses a terminal"]
fn uses_a_terminal() {
    assert!(stdin().is_terminal() && stdout().is_terminal() && stderr().is_terminal());
    write!(stdout(), "name?").unwrap();
    stdout().flush().unwrap();
    let mut line = String::new();
    stdin().read_line(&mut line).unwrap();
    writeln!(stderr(), "hello {}", line.trim_end()).unwrap();
    stdout().write_all(&vec![b'y'; 100_000]).unwrap();
    writeln!(stdout(), "the end").unwrap();
}

#[test]
fn the_rest_of_the_output_is_written_when_the_process_exits() {
    for name in [
        "exits_by_a_call",
        "exits_by_a_call_in_a_green_thread",
        "exits_while_the_output_is_locked",
    ] {
        let text = finish(start(name, Stdio::null(), Stdio::piped()));
        assert!(text.ends_with("a part, and the last"), "{name}: {text}");
    }
}

#[test]
#[ignore = "ends the process"]
fn exits_by_a_call() {
    write!(stdout(), "a part, ").unwrap();
    write!(stdout(), "and the last").unwrap();
    std::process::exit(0);
}

#[test]
#[ignore = "ends the process"]
fn exits_by_a_call_in_a_green_thread() {
    spawn_n(|| {
        write!(stdout(), "a part, and ").unwrap();
        write!(stdout(), "the last").unwrap();
        std::process::exit(0);
    });
    sleep(LONG);
}

#[test]
#[ignore = "ends the process"]
fn exits_while_the_output_is_locked() {
    spawn_n(|| sleep(LONG));
    let mut lock = stdout().lock();
    write!(lock, "a part, and the last").unwrap();
    std::process::exit(0);
}

#[test]
fn whole_lines_keep_their_order_with_those_of_println() {
    let text = finish(start("prints_both_ways", Stdio::null(), Stdio::piped()));
    assert!(text.contains("1 one\n2 two\n3 three\n"), "{text}");
}

#[test]
#[ignore = "writes to the standard output"]
fn prints_both_ways() {
    println!();
    writeln!(stdout(), "{} one", 3 - 2).unwrap();
    println!("2 two");
    writeln!(stdout(), "{} three", 1 + 2).unwrap();
}

#[test]
fn the_lock_of_the_output_is_reentrant_and_keeps_other_green_threads_out() {
    let text = finish(start(
        "locks_the_output_twice",
        Stdio::null(),
        Stdio::piped(),
    ));
    assert!(text.contains("one two three\nother\n"), "{text}");
}

#[test]
#[ignore = "writes to the standard output"]
fn locks_the_output_twice() {
    let mut lock = stdout().lock();
    let other = spawn(|| writeln!(stdout(), "other").unwrap());
    write!(lock, "\none ").unwrap();
    yield_now();
    write!(stdout(), "two ").unwrap();
    let mut again = stdout().lock();
    yield_now();
    writeln!(again, "three").unwrap();
    drop((lock, again));
    other.join().unwrap();
    let errors = stderr().lock();
    writeln!(stderr(), "while it is locked").unwrap();
    drop(errors);
}

#[test]
fn a_closed_reader_of_the_output_is_an_error_and_not_the_end() {
    finish(start(
        "writes_to_a_closed_pipe",
        Stdio::null(),
        Stdio::piped(),
    ));
}

#[test]
#[ignore = "closes the standard streams"]
fn writes_to_a_closed_pipe() {
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: both descriptors are open. std owns the second one, and goes on to own it.
    let replaced = unsafe { libc::dup2(writer.as_raw_fd(), stdout().as_raw_fd()) };
    assert_eq!(replaced, 1);
    writeln!(stdout(), "into the pipe").unwrap();
    drop((reader, writer));
    let error = writeln!(stdout(), "nowhere").unwrap_err();
    let is_right = error.kind() == std::io::ErrorKind::BrokenPipe;
    std::process::exit(if is_right { 0 } else { 3 });
}
