//! Unchanged libraries on patched green threads of one OS thread.
//!
//! Each test lets many green threads wait at once in a library that knows nothing of evy. Together
//! they must take about the time of one, and another green thread must keep running meanwhile.

mod http;
mod job_queue;
mod locks;
mod processes;
mod runtimes;
mod servers;
mod signals;
mod site;
mod sockets;
mod spans;
mod websocket;

#[cfg(feature = "all")]
mod c_libraries;
#[cfg(feature = "all")]
mod databases;
#[cfg(feature = "all")]
mod http_others;
#[cfg(feature = "all")]
mod locks_others;
#[cfg(feature = "all")]
mod mail;
#[cfg(feature = "all")]
mod messages;
#[cfg(feature = "all")]
mod system_calls;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy::thread::JoinHandle;

/// How long each of the many waits takes.
const WAIT: Duration = Duration::from_millis(200);

/// Runs `test` in a patched process, on an OS thread of its own.
fn patched(test: impl FnOnce() + Send + 'static) {
    match evy::patch::monkey_patch() {
        Ok(()) => evy_test_support::within(test),
        Err(error) => println!("skipped: {error}"),
    }
}

/// Runs `wait` on `count` green threads. Each waits for [`WAIT`] or longer.
///
/// Checks that together they take less than half of the time that they would take one after
/// another, and that a green thread that sleeps again and again is not held up.
#[track_caller]
fn at_once<T: 'static>(count: usize, wait: impl Fn(usize) -> T + Clone + 'static) -> Vec<T> {
    let ticks = Rc::new(Cell::new(0));
    let ticker = evy::spawn({
        let ticks = Rc::clone(&ticks);
        move || {
            loop {
                evy::sleep(Duration::from_millis(5));
                ticks.set(ticks.get() + 1);
            }
        }
    });
    let start = Instant::now();
    let all: Vec<JoinHandle<T>> = (0..count)
        .map(|index| {
            let wait = wait.clone();
            evy::spawn(move || wait(index))
        })
        .collect();
    let results = all.into_iter().map(|one| one.join().unwrap()).collect();
    let (time, in_turn) = (start.elapsed(), WAIT * count as u32);
    ticker.kill();
    assert!(time < in_turn / 2, "took {time:?}, and {in_turn:?} in turn");
    assert!(ticks.get() >= 8, "only {} ticks in {time:?}", ticks.get());
    results
}
