//! The life of a green thread that does nothing: spawn, run, finish, free the stack.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use evy::{spawn, spawn_n, thread, yield_now};

fn spawns(c: &mut Criterion) {
    let mut group = c.benchmark_group("spawn");
    group.bench_function("spawn_n, run, reclaim", |b| {
        b.iter(|| {
            spawn_n(|| ());
            yield_now();
        });
    });
    group.bench_function("spawn, join", |b| {
        b.iter(|| black_box(spawn(|| 1).join().expect("the green thread returns")));
    });
    group.bench_function("spawn, kill while parked", |b| {
        b.iter(|| {
            let victim = spawn(thread::park);
            yield_now();
            victim.kill();
        });
    });
    group.finish();
}

criterion_group!(benches, spawns);
criterion_main!(benches);
