//! The system calls for futexes, through the function `syscall`.

use std::ffi::{c_int, c_long};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use evy_test_support::within;
use libc::timespec;

use crate::{as_on_os_thread, is_patched, outcome, while_ticking};

const WAITV: c_long = 449;
const WAKE: c_long = 454;
const WAIT: c_long = 455;

/// A private word of 32 bits.
const FLAGS: c_int = 2 | libc::FUTEX_PRIVATE_FLAG;
const ALL: u32 = u32::MAX;

/// A word of `futex_waitv`.
#[repr(C)]
struct Word {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

impl Word {
    fn new(word: &AtomicU32, value: u64, flags: c_int) -> Self {
        Self {
            value,
            address: word.as_ptr().addr() as u64,
            flags: flags as u32,
            reserved: 0,
        }
    }
}

type Answer = (i64, Option<i32>);

fn wait(word: &AtomicU32, value: u32, bits: u32, flags: c_int, time: Option<timespec>) -> Answer {
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let clock = libc::CLOCK_MONOTONIC;
    let value = u64::from(value);
    let bits = u64::from(bits);
    // SAFETY: the pointers are valid.
    outcome(unsafe { libc::syscall(WAIT, word.as_ptr(), value, bits, flags, time, clock) })
}

fn wait_for_any(words: &[Word], time: Option<timespec>) -> Answer {
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let (count, clock) = (words.len(), libc::CLOCK_MONOTONIC);
    // SAFETY: the pointers are valid.
    outcome(unsafe { libc::syscall(WAITV, words.as_ptr(), count, 0, time, clock) })
}

fn wake(word: &AtomicU32, most: c_int) -> Answer {
    let bits = u64::from(ALL);
    // SAFETY: the pointer is valid.
    outcome(unsafe { libc::syscall(WAKE, word.as_ptr(), bits, most, FLAGS) })
}

/// Whether the kernel has the newest of these calls.
fn is_supported() -> bool {
    let word = AtomicU32::new(0);
    let answer = std::thread::spawn(move || wait(&word, 1, ALL, FLAGS, None)).join();
    let is_supported = answer.unwrap() == (-1, Some(libc::EAGAIN));
    if !is_supported {
        println!("skipped: the kernel lacks `futex_wait`");
    }
    is_patched() && is_supported
}

#[test]
fn the_newer_waits_park_until_a_wake() {
    if !is_supported() {
        return;
    }
    within(|| {
        let words: Arc<[AtomicU32; 3]> = Arc::default();
        let waiting = Arc::clone(&words);
        let waiter = move |index: usize| match index {
            0 => wait(&waiting[0], 0, ALL, FLAGS, None),
            _ => {
                let all = waiting.each_ref().map(|word| Word::new(word, 0, FLAGS));
                wait_for_any(&all[1..], None)
            }
        };
        let wakes = Arc::clone(&words);
        let results = while_ticking(3, waiter, move || {
            assert_eq!(wake(&wakes[0], 5), (1, None));
            assert_eq!(wake(&wakes[2], 1), (1, None));
            // An OS thread wakes them too.
            let os = std::thread::spawn(move || wake(&wakes[2], 5));
            assert_eq!(os.join().unwrap(), (1, None));
        });
        assert_eq!(results, [(0, None), (1, None), (1, None)]);
        assert_eq!(wake(&words[1], 5), (0, None), "none is left");
    });
}

#[test]
fn an_os_thread_is_woken_by_a_green_thread() {
    if !is_supported() {
        return;
    }
    within(|| {
        let word = Arc::new(AtomicU32::new(0));
        let theirs = Arc::clone(&word);
        let os = std::thread::spawn(move || {
            while theirs.load(SeqCst) == 0 {
                wait_for_any(&[Word::new(&theirs, 0, FLAGS)], None);
            }
        });
        evy::spawn(move || {
            evy::sleep(Duration::from_millis(5));
            word.store(1, SeqCst);
            wake(&word, 1);
        })
        .join()
        .unwrap();
        os.join().unwrap();
    });
}

#[test]
fn the_newer_waits_answer_as_on_an_os_thread() {
    if !is_supported() {
        return;
    }
    within(|| {
        as_on_os_thread(|| {
            const PAST: timespec = timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            const INVALID: timespec = timespec {
                tv_sec: 1,
                tv_nsec: -1,
            };
            let words = [AtomicU32::new(0), AtomicU32::new(0)];
            let all = |flags, value| words.each_ref().map(|word| Word::new(word, value, flags));
            let mut reserved = all(FLAGS, 0);
            reserved[1].reserved = 1;
            [
                wait(&words[0], 1, ALL, FLAGS, None),
                wait(&words[0], 0, ALL, FLAGS, Some(PAST)),
                wait(&words[0], 0, ALL, FLAGS, Some(INVALID)),
                wait(&words[0], 0, 0, FLAGS, None),
                wait(&words[0], 0, ALL, 3, None),
                wait_for_any(&all(FLAGS, 1), None),
                wait_for_any(&all(FLAGS, 0), Some(PAST)),
                wait_for_any(&all(FLAGS, 0), Some(INVALID)),
                wait_for_any(&all(1, 0), None),
                wait_for_any(&reserved, None),
                wait_for_any(&[], None),
                wake(&words[0], 0),
                wake(&words[0], 1),
            ]
        });
    });
}

#[test]
fn a_call_that_is_never_patched_is_reported() {
    if !is_patched() {
        return;
    }
    within(|| {
        evy::spawn(|| {
            let word = AtomicU32::new(0);
            for operation in [libc::FUTEX_LOCK_PI, libc::FUTEX_UNLOCK_PI] {
                // SAFETY: the pointer is valid.
                let result =
                    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 0, 0, 0, 0) };
                assert_eq!(result, 0);
            }
        })
        .join()
        .unwrap();
        let report = evy::patch::doctor();
        assert_eq!(report.unpatched, ["futex: FUTEX_LOCK_PI"]);
        assert!(report.to_string().contains("FUTEX_LOCK_PI"), "{report}");
    });
}
