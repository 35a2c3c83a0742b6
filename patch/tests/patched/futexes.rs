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

/// The older call.
fn futex(
    word: *const AtomicU32,
    operation: c_int,
    value: u32,
    fourth: usize,
    second: *const AtomicU32,
    sixth: u32,
) -> Answer {
    let number = libc::SYS_futex;
    // SAFETY: the words are valid, and the fourth argument is a number or a valid pointer.
    let result = unsafe { libc::syscall(number, word, operation, value, fourth, second, sixth) };
    outcome(result)
}

const NONE: *const AtomicU32 = std::ptr::null();

#[test]
fn green_threads_are_woken_where_the_kernel_moves_os_threads_to_another_word() {
    if !is_patched() {
        return;
    }
    within(|| {
        let words: Arc<[AtomicU32; 2]> = Arc::default();
        let waiting = Arc::clone(&words);
        let waiter = move |_| {
            let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            futex(&raw const waiting[0], operation, 0, 0, NONE, 0)
        };
        let theirs = waiter.clone();
        let os = std::thread::spawn(move || theirs(0));
        let results = while_ticking(3, waiter, move || {
            let requeue = |expected| {
                let operation = libc::FUTEX_CMP_REQUEUE | libc::FUTEX_PRIVATE_FLAG;
                let (most, to) = (100, &raw const words[1]);
                futex(&raw const words[0], operation, 0, most, to, expected)
            };
            assert_eq!(requeue(7), (-1, Some(libc::EAGAIN)));
            assert_eq!(wake(&words[1], 1), (0, None), "none was moved");
            assert_eq!(requeue(0), (4, None));
            assert!(!os.is_finished(), "it was moved");
            assert_eq!(wake(&words[1], 1), (1, None));
            assert_eq!(os.join().unwrap(), (0, None));
        });
        assert_eq!(results, [(0, None); 3]);
    });
}

/// Two addresses of one page, which processes share.
fn shared_words() -> [&'static AtomicU32; 2] {
    // SAFETY: the mappings are new, and stay.
    unsafe {
        let file = libc::memfd_create(c"futex".as_ptr(), 0);
        assert_eq!(libc::ftruncate(file, 4096), 0);
        [(); 2].map(|()| {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let page = libc::mmap(
                std::ptr::null_mut(),
                4096,
                access,
                libc::MAP_SHARED,
                file,
                0,
            );
            assert_ne!(page, libc::MAP_FAILED);
            &*page.cast::<AtomicU32>()
        })
    }
}

#[test]
fn a_word_in_shared_memory_is_changed_at_another_address_and_by_another_process() {
    if !is_patched() {
        return;
    }
    within(|| {
        let [word, other] = shared_words();
        let waiter = move |value: usize| {
            while word.load(SeqCst) <= value as u32 {
                // It may be woken for nothing.
                let seen = word.load(SeqCst);
                if seen <= value as u32 {
                    futex(word, libc::FUTEX_WAIT, seen, 0, NONE, 0);
                }
            }
        };
        let release = move || {
            other.store(1, SeqCst);
            futex(other, libc::FUTEX_WAKE, u32::MAX >> 1, 0, NONE, 0);
            // SAFETY: the child makes system calls only.
            let child = unsafe { libc::fork() };
            if child == 0 {
                other.store(2, SeqCst);
                futex(other, libc::FUTEX_WAKE, u32::MAX >> 1, 0, NONE, 0);
                // SAFETY: it ends the child.
                unsafe { libc::_exit(0) };
            }
            // SAFETY: no status is asked for.
            let ended = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            assert_eq!(ended, child);
        };
        while_ticking(2, waiter, release);
        let green = evy::spawn(move || {
            let time = timespec {
                tv_sec: 0,
                tv_nsec: 1_000_000,
            };
            let time = (&raw const time).expose_provenance();
            futex(word, libc::FUTEX_WAIT, 2, time, NONE, 0)
        });
        assert_eq!(green.join().unwrap(), (-1, Some(libc::ETIMEDOUT)));
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
