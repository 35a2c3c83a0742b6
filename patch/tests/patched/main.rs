//! Tests in a patched process: what blocks elsewhere parks here.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]
mod descriptors;
mod errors;
mod file_locks;
mod fork;
mod futexes;
mod identity;
mod interrupted;
mod ipc;
mod lock_crates;
mod locks;
mod modules;
mod names;
mod native;
mod opening;
mod processes;
mod readiness;
mod reports;
mod signal_stacks;
mod signals;
mod sockets;
mod splices;
mod stress;
mod time;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy::thread::JoinHandle;

/// Patches the process. Returns `false`, and says why, where that does not work.
fn is_patched() -> bool {
    match evy::patch::monkey_patch() {
        Ok(()) => true,
        Err(error) => {
            println!("skipped: {error}");
            false
        }
    }
}

/// Runs `f` on `count` green threads at once. Each takes `time`. Checks that together they take
/// hardly longer.
fn at_once<T: 'static>(
    count: usize,
    time: Duration,
    f: impl Fn(usize) -> T + Clone + 'static,
) -> Vec<T> {
    let start = Instant::now();
    let results = join_all(spawn_all(count, f));
    let one_by_one = time * count as u32;
    let took = start.elapsed();
    assert!(took < one_by_one / 2 + time, "{took:?}");
    results
}

/// Runs `f` on `count` green threads, all of which block. The caller, on the same OS thread, ticks
/// meanwhile, and then calls `release`, which lets them go on. If a call blocked the OS thread,
/// that would never happen.
fn while_ticking<T: 'static>(
    count: usize,
    f: impl Fn(usize) -> T + Clone + 'static,
    release: impl FnOnce(),
) -> Vec<T> {
    let blocked = spawn_all(count, f);
    for _ in 0..10 {
        evy::sleep(Duration::from_millis(2));
    }
    let finished = blocked.iter().position(JoinHandle::is_finished);
    assert_eq!(finished, None, "a call has not blocked");
    release();
    join_all(blocked)
}

/// Checks that another green thread of this OS thread runs during a call. A helper OS thread may be
/// so fast that a call need not park, so it is tried a few times.
fn parking<T>(call: impl Fn() -> T) -> T {
    for _ in 0..100 {
        let has_run = Rc::new(Cell::new(false));
        let other = Rc::clone(&has_run);
        evy::spawn_n(move || other.set(true));
        let result = call();
        if has_run.get() {
            return result;
        }
        evy::yield_now();
    }
    panic!("the call has never parked");
}

fn spawn_all<T: 'static>(
    count: usize,
    f: impl Fn(usize) -> T + Clone + 'static,
) -> Vec<JoinHandle<T>> {
    let spawn = |index| {
        let f = f.clone();
        evy::spawn(move || f(index))
    };
    (0..count).map(spawn).collect()
}

fn join_all<T: 'static>(all: Vec<JoinHandle<T>>) -> Vec<T> {
    all.into_iter().map(|one| one.join().unwrap()).collect()
}

/// What a function of C has returned, and `errno` if that is an error.
fn outcome(result: impl TryInto<i64>) -> (i64, Option<i32>) {
    let result = result.try_into().unwrap_or(i64::MAX);
    let errno = (result < 0).then(|| io::Error::last_os_error().raw_os_error().unwrap());
    (result, errno)
}

/// Checks that `f` returns the same on a patched green thread as on a plain OS thread.
fn as_on_os_thread<T: PartialEq + std::fmt::Debug + Send + 'static>(f: fn() -> T) -> T {
    let expected = std::thread::spawn(f).join().unwrap();
    let found = evy::spawn(f).join().unwrap();
    assert_eq!(found, expected);
    found
}
