//! Locks of files.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use evy_test_support::within;

use crate::{as_on_os_thread, is_patched, outcome, while_ticking};

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("evy-patch-{name}-{}", std::process::id()))
}

fn open(path: &PathBuf) -> File {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    options.open(path).unwrap()
}

#[test]
fn a_lock_of_std_for_a_file_parks() {
    if !is_patched() {
        return;
    }
    within(|| {
        let path = path("flock");
        let held = open(&path);
        held.lock().unwrap();
        let each = path.clone();
        while_ticking(
            4,
            move |_| {
                let file = open(&each);
                file.lock().unwrap();
                evy::sleep(std::time::Duration::from_millis(1));
                file.unlock().unwrap();
            },
            move || held.unlock().unwrap(),
        );
        assert!(open(&path).try_lock().is_ok());
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_lock_of_a_range_parks() {
    if !is_patched() {
        return;
    }
    fn control(file: &File, command: i32, kind: i32) -> i32 {
        let mut lock = libc::flock {
            l_type: kind as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: 3,
            l_len: 4,
            l_pid: 0,
        };
        // SAFETY: the pointer is valid.
        unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) }
    }
    within(|| {
        let path = path("range");
        let held = open(&path);
        assert_eq!(control(&held, libc::F_OFD_SETLK, libc::F_WRLCK), 0);
        let each = path.clone();
        let lock = move |_| {
            let file = open(&each);
            assert_eq!(control(&file, libc::F_OFD_SETLK, libc::F_WRLCK), -1);
            control(&file, libc::F_OFD_SETLKW, libc::F_WRLCK)
        };
        let release = move || assert_eq!(control(&held, libc::F_OFD_SETLK, libc::F_UNLCK), 0);
        assert_eq!(while_ticking(3, lock, release), [0; 3]);
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_lock_that_another_process_holds_parks() {
    if !is_patched() {
        return;
    }
    within(|| {
        use std::io::{Read, Write};
        use std::process::{Command, Stdio};
        let path = path("process");
        drop(open(&path));
        let python = "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX)\n\
                      print('x',flush=True)\nsys.stdin.read()";
        let mut command = Command::new("python3");
        command.args(["-c", python]).arg(&path);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut child) = child else {
            return println!("skipped: no python3");
        };
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut [0; 2])
            .unwrap();
        let stdin = child.stdin.take();
        let each = path.clone();
        let lock = move |_| {
            let file = open(&each);
            // SAFETY: the descriptor is open.
            unsafe { libc::lockf(file.as_raw_fd(), libc::F_LOCK, 0) }
        };
        let release = move || stdin.unwrap().write_all(b"").unwrap();
        assert_eq!(while_ticking(1, lock, release), [0]);
        child.wait().unwrap();
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn errors_of_locks_are_those_of_c() {
    if !is_patched() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            // SAFETY: the numbers are not open, and the kernel checks the pointer.
            unsafe {
                [
                    outcome(libc::flock(1_000_000, libc::LOCK_EX)),
                    outcome(libc::flock(0, 77)),
                    outcome(libc::fcntl(1_000_000, libc::F_SETLKW, 0)),
                    outcome(libc::fcntl(0, libc::F_SETLKW, 0)),
                    outcome(libc::fcntl(0, libc::F_GETFD)),
                    outcome(libc::lockf(1_000_000, libc::F_LOCK, 0)),
                ]
            }
        });
    });
}
