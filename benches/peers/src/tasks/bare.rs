//! The hardware limit: bare coroutines, without a scheduler and with nothing to wait for.
//!
//! The limit of a yield is a switch to another stack and back. The limit of a spawn is the same on
//! a stack that exists already. With 50,000 stacks, the switch costs next to nothing compared with
//! the memory accesses, because each stack has a page of its own. The limit is then the time to
//! access as many pages, at the same distance from each other.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, ScopedCoroutine};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

use super::{
    Measure, SPAWN, SPAWNS, SWITCH, YIELD_2, YIELD_10, YIELD_1000, YIELD_50000, YIELD_APART,
    YIELDS, each,
};

pub(super) const WORK: &[(&str, Measure)] = &[
    (SWITCH, resume),
    (YIELD_2, resume),
    (YIELD_10, resume),
    (YIELD_APART, resume),
    (YIELD_1000, resume),
    (YIELD_50000, pages),
    (SPAWN, spawn),
];

fn resume() -> f64 {
    let mut coroutine = Coroutine::<(), (), ()>::new(|yielder, ()| {
        for _ in 0..YIELDS {
            yielder.suspend(());
        }
    });
    let start = Instant::now();
    while !coroutine.done() {
        coroutine.resume(());
    }
    each(start.elapsed(), YIELDS)
}

/// Measures entering and leaving a coroutine on a stack that is reused.
fn spawn() -> f64 {
    let mut stack = DefaultStack::default();
    let start = Instant::now();
    for _ in 0..SPAWNS {
        let coroutine = ScopedCoroutine::<(), (), (), _>::with_stack(&mut stack, |_, ()| {
            black_box(());
        });
        coroutine.scope(|mut coroutine| {
            coroutine.as_mut().resume(());
        });
    }
    each(start.elapsed(), SPAWNS)
}

/// Adds to two words of each page in turn, in different cache lines. Each page is prefetched 16
/// pages ahead, which was the fastest distance.
fn pages() -> f64 {
    const PAGES: usize = 50_000;
    /// The distance between the stacks of green threads: the stack, its guard, and one more page
    /// that makes the number of pages odd.
    const STRIDE: usize = (256 + 64 + 4) * 1024;
    const TURNS: usize = 40;
    static START: OnceLock<usize> = OnceLock::new();
    let start = *START.get_or_init(|| {
        let bytes = PAGES * STRIDE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping, at an address that the kernel chooses. It is never unmapped.
        let start = unsafe {
            let mapped = mmap_anonymous(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
            );
            let mapped = mapped.expect("enough address space");
            // A system without huge pages refuses the advice, and does not need it.
            madvise(mapped, bytes, Advice::LinuxNoHugepage).ok();
            mapped
        };
        start.expose_provenance()
    });
    // The words have different offsets in their pages. With the same offset, all of them would
    // compete for a few sets of the cache.
    let word = |page: usize, line: usize| {
        let at = (page % PAGES) * STRIDE + (page % 32) * 64 + line * 1024;
        std::ptr::with_exposed_provenance_mut::<u64>(start + at)
    };
    let once = || {
        for page in 0..PAGES {
            for line in 0..2 {
                fetch(word(page + 16, line));
                // SAFETY: the word is inside the mapping and aligned, and nothing else uses it.
                unsafe { word(page, line).write_volatile(word(page, line).read_volatile() + 1) };
            }
        }
    };
    once();
    let begin = Instant::now();
    (0..TURNS).for_each(|_| once());
    each(begin.elapsed(), PAGES * TURNS)
}

/// Prefetches `address` on processors for which this is implemented.
fn fetch(address: *const u64) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction is a hint, for which any address is allowed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _: *const u64 = address;
}
