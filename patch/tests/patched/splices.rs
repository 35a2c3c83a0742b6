//! Data that the kernel moves between descriptors.

use std::io::{Read, Write, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::time::Duration;

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched, outcome, while_ticking};

/// More than fits into a pipe or the buffers of a socket on Unix.
const MUCH: usize = 1 << 20;

pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Copies from `from` to `to` on a green thread, while others write slowly and read slowly.
fn copy_slowly<R, W>(
    mut from: R,
    mut to: W,
    mut writer: impl Write + 'static,
    mut reader: impl Read,
) where
    R: Read + 'static,
    W: Write + 'static,
{
    let data: Vec<u8> = (0..MUCH).map(|n| (n / 7) as u8).collect();
    let sent = data.clone();
    evy::spawn_n(move || {
        for part in sent.chunks(MUCH / 8) {
            writer.write_all(part).unwrap();
            evy::sleep(Duration::from_millis(1));
        }
    });
    let copy = evy::spawn(move || std::io::copy(&mut from, &mut to).unwrap());
    let mut found = Vec::new();
    reader.read_to_end(&mut found).unwrap();
    assert_eq!(copy.join().unwrap() as usize, MUCH);
    assert_eq!(found, data);
}

#[test]
fn copies_of_std_between_pipes_and_sockets_park() {
    if !is_patched() {
        return;
    }
    within(|| {
        let ((from, writer), (a, b)) = (pipe().unwrap(), UnixStream::pair().unwrap());
        copy_slowly(from, a, writer, b);
        let ((from, writer), (a, b)) = (pipe().unwrap(), tcp_pair());
        copy_slowly(from, a, writer, b);
        let ((a, b), (reader, to)) = (UnixStream::pair().unwrap(), pipe().unwrap());
        copy_slowly(a, to, b, reader);
        let ((a, b), (reader, to)) = (tcp_pair(), pipe().unwrap());
        copy_slowly(a, to, b, reader);
        let ((from, writer), (reader, to)) = (pipe().unwrap(), pipe().unwrap());
        copy_slowly(from, to, writer, reader);
    });
}

#[test]
fn a_file_that_is_sent_to_a_socket_parks() {
    if !is_patched() {
        return;
    }
    within(|| {
        let path = std::env::temp_dir().join(format!("evy-patch-send-{}", std::process::id()));
        let data: Vec<u8> = (0..MUCH).map(|n| (n / 7) as u8).collect();
        std::fs::write(&path, &data).unwrap();
        for kind in 0..2 {
            let (to, mut reader): (Box<dyn AsRawFd>, Box<dyn Read>) = match kind {
                0 => {
                    let (a, b) = UnixStream::pair().unwrap();
                    (Box::new(a), Box::new(b))
                }
                _ => {
                    let (a, b) = tcp_pair();
                    (Box::new(a), Box::new(b))
                }
            };
            let file = std::fs::File::open(&path).unwrap();
            let sender = evy::spawn(move || {
                let (to, from) = (to.as_raw_fd(), file.as_raw_fd());
                let mut offset = 0;
                // SAFETY: the pointer is valid.
                outcome(unsafe { libc::sendfile(to, from, &raw mut offset, MUCH) } as i64)
            });
            evy::sleep(Duration::from_millis(2));
            let mut found = Vec::new();
            reader.read_to_end(&mut found).unwrap();
            assert_eq!(sender.join().unwrap(), (MUCH as i64, None));
            assert_eq!(found, data);
        }
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn splices_that_find_nothing_park() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (from, mut writer) = pipe().unwrap();
        let (mut reader, to) = pipe().unwrap();
        let (raw_from, raw_to) = (from.as_raw_fd(), to.as_raw_fd());
        let none = ptr::null_mut();
        // SAFETY: the descriptors are open, and the offsets null.
        let splice = move |_| unsafe { libc::splice(raw_from, none, raw_to, none, 100, 0) };
        let mut first = writer.try_clone().unwrap();
        let release = move || first.write_all(b"abc").unwrap();
        assert_eq!(while_ticking(1, splice, release), [3]);
        // SAFETY: the descriptors are open.
        let tee = move |_| unsafe { libc::tee(raw_from, raw_to, 100, 0) };
        assert_eq!(
            while_ticking(1, tee, move || writer.write_all(b"de").unwrap()),
            [2]
        );
        let mut found = [0; 5];
        reader.read_exact(&mut found).unwrap();
        assert_eq!(&found, b"abcde");
    });
}

#[test]
fn what_goes_into_a_full_pipe_parks_until_some_of_it_has_room() {
    if !is_patched() {
        return;
    }
    /// Moves at most as many bytes into a pipe.
    type Move = fn(i32, usize) -> isize;
    let moves: [Move; 2] = [
        |to, len| {
            let path = std::env::temp_dir().join(format!("evy-patch-fill-{}", std::process::id()));
            std::fs::write(&path, vec![7; len]).unwrap();
            let file = std::fs::File::open(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            // SAFETY: the descriptors are open.
            unsafe { libc::sendfile(to, file.as_raw_fd(), ptr::null_mut(), len) }
        },
        |to, len| {
            let part = libc::iovec {
                iov_base: vec![7_u8; len].leak().as_mut_ptr().cast(),
                iov_len: len,
            };
            // SAFETY: the memory is never freed.
            unsafe { libc::vmsplice(to, &raw const part, 1, 0) }
        },
    ];
    within(move || {
        for into_pipe in moves {
            let (mut reader, writer) = pipe().unwrap();
            let to = writer.as_raw_fd();
            let first = into_pipe(to, MUCH);
            assert!(
                (1..MUCH as isize).contains(&first),
                "the call is not that of the kernel"
            );
            let mut found = vec![0; first as usize];
            let release = || reader.read_exact(&mut found).unwrap();
            let second = while_ticking(1, move |_| into_pipe(to, MUCH), release);
            assert!(second[0] > 0);
            assert_eq!(found, vec![7; first as usize]);
        }
    });
}

#[test]
fn errors_of_splices_are_those_of_c() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            let (reader, writer) = pipe().unwrap();
            let (from, to) = (reader.as_raw_fd(), writer.as_raw_fd());
            let none = ptr::null_mut();
            let flags = libc::SPLICE_F_NONBLOCK;
            // SAFETY: the kernel checks all of these.
            unsafe {
                [
                    outcome(libc::splice(from, none, to, none, 1, flags) as i64),
                    outcome(libc::splice(1_000_000, none, to, none, 1, 0) as i64),
                    outcome(libc::tee(1_000_000, to, 1, 0) as i64),
                    outcome(libc::vmsplice(1_000_000, ptr::null(), 0, 0) as i64),
                    outcome(libc::sendfile(to, 1_000_000, none.cast(), 1) as i64),
                    outcome(libc::sendfile(1_000_000, from, none.cast(), 1) as i64),
                ]
            }
        });
    });
}
