//! The memory of stacks.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::hint::black_box;

use evy_runtime::lowlevel::release_stack;
use evy_runtime::{Event, spawn, yield_now};
use evy_test_support::within;

const DEPTH: usize = 128 * 1024;
const PART: usize = 2048;

/// Uses `DEPTH` bytes of the stack and more, and returns 1.
fn dive() -> u8 {
    descend(DEPTH / PART)
}

#[inline(never)]
fn descend(levels: usize) -> u8 {
    let mut part = [1_u8; PART];
    black_box(&mut part);
    match levels {
        0 => part[0],
        _ => descend(levels - 1) * black_box(part[PART / 2]),
    }
}

/// Returns the resident memory of the process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes: usize = line.trim().split(' ').next().unwrap().parse().unwrap();
    kilobytes * 1024
}

/// Returns how much the memory grows with green threads that have used much of their stacks, and
/// have parked after `before_parking`.
fn growth(count: usize, before_parking: fn()) -> usize {
    let done = Event::new();
    let before = resident();
    let all: Vec<_> = (0..count)
        .map(|number| {
            let done = done.clone();
            spawn(move || {
                let kept = [dive(); 100];
                before_parking();
                done.wait().unwrap();
                assert_eq!(black_box(kept), [1; 100]);
                // The memory comes back when it is used again.
                if number == 0 { dive() } else { 1 }
            })
        })
        .collect();
    yield_now();
    let grown = resident().saturating_sub(before);
    done.send(()).unwrap();
    for thread in all {
        assert_eq!(thread.join().unwrap(), 1);
    }
    grown
}

#[test]
fn a_released_stack_keeps_what_is_in_use_and_no_more() {
    within(|| {
        let count = 300;
        let released = growth(count, release_stack);
        assert!(released < count * DEPTH / 2, "{released}");
        let kept = growth(count, || ());
        assert!(kept > count * DEPTH / 2, "{kept}");
    });
}

#[test]
fn a_root_green_thread_has_no_stack_to_release() {
    within(|| {
        dive();
        release_stack();
        assert_eq!(dive(), 1);
    });
}
