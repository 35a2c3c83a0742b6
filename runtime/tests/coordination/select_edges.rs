//! Tests of the cases in which `select!` is easily wrong:
//! - Two arms of one `select!` could match each other.
//! - One channel has several receivers.
//! - Arms have each form that the macro accepts.

use std::rc::Rc;
use std::time::Duration;

use evy_runtime::sync::mpsc;
use evy_runtime::test::{explore_schedules, inject_faults, virtual_time};
use evy_runtime::{Queue, select, sleep, spawn, spawn_n, timeout, yield_now};
use evy_test_support::within;

const MINUTE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

#[test]
fn a_select_does_not_receive_the_message_that_it_sends() {
    within(|| {
        let (sender, receiver) = mpsc::sync_channel(0);
        let late = select! {
            send(&sender, 1) -> _ => false,
            recv(&receiver) -> _ => false,
            after(Duration::from_millis(1)) => true,
        };
        assert!(late);
        let other = sender.clone();
        spawn_n(move || other.send(2).unwrap());
        let got = select! {
            recv(&receiver) -> got => got,
            send(&sender, 1) -> _ => unreachable!("no other green thread receives"),
        };
        assert_eq!(got, Ok(2));
    });
}

#[test]
fn a_select_does_not_get_the_item_that_it_puts() {
    virtual_time(|| {
        let queue = Queue::bounded(0);
        let late = select! {
            put(&queue, 1) => false,
            get(&queue) => false,
            after(MINUTE) => true,
        };
        assert!(late);
        let other = queue.clone();
        spawn_n(move || other.put(2));
        let got = select! { put(&queue, 1) => None, get(&queue) -> n => Some(n) };
        assert_eq!(got, Some(2));
    });
}

#[test]
fn two_arms_for_the_same_queue_get_each_item_once() {
    explore_schedules(0..50, || {
        let queue = Queue::bounded(1);
        let items = queue.clone();
        spawn_n(move || (0..10).for_each(|n| items.put(n)));
        for expected in 0..10 {
            let n = select! { get(&queue) -> n => n, get(&queue) -> n => n };
            assert_eq!(n, expected);
        }
        assert_eq!((queue.getting(), queue.len()), (0, 0));
    });
}

#[test]
fn selects_that_both_send_and_receive_exchange_messages_with_each_other() {
    explore_schedules(0..100, || {
        let (sender, receiver) = mpsc::sync_channel(0);
        let receiver = Rc::new(receiver);
        let peers: Vec<_> = (0..4)
            .map(|_| {
                let (sender, receiver) = (sender.clone(), Rc::clone(&receiver));
                spawn(move || {
                    let mut balance = 0;
                    for _ in 0..5 {
                        select! {
                            send(&sender, ()) -> sent => { sent.unwrap(); balance += 1 },
                            recv(&receiver) -> got => { got.unwrap(); balance -= 1 },
                            after(MINUTE) => {}
                        }
                        yield_now();
                    }
                    balance
                })
            })
            .collect();
        let sum: i32 = peers.into_iter().map(|peer| peer.join().unwrap()).sum();
        let left = receiver.try_iter().count();
        assert_eq!(usize::try_from(sum).unwrap(), left);
    });
}

#[test]
fn every_receiver_is_notified_when_all_senders_are_gone() {
    within(|| {
        let (sender, receiver) = mpsc::channel::<u32>();
        let receiver = Rc::new(receiver);
        let waiters: Vec<_> = (0..4)
            .map(|n| {
                let receiver = Rc::clone(&receiver);
                spawn(move || match n % 2 {
                    0 => receiver.recv(),
                    _ => select! { recv(&receiver) -> got => got },
                })
            })
            .collect();
        yield_now();
        drop(sender);
        for waiter in waiters {
            assert!(waiter.join().unwrap().is_err());
        }
    });
}

#[test]
fn a_receiver_killed_after_its_notification_leaves_the_message_to_the_next() {
    within(|| {
        for select_first in [false, true] {
            let (sender, receiver) = mpsc::channel();
            let receiver = Rc::new(receiver);
            let wait = |select: bool| {
                let receiver = Rc::clone(&receiver);
                spawn(move || match select {
                    true => select! { recv(&receiver) -> got => got },
                    false => receiver.recv(),
                })
            };
            let (first, second) = (wait(select_first), wait(!select_first));
            yield_now();
            sender.send(1).unwrap();
            first.kill();
            assert_eq!(second.join().unwrap(), Ok(1));
        }
    });
}

#[test]
fn a_fault_in_a_select_leaves_the_message_to_the_other_receiver() {
    let faults = inject_faults(|injector| {
        let (sender, receiver) = mpsc::sync_channel(0);
        let receiver = Rc::new(receiver);
        let taker = || {
            let receiver = Rc::clone(&receiver);
            move || {
                let mut sum = 0;
                while let Ok(n) = select! { recv(&receiver) -> n => n, recv(&receiver) -> n => n } {
                    sum += n;
                }
                sum
            }
        };
        let victim = injector.spawn(taker());
        let other = spawn(taker());
        spawn_n(move || (1..=4).for_each(|n| sender.send(n).unwrap()));
        let taken = victim.join();
        // Only the sum that the victim had at the fault is lost with it.
        let rest = other.join().unwrap();
        match taken {
            Ok(Ok(sum)) => assert_eq!(sum + rest, 10),
            _ => assert!((1..=10).contains(&rest), "{rest}"),
        }
    });
    assert!(faults >= 8, "{faults}");
}

#[test]
fn an_interrupt_while_the_other_arms_are_dropped_does_not_lose_the_chosen_item() {
    struct SlowToDrop;
    impl Drop for SlowToDrop {
        fn drop(&mut self) {
            sleep(MINUTE);
        }
    }
    virtual_time(|| {
        let (full, items) = (Queue::bounded(0), Queue::bounded(1));
        items.put(7);
        let outcome = timeout(SHORT, || {
            select! {
                put(&full, SlowToDrop) => None,
                get(&items) -> item => Some(item),
            }
        });
        assert_eq!(outcome, Ok(Some(7)));
    });
}
