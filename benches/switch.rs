//! The round trip of a bare switch: evy's own assembly, and corosensei's resume and suspend.

#![expect(
    unused_imports,
    reason = "the included context module imports them for its tests, which do not run here"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

mod pair;

fn own_assembly(c: &mut Criterion) {
    let mut there_and_back = pair::there_and_back();
    c.bench_function("switch/own, round trip", |b| {
        b.iter(&mut there_and_back);
    });
}

fn corosensei(c: &mut Criterion) {
    let mut coroutine = corosensei::Coroutine::<(), (), ()>::new(|yielder, ()| {
        loop {
            yielder.suspend(());
        }
    });
    c.bench_function("switch/corosensei, round trip", |b| {
        b.iter(|| black_box(coroutine.resume(())));
    });
}

criterion_group!(benches, own_assembly, corosensei);
criterion_main!(benches);
