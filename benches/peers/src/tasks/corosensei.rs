//! Bare coroutines: no scheduler, nobody to wait for.

use std::time::Instant;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, ScopedCoroutine};

use super::{Measure, RESUME, SPAWN, SPAWNS, YIELDS, each};

pub(super) const WORK: &[(&str, Measure)] = &[(RESUME, resume), (SPAWN, spawn)];

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
            std::hint::black_box(());
        });
        coroutine.scope(|mut coroutine| {
            coroutine.as_mut().resume(());
        });
    }
    each(start.elapsed(), SPAWNS)
}
