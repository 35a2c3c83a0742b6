//! Several green threads at a time, and who is whose child.

use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::test::{explore_schedules, inject_faults, virtual_time};
use evy_runtime::{JoinSet, as_completed, sleep, spawn, thread, wait_all, yield_now};

/// Counts those who have ended by unwinding.
struct Unwound(Rc<Cell<u32>>);

impl Drop for Unwound {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn wait_all_gives_results_in_the_order_of_the_handles() {
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
fn as_completed_gives_results_in_the_order_of_their_ends() {
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
fn as_completed_takes_what_had_ended_before() {
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
fn a_group_kills_its_members_when_dropped() {
    virtual_time(|| {
        let unwound = Rc::new(Cell::new(0));
        let group = JoinSet::new();
        for _ in 0..5 {
            let mark = Unwound(Rc::clone(&unwound));
            group.spawn(move || {
                let _mark = mark;
                thread::park();
            });
        }
        yield_now();
        assert_eq!((group.len(), unwound.get()), (5, 0));
        drop(group);
        assert_eq!(unwound.get(), 5);
    });
}

#[test]
fn a_group_that_unwinds_with_its_owner_kills_its_members() {
    virtual_time(|| {
        let unwound = Rc::new(Cell::new(0));
        let mark = Unwound(Rc::clone(&unwound));
        let owner = spawn(move || {
            let group = JoinSet::new();
            group.spawn(move || {
                let _mark = mark;
                thread::park();
            });
            yield_now();
            assert!(group.is_empty(), "it is not");
        });
        assert!(owner.join().is_err());
        assert_eq!(unwound.get(), 1);
    });
}

#[test]
fn members_of_a_group_may_add_members() {
    explore_schedules(0..100, || {
        let group = Rc::new(JoinSet::new());
        let inner = Rc::clone(&group);
        group.spawn(move || {
            for n in 1..=3 {
                inner.spawn(move || n);
                yield_now();
            }
            0
        });
        let mut all: Vec<_> = group.wait_all().into_iter().map(Result::unwrap).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        assert!(group.join_next().is_none());
    });
}

#[test]
fn whoever_waits_for_a_group_and_is_struck_takes_no_result_along() {
    let struck = inject_faults(|injector| {
        let group = Rc::new(JoinSet::new());
        for n in 1..=4 {
            group.spawn(move || {
                sleep(Duration::from_secs(n));
                n
            });
        }
        let taken = Rc::new(Cell::new(0));
        let (theirs, took) = (Rc::clone(&group), Rc::clone(&taken));
        let victim = injector.spawn(move || {
            while let Some(n) = theirs.join_next() {
                took.set(took.get() + n.unwrap());
            }
        });
        victim.join().ok();
        let rest: u64 = group.wait_all().into_iter().map(Result::unwrap).sum();
        assert_eq!(taken.get() + rest, 10);
    });
    assert!(struck >= 8, "{struck}");
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
fn all_who_take_from_a_group_hear_that_it_is_empty() {
    explore_schedules(0..50, || {
        let group = Rc::new(JoinSet::new());
        for n in 1..=3 {
            group.spawn(move || sleep(Duration::from_secs(n)));
        }
        let takers = [(); 2].map(|()| {
            let group = Rc::clone(&group);
            spawn(move || group.wait_all().len())
        });
        let taken: usize = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
        assert_eq!(taken, 3);
    });
}

#[test]
fn a_member_that_drops_its_group_takes_all_others_along() {
    virtual_time(|| {
        let unwound = Rc::new(Cell::new(0));
        let group = Rc::new(JoinSet::new());
        let own = Rc::clone(&group);
        let mark = Unwound(Rc::clone(&unwound));
        group.spawn(move || {
            let _mark = mark;
            yield_now();
            drop(own);
            thread::park();
        });
        for _ in 0..3 {
            let mark = Unwound(Rc::clone(&unwound));
            group.spawn(move || {
                let _mark = mark;
                thread::park();
            });
        }
        drop(group);
        sleep(Duration::from_secs(1));
        assert_eq!(unwound.get(), 4);
    });
}
