//! What the machine takes at least: bare coroutines, without a scheduler, and nobody to wait for.
//!
//! A yield cannot be less than a switch to a stack and back, and a spawn not less than that on a stack
//! that is there already. With 50 000 stacks in turn the switch is nothing beside the memory: each
//! stack has a page of its own, so the least is to look at so many pages, as far apart.

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

/// On a stack that is used again.
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

/// Adds to two words of each page in turn, in different lines of the cache; the page is fetched when it
/// is the sixteenth to come, which is the best that was found.
fn pages() -> f64 {
    const PAGES: usize = 50_000;
    /// As far apart as the stacks are: with their guard, and a page that makes it an odd number.
    const STRIDE: usize = (256 + 64 + 4) * 1024;
    const TURNS: usize = 40;
    static START: OnceLock<usize> = OnceLock::new();
    let start = *START.get_or_init(|| {
        let bytes = PAGES * STRIDE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice, that is never unmapped.
        let start = unsafe {
            let mapped = mmap_anonymous(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
            );
            let mapped = mapped.expect("address space");
            // A system without huge pages refuses, and needs no advice.
            madvise(mapped, bytes, Advice::LinuxNoHugepage).ok();
            mapped
        };
        start.expose_provenance()
    });
    // Not all at the same place of their page, or they would share few sets of the cache.
    let word = |page: usize, line: usize| {
        let at = (page % PAGES) * STRIDE + (page % 32) * 64 + line * 1024;
        std::ptr::with_exposed_provenance_mut::<u64>(start + at)
    };
    let once = || {
        for page in 0..PAGES {
            for line in 0..2 {
                fetch(word(page + 16, line));
                // SAFETY: inside the mapping, aligned, and nobody else's.
                unsafe { word(page, line).write_volatile(word(page, line).read_volatile() + 1) };
            }
        }
    };
    once();
    let begin = Instant::now();
    (0..TURNS).for_each(|_| once());
    each(begin.elapsed(), PAGES * TURNS)
}

/// A hint, where the processor takes one.
fn fetch(address: *const u64) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint; an address of any kind is allowed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _: *const u64 = address;
}
