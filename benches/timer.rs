//! Timers: a timeout that does not expire, with few and with many other timers pending.
//!
//! Nearly every socket operation is wrapped in such a timeout.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use evy::{Queue, sleep, spawn, spawn_n, thread, timeout, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

fn timeouts(c: &mut Criterion) {
    c.bench_function("timer/timeout around nothing", |b| {
        b.iter(|| timeout(HOUR, || ()));
    });
    let (there, back) = (Queue::unbounded(), Queue::unbounded());
    let (from, to) = (there.clone(), back.clone());
    let echo = spawn(move || {
        loop {
            to.put(from.get());
        }
    });
    let mut group = c.benchmark_group("timer/set and canceled around a queue round trip");
    let mut pending = 0;
    for wanted in [0, 1, 100_000] {
        for n in pending..wanted {
            // The deadlines are in no particular order.
            let salt = u64::from(n as u32).wrapping_mul(2_654_435_761) % 3600;
            spawn_n(move || sleep(HOUR + Duration::from_secs(salt)));
        }
        yield_now();
        pending = wanted;
        group.bench_with_input(BenchmarkId::new("pending", wanted), &wanted, |b, _| {
            b.iter(|| {
                there.put(1);
                back.get_timeout(HOUR)
            });
        });
    }
    group.finish();
    c.bench_function("timer/park_timeout set and canceled by an unpark", |b| {
        let main = thread::current();
        b.iter(|| {
            let main = main.clone();
            spawn_n(move || main.unpark());
            thread::park_timeout(HOUR);
        });
    });
    echo.kill();
}

criterion_group!(benches, timeouts);
criterion_main!(benches);
