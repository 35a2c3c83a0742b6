//! Tests of `dump`: it shows what each green thread of the OS thread does.

use evy_runtime::thread::{self, Builder};
use evy_runtime::{dump, shield, spawn, yield_now};
use evy_test_support::within;

#[test]
fn a_dump_has_a_line_for_each_green_thread_of_the_os_thread() {
    within(|| {
        let parked = Builder::new().name("parked".into()).spawn(thread::park);
        let parked = parked.unwrap();
        yield_now();
        let text = spawn(dump);
        let new = spawn(|| ());
        let text = text.join().unwrap();
        new.join().unwrap();

        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        let has = |parts: [&str; 2]| {
            let line = |line: &&&str| parts.iter().all(|part| line.contains(part));
            assert_eq!(lines.iter().filter(line).count(), 1, "{text}");
        };
        has(["(root)", " waits for the end of a green thread"]);
        has([" 'parked' (spawned at runtime/tests", " waits for unpark"]);
        has(["dump.rs:13", " is running"]);
        has(["dump.rs:14", " is ready"]);

        parked.thread().unpark();
        parked.join().unwrap();
        assert_eq!(dump().lines().count(), 1);
        std::thread::spawn(|| assert!(dump().ends_with(" (root) is running\n")))
            .join()
            .unwrap();
    });
}

#[test]
fn a_dump_shows_that_a_green_thread_was_killed_but_has_not_ended() {
    within(|| {
        let busy = spawn(|| {
            shield(yield_now);
            thread::park();
        });
        yield_now();
        busy.kill();
        let text = dump();
        assert!(text.ends_with(" is ready, and was killed\n"), "{text}");
        assert!(busy.join().unwrap_err().is_killed());
    });
}
