//! Green threads whose waits do not keep a deadlock from being reported.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use evy_runtime::io::pipe;
use evy_runtime::lowlevel::background;
use evy_runtime::{Queue, sleep, spawn, spawn_n, yield_now};
use evy_test_support::within;

const LONG: Duration = Duration::from_secs(3600);

/// Waits for an item that nothing puts. Returns the report of the deadlock.
fn deadlock() -> String {
    let waiting = catch_unwind(AssertUnwindSafe(|| Queue::<()>::unbounded().get()));
    *waiting.unwrap_err().downcast::<String>().unwrap()
}

#[test]
fn waits_in_the_background_do_not_hide_a_deadlock_and_are_not_in_its_report() {
    within(|| {
        let (mut reader, _writer) = pipe().unwrap();
        spawn_n(move || background(|| drop(reader.read(&mut [0]))));
        spawn_n(|| background(|| background(|| sleep(LONG))));
        yield_now();
        let report = deadlock();
        assert!(report.starts_with("deadlock"), "{report}");
        assert_eq!(report.lines().count(), 2, "{report}");
        // They still wait, so the next deadlock is reported too.
        deadlock();
    });
}

#[test]
fn a_wait_beside_the_background_keeps_a_deadlock_from_being_reported() {
    within(|| {
        let queue = Queue::unbounded();
        let putter = queue.clone();
        spawn_n(|| background(|| sleep(LONG)));
        spawn_n(move || {
            sleep(Duration::from_millis(20));
            putter.put(1);
        });
        assert_eq!(queue.get(), 1);
        // A green thread that waits for something else does not count for the others.
        let (mut reader, mut writer) = pipe().unwrap();
        let parked = spawn(|| background(evy_runtime::thread::park));
        let putter = queue.clone();
        spawn_n(move || putter.put(reader.read(&mut [0]).unwrap()));
        spawn_n(move || {
            (0..10).for_each(|_| yield_now());
            writer.write_all(b"x").unwrap();
        });
        assert_eq!(queue.get(), 1);
        parked.kill();
    });
}

#[test]
fn a_green_thread_leaves_the_background_when_it_is_done_there() {
    within(|| {
        let queue = Queue::unbounded();
        let putter = queue.clone();
        spawn_n(move || {
            background(yield_now);
            catch_unwind(|| background(|| std::panic::resume_unwind(Box::new(())))).unwrap_err();
            sleep(Duration::from_millis(20));
            putter.put(1);
        });
        assert_eq!(queue.get(), 1);
        let killed = spawn(|| background(|| sleep(LONG)));
        yield_now();
        killed.kill();
        deadlock();
    });
}
