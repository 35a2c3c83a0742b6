//! Tests of the contract that every backend fulfills.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use super::{Context, prepare, switch};

/// The OS thread's own context, and another one with a boxed stack.
struct Pair {
    outer: Context,
    inner: Context,
    stack: Vec<u128>,
    log: Vec<&'static str>,
    sum: f64,
}

const WORDS: usize = 128 * 1024 / 16;

fn pair() -> Box<Pair> {
    Box::new(Pair {
        outer: Context::new(),
        inner: Context::new(),
        stack: vec![0; WORDS],
        log: Vec::new(),
        sum: 0.0,
    })
}

/// Prepares the inner context to run `entry` with the pair as its argument.
fn start(pair: *mut Pair, entry: super::Entry) {
    // SAFETY: the boxed pair does not move during the test, and only its two contexts use the
    // stack, one at a time.
    unsafe {
        let limit = (*pair).stack.as_mut_ptr().cast::<u8>();
        let base = limit.add(WORDS * 16);
        prepare(&raw mut (*pair).inner, base, limit, entry, pair.cast());
    }
}

fn enter(pair: *mut Pair) {
    // SAFETY: `inner` was prepared by `start`, or is suspended in `leave`.
    unsafe { switch(&raw mut (*pair).outer, &raw mut (*pair).inner) };
}

fn leave(pair: *mut Pair) {
    // SAFETY: called only on the inner stack, while `outer` is suspended in `enter`.
    unsafe { switch(&raw mut (*pair).inner, &raw mut (*pair).outer) };
}

fn log(pair: *mut Pair, line: &'static str) {
    // SAFETY: one stack runs at a time, and no reference into the pair is held across a switch.
    unsafe { (*pair).log.push(line) };
}

#[test]
fn a_switch_goes_to_the_other_stack_and_back() {
    unsafe extern "C" fn entry(arg: *mut ()) -> ! {
        let pair = arg.cast::<Pair>();
        log(pair, "first");
        leave(pair);
        log(pair, "second");
        loop {
            leave(pair);
        }
    }
    let mut boxed = pair();
    let pair = ptr::from_mut(&mut *boxed);
    start(pair, entry);
    log(pair, "start");
    enter(pair);
    log(pair, "between");
    enter(pair);
    assert_eq!(boxed.log, ["start", "first", "between", "second"]);
}

#[test]
fn values_in_registers_survive_a_switch_on_both_stacks() {
    unsafe extern "C" fn entry(arg: *mut ()) -> ! {
        let pair = arg.cast::<Pair>();
        let (mut a, mut b, mut c) = (1.0f64, 2.0f64, 3u64);
        loop {
            a = a.mul_add(1.5, b);
            b = a - b;
            c = c.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // SAFETY: one stack runs at a time, and no reference into the pair is held across a
            // switch.
            unsafe { (*pair).sum = a + b + (c >> 40) as f64 };
            if a > 1e200 {
                (a, b) = (1.0, 2.0);
            }
            leave(pair);
        }
    }
    // The expected result is that of the same arithmetic without a switch.
    fn expected(rounds: usize) -> f64 {
        let (mut a, mut b, mut c, mut sum) = (1.0f64, 2.0f64, 3u64, 0.0);
        for _ in 0..rounds {
            a = a.mul_add(1.5, b);
            b = a - b;
            c = c.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            sum = a + b + (c >> 40) as f64;
            if a > 1e200 {
                (a, b) = (1.0, 2.0);
            }
        }
        sum
    }
    let mut boxed = pair();
    let pair = ptr::from_mut(&mut *boxed);
    start(pair, entry);
    let (mut x, mut y, mut z, mut w) = (0.5f64, 1u64, 3u32, 7usize);
    for round in 0..2000usize {
        enter(pair);
        x = x.mul_add(0.5, 1.0);
        y = y.rotate_left(7) ^ round as u64;
        z = z.wrapping_mul(3);
        w = w.wrapping_add(round);
    }
    let (mut x2, mut y2, mut z2, mut w2) = (0.5f64, 1u64, 3u32, 7usize);
    for round in 0..2000usize {
        x2 = x2.mul_add(0.5, 1.0);
        y2 = y2.rotate_left(7) ^ round as u64;
        z2 = z2.wrapping_mul(3);
        w2 = w2.wrapping_add(round);
    }
    assert_eq!((x, y, z, w), (x2, y2, z2, w2));
    assert_eq!(boxed.sum, expected(2000));
}

#[test]
fn the_stack_is_16_aligned_at_entry() {
    unsafe extern "C" fn entry(arg: *mut ()) -> ! {
        #[repr(align(16))]
        struct Aligned([u8; 16]);
        let pair = arg.cast::<Pair>();
        let on_stack = Aligned([0; 16]);
        let address = std::hint::black_box(&on_stack).0.as_ptr().addr();
        log(
            pair,
            if address.is_multiple_of(16) {
                "aligned"
            } else {
                "misaligned"
            },
        );
        loop {
            leave(pair);
        }
    }
    let mut boxed = pair();
    let pair = ptr::from_mut(&mut *boxed);
    start(pair, entry);
    enter(pair);
    assert_eq!(boxed.log, ["aligned"]);
}

#[test]
fn a_panic_after_a_switch_unwinds_up_to_the_entry_function() {
    struct LogsOnDrop(*mut Pair);
    impl Drop for LogsOnDrop {
        fn drop(&mut self) {
            log(self.0, "dropped");
        }
    }
    unsafe extern "C" fn entry(arg: *mut ()) -> ! {
        let pair = arg.cast::<Pair>();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _logs_on_drop = LogsOnDrop(pair);
            // Thrown after a switch, because the unwind tables must be correct where the stack was
            // suspended and continued.
            leave(pair);
            std::panic::resume_unwind(Box::new("thrown"));
        }));
        log(pair, if caught.is_err() { "caught" } else { "lost" });
        loop {
            leave(pair);
        }
    }
    let mut boxed = pair();
    let pair = ptr::from_mut(&mut *boxed);
    start(pair, entry);
    enter(pair);
    enter(pair);
    assert_eq!(boxed.log, ["dropped", "caught"]);
}

#[test]
fn a_discarded_context_can_be_prepared_again() {
    unsafe extern "C" fn never(_arg: *mut ()) -> ! {
        std::process::abort()
    }
    unsafe extern "C" fn entry(arg: *mut ()) -> ! {
        let pair = arg.cast::<Pair>();
        log(pair, "ran");
        loop {
            leave(pair);
        }
    }
    let mut boxed = pair();
    let pair = ptr::from_mut(&mut *boxed);
    start(pair, never);
    for _ in 0..2 {
        start(pair, entry);
        enter(pair);
    }
    assert_eq!(boxed.log, ["ran", "ran"]);
}

/// Follows the chain of saved frame pointers, as `perf` does.
#[cfg(all(evy_context = "native", target_arch = "x86_64", debug_assertions))]
#[test]
fn frame_pointers_end_in_zero_or_are_not_kept() {
    unsafe extern "C" fn entry(arg: *mut ()) -> ! {
        let pair = arg.cast::<Pair>();
        let mut frame: usize;
        // SAFETY: only reads a register.
        unsafe { std::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack)) };
        let mut steps = 0;
        // SAFETY: the pair is valid for as long as this stack.
        let range = unsafe { (*pair).stack.as_ptr_range() };
        let range = range.start.addr()..range.end.addr();
        while range.contains(&frame) && steps < 64 {
            // SAFETY: the address lies inside the stack, and a frame pointer is aligned.
            frame = unsafe { *ptr::with_exposed_provenance::<usize>(frame) };
            steps += 1;
        }
        log(
            pair,
            if frame == 0 && steps < 64 {
                "ends"
            } else {
                "does not end"
            },
        );
        loop {
            leave(pair);
        }
    }
    let mut boxed = pair();
    let pair = ptr::from_mut(&mut *boxed);
    start(pair, entry);
    enter(pair);
    assert_eq!(boxed.log, ["ends"]);
}
