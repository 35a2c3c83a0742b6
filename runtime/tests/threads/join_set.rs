//! Tests of waiting for several green threads at a time, and of the parent of a green thread.

use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::test::{explore_schedules, inject_faults, virtual_time};
use evy_runtime::{JoinSet, as_completed, sleep, spawn, thread, wait_all, yield_now};

/// Counts the green threads that have unwound: adds one when dropped.
struct Unwound(Rc<Cell<u32>>);

impl Drop for Unwound {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn wait_all_returns_results_in_the_order_of_the_handles() {
    virtual_time(|| {
        let handles = [3, 1, 2].map(|n| {
            spawn(move || {
                sleep(Duration::from_secs(n));
                assert!(n != 1, "one");
                n
            })
        });
        let results = wait_all(handles);
        assert_eq!(results.len(), 3);
        assert_eq!(*results[0].as_ref().unwrap(), 3);
        assert!(!results[1].as_ref().unwrap_err().is_killed());
        assert_eq!(*results[2].as_ref().unwrap(), 2);
    });
}

#[test]
fn as_completed_yields_results_in_the_order_of_completion() {
    virtual_time(|| {
        let handles = [3, 1, 2].map(|n| {
            spawn(move || {
                sleep(Duration::from_secs(n));
                n
            })
        });
        let mut ends = as_completed(handles);
        assert_eq!(ends.size_hint(), (3, Some(3)));
        let order: Vec<_> = ends.by_ref().map(|(at, n)| (at, n.unwrap())).collect();
        assert_eq!(order, [(1, 1), (2, 2), (0, 3)]);
        assert!(ends.next().is_none());
    });
}

#[test]
fn as_completed_yields_results_of_green_threads_that_have_already_finished() {
    virtual_time(|| {
        let done = spawn(|| 1);
        done.wait();
        let all: Vec<_> = as_completed([done, spawn(|| 2)])
            .map(|(_, n)| n.unwrap())
            .collect();
        assert_eq!(all, [1, 2]);
    });
}

#[test]
fn a_join_set_kills_its_members_when_dropped() {
    virtual_time(|| {
        let unwound = Rc::new(Cell::new(0));
        let members = JoinSet::new();
        for _ in 0..5 {
            let mark = Unwound(Rc::clone(&unwound));
            members.spawn(move || {
                let _mark = mark;
                thread::park();
            });
        }
        yield_now();
        assert_eq!((members.len(), unwound.get()), (5, 0));
        drop(members);
        assert_eq!(unwound.get(), 5);
    });
}

#[test]
fn a_join_set_that_is_dropped_by_unwinding_kills_its_members() {
    virtual_time(|| {
        let unwound = Rc::new(Cell::new(0));
        let mark = Unwound(Rc::clone(&unwound));
        let owner = spawn(move || {
            let members = JoinSet::new();
            members.spawn(move || {
                let _mark = mark;
                thread::park();
            });
            yield_now();
            assert!(members.is_empty(), "the set has a member");
        });
        assert!(owner.join().is_err());
        assert_eq!(unwound.get(), 1);
    });
}

#[test]
fn a_member_of_a_join_set_may_add_members() {
    explore_schedules(0..100, || {
        let members = Rc::new(JoinSet::new());
        let inner = Rc::clone(&members);
        members.spawn(move || {
            for n in 1..=3 {
                inner.spawn(move || n);
                yield_now();
            }
            0
        });
        let mut all: Vec<_> = members.wait_all().into_iter().map(Result::unwrap).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        assert!(members.join_next().is_none());
    });
}

#[test]
fn a_fault_in_join_next_loses_no_result() {
    let faults = inject_faults(|injector| {
        let members = Rc::new(JoinSet::new());
        for n in 1..=4 {
            members.spawn(move || {
                sleep(Duration::from_secs(n));
                n
            });
        }
        let taken = Rc::new(Cell::new(0));
        let (theirs, took) = (Rc::clone(&members), Rc::clone(&taken));
        let victim = injector.spawn(move || {
            while let Some(n) = theirs.join_next() {
                took.set(took.get() + n.unwrap());
            }
        });
        victim.join().ok();
        let rest: u64 = members.wait_all().into_iter().map(Result::unwrap).sum();
        assert_eq!(taken.get() + rest, 10);
    });
    assert!(faults >= 8, "{faults}");
}

#[test]
fn a_green_thread_knows_its_parent_and_where_it_was_spawned() {
    virtual_time(|| {
        let root = thread::current();
        assert_eq!(root.parent(), None);
        let line = Location::caller().line() + 1;
        let child = spawn(|| spawn(thread::current).join().unwrap().parent());
        assert_eq!(child.thread().parent(), Some(root.id()));
        assert_eq!(child.thread().spawned_at().line(), line);
        let own = child.thread().id();
        assert_eq!(child.join().unwrap(), Some(own));
        let quick = spawn(|| ());
        quick.wait();
        assert_eq!(quick.thread().parent(), Some(root.id()));
    });
}

#[test]
fn every_waiter_is_notified_when_a_join_set_is_empty() {
    explore_schedules(0..50, || {
        let members = Rc::new(JoinSet::new());
        for n in 1..=3 {
            members.spawn(move || sleep(Duration::from_secs(n)));
        }
        let takers = [(); 2].map(|()| {
            let members = Rc::clone(&members);
            spawn(move || members.wait_all().len())
        });
        let taken: usize = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
        assert_eq!(taken, 3);
    });
}

#[test]
fn a_member_that_drops_its_join_set_kills_every_member() {
    virtual_time(|| {
        let unwound = Rc::new(Cell::new(0));
        let members = Rc::new(JoinSet::new());
        let own = Rc::clone(&members);
        let mark = Unwound(Rc::clone(&unwound));
        members.spawn(move || {
            let _mark = mark;
            yield_now();
            drop(own);
            thread::park();
        });
        for _ in 0..3 {
            let mark = Unwound(Rc::clone(&unwound));
            members.spawn(move || {
                let _mark = mark;
                thread::park();
            });
        }
        drop(members);
        sleep(Duration::from_secs(1));
        assert_eq!(unwound.get(), 4);
    });
}
