//! Tests of `PriorityQueue` with an order that panics, parks or uses the queue again: no item is
//! lost, and no other user of the queue is affected.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::test::{virtual_time, wait_all_parked};
use evy_runtime::{PriorityQueue, select, sleep, spawn, timeout};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

/// What the comparisons do. Each removes the last entry, and does what it says.
#[derive(Clone, Default)]
struct Script(Rc<RefCell<Vec<Step>>>);

#[derive(Clone, Copy)]
enum Step {
    Compare,
    Panic,
    Park(Duration),
}

impl Script {
    /// Lets `before` comparisons succeed, and does `step` in the next one.
    fn after(&self, before: usize, step: Step) {
        let mut steps = vec![step];
        steps.resize(before + 1, Step::Compare);
        self.0.replace(steps);
    }

    fn next(&self) -> Step {
        self.0.borrow_mut().pop().unwrap_or(Step::Compare)
    }

    /// Whether the step that was set last has been done.
    fn is_done(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

struct Scripted(u32, Script);

impl Ord for Scripted {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.1.next() {
            Step::Compare => {}
            Step::Panic => resume_unwind(Box::new("the comparison panics")),
            Step::Park(duration) => sleep(duration),
        }
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Scripted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scripted {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scripted {}

fn drain(queue: &PriorityQueue<Scripted>) -> Vec<u32> {
    std::iter::from_fn(|| queue.try_get())
        .map(|item| item.0)
        .collect()
}

const ITEMS: [u32; 7] = [4, 1, 6, 0, 3, 5, 2];

fn filled(script: &Script) -> PriorityQueue<Scripted> {
    let queue = PriorityQueue::unbounded();
    for number in ITEMS {
        queue.put(Scripted(number, script.clone()));
    }
    queue
}

#[test]
fn a_comparison_that_panics_loses_no_item_wherever_it_happens() {
    virtual_time(|| {
        let script = Script::default();
        let mut panics = 0;
        for before in 0.. {
            let queue = filled(&script);
            script.after(before, Step::Panic);
            let mut taken = Vec::new();
            let all = catch_unwind(AssertUnwindSafe(|| {
                while let Some(item) = queue.try_get() {
                    taken.push(item.0);
                }
            }));
            assert_eq!(queue.len(), ITEMS.len() - taken.len());
            if all.is_ok() {
                break;
            }
            panics += 1;
            taken.extend(drain(&queue));
            assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6], "after {before} comparisons");
        }
        assert!(panics > ITEMS.len(), "{panics} comparisons were tried");
    });
}

#[test]
fn a_put_never_fails_because_of_the_order() {
    virtual_time(|| {
        let script = Script::default();
        let queue = PriorityQueue::bounded(1);
        queue.put(Scripted(2, script.clone()));
        let (other, item) = (queue.clone(), Scripted(1, script.clone()));
        let putter = spawn(move || other.put(item));
        wait_all_parked();
        script.after(0, Step::Panic);
        assert_eq!(queue.get().0, 2, "one item needs no comparison");
        putter.join().unwrap();
        queue.resize(None);
        queue.put(Scripted(0, script.clone()));
        let getter = catch_unwind(AssertUnwindSafe(|| queue.get().0));
        assert!(getter.is_err() && script.is_done());
        assert_eq!((queue.len(), drain(&queue)), (2, vec![0, 1]));
    });
}

#[test]
fn a_putter_for_which_a_get_would_have_made_room_is_not_held_back_by_its_panic() {
    virtual_time(|| {
        let script = Script::default();
        let queue = PriorityQueue::bounded(2);
        for number in [2, 1] {
            queue.put(Scripted(number, script.clone()));
        }
        let (other, item) = (queue.clone(), Scripted(3, script.clone()));
        let putter = spawn(move || other.put(item));
        wait_all_parked();
        script.after(0, Step::Panic);
        assert!(catch_unwind(AssertUnwindSafe(|| queue.get().0)).is_err());
        putter.join().unwrap();
        assert_eq!((queue.len(), queue.unfinished()), (3, 3));
        assert_eq!(drain(&queue), [1, 2, 3]);
    });
}

#[test]
fn while_a_comparison_parks_others_put_at_once_and_get_when_it_has_finished() {
    virtual_time(|| {
        let script = Script::default();
        for before in 0..8 {
            let queue = filled(&script);
            script.after(before, Step::Park(SHORT));
            let getter = || {
                let queue = queue.clone();
                spawn(move || queue.get().0)
            };
            let (first, second) = (getter(), getter());
            wait_all_parked();
            assert!(!first.is_finished() && !second.is_finished());
            assert!(queue.try_get().is_none(), "items are being compared");
            assert_eq!(
                timeout(SHORT / 2, || queue.get_timeout(SHORT / 4).is_none()),
                Ok(true)
            );
            queue.put(Scripted(7, script.clone()));
            assert_eq!(queue.len(), ITEMS.len());
            assert_eq!(first.join().unwrap(), 0);
            assert_eq!(second.join().unwrap(), 1);
            assert_eq!(drain(&queue), [2, 3, 4, 5, 6, 7]);
        }
    });
}

#[test]
fn a_getter_that_is_killed_or_times_out_in_a_comparison_takes_nothing_and_wakes_the_next() {
    virtual_time(|| {
        let script = Script::default();
        for kill in [true, false] {
            let queue = filled(&script);
            script.after(3, Step::Park(LONG));
            let other = queue.clone();
            let interrupted = spawn(move || timeout(SHORT, || other.get().0).ok());
            wait_all_parked();
            let other = queue.clone();
            let next = spawn(move || select! { get(&other) -> item => item.0 });
            wait_all_parked();
            if kill {
                interrupted.kill();
            }
            assert_eq!(next.join().unwrap(), 0);
            assert!(interrupted.join().ok().flatten().is_none());
            assert_eq!(drain(&queue), [1, 2, 3, 4, 5, 6]);
        }
    });
}

#[test]
fn a_getter_that_was_woken_to_try_again_and_is_killed_wakes_the_next() {
    virtual_time(|| {
        let script = Script::default();
        let queue = filled(&script);
        script.after(0, Step::Park(SHORT));
        let getter = || {
            let queue = queue.clone();
            spawn(move || queue.get().0)
        };
        let first = getter();
        wait_all_parked();
        let (killed, last) = (getter(), getter());
        wait_all_parked();
        // Runs when `first` has woken the next getter, and before that one runs.
        first.on_exit(move || killed.kill());
        assert_eq!(first.join().unwrap(), 0);
        assert_eq!(last.join().unwrap(), 1);
    });
}

#[test]
fn a_comparison_may_use_the_queue() {
    struct Nosy(u32, PriorityQueue<Self>);
    impl Ord for Nosy {
        fn cmp(&self, other: &Self) -> Ordering {
            let queue = &self.1;
            if queue.len() < 8 {
                queue.put(Self(100, queue.clone()));
            }
            assert!(queue.try_get().is_none());
            self.0.cmp(&other.0)
        }
    }
    impl PartialOrd for Nosy {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl PartialEq for Nosy {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other) == Ordering::Equal
        }
    }
    impl Eq for Nosy {}
    virtual_time(|| {
        let queue = PriorityQueue::unbounded();
        for number in [3, 1, 2] {
            queue.put(Nosy(number, queue.clone()));
        }
        let numbers: Vec<_> = (0..3).map(|_| queue.get().0).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert!(queue.len() >= 7);
    });
}

#[test]
fn an_order_that_contradicts_itself_loses_no_item() {
    #[derive(PartialEq, Eq)]
    struct Erratic(u32);
    impl Ord for Erratic {
        fn cmp(&self, other: &Self) -> Ordering {
            match (self.0 * 7 + other.0 * 13) % 3 {
                0 => Ordering::Less,
                1 => Ordering::Equal,
                _ => Ordering::Greater,
            }
        }
    }
    impl PartialOrd for Erratic {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    virtual_time(|| {
        let queue = PriorityQueue::unbounded();
        (0..100).for_each(|number| queue.put(Erratic(number)));
        let mut all: Vec<_> = std::iter::from_fn(|| queue.try_get())
            .map(|item| item.0)
            .collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..100));
    });
}

#[test]
fn items_come_in_order_however_puts_and_gets_alternate() {
    virtual_time(|| {
        let queue = PriorityQueue::unbounded();
        let mut rng = 1u32;
        let mut model = Vec::new();
        for round in 0..2000 {
            rng = rng.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if rng >> 30 == 0 {
                model.sort_unstable();
                let expected = (!model.is_empty()).then(|| model.remove(0));
                assert_eq!(queue.try_get(), expected);
            } else {
                let item = ((rng >> 8) % 50, round);
                queue.put(item);
                model.push(item);
            }
        }
        model.sort_unstable();
        assert!(std::iter::from_fn(|| queue.try_get()).eq(model));
    });
}
