//! Tests of `select!` with `biased;`: the arms are tried in the order in which they are written.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::sync::mpsc;
use evy_runtime::test::wait_all_parked;
use evy_runtime::{Event, Queue, Semaphore, interval, lowlevel, select, spawn, spawn_n};
use evy_test_support::in_any_order;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn the_first_arm_that_is_ready_is_chosen() {
    in_any_order(|| {
        let (never, first, second) = (
            Queue::<u8>::unbounded(),
            Queue::unbounded(),
            Queue::unbounded(),
        );
        for n in 0..50 {
            first.put(n);
            second.put(n);
        }
        let got: Vec<_> = (0..100)
            .map(|_| {
                select! {
                    biased;
                    get(&never) => unreachable!("nothing is put"),
                    get(&first) -> n => ("first", n),
                    get(&second) -> n => ("second", n),
                }
            })
            .collect();
        let expected = (0..50)
            .map(|n| ("first", n))
            .chain((0..50).map(|n| ("second", n)));
        assert!(got.into_iter().eq(expected));
    });
}

#[test]
fn a_timer_has_its_turn_where_it_is_written() {
    in_any_order(|| {
        let queue = Queue::unbounded();
        queue.put(1);
        let now = lowlevel::now();
        let ticks = interval(MINUTE);
        for _ in 0..20 {
            assert!(select! { biased; after(Duration::ZERO) => true, get(&queue) => false });
            assert!(select! { biased; at(now) => true, get(&queue) => false });
        }
        assert!(select! { biased; tick(&ticks) => true, get(&queue) => false });
        assert!(select! { biased; get(&queue) => true, after(Duration::ZERO) => false });
        assert_eq!(lowlevel::now(), now);
    });
}

#[test]
fn default_still_comes_last() {
    in_any_order(|| {
        let (first, second) = (Queue::unbounded(), Queue::unbounded());
        let take = || {
            select! {
                biased;
                get(&first) -> n => Some(n),
                get(&second) -> n => Some(n),
                default => None,
            }
        };
        assert_eq!(take(), None);
        second.put(2);
        first.put(1);
        assert_eq!((take(), take(), take()), (Some(1), Some(2), None));
    });
}

#[test]
fn an_arm_that_becomes_ready_later_is_chosen_whatever_its_position() {
    in_any_order(|| {
        let (queue, event, permits) = (
            Queue::<u8>::bounded(0),
            Event::<()>::new(),
            Semaphore::new(0),
        );
        let (sender, receiver) = mpsc::channel();
        let awaited = event.clone();
        let waiting = spawn(move || {
            let mut chosen = Vec::new();
            for _ in 0..3 {
                select! {
                    biased;
                    get(&queue) => chosen.push("get"),
                    recv(&receiver) -> message => chosen.push(message.unwrap()),
                    acquire(&permits) => chosen.push("acquire"),
                    wait(&awaited) => chosen.push("wait"),
                    after(MINUTE) => chosen.push("after"),
                }
            }
            chosen
        });
        wait_all_parked();
        event.send(()).unwrap();
        wait_all_parked();
        assert_eq!(waiting.join().unwrap(), ["wait"; 3]);
        sender.send("too late").unwrap_err();
    });
}

#[test]
fn a_biased_select_that_never_parks_lets_the_others_run() {
    in_any_order(|| {
        let stop = Rc::new(Cell::new(false));
        let stopper = Rc::clone(&stop);
        spawn_n(move || stopper.set(true));
        let queue = Queue::unbounded();
        queue.put(());
        while !stop.get() {
            select! {
                biased;
                get(&queue) => queue.put(()),
                after(MINUTE) => panic!("the queue has an item"),
            }
        }
    });
}

#[test]
fn the_arms_that_are_not_reached_lose_nothing() {
    in_any_order(|| {
        let (first, second) = (Queue::unbounded(), Queue::bounded(1));
        first.put(1);
        let item = Rc::new(());
        let chosen = select! {
            biased;
            get(&first) -> n => n,
            put(&second, Rc::clone(&item)) => 0,
        };
        assert_eq!(chosen, 1);
        assert_eq!((Rc::strong_count(&item), second.len()), (1, 0));
    });
}
