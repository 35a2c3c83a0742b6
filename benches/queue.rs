//! The round trip of an item to another green thread and back, through queues and channels.

use criterion::{Criterion, criterion_group, criterion_main};
use evy::sync::mpsc;
use evy::{Queue, spawn};

fn queues(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue, round trip");
    for (name, make) in [
        ("unbounded", Queue::unbounded as fn() -> Queue<u64>),
        ("bounded, 1", || Queue::bounded(1)),
        ("rendezvous", || Queue::bounded(0)),
    ] {
        let (there, back) = (make(), make());
        let (from, to) = (there.clone(), back.clone());
        let echo = spawn(move || {
            loop {
                to.put(from.get());
            }
        });
        group.bench_function(name, |b| {
            b.iter(|| {
                there.put(1);
                back.get()
            });
        });
        echo.kill();
    }
    let ((there, from), (to, back)) = (mpsc::channel(), mpsc::channel());
    let echo = spawn(move || {
        for message in from {
            to.send(message).ok();
        }
    });
    group.bench_function("sync::mpsc", |b| {
        b.iter(|| {
            there.send(1u64).expect("the echo green thread receives");
            back.recv().expect("the echo green thread answers")
        });
    });
    drop(there);
    echo.join().expect("the echo green thread returns");
    group.finish();
}

criterion_group!(benches, queues);
criterion_main!(benches);
