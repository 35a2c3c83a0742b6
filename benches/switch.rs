//! A bare switch: own assembly against corosensei's resume and suspend, there and back.
//!
//! Mounts the context module itself, which knows nothing of green threads.

#![expect(
    dead_code,
    unused_imports,
    reason = "the module of another crate, with what only its users and tests need"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

#[path = "../runtime/src/context/mod.rs"]
mod context;

use context::{Context, prepare, switch};

/// Two contexts that switch to each other for ever.
struct Pair {
    outer: Context,
    inner: Context,
}

unsafe extern "C" fn back_and_back(arg: *mut ()) -> ! {
    let pair = arg.cast::<Pair>();
    loop {
        // SAFETY: this runs on the inner stack, while `outer` is suspended in `own_assembly`.
        unsafe { switch(&raw mut (*pair).inner, &raw mut (*pair).outer) };
    }
}

fn own_assembly(c: &mut Criterion) {
    const WORDS: usize = 64 * 1024 / 16;
    // Leaked: the inner context is never finished.
    let stack = Box::leak(vec![0u128; WORDS].into_boxed_slice());
    let pair: *mut Pair = Box::leak(Box::new(Pair {
        outer: Context::new(),
        inner: Context::new(),
    }));
    let limit = stack.as_mut_ptr().cast::<u8>();
    // SAFETY: leaked memory that only these two contexts use, one at a time.
    unsafe {
        let base = limit.add(WORDS * 16);
        prepare(
            &raw mut (*pair).inner,
            base,
            limit,
            back_and_back,
            pair.cast(),
        );
    }
    c.bench_function("switch/own, there and back", |b| {
        // SAFETY: `inner` was prepared above, or suspended in its loop.
        b.iter(|| unsafe { switch(&raw mut (*pair).outer, &raw mut (*pair).inner) });
    });
}

fn corosensei(c: &mut Criterion) {
    let mut coroutine = corosensei::Coroutine::<(), (), ()>::new(|yielder, ()| {
        loop {
            yielder.suspend(());
        }
    });
    c.bench_function("switch/corosensei, there and back", |b| {
        b.iter(|| black_box(coroutine.resume(())));
    });
}

criterion_group!(benches, own_assembly, corosensei);
criterion_main!(benches);
