//! Models of `Once` and `Barrier`: a waiter that continues sees what the others did before.

use std::rc::Rc;

use crate::primitive::{Cell, model, model_of_two};
use crate::sync::barrier::Barrier;
use crate::sync::once::Once;
use crate::waiter::{die, join_all, spawn, unless_killed};

struct Start {
    once: Once,
    runs: Cell<u32>,
}

impl Start {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            once: Once::new(),
            runs: Cell::new(0),
        })
    }

    fn run(&self) {
        self.runs.set(self.runs.get() + 1);
    }

    fn call(&self) {
        self.once.call_once(|| self.run());
        assert_eq!(self.runs.get(), 1);
    }
}

#[test]
fn an_initializer_runs_once_and_every_caller_sees_its_effect() {
    model(|| {
        let start = Start::new();
        let others = [(); 2].map(|()| {
            let start = Rc::clone(&start);
            spawn(move || start.call())
        });
        start.call();
        join_all(others);
    });
}

#[test]
fn a_waiter_sees_the_effect_of_the_initializer() {
    model_of_two(|| {
        let start = Start::new();
        let other = Rc::clone(&start);
        let waiter = spawn(move || {
            other.once.wait();
            assert_eq!(other.runs.get(), 1);
        });
        start.call();
        waiter.join();
    });
}

#[test]
fn another_initializer_runs_if_the_first_one_unwinds() {
    model_of_two(|| {
        let start = Start::new();
        let other = Rc::clone(&start);
        let victim = spawn(move || unless_killed(|| other.once.call_once(|| die())).is_none());
        let mut poisoned = None;
        start.once.call_once_force(|state| {
            poisoned = Some(state.is_poisoned());
            start.run();
        });
        assert_eq!(start.runs.get(), 1);
        assert_eq!(poisoned, Some(victim.join()));
    });
}

#[test]
fn a_barrier_releases_all_waiters_together_with_one_leader() {
    model_of_two(|| {
        let barrier = Rc::new(Barrier::new(2));
        let came = Rc::new([Cell::new(false), Cell::new(false)]);
        let (theirs, coming) = (Rc::clone(&barrier), Rc::clone(&came));
        let other = spawn(move || {
            coming[1].set(true);
            let leads = theirs.wait().is_leader();
            assert!(coming[0].get());
            theirs.wait();
            coming[1].set(false);
            leads
        });
        came[0].set(true);
        let leads = barrier.wait().is_leader();
        assert!(came[1].get());
        // The barrier can be used again.
        barrier.wait();
        came[0].set(false);
        assert_ne!(leads, other.join());
    });
}
