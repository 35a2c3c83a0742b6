//! Waiting for any child. It has a process of its own, because such a wait takes the children of
//! other tests.

use std::process::{Command, Stdio};
use std::ptr;
use std::time::Duration;

use evy_test_support::within;

#[test]
fn waits_for_any_child_park_and_lose_none() {
    if let Err(error) = evy::patch::monkey_patch() {
        return println!("skipped: {error}");
    }
    within(|| {
        let waits: [fn() -> i32; 3] = [
            // SAFETY: the pointer may be null.
            || unsafe { libc::wait(ptr::null_mut()) },
            // SAFETY: as above.
            || unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WCONTINUED) },
            // SAFETY: as above.
            || unsafe { wait3(ptr::null_mut(), 0, ptr::null_mut()) },
        ];
        let mut children: Vec<_> = (0..6)
            .map(|_| {
                let mut command = Command::new("sh");
                command.args(["-c", "read x"]).stdin(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        let waiters: Vec<_> = (0..6).map(|n| evy::spawn(waits[n % 3])).collect();
        for _ in 0..10 {
            evy::sleep(Duration::from_millis(2));
        }
        assert!(!waiters.iter().any(|waiter| waiter.is_finished()));
        let mut expected: Vec<i32> = children.iter().map(|c| c.id().cast_signed()).collect();
        children
            .iter_mut()
            .for_each(|child| drop(child.stdin.take()));
        let mut found: Vec<i32> = waiters.into_iter().map(|w| w.join().unwrap()).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        // SAFETY: the pointer may be null.
        assert_eq!(unsafe { libc::wait(ptr::null_mut()) }, -1);
    });
}

unsafe extern "C" {
    fn wait3(status: *mut i32, options: i32, usage: *mut libc::rusage) -> i32;
}
