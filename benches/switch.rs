//! A bare switch: own assembly against corosensei's resume and suspend, there and back.

#![expect(
    unused_imports,
    reason = "those of the context's tests, which are not run from here"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

mod pair;

fn own_assembly(c: &mut Criterion) {
    let mut there_and_back = pair::there_and_back();
    c.bench_function("switch/own, there and back", |b| {
        b.iter(&mut there_and_back);
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
