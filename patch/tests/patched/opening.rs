//! Opening pipes by name.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched, outcome, while_ticking};

/// A pipe with a name, which is removed at the end.
struct Fifo(PathBuf);

impl Fifo {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evy-fifo-{name}-{}", std::process::id()));
        // SAFETY: the path is a C string.
        assert_eq!(unsafe { libc::mkfifo(c_path(&path).as_ptr(), 0o600) }, 0);
        Self(path)
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

unsafe extern "C" {
    fn creat(path: *const libc::c_char, mode: libc::mode_t) -> i32;
    fn __open_2(path: *const libc::c_char, flags: i32) -> i32;
    fn __openat64_2(folder: i32, path: *const libc::c_char, flags: i32) -> i32;
}

#[test]
fn a_reader_of_std_waits_for_the_writer_of_a_pipe_with_a_name() {
    if !is_patched() {
        return;
    }
    within(|| {
        let fifo = Fifo::new("read");
        let path = fifo.0.clone();
        let read = move |_| std::fs::read_to_string(&path).unwrap();
        let write = || {
            let mut writer = OpenOptions::new().write(true).open(&fifo.0).unwrap();
            writer.write_all(b"text").unwrap();
        };
        assert_eq!(while_ticking(1, read, write), ["text"]);
    });
}

#[test]
fn each_function_that_opens_a_pipe_waits_for_the_other_end() {
    if !is_patched() {
        return;
    }
    // SAFETY: the paths are C strings.
    let opens: [fn(&CString) -> i32; 5] = [
        |path| unsafe { libc::open(path.as_ptr(), libc::O_WRONLY) },
        |path| unsafe { libc::openat(libc::AT_FDCWD, path.as_ptr(), libc::O_WRONLY) },
        |path| unsafe { creat(path.as_ptr(), 0o600) },
        |path| unsafe { __open_2(path.as_ptr(), libc::O_WRONLY) },
        |path| unsafe { __openat64_2(libc::AT_FDCWD, path.as_ptr(), libc::O_WRONLY) },
    ];
    within(move || {
        let fifo = Fifo::new("write");
        for open in opens {
            let path = c_path(&fifo.0);
            let write = move |index| {
                // SAFETY: the descriptor is new.
                let mut writer = unsafe { File::from_raw_fd(open(&path)) };
                // SAFETY: the call reads flags.
                let flags = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETFL) };
                assert_eq!(flags & libc::O_NONBLOCK, 0);
                writer.write_all(&[index as u8]).unwrap();
            };
            let mut read = Vec::new();
            while_ticking(3, write, || {
                let mut reader = File::open(&fifo.0).unwrap();
                while read.len() < 3 {
                    let mut part = [0; 3];
                    let len = reader.read(&mut part).unwrap();
                    read.extend_from_slice(&part[..len]);
                    evy::yield_now();
                }
            });
            read.sort_unstable();
            assert_eq!(read, [0, 1, 2]);
        }
    });
}

#[test]
fn a_green_thread_that_is_killed_while_it_opens_a_pipe_opens_it_first() {
    if !is_patched() {
        return;
    }
    within(|| {
        let fifo = Fifo::new("killed");
        let path = fifo.0.clone();
        let reader = evy::spawn(move || {
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text, "text");
            evy::yield_now();
        });
        evy::yield_now();
        reader.kill();
        let mut writer = OpenOptions::new().write(true).open(&fifo.0).unwrap();
        writer.write_all(b"text").unwrap();
        drop(writer);
        assert!(reader.join().unwrap_err().is_killed());
    });
}

#[test]
fn opening_anything_else_gives_what_c_gives() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            let fifo = Fifo::new(&format!("{:?}", std::thread::current().id()));
            let path = c_path(&fifo.0);
            let open = |path: *const libc::c_char, flags| {
                // SAFETY: the kernel checks the path, and a descriptor is new.
                unsafe {
                    let fd = libc::open(path, flags, 0o600);
                    let opened = outcome(fd.min(0));
                    if fd >= 0 {
                        libc::close(fd);
                    }
                    opened
                }
            };
            [
                open(c"/no/such/file".as_ptr(), libc::O_RDONLY),
                open(c"/".as_ptr(), libc::O_WRONLY),
                open(c"/dev/null".as_ptr(), libc::O_WRONLY),
                open(std::ptr::null(), libc::O_RDONLY),
                open(path.as_ptr(), libc::O_RDONLY | libc::O_NONBLOCK),
                open(path.as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK),
                open(path.as_ptr(), libc::O_RDWR),
                open(path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY),
                open(path.as_ptr(), libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL),
            ]
        });
    });
}
