//! Tests of `Green::shared`, for descriptors whose mode must not be changed because others use them.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::io::Green;
use evy_runtime::thread::JoinHandle;
use evy_runtime::{sleep, spawn, test, timeout, yield_now};
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

/// Returns the two ends of a new terminal: the one of the emulator, and the one of programs.
fn terminal() -> (File, File) {
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
    // SAFETY: the descriptors are new, so nothing else owns them.
    unsafe { (File::from_raw_fd(near), File::from_raw_fd(far)) }
}

/// Counts the turns that other green threads get, until it is dropped.
struct Turns(Rc<Cell<usize>>, JoinHandle<()>);

impl Turns {
    fn count() -> Self {
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        let counter = spawn(move || {
            loop {
                sleep(Duration::from_millis(1));
                counted.set(counted.get() + 1);
            }
        });
        Self(turns, counter)
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.1.kill();
    }
}

#[test]
fn the_standard_streams_and_terminals_are_not_made_non_blocking() {
    within(|| {
        let (_near, far) = terminal();
        let error = Green::new(far.try_clone().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("`Green::shared`"), "{error}");
        assert!(!is_non_blocking(&far));
        for error in [
            Green::new(io::stdin()).unwrap_err(),
            Green::new(io::stdout()).unwrap_err(),
            Green::new(io::stderr()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("evy::io::{stdin"), "{error}");
        }
    });
}

#[test]
fn a_shared_descriptor_keeps_its_mode_and_parks_its_readers() {
    within(|| {
        let (reader, mut writer) = io::pipe().unwrap();
        let (socket, mut peer) = UnixStream::pair().unwrap();
        let (_near, terminal) = terminal();
        let duplicates = (
            reader.try_clone().unwrap(),
            socket.try_clone().unwrap(),
            terminal.try_clone().unwrap(),
        );
        let mut reader = Green::shared(reader).unwrap();
        let mut socket = Green::shared(socket).unwrap();
        let mut terminal = Green::shared(terminal).unwrap();
        assert!(timeout(SOON, || reader.read(&mut [0])).is_err());
        assert!(timeout(SOON, || socket.read(&mut [0])).is_err());
        assert!(timeout(SOON, || terminal.read(&mut [0])).is_err());
        let parked = spawn(move || (reader.read(&mut [0; 8]), socket.read(&mut [0; 8])));
        test::wait_all_parked();
        writer.write_all(b"one").unwrap();
        test::wait_all_parked();
        peer.write_all(b"four").unwrap();
        let (from_pipe, from_socket) = join_in_time(parked);
        assert_eq!((from_pipe.unwrap(), from_socket.unwrap()), (3, 4));
        assert!(!is_non_blocking(&duplicates.0));
        assert!(!is_non_blocking(&duplicates.1));
        assert!(!is_non_blocking(&duplicates.2));
    });
}

/// The buffer of `std::io::Stdin` and the like is not asked, so it cannot hide data from the poll.
#[test]
fn a_shared_descriptor_is_read_past_a_buffer_of_the_wrapped_value() {
    struct Buffered(io::PipeReader);
    impl AsFd for Buffered {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    impl Read for Buffered {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("the wrapped value is not read")
        }
    }
    within(|| {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut reader = Green::shared(Buffered(reader)).unwrap();
        writer.write_all(b"abc").unwrap();
        let mut bytes = [0; 3];
        timeout(LIMIT, || reader.read_exact(&mut bytes).unwrap()).unwrap();
        assert_eq!(&bytes, b"abc");
    });
}

/// Writes much more than fits, and checks that the others run until a peer reads it.
fn check_large_write<T: AsFd + Write + 'static>(writer: T, mut reader: impl Read + Send + 'static) {
    let duplicate = writer.as_fd().try_clone_to_owned().unwrap();
    let mode = is_non_blocking(&duplicate);
    let mut writer = Green::shared(writer).unwrap();
    let text = "a line of text\n".repeat(20_000);
    let length = text.len();
    let turns = Turns::count();
    let writing = spawn(move || writer.write_all(text.as_bytes()));
    sleep(Duration::from_millis(100));
    assert!(!writing.is_finished(), "it does not fit");
    let so_far = turns.0.get();
    sleep(Duration::from_millis(100));
    assert!(turns.0.get() > so_far, "the writer blocks the OS thread");
    assert_eq!(is_non_blocking(&duplicate), mode);
    let peer = std::thread::spawn(move || {
        let (mut newlines, mut buffer) = (0, [0; 4096]);
        while newlines < 20_000 {
            let n = reader.read(&mut buffer).unwrap();
            newlines += buffer[..n].iter().filter(|byte| **byte == b'\n').count();
        }
    });
    join_in_time(writing).unwrap();
    peer.join().unwrap();
    assert!(length > 200_000);
}

#[test]
fn a_large_write_to_a_full_pipe_does_not_block_the_os_thread() {
    within(|| {
        let (reader, writer) = io::pipe().unwrap();
        check_large_write(writer, reader);
    });
}

#[test]
fn a_large_write_to_a_full_socket_does_not_block_the_os_thread() {
    within(|| {
        let (near, far) = UnixStream::pair().unwrap();
        check_large_write(near, far);
    });
}

#[test]
fn a_large_write_to_a_terminal_that_is_not_read_does_not_block_the_os_thread() {
    within(|| {
        let (near, far) = terminal();
        check_large_write(far, near);
    });
}

/// The shell, or a program that runs beside this one, may have made it non-blocking.
#[test]
fn a_shared_descriptor_that_others_have_made_non_blocking_works_too() {
    within(|| {
        let (reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        check_large_write(writer, Green::shared(reader).unwrap());
    });
}

/// Both are woken by the same data, and only one of them gets it.
#[test]
fn two_readers_of_one_shared_description_do_not_block_the_os_thread() {
    within(|| {
        let (reader, mut writer) = io::pipe().unwrap();
        let second = reader.try_clone().unwrap();
        let turns = Turns::count();
        let readers: Vec<_> = [reader, second]
            .map(|reader| {
                let mut reader = Green::shared(reader).unwrap();
                spawn(move || reader.read(&mut [0; 8]).unwrap())
            })
            .into();
        test::wait_all_parked();
        writer.write_all(b"x").unwrap();
        sleep(Duration::from_millis(50));
        let finished = readers.iter().filter(|reader| reader.is_finished()).count();
        assert_eq!(finished, 1);
        assert!(turns.0.get() > 0);
        drop(writer);
        let mut lengths: Vec<_> = readers.into_iter().map(join_in_time).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [0, 1]);
    });
}

#[test]
fn regular_files_and_devices_that_cannot_be_polled_are_read_and_written_at_once() {
    within(|| {
        let path = std::env::temp_dir().join(format!("evy-shared-{}", std::process::id()));
        let file = File::create_new(&path).unwrap();
        Green::shared(&file)
            .unwrap()
            .write_all(&vec![7; 100_000])
            .unwrap();
        let mut read = Vec::new();
        let mut file = Green::shared(File::open(&path).unwrap()).unwrap();
        file.wait_readable().unwrap();
        file.read_to_end(&mut read).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(read == vec![7; 100_000]);
        for make in [Green::new, Green::shared] {
            let mut null = make(File::open("/dev/null").unwrap()).unwrap();
            null.wait_readable().unwrap();
            assert_eq!(null.read(&mut [0; 8]).unwrap(), 0);
            let ready = evy_runtime::select! {
                readable(&null) -> ready => ready.is_ok(),
                after(LIMIT) => false,
            };
            assert!(ready);
            let mut null = make(File::create("/dev/null").unwrap()).unwrap();
            null.wait_writable().unwrap();
            null.write_all(&vec![7; 100_000]).unwrap();
        }
    });
}

/// With `dup2` a program can put another file behind a number that is in use.
#[test]
fn a_shared_descriptor_may_be_replaced_by_another_one_of_its_number() {
    within(|| {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut green = Green::shared(File::from(OwnedFd::from(reader))).unwrap();
        assert!(timeout(SOON, || green.read(&mut [0])).is_err());
        writer.write_all(b"x").unwrap();
        assert_eq!(green.read(&mut [0; 8]).unwrap(), 1);
        let (near, mut far) = UnixStream::pair().unwrap();
        // SAFETY: both descriptors are open, and the `Green` goes on to own the second number.
        assert!(unsafe { libc::dup2(near.as_raw_fd(), green.as_fd().as_raw_fd()) } >= 0);
        let parked = spawn(move || green.read(&mut [0; 8]));
        test::wait_all_parked();
        far.write_all(b"two").unwrap();
        assert_eq!(join_in_time(parked).unwrap(), 3);
    });
}

#[test]
fn a_closed_reader_makes_a_shared_write_fail() {
    within(|| {
        let (reader, writer) = io::pipe().unwrap();
        let mut writer = Green::shared(writer).unwrap();
        let writing = spawn(move || writer.write_all(&vec![0; 1 << 20]).unwrap_err());
        test::wait_all_parked();
        drop(reader);
        assert_eq!(join_in_time(writing).kind(), ErrorKind::BrokenPipe);
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        let error = Green::shared(near).unwrap().write(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

/// The output of a child and its input are read and written by `&mut` only.
#[test]
fn the_streams_of_a_child_can_be_wrapped() {
    within(|| {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input: Green<ChildStdin> = Green::new(child.stdin.take().unwrap()).unwrap();
        let mut output: Green<ChildStdout> = Green::new(child.stdout.take().unwrap()).unwrap();
        let text = "a line of text\n".repeat(20_000);
        let expected = text.clone();
        let writing = spawn(move || input.write_all(text.as_bytes()));
        let mut read = String::new();
        timeout(LIMIT, || output.read_to_string(&mut read).unwrap()).unwrap();
        assert!(read == expected);
        join_in_time(writing).unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn several_buffers_are_read_and_written_by_one_call() {
    within(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut near, mut far) = (Green::new(near).unwrap(), Green::new(far).unwrap());
        let bufs = [IoSlice::new(b""), IoSlice::new(b"ab"), IoSlice::new(b"cd")];
        assert_eq!(near.write_vectored(&bufs).unwrap(), 4);
        let (mut first, mut second) = ([0; 3], [0; 3]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!((&far).read_vectored(&mut bufs).unwrap(), 4);
        assert_eq!((&first, &second), (b"abc", b"d\0\0"));
        assert_eq!(
            far.read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(),
            0
        );
    });
}

#[test]
fn a_green_descriptor_is_shown_and_unwinds_like_the_wrapped_value() {
    fn check<T: UnwindSafe + RefUnwindSafe + Send + Sync>(_: &T) {}
    within(|| {
        let (near, _far) = UnixStream::pair().unwrap();
        let text = format!("{near:?}");
        let green = Green::new(near).unwrap();
        check(&green);
        assert_eq!(format!("{green:?}"), text);
        yield_now();
    });
}
