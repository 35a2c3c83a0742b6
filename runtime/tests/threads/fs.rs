//! Tests of `evy::fs`, which does file operations off the OS thread that the green threads share.

use std::cell::Cell;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;

use evy_runtime::{fs, spawn, yield_now};
use evy_test_support::within;

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
        let fifo = folder.0.join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
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
