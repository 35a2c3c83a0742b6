//! Tests of `evy::fs`, which does file operations off the OS thread that the green threads share.

use std::cell::Cell;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use evy_runtime::fs::{DirBuilder, File, FileTimes, OpenOptions, TryLockError};
use evy_runtime::{fs, sleep, spawn, test, timeout, yield_now};
use evy_test_support::within;

const SOON: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(20);

/// A temporary directory that is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evy-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the system has a temporary directory");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn each_function_does_what_its_counterpart_in_std_does() {
    within(|| {
        let folder = Folder::new("each");
        let path = |name: &str| folder.0.join(name);
        fs::create_dir(path("one")).unwrap();
        fs::create_dir_all(path("two/three")).unwrap();
        let text = String::from("text");
        fs::write(path("one/file"), &text).unwrap();
        assert_eq!(fs::read(path("one/file")).unwrap(), text.as_bytes());
        assert_eq!(fs::read_to_string(path("one/file")).unwrap(), text);
        assert_eq!(fs::copy(path("one/file"), path("copy")).unwrap(), 4);
        fs::hard_link(path("copy"), path("link")).unwrap();
        fs::rename(path("copy"), path("two/renamed")).unwrap();
        assert!(!fs::exists(path("copy")).unwrap() && fs::exists(path("link")).unwrap());
        std::os::unix::fs::symlink(path("link"), path("soft")).unwrap();
        assert_eq!(fs::read_link(path("soft")).unwrap(), path("link"));
        assert!(fs::symlink_metadata(path("soft")).unwrap().is_symlink());
        assert_eq!(fs::metadata(path("soft")).unwrap().len(), 4);
        let canonical = fs::canonicalize(path("two/../soft")).unwrap();
        assert_eq!(canonical, std::fs::canonicalize(path("link")).unwrap());
        let mut permissions = fs::metadata(path("link")).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(path("link"), permissions).unwrap();
        assert!(fs::metadata(path("link")).unwrap().permissions().readonly());
        let entries = fs::read_dir(&folder.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["link", "one", "soft", "two"]);
        fs::remove_file(path("soft")).unwrap();
        fs::remove_dir(path("two/three")).unwrap();
        fs::remove_dir_all(path("two")).unwrap();
        assert!(!fs::exists(path("two")).unwrap());
        let missing = fs::read(path("nowhere")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(fs::remove_dir(path("one")).is_err(), "it has an entry");
    });
}

#[test]
fn other_green_threads_run_during_a_file_operation() {
    within(|| {
        let folder = Folder::new("fifo");
        let fifo = named_pipe(&folder);
        // Opening it for reading blocks until it is opened for writing.
        let (from, done) = (fifo.clone(), Rc::new(Cell::new(false)));
        let seen = Rc::clone(&done);
        let reader = spawn(move || {
            let text = fs::read_to_string(from).unwrap();
            seen.set(true);
            text
        });
        (0..100).for_each(|_| yield_now());
        assert!(!done.get());
        fs::write(fifo, "through").unwrap();
        assert_eq!(reader.join().unwrap(), "through");
    });
}

/// Creates a named pipe in `folder`.
fn named_pipe(folder: &Folder) -> PathBuf {
    let path = folder.0.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()));
    path
}

/// Returns the number of OS threads of this process that are helpers.
#[cfg(target_os = "linux")]
fn helpers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a process sees its own tasks");
    let names = tasks.flat_map(|task| std::fs::read_to_string(task?.path().join("comm")));
    names.filter(|name| name.starts_with("blocking")).count()
}

#[cfg(target_os = "linux")]
#[test]
fn a_wait_for_the_other_end_of_a_named_pipe_holds_no_helper() {
    within(|| {
        let folder = Folder::new("no-helper");
        let path = named_pipe(&folder);
        let opens: [fn(PathBuf); 5] = [
            |path| drop(File::open(path)),
            |path| drop(fs::read(path)),
            |path| drop(fs::read_to_string(path)),
            |path| drop(fs::write(path, "text")),
            |path| drop(OpenOptions::new().append(true).open(path)),
        ];
        for open in opens {
            let all: Vec<_> = (0..20)
                .map(|_| {
                    let path = path.clone();
                    spawn(move || timeout(5 * SOON, || open(path)).is_err())
                })
                .collect();
            for one in all {
                assert!(one.join().unwrap());
            }
        }
        // Other tests may use a few helpers at the same time.
        assert!(helpers() < 50, "{}", helpers());
    });
}

#[test]
fn a_named_pipe_is_open_when_it_has_another_end() {
    within(|| {
        let folder = Folder::new("pipe-ends");
        let path = named_pipe(&folder);
        let from = path.clone();
        let reader = spawn(move || {
            let mut pipe = File::open(from).unwrap();
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        });
        sleep(SOON);
        assert!(!reader.is_finished());
        // A writer that has written nothing lets the reader go on.
        let opened = Rc::new(Cell::new(false));
        let (seen, from) = (Rc::clone(&opened), path.clone());
        let second = spawn(move || {
            let pipe = File::open(from).unwrap();
            seen.set(true);
            pipe
        });
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        let second = second.join().unwrap();
        assert!(opened.get());
        drop(second);
        writer.write_all(b"through").unwrap();
        drop(writer);
        assert_eq!(reader.join().unwrap(), "through");
        // A writer that comes and goes ends the wait too.
        let from = path.clone();
        let reader = spawn(move || fs::read(from).unwrap());
        drop(File::create(&path).unwrap());
        assert_eq!(reader.join().unwrap(), b"");
        // With both ends in one descriptor there is nothing to wait for.
        let both = OpenOptions::new().read(true).write(true).open(&path);
        // As in std, the mode is blocking.
        let flags = rustix::fs::fcntl_getfl(both.unwrap()).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        let mut options = OpenOptions::new();
        let nonblocking = options.read(true).custom_flags(libc::O_NONBLOCK);
        let flags = rustix::fs::fcntl_getfl(nonblocking.open(&path).unwrap()).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    });
}

#[test]
fn a_named_pipe_whose_other_end_is_std_works_in_both_directions() {
    within(|| {
        let folder = Folder::new("pipe-std");
        let path = named_pipe(&folder);
        let from = path.clone();
        let reader = std::thread::spawn(move || std::fs::read_to_string(from).unwrap());
        fs::write(&path, "to std").unwrap();
        assert_eq!(reader.join().unwrap(), "to std");
        let to = path.clone();
        let writer = std::thread::spawn(move || std::fs::write(to, "from std").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"from std");
        writer.join().unwrap();
    });
}

#[test]
fn a_file_does_what_its_counterpart_in_std_does() {
    within(|| {
        let folder = Folder::new("file");
        let path = folder.0.join("file");
        assert_eq!(File::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
        let mut file = File::create_new(&path).unwrap();
        let exists = File::create_new(&path).unwrap_err();
        assert_eq!(exists.kind(), ErrorKind::AlreadyExists);
        let bufs = [IoSlice::new(b"one "), IoSlice::new(b"two")];
        assert_eq!(file.write_vectored(&bufs).unwrap(), 7);
        (&file).write_all(b" three").unwrap();
        file.flush().unwrap();
        file.sync_all().unwrap();
        file.sync_data().unwrap();
        assert_eq!(file.seek(SeekFrom::Start(4)).unwrap(), 4);
        let mut text = String::from("rest: ");
        assert_eq!(file.read_to_string(&mut text).unwrap(), 9);
        assert_eq!(text, "rest: two three");
        (&file).rewind().unwrap();
        let (mut first, mut second) = ([0; 4], [0; 16]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!((&file).read_vectored(&mut bufs).unwrap(), 13);
        assert_eq!((&first, &second[..9]), (b"one ", b"two three".as_slice()));
        file.write_all_at(b"TWO", 4).unwrap();
        let mut part = [0; 3];
        file.read_exact_at(&mut part, 4).unwrap();
        assert_eq!(&part, b"TWO");
        file.set_len(7).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 7);
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        file.set_modified(long_ago).unwrap();
        file.set_times(FileTimes::new().set_accessed(long_ago))
            .unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(metadata.modified().unwrap(), long_ago);
        assert_eq!(metadata.accessed().unwrap(), long_ago);
        let mut clone = file.try_clone().unwrap();
        clone.rewind().unwrap();
        assert_eq!(file.stream_position().unwrap(), 0);
        let std = std::fs::File::from(file);
        let shown = format!("{std:?}");
        let file = File::from(std);
        assert_eq!(format!("{file:?}"), shown);
        let mut file = File::from(OwnedFd::from(file));
        let mut bytes = Vec::new();
        assert_eq!(file.read_to_end(&mut bytes).unwrap(), 7);
        assert_eq!(bytes, b"one TWO");
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o640);
        options.open(&path).unwrap().write_all(b"!").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one TWO!");
        File::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        let inner = folder.0.join("a/b");
        assert!(DirBuilder::new().create(&inner).is_err());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&inner)
            .unwrap();
        assert_eq!(
            fs::metadata(inner).unwrap().permissions().mode() & 0o777,
            0o700
        );
    });
}

/// It is a named pipe: opening it waits for the other end, and so does reading it.
#[test]
fn a_named_pipe_that_is_opened_as_a_file_parks() {
    within(|| {
        let folder = Folder::new("named");
        let fifo = folder.0.join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        let from = fifo.clone();
        let reader = spawn(move || {
            let mut file = File::open(from).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            text
        });
        let mut writer = File::options().write(true).open(fifo).unwrap();
        // The reader has opened it by now, and waits for data.
        for _ in 0..10 {
            sleep(Duration::from_millis(1));
        }
        writer.write_all(b"through").unwrap();
        sleep(Duration::from_millis(1));
        assert!(!reader.is_finished());
        let flags = rustix::fs::fcntl_getfl(writer.as_fd()).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        drop(writer);
        assert_eq!(
            timeout(LIMIT, || reader.join()).unwrap().unwrap(),
            "through"
        );
    });
}

#[test]
fn waiting_for_the_lock_of_a_file_parks_and_can_be_given_up() {
    within(|| {
        let folder = Folder::new("lock");
        let path = folder.0.join("locked");
        let (first, second) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        first.lock().unwrap();
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        assert!(matches!(
            second.try_lock_shared(),
            Err(TryLockError::WouldBlock)
        ));
        assert!(timeout(SOON, || second.lock()).is_err());
        let second = Rc::new(second);
        let waits = Rc::clone(&second);
        let waiter = spawn(move || waits.lock_shared().unwrap());
        test::wait_all_parked();
        first.unlock().unwrap();
        timeout(LIMIT, || waiter.join()).unwrap().unwrap();
        first.lock_shared().unwrap();
        assert!(first.try_lock().is_err(), "both have a shared lock");
        second.unlock().unwrap();
        // A wait that was given up takes no lock later.
        first.lock().unwrap();
        assert!(timeout(SOON, || second.lock()).is_err());
        first.unlock().unwrap();
        sleep(SOON);
        first.try_lock().unwrap();
    });
}

#[test]
fn reading_all_of_a_large_file_lets_other_green_threads_run() {
    const LEN: u64 = 64 << 20;
    let folder = Folder::new("zeros");
    let path = folder.0.join("file");
    let zeros = std::fs::File::create(&path).unwrap();
    zeros.set_len(LEN).unwrap();
    // Any operation may let others run, so their turns show the number of operations.
    test::explore_schedules(0..1, || {
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        spawn(move || {
            loop {
                counted.set(counted.get() + 1);
                yield_now();
            }
        });
        let mut file = File::open(&path).unwrap();
        turns.set(0);
        let mut bytes = b"kept".to_vec();
        assert_eq!(file.read_to_end(&mut bytes).unwrap() as u64, LEN);
        assert_eq!(bytes.len() as u64, LEN + 4);
        assert!(turns.get() >= 64, "{}", turns.get());
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_device_that_never_waits_takes_all_bytes_at_once() {
    within(|| {
        let mut null = File::options().write(true).open("/dev/null").unwrap();
        assert_eq!(null.write(&vec![0; 100_000]).unwrap(), 100_000);
    });
}

#[test]
fn attempts_to_lock_a_file_that_fail_do_not_starve_other_green_threads() {
    within(|| {
        let folder = Folder::new("attempts");
        let path = folder.0.join("locked");
        let (first, second) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        first.lock().unwrap();
        let unlocker = spawn(move || {
            (0..100).for_each(|_| yield_now());
            first.unlock().unwrap();
        });
        while second.try_lock_shared().is_err() {}
        while second.try_lock().is_err() {}
        unlocker.join().unwrap();
    });
}

#[test]
fn all_entries_of_a_directory_are_listed_even_if_a_step_is_given_up() {
    const COUNT: usize = 500;
    within(|| {
        let folder = Folder::new("entries");
        for n in 0..COUNT {
            std::fs::write(folder.0.join(n.to_string()), "").unwrap();
        }
        let mut entries = fs::read_dir(&folder.0).unwrap();
        let mut names = Vec::new();
        // Each step that would park is given up once.
        loop {
            let step = timeout(Duration::ZERO, || entries.next());
            match step.unwrap_or_else(|_| entries.next()) {
                Some(entry) => names.push(entry.unwrap().file_name()),
                None => break,
            }
        }
        assert!(entries.next().is_none());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COUNT);
        let missing = fs::read_dir(folder.0.join("nowhere")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn other_green_threads_run_while_a_large_file_is_read() {
    within(|| {
        let folder = Folder::new("large");
        let path = folder.0.join("file");
        std::fs::write(&path, vec![7; 64 << 20]).unwrap();
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        let counter = spawn(move || {
            loop {
                counted.set(counted.get() + 1);
                yield_now();
            }
        });
        let mut file = File::open(&path).unwrap();
        turns.set(0);
        let mut bytes = vec![0; 1000];
        for _ in 0..1000 {
            file.read_exact(&mut bytes).unwrap();
        }
        assert!(turns.get() >= 5, "small reads: {}", turns.get());
        counter.kill();
        file.rewind().unwrap();
        let mut all = Vec::new();
        assert_eq!(file.read_to_end(&mut all).unwrap(), 64 << 20);
    });
}

/// The names that std has and that are stable, apart from `soft_link`, which is deprecated.
#[test]
fn each_name_of_std_fs_exists() {
    #[expect(deprecated, unused_imports, reason = "it is only named")]
    use evy_runtime::fs::soft_link;
    #[expect(unused_imports, reason = "they are only named")]
    use evy_runtime::fs::{
        DirBuilder, DirEntry, File, FileTimes, FileType, Metadata, OpenOptions, Permissions,
        ReadDir, TryLockError, canonicalize, copy, create_dir, create_dir_all, exists, hard_link,
        metadata, read, read_dir, read_link, read_to_string, remove_dir, remove_dir_all,
        remove_file, rename, set_permissions, symlink_metadata, write,
    };
}
