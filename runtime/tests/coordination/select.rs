//! Tests of `select!`: it completes one ready arm, and loses nothing of the other arms.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::io::Green;
use evy_runtime::sync::mpsc;
use evy_runtime::test::{explore_schedules, inject_faults, virtual_time, wait_all_parked};
use evy_runtime::{
    Event, LifoQueue, PriorityQueue, Queue, Semaphore, lowlevel, select, sleep, spawn, spawn_n,
    timeout, yield_now,
};
use evy_test_support::within;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn each_kind_of_arm_can_be_the_first() {
    virtual_time(|| {
        let queue = Queue::unbounded();
        let stack = LifoQueue::bounded(0);
        let ranked = PriorityQueue::bounded(1);
        ranked.put(0);
        let (sender, receiver) = mpsc::channel();
        let (room, full) = mpsc::sync_channel(1);
        room.send(0).unwrap();
        let event = Event::new();
        let permits = Semaphore::new(0);
        let end = Event::new();
        let awaited = end.clone();
        let handle = spawn(move || awaited.wait().unwrap());
        let triggers: [Box<dyn FnOnce()>; 8] = [
            Box::new({
                let queue = queue.clone();
                move || queue.put(0)
            }),
            Box::new(move || {
                sender.send(1).unwrap();
                std::mem::forget(sender);
            }),
            Box::new({
                let event = event.clone();
                move || event.send(2).unwrap()
            }),
            Box::new({
                let permits = permits.clone();
                move || permits.release()
            }),
            Box::new({
                let ranked = ranked.clone();
                move || assert_eq!(ranked.get(), 0)
            }),
            Box::new({
                let stack = stack.clone();
                move || stack.put(5)
            }),
            Box::new(move || {
                assert_eq!(full.recv(), Ok(0));
                std::mem::forget(full);
            }),
            Box::new(move || end.send(7).unwrap()),
        ];
        for (n, trigger) in triggers.into_iter().enumerate() {
            spawn_n(move || {
                sleep(Duration::from_secs(1));
                trigger();
            });
            let start = lowlevel::now();
            let which = select! {
                get(&queue) -> item => item,
                recv(&receiver) -> message => message.unwrap(),
                wait(&event) -> value => {
                    event.reset().unwrap();
                    value.unwrap()
                }
                acquire(&permits) -> permit => { std::mem::forget(permit); 3 }
                put(&ranked, 1) => 4,
                get(&stack) -> item => item,
                send(&room, 9) -> sent => { sent.unwrap(); 6 },
                join(&handle) -> result => result.unwrap(),
                after(MINUTE) => 100,
            };
            assert_eq!(which, n);
            assert_eq!(lowlevel::now() - start, Duration::from_secs(1));
        }
    });
}

#[test]
fn default_runs_if_no_arm_is_ready() {
    virtual_time(|| {
        let queue = Queue::bounded(1);
        let try_get = || select! { get(&queue) -> item => Some(item), default => None };
        assert_eq!(try_get(), None);
        queue.put(5);
        assert_eq!(try_get(), Some(5));
        assert_eq!(try_get(), None);
    });
}

#[test]
fn a_timer_is_considered_only_if_no_other_arm_is_ready() {
    virtual_time(|| {
        let queue = Queue::unbounded();
        for n in 0..100 {
            queue.put(n);
            let which = select! {
                after(Duration::ZERO) => None,
                get(&queue) -> item => Some(item),
            };
            assert_eq!(which, Some(n));
        }
        let which = select! { after(MINUTE) => "later", after(Duration::ZERO) => "now" };
        assert_eq!(which, "now");
        let start = lowlevel::now();
        select! {
            get(&queue) -> _ => unreachable!(),
            at(start + MINUTE) => {}
        }
        assert_eq!(lowlevel::now() - start, MINUTE);
    });
}

#[test]
fn ready_arms_are_chosen_at_random_with_equal_probability() {
    virtual_time(|| {
        let queues = [Queue::unbounded(), Queue::unbounded(), Queue::unbounded()];
        let mut counts = [0u32; 3];
        for _ in 0..3000 {
            for queue in &queues {
                if queue.is_empty() {
                    queue.put(());
                }
            }
            let which = select! {
                get(&queues[0]) => 0,
                get(&queues[1]) => 1,
                get(&queues[2]) => 2,
            };
            counts[which] += 1;
        }
        // Each arm is expected to be chosen 1000 times; five standard deviations are 129.
        assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
    });
}

#[test]
fn two_selects_exchange_items_through_queues_of_capacity_zero() {
    explore_schedules(0..100, || {
        let (a, b) = (Queue::bounded(0), Queue::bounded(0));
        let (to_a, to_b) = (a.clone(), b.clone());
        let (from_a, from_b) = (a.clone(), b.clone());
        let sender = spawn(move || {
            let (mut in_a, mut in_b) = (0, 0);
            for n in 0..50 {
                select! {
                    put(&to_a, n) => in_a += 1,
                    put(&to_b, n) => in_b += 1,
                }
            }
            (in_a, in_b)
        });
        let receiver = spawn(move || {
            let (mut out_of_a, mut out_of_b) = (0, 0);
            for expected in 0..50 {
                let n = select! {
                    get(&from_a) -> n => { out_of_a += 1; n }
                    get(&from_b) -> n => { out_of_b += 1; n }
                };
                assert_eq!(n, expected);
            }
            (out_of_a, out_of_b)
        });
        assert_eq!(sender.join().unwrap(), receiver.join().unwrap());
        assert_eq!(a.putting() + b.putting() + a.getting() + b.getting(), 0);
    });
}

#[test]
fn two_selects_exchange_messages_through_channels_of_capacity_zero() {
    explore_schedules(0..100, || {
        let ((to_a, a), (to_b, b)) = (mpsc::sync_channel(0), mpsc::sync_channel(0));
        let sender = spawn(move || {
            for n in 0..50 {
                select! {
                    send(&to_a, n) -> sent => sent.unwrap(),
                    send(&to_b, n) -> sent => sent.unwrap(),
                }
            }
        });
        for expected in 0..50 {
            let n = select! {
                recv(&a) -> n => n.unwrap(),
                recv(&b) -> n => n.unwrap(),
            };
            assert_eq!(n, expected);
        }
        sender.join().unwrap();
    });
}

#[test]
fn each_item_reaches_one_of_several_selects() {
    explore_schedules(0..100, || {
        let (a, b) = (Queue::bounded(1), Queue::unbounded());
        let sum = Rc::new(Cell::new(0));
        let getters: Vec<_> = (0..4)
            .map(|_| {
                let (a, b, sum) = (a.clone(), b.clone(), Rc::clone(&sum));
                spawn(move || {
                    for _ in 0..10 {
                        let n = select! { get(&a) -> n => n, get(&b) -> n => n };
                        sum.set(sum.get() + n);
                    }
                })
            })
            .collect();
        for n in 0..20 {
            a.put(n);
            b.put(100 * n);
        }
        for getter in getters {
            getter.join().unwrap();
        }
        assert_eq!(sum.get(), 190 * 101);
        assert!(a.is_empty() && b.is_empty());
    });
}

#[test]
fn the_body_of_an_arm_may_continue_or_break_a_loop_and_return() {
    fn first(queue: &Queue<u32>) -> Option<u32> {
        loop {
            select! {
                get(queue) -> n => {
                    if n == 0 {
                        continue;
                    }
                    return Some(n);
                }
                after(MINUTE) => break,
            }
        }
        None
    }
    virtual_time(|| {
        let queue = Queue::unbounded();
        queue.put(0);
        queue.put(7);
        assert_eq!(first(&queue), Some(7));
        assert_eq!(first(&queue), None);
    });
}

#[test]
fn a_receiving_arm_is_ready_when_all_senders_are_gone() {
    virtual_time(|| {
        let (sender, receiver) = mpsc::channel::<u32>();
        spawn_n(move || {
            sleep(MINUTE);
            drop(sender);
        });
        let message = select! {
            recv(&receiver) -> message => message,
            after(2 * MINUTE) => panic!("the receiver was not notified that the sender is gone"),
        };
        assert!(message.is_err());
    });
}

#[test]
fn a_readable_arm_is_ready_when_its_descriptor_has_data() {
    within(|| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reader = Green::new(reader).unwrap();
        let queue = Queue::<()>::unbounded();
        let before = select! { readable(&reader) -> _ => true, default => false };
        assert!(!before);
        spawn_n(move || {
            sleep(Duration::from_millis(5));
            writer.write_all(b"x").unwrap();
            std::mem::forget(writer);
        });
        select! {
            get(&queue) => unreachable!(),
            readable(&reader) -> ready => ready.unwrap(),
            after(MINUTE) => panic!("the data was not noticed"),
        }
        select! {
            readable(&reader) -> ready => ready.unwrap(),
            default => panic!("the data is still there"),
        }
    });
}

#[test]
fn a_select_receives_messages_from_other_os_threads() {
    within(|| {
        let ((one, first), (two, second)) = (mpsc::channel(), mpsc::sync_channel(0));
        let threads = [
            std::thread::spawn(move || (0..5000).for_each(|n| one.send(n).unwrap())),
            std::thread::spawn(move || (0..5000).for_each(|n| two.send(n).unwrap())),
        ];
        let (mut from_first, mut from_second) = (0, 0);
        while from_first + from_second < 10_000 {
            select! {
                recv(&first) -> n => if let Ok(n) = n {
                    assert_eq!(n, from_first);
                    from_first += 1;
                },
                recv(&second) -> n => if let Ok(n) = n {
                    assert_eq!(n, from_second);
                    from_second += 1;
                },
            }
        }
        assert_eq!((from_first, from_second), (5000, 5000));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_timeout_around_a_select_leaves_no_waiter_behind() {
    virtual_time(|| {
        let (queue, permits) = (Queue::<u32>::bounded(0), Semaphore::new(0));
        let late = timeout(MINUTE, || {
            select! { get(&queue) -> _ => (), acquire(&permits) -> _permit => () }
        });
        assert!(late.is_err());
        assert_eq!((queue.getting(), permits.balance()), (0, 0));
    });
}

#[test]
fn a_fault_in_a_select_loses_nothing() {
    let faults = inject_faults(|injector| {
        let (a, b) = (Queue::bounded(0), Queue::bounded(1));
        let permits = Semaphore::new(0);
        let (sender, receiver) = mpsc::sync_channel(1);
        let got = Rc::new(Cell::new(0));
        let (va, vb, vp, vg) = (a.clone(), b.clone(), permits.clone(), Rc::clone(&got));
        let (victim_sender, back) = mpsc::sync_channel(0);
        let victim = injector.spawn(move || {
            let mut returned = 0;
            while returned < 4 {
                select! {
                    get(&va) -> n => { returned += 1; vg.set(vg.get() + n) }
                    get(&vb) -> n => { returned += 1; vg.set(vg.get() + n) }
                    acquire(&vp) -> _permit => yield_now(),
                    recv(&receiver) -> n => { returned += 1; vg.set(vg.get() + n.unwrap()) }
                    send(&victim_sender, 1) -> _sent => (),
                }
            }
            drop(receiver);
        });
        let (pa, pb, pp) = (a.clone(), b.clone(), permits.clone());
        let putter = spawn(move || {
            pb.put(1);
            pp.release();
            let in_a = pa.put_timeout(10, MINUTE).is_ok();
            let in_c = sender.send(100).is_ok();
            let last = pa.put_timeout(1000, MINUTE).is_ok();
            (in_a, in_c, last)
        });
        victim.join().ok();
        wait_all_parked();
        drop(back);
        let mut left = 0;
        while let Some(n) = a.try_get().or_else(|| b.try_get()) {
            left += n;
        }
        let (in_a, in_c, last) = putter.join().unwrap();
        while let Some(n) = a.try_get() {
            left += n;
        }
        let put = 1 + u32::from(in_a) * 10 + u32::from(last) * 1000;
        // A message that was not received is dropped with its receiver.
        let total = got.get() + left;
        assert!(
            total == put || in_c && total == put + 100,
            "{total} of {put}"
        );
        assert_eq!(permits.balance(), 1);
        assert_eq!((a.getting(), b.getting(), a.putting()), (0, 0, 0));
    });
    assert!(faults >= 8, "{faults}");
}
