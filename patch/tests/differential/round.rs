//! One round: a few calls on a few descriptors.

use std::fmt::Write;
use std::time::Duration;

use crate::calls;
use crate::files::{self, Opened};
use crate::random::Random;
use crate::watch::Watch;

/// What a round works with.
pub(crate) struct Round {
    pub(crate) random: Random,
    pub(crate) files: Vec<Opened>,
    watch: Watch,
}

/// A value of `errno` that no call returns.
const UNTOUCHED: i32 = 7777;

/// Runs the round of a seed. Returns what has been seen.
pub(crate) fn run(seed: u64, wait: Duration, place: &'static str) -> String {
    let mut random = Random::new(seed);
    let watch = Watch::new(wait, place);
    let count = 1 + random.below(3);
    let files: Vec<_> = (0..count).map(|_| files::open(&mut random)).collect();
    let mut round = Round {
        random,
        files,
        watch,
    };
    let releases = round.files.iter_mut();
    let releases: Vec<_> = releases.flat_map(|file| file.releases.drain(..)).collect();
    round.watch.with(|watched| {
        watched.releases = releases;
        watched.log = format!("    seed {seed}\n");
    });
    let calls = 1 + round.random.below(4);
    for _ in 0..calls {
        calls::make(&mut round);
        if round.has_released() {
            // The watcher may go on.
            break;
        }
        round.note_files();
    }
    let Round { files, watch, .. } = round;
    let log = watch.with(|watched| {
        watched.releases.clear();
        std::mem::take(&mut watched.log)
    });
    drop(watch);
    drop(files);
    files::discard_signals();
    log
}

impl Round {
    /// Makes a call, and notes its result.
    pub(crate) fn call(&mut self, text: &str, call: impl FnOnce() -> i64) -> i64 {
        self.watch.begin(text);
        // SAFETY: the address is that of the calling thread.
        unsafe { *libc::__errno_location() = UNTOUCHED };
        let result = call();
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap();
        self.watch.end();
        // How much there is to move depends on the watcher.
        let moves = ["splice(", "vmsplice(", "tee(", "sendfile("];
        let is_vague = self.has_released() && moves.iter().any(|name| text.starts_with(name));
        let noted = if is_vague { result.min(1) } else { result };
        self.note(&format!(" = {noted}"));
        if errno != UNTOUCHED {
            self.note(&format!(" ({})", name_of(errno)));
        }
        result
    }

    /// Notes a call that returns a descriptor, which is closed.
    pub(crate) fn call_for_file(&mut self, text: &str, call: impl FnOnce() -> i32) {
        let mut fd = -1;
        self.call(text, || {
            fd = call();
            i64::from(fd.min(0))
        });
        if fd >= 0 {
            self.note(&format!("; {}", files::flags_of(fd)));
            files::close(fd);
        }
    }

    /// Whether the watcher has ended a call.
    fn has_released(&self) -> bool {
        self.watch.with(|watched| watched.has_released)
    }

    pub(crate) fn note(&self, text: &str) {
        self.watch.with(|watched| watched.log.push_str(text));
    }

    /// Notes the state of all descriptors.
    fn note_files(&self) {
        let mut text = String::new();
        // What is written to a terminal arrives later.
        let files = self
            .files
            .iter()
            .filter(|file| !file.name.starts_with("terminal"));
        for file in files {
            write!(text, "\n        {} {}", file.name, files::state_of(file.fd)).unwrap();
        }
        self.note(&text);
        self.note("\n");
    }

    /// Returns the number of some file.
    pub(crate) fn file(&mut self) -> (i32, String) {
        let index = self.random.below(self.files.len());
        let file = &self.files[index];
        (file.fd, file.name.clone())
    }
}

fn name_of(errno: i32) -> String {
    // SAFETY: the function returns a static string or null.
    let name = unsafe { strerrorname_np(errno) };
    match name.is_null() {
        true => format!("errno {errno}"),
        // SAFETY: it is a C string.
        false => unsafe { std::ffi::CStr::from_ptr(name) }
            .to_string_lossy()
            .into_owned(),
    }
}

unsafe extern "C" {
    fn strerrorname_np(errno: i32) -> *const std::ffi::c_char;
}
