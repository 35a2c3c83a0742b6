//! Tests of `evy::io::pipe`.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use evy_runtime::io::{PipeReader, PipeWriter, pipe};
use evy_runtime::thread::JoinHandle;
use evy_runtime::{sleep, spawn, test, timeout};
use evy_test_support::within;

const SOON: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(20);

fn join_in_time<T>(handle: JoinHandle<T>) -> T {
    timeout(LIMIT, || handle.join()).expect("woken").unwrap()
}

fn is_non_blocking(fd: &impl AsFd) -> bool {
    let flags = rustix::fs::fcntl_getfl(fd).unwrap();
    flags.contains(rustix::fs::OFlags::NONBLOCK)
}

#[test]
fn a_pipe_parks_its_reader_and_its_writer() {
    within(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let reading = spawn(move || {
            let mut data = Vec::new();
            reader.read_to_end(&mut data).unwrap();
            data.len()
        });
        test::wait_all_parked();
        let writing = spawn(move || writer.write_all(&vec![7; 1 << 20]));
        join_in_time(writing).unwrap();
        assert_eq!(join_in_time(reading), 1 << 20);
    });
}

#[test]
fn a_writer_without_readers_fails_and_a_reader_without_writers_is_at_the_end() {
    within(|| {
        let (reader, mut writer) = pipe().unwrap();
        let clone = reader.try_clone().unwrap();
        drop(reader);
        writer.write_all(b"kept open by the clone").unwrap();
        drop(clone);
        assert_eq!(
            writer.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        let (mut reader, writer) = pipe().unwrap();
        let clone = writer.try_clone().unwrap();
        drop(writer);
        let reading = spawn(move || reader.read(&mut [0]));
        test::wait_all_parked();
        drop(clone);
        assert_eq!(join_in_time(reading).unwrap(), 0);
    });
}

#[test]
fn several_green_threads_read_and_write_the_same_ends() {
    within(|| {
        let (reader, writer) = pipe().unwrap();
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let mut reader = reader.try_clone().unwrap();
                spawn(move || {
                    let (mut read, mut buffer) = (0, [0; 1000]);
                    loop {
                        match reader.read(&mut buffer).unwrap() {
                            0 => return read,
                            n => read += n,
                        }
                    }
                })
            })
            .collect();
        test::wait_all_parked();
        let writers: Vec<_> = (0..3)
            .map(|_| {
                let mut writer = writer.try_clone().unwrap();
                spawn(move || (0..100).for_each(|_| writer.write_all(&[1; 3000]).unwrap()))
            })
            .collect();
        drop(writer);
        writers.into_iter().for_each(join_in_time);
        let read: usize = readers.into_iter().map(join_in_time).sum();
        assert_eq!(read, 3 * 100 * 3000);
    });
}

#[test]
fn an_end_that_is_given_away_is_blocking_again() {
    within(|| {
        let (reader, writer) = pipe().unwrap();
        assert!(is_non_blocking(&reader) && is_non_blocking(&writer));
        let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
        assert!(!is_non_blocking(&reader) && !is_non_blocking(&writer));
        // From such a descriptor an end is made that leaves it as it is.
        let duplicate = reader.try_clone().unwrap();
        let (mut reader, writer) = (PipeReader::from(reader), PipeWriter::from(writer));
        assert!(timeout(SOON, || reader.read(&mut [0])).is_err());
        drop(writer);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        assert!(!is_non_blocking(&duplicate));
    });
}

/// The child has a duplicate of the same description, so this process cannot have it non-blocking.
#[test]
fn a_handle_that_stays_parks_although_another_one_was_given_to_a_child() {
    within(|| {
        let (mut reader, writer) = pipe().unwrap();
        let mut staying = writer.try_clone().unwrap();
        assert_eq!(staying.write(b"a").unwrap(), 1);
        let mut child = Command::new("cat")
            .stdin(Stdio::from(reader.try_clone().unwrap()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // The child reads what it can get. What is here must not block on what it has taken.
        let reading = spawn(move || while reader.read(&mut [0; 64]).unwrap() > 0 {});
        let filling = spawn(move || {
            for _ in 0..100 {
                staying.write_all(&[7; 4000]).unwrap();
            }
        });
        let ticks = spawn(|| (0..20).for_each(|_| sleep(Duration::from_millis(1))));
        join_in_time(ticks);
        join_in_time(filling);
        drop(writer);
        join_in_time(reading);
        child.wait().unwrap();
    });
}

#[test]
fn a_child_writes_to_a_pipe_as_its_output() {
    within(|| {
        let (mut reader, writer) = pipe().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "sleep 0.05; echo done"])
            .stdout(writer)
            .spawn()
            .unwrap();
        let mut text = String::new();
        timeout(LIMIT, || reader.read_to_string(&mut text).unwrap()).unwrap();
        assert_eq!(text, "done\n");
        child.wait().unwrap();
    });
}
