//! What is run once, and the barrier: those who meet see what the others did.

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
fn it_runs_once_and_everybody_sees_it_done() {
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
fn who_waits_for_it_sees_it_done() {
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
fn where_it_unwinds_another_is_let_in() {
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
fn a_barrier_lets_all_go_on_together_and_one_leads() {
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
        // And again: it is as good as new.
        barrier.wait();
        came[0].set(false);
        assert_ne!(leads, other.join());
    });
}
