//! Wake-ups: park and unpark on one OS thread, and from another OS thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use criterion::{Criterion, criterion_group, criterion_main};
use evy::{spawn, thread};

fn park_unpark(c: &mut Criterion) {
    let main = thread::current();
    let partner = spawn(move || {
        loop {
            main.unpark();
            thread::park();
        }
    });
    c.bench_function("wake/park and unpark, round trip", |b| {
        b.iter(|| {
            partner.thread().unpark();
            thread::park();
        });
    });
    partner.kill();
}

fn from_another_os_thread(c: &mut Criterion) {
    let (requests, receiver) = mpsc::channel::<thread::Unparker>();
    let answered = Arc::new(AtomicBool::new(false));
    let answer = Arc::clone(&answered);
    let helper = std::thread::spawn(move || {
        for unparker in receiver {
            answer.store(true, Ordering::Release);
            unparker.unpark();
        }
    });
    let unparker = thread::current().unparker();
    c.bench_function("wake/another OS thread, round trip", |b| {
        b.iter(|| {
            requests
                .send(unparker.clone())
                .expect("the helper receives");
            while !answered.swap(false, Ordering::AcqRel) {
                thread::park();
            }
        });
    });
    drop(requests);
    helper.join().expect("the helper returns");
}

criterion_group!(benches, park_unpark, from_another_os_thread);
criterion_main!(benches);
