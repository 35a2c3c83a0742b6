//! Tests of `Queue::close`: putters get their item back, getters take what is left and then end,
//! and no item is lost or received twice, whatever happens at the same time.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::lowlevel::now;
use evy_runtime::test::{inject_faults, virtual_time, wait_all_parked};
use evy_runtime::thread::{JoinHandle, panicking};
use evy_runtime::{
    Closed, Event, Full, LifoQueue, PriorityQueue, Queue, QueueIter, select, sleep, spawn, spawn_n,
    timeout, yield_now,
};
use evy_test_support::{Item, ItemTracker, Log, in_any_order, within};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

fn receiver<T: 'static>(queue: &Queue<T>) -> JoinHandle<Option<T>> {
    let queue = queue.clone();
    spawn(move || queue.recv())
}

fn sender<T: 'static>(queue: &Queue<T>, item: T) -> JoinHandle<Result<(), Closed<T>>> {
    let queue = queue.clone();
    spawn(move || queue.send(item))
}

/// Returns the message of the panic of `f`.
fn panic_of<R>(f: impl FnOnce() -> R) -> &'static str {
    let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
    payload
        .downcast_ref::<&str>()
        .copied()
        .expect("it has a message")
}

#[test]
fn a_closed_queue_gives_what_it_has_and_then_ends() {
    in_any_order(|| {
        let queue = Queue::bounded(2);
        queue.put(1);
        queue.put(2);
        queue.close();
        assert!(queue.is_closed() && queue.is_full());
        assert_eq!((queue.recv(), queue.len()), (Some(1), 1));
        assert_eq!(queue.get(), 2);
        assert_eq!((queue.recv(), queue.recv()), (None, None));
        assert_eq!(queue.try_get(), None);
        assert_eq!(queue.get_timeout(LONG), None);
        assert_eq!(panic_of(|| queue.get()), "the queue is closed");
    });
}

#[test]
fn each_kind_of_queue_drains_in_its_order() {
    in_any_order(|| {
        let (fifo, lifo) = (Queue::unbounded(), LifoQueue::unbounded());
        let ranked = PriorityQueue::unbounded();
        for n in [2, 1, 3] {
            fifo.put(n);
            lifo.put(n);
            ranked.put(n);
        }
        fifo.close();
        lifo.close();
        ranked.close();
        assert_eq!(fifo.iter().collect::<Vec<_>>(), [2, 1, 3]);
        assert_eq!(lifo.iter().collect::<Vec<_>>(), [3, 1, 2]);
        assert_eq!(ranked.iter().collect::<Vec<_>>(), [1, 2, 3]);
    });
}

#[test]
fn a_closed_queue_returns_every_item_that_is_put() {
    in_any_order(|| {
        for queue in [Queue::bounded(0), Queue::bounded(5), Queue::unbounded()] {
            queue.close();
            assert_eq!(queue.send(1), Err(Closed(1)));
            assert_eq!(queue.try_put(2), Err(Full(2)));
            let start = now();
            assert_eq!(queue.put_timeout(3, LONG), Err(Full(3)));
            assert_eq!(now(), start, "it does not wait for room");
            assert_eq!(panic_of(|| queue.put(4)), "the queue is closed");
            assert_eq!((queue.len(), queue.unfinished()), (0, 0));
        }
    });
}

#[test]
fn closing_ends_the_getters_that_are_parked() {
    in_any_order(|| {
        let queue = Queue::<u8>::bounded(0);
        let ended = [receiver(&queue), receiver(&queue)];
        let (panicking, waiting) = (queue.clone(), queue.clone());
        let panicking = spawn(move || panic_of(|| panicking.get()));
        let waiting = spawn(move || waiting.get_timeout(LONG));
        wait_all_parked();
        assert_eq!(queue.getting(), 4);
        let start = now();
        queue.close();
        assert_eq!(queue.getting(), 0);
        assert_eq!(ended.map(|ended| ended.join().unwrap()), [None, None]);
        assert_eq!(panicking.join().unwrap(), "the queue is closed");
        assert_eq!(waiting.join().unwrap(), None);
        assert_eq!(now(), start);
    });
}

#[test]
fn closing_gives_the_items_of_parked_putters_back() {
    in_any_order(|| {
        for capacity in [0, 1] {
            let queue = Queue::bounded(capacity);
            (0..capacity).for_each(|_| queue.put("in"));
            let back = sender(&queue, "send");
            let (panicking, waiting) = (queue.clone(), queue.clone());
            let panicking = spawn(move || panic_of(|| panicking.put("put")));
            let waiting = spawn(move || waiting.put_timeout("put", LONG));
            wait_all_parked();
            assert_eq!(queue.putting(), 3);
            queue.close();
            assert_eq!((queue.putting(), queue.len()), (0, capacity));
            assert_eq!(back.join().unwrap(), Err(Closed("send")));
            assert_eq!(panicking.join().unwrap(), "the queue is closed");
            assert_eq!(waiting.join().unwrap(), Err(Full("put")));
            assert_eq!(queue.iter().count(), capacity);
        }
    });
}

#[test]
fn closing_again_and_resizing_change_nothing() {
    in_any_order(|| {
        let queue = Queue::bounded(1);
        queue.put(1);
        let back = sender(&queue, 2);
        wait_all_parked();
        queue.close();
        queue.close();
        queue.resize(10);
        queue.resize(None);
        assert_eq!(back.join().unwrap(), Err(Closed(2)));
        assert_eq!(queue.send(3), Err(Closed(3)));
        assert_eq!((queue.recv(), queue.recv()), (Some(1), None));
    });
}

#[test]
fn join_on_a_closed_queue_still_waits_until_every_item_is_done() {
    in_any_order(|| {
        let queue = Queue::bounded(1);
        queue.put(());
        let back = sender(&queue, ());
        let joined = queue.clone();
        let joiner = spawn(move || joined.join());
        wait_all_parked();
        queue.close();
        back.join().unwrap().unwrap_err();
        queue.recv().unwrap();
        wait_all_parked();
        assert!(!joiner.is_finished());
        assert_eq!(queue.unfinished(), 1, "what came back does not count");
        queue.task_done();
        joiner.join().unwrap();
    });
}

#[test]
fn iterating_a_queue_ends_when_it_is_closed() {
    in_any_order(|| {
        let queue = Queue::bounded(1);
        let borrowed = queue.clone();
        let borrowed = spawn(move || {
            let mut count = 0;
            for _ in &borrowed {
                count += 1;
            }
            count
        });
        let owned: QueueIter<Queue<_>> = queue.clone().into_iter();
        let owned = spawn(move || owned.count());
        for n in 0..10 {
            queue.put(n);
            yield_now();
        }
        queue.close();
        assert_eq!(borrowed.join().unwrap() + owned.join().unwrap(), 10);
    });
}

#[test]
fn an_item_handed_to_a_getter_that_is_killed_goes_to_a_getter_that_close_has_woken() {
    virtual_time(|| {
        for by_kill in [true, false] {
            let get: [fn(&Queue<_>) -> _; 2] = [Queue::recv, |queue| queue.get_timeout(LONG)];
            for get in get {
                let queue = Queue::unbounded();
                let victim = receiver(&queue);
                let own = queue.clone();
                let other = spawn(move || get(&own));
                wait_all_parked();
                queue.put("item");
                queue.close();
                match by_kill {
                    true => victim.kill(),
                    false => assert_eq!(victim.join().unwrap(), Some("item")),
                }
                assert_eq!(other.join().unwrap(), by_kill.then_some("item"));
            }
        }
    });
}

#[test]
fn a_getter_that_close_has_woken_and_that_is_killed_takes_nothing() {
    virtual_time(|| {
        let queue = Queue::unbounded();
        let handed = receiver(&queue);
        let woken = receiver(&queue);
        let last = receiver(&queue);
        wait_all_parked();
        queue.put("item");
        queue.close();
        handed.kill();
        woken.kill();
        assert_eq!(last.join().unwrap(), Some("item"));
    });
}

#[test]
fn an_exchange_without_room_happens_or_gives_the_item_back() {
    in_any_order(|| {
        let (queue, tracker) = (Queue::bounded(0), ItemTracker::default());
        let putters: Vec<_> = (0..4)
            .map(|_| {
                let (queue, tracker) = (queue.clone(), tracker.clone());
                spawn(move || {
                    while tracker
                        .track_put(|item| queue.send(item).map_err(|Closed(item)| Full(item)))
                    {
                        yield_now();
                    }
                })
            })
            .collect();
        let getters: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                spawn(move || queue.iter().map(Item::take).count())
            })
            .collect();
        (0..20).for_each(|_| yield_now());
        queue.close();
        putters.into_iter().for_each(|it| it.join().unwrap());
        let received = getters.into_iter().map(|it| it.join().unwrap()).sum();
        let (got, back) = tracker.check_all_accounted();
        assert_eq!((got, back), (received, 4));
    });
}

#[test]
fn a_fault_in_a_getter_or_a_putter_loses_no_item_of_a_queue_that_is_closed() {
    for capacity in [Some(0), Some(1), None] {
        for victim_gets in [true, false] {
            let faults = inject_faults(|injector| {
                let queue = capacity.map_or_else(Queue::unbounded, Queue::bounded);
                let tracker = ItemTracker::default();
                let put_all = |queue: &Queue<Item>| {
                    let (queue, tracker) = (queue.clone(), tracker.clone());
                    move || {
                        let send = |item| queue.send(item).map_err(|Closed(item)| Full(item));
                        while tracker.track_put(send) {
                            yield_now();
                        }
                    }
                };
                let get_all = |queue: &Queue<Item>| {
                    let queue = queue.clone();
                    move || {
                        for item in queue {
                            item.take();
                            yield_now();
                        }
                    }
                };
                let victim = match victim_gets {
                    true => injector.spawn(get_all(&queue)),
                    false => injector.spawn(put_all(&queue)),
                };
                let putter = spawn(put_all(&queue));
                let getter = spawn(get_all(&queue));
                let closing = queue.clone();
                spawn_n(move || {
                    (0..6).for_each(|_| yield_now());
                    closing.close();
                });
                victim.join().ok();
                putter.join().unwrap();
                getter.join().unwrap();
                // An item may be put back after the other getter has ended.
                queue.iter().for_each(Item::take);
                let (got, back) = tracker.check_all_accounted();
                assert_eq!(queue.unfinished(), got);
                assert!(back >= 1);
            });
            assert!(faults >= 8, "{faults}");
        }
    }
}

#[test]
fn a_time_limit_that_passes_when_the_queue_is_closed_gives_the_item_back_once() {
    virtual_time(|| {
        let queue = Queue::bounded(0);
        let item = Rc::new(());
        let (full, own) = (queue.clone(), Rc::clone(&item));
        let putter = spawn(move || full.put_timeout(own, SHORT));
        let empty = Queue::<u8>::bounded(0);
        let getter = {
            let empty = empty.clone();
            spawn(move || timeout(SHORT, || empty.recv()))
        };
        sleep(SHORT);
        queue.close();
        empty.close();
        putter.join().unwrap().unwrap_err();
        assert!(matches!(getter.join().unwrap(), Ok(None) | Err(_)));
        assert_eq!(Rc::strong_count(&item), 1);
        assert_eq!((queue.putting(), empty.getting()), (0, 0));
    });
}

/// An item whose comparisons park.
struct Slow(u32);

impl Ord for Slow {
    fn cmp(&self, other: &Self) -> Ordering {
        sleep(SHORT);
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Slow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Slow {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Slow {}

#[test]
fn getters_that_wait_for_a_comparison_share_what_is_left_and_then_end() {
    for closes_first in [true, false] {
        for killed in [None, Some(0), Some(1)] {
            in_any_order(move || {
                let queue = PriorityQueue::unbounded();
                (0..3).for_each(|n| queue.put(Slow(n)));
                if closes_first {
                    queue.close();
                }
                let getters: Vec<_> = (0..6)
                    .map(|_| {
                        let queue = queue.clone();
                        spawn(move || queue.recv().map(|item| item.0))
                    })
                    .collect();
                // The first getter compares, and the others wait for it.
                wait_all_parked();
                queue.close();
                let chosen = select! {
                    recv(&queue) -> item => item.map(|item| item.0),
                    after(LONG) => panic!("the queue is closed"),
                };
                if let Some(killed) = killed {
                    getters[killed].kill();
                }
                let ended = getters.into_iter().filter_map(|it| it.join().ok());
                let mut got: Vec<u32> = ended.flatten().chain(chosen).collect();
                got.extend(queue.iter().map(|item| item.0));
                got.sort_unstable();
                got.dedup();
                assert!(got.len() == 3 || killed.is_some(), "{got:?}");
                assert_eq!((queue.getting(), queue.len()), (0, 0));
            });
        }
    }
}

/// Closes a queue when dropped.
struct CloseOnDrop(Queue<Option<Self>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[test]
fn the_destructor_of_an_item_may_close_its_queue() {
    in_any_order(|| {
        let queue = Queue::bounded(1);
        let closer = || Some(CloseOnDrop(queue.clone()));
        queue.put(closer());
        let back = sender(&queue, closer());
        wait_all_parked();
        let receiver = receiver(&queue);
        drop(receiver.join().unwrap());
        back.join().unwrap().ok();
        assert!(queue.is_closed());
        assert_eq!(panic_of(|| queue.put(closer())), "the queue is closed");
        queue.iter().for_each(drop);
    });
}

#[test]
fn a_putter_that_is_killed_may_close_the_queue_that_it_waits_for() {
    in_any_order(|| {
        let queue = Queue::bounded(0);
        let victim = sender(&queue, Some(CloseOnDrop(queue.clone())));
        let other = sender(&queue, None);
        wait_all_parked();
        victim.kill();
        assert!(matches!(other.join().unwrap(), Err(Closed(None))));
        assert_eq!(queue.putting(), 0);
    });
}

#[test]
fn a_destructor_may_close_a_queue_while_its_green_thread_unwinds() {
    within(|| {
        let queue = Queue::<Option<CloseOnDrop>>::unbounded();
        let ended = receiver(&queue);
        let closer = CloseOnDrop(queue);
        let unwinding = spawn(move || {
            let _closer = closer;
            std::panic::resume_unwind(Box::new("unwinds"))
        });
        assert!(unwinding.join().unwrap_err().is_panic());
        assert!(ended.join().unwrap().is_none());
    });
}

/// Records whether it was dropped before its green thread began to unwind.
struct Witness(Rc<Cell<Option<bool>>>);

impl Drop for Witness {
    fn drop(&mut self) {
        assert!(self.0.replace(Some(panicking())).is_none());
    }
}

#[test]
fn a_put_that_panics_drops_the_item_first() {
    in_any_order(|| {
        for parks in [true, false] {
            let queue = Queue::bounded(0);
            let panicking = Rc::new(Cell::new(None));
            let item = Witness(Rc::clone(&panicking));
            if !parks {
                queue.close();
            }
            let full = queue.clone();
            let put = spawn(move || panic_of(|| full.put(item)));
            wait_all_parked();
            queue.close();
            assert_eq!(put.join().unwrap(), "the queue is closed");
            assert_eq!(panicking.get(), Some(false));
        }
    });
}

#[test]
fn using_a_closed_queue_in_a_loop_lets_the_others_run() {
    within(|| {
        let queue = Queue::bounded(0);
        queue.close();
        let operations: [fn(&Queue<u8>); 4] = [
            |queue| assert_eq!(queue.recv(), None),
            |queue| assert_eq!(queue.send(1), Err(Closed(1))),
            |queue| assert_eq!(queue.try_put(1), Err(Full(1))),
            |queue| select! { recv(queue) -> item => assert_eq!(item, None) },
        ];
        for operation in operations {
            let stop = Rc::new(Cell::new(false));
            let stopper = Rc::clone(&stop);
            spawn_n(move || stopper.set(true));
            while !stop.get() {
                operation(&queue);
            }
        }
    });
}

#[test]
fn a_select_receives_what_is_left_and_then_the_end() {
    in_any_order(|| {
        let (first, second) = (Queue::unbounded(), LifoQueue::bounded(1));
        first.put(1);
        second.put(2);
        first.close();
        second.close();
        let mut got = Vec::new();
        let (mut first_ended, mut second_ended) = (false, false);
        while !(first_ended && second_ended) {
            select! {
                recv(&first) -> item => match item {
                    Some(n) => got.push(n),
                    None => first_ended = true,
                },
                recv(&second) -> item => match item {
                    Some(n) => got.push(n),
                    None => second_ended = true,
                },
            }
        }
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

#[test]
fn closing_ends_the_selects_that_wait_for_the_queue() {
    in_any_order(|| {
        for capacity in [0, 1] {
            let queue = Queue::bounded(capacity);
            let idle = Event::<()>::new();
            (0..capacity).for_each(|_| queue.put("in"));
            let (full, never) = (queue.clone(), idle.clone());
            let sending = spawn(move || {
                select! {
                    send(&full, "back") -> sent => sent,
                    wait(&never) -> _ => unreachable!("never set"),
                }
            });
            wait_all_parked();
            queue.close();
            assert_eq!(sending.join().unwrap(), Err(Closed("back")));
        }
        let queue = Queue::<u8>::unbounded();
        let empty = queue.clone();
        let receiving = spawn(move || select! { recv(&empty) -> item => item });
        let empty = queue.clone();
        let getting = spawn(move || panic_of(|| select! { get(&empty) -> item => item }));
        wait_all_parked();
        assert_eq!(queue.getting(), 2);
        queue.close();
        assert_eq!(receiving.join().unwrap(), None);
        assert_eq!(getting.join().unwrap(), "the queue is closed");
    });
}

#[test]
fn the_get_and_put_arms_panic_where_the_methods_do() {
    in_any_order(|| {
        let queue = Queue::bounded(1);
        queue.put(1);
        queue.close();
        assert_eq!(
            panic_of(|| select! { put(&queue, 2) => {} }),
            "the queue is closed"
        );
        assert_eq!(select! { get(&queue) -> n => n, default => 0 }, 1);
        let message = panic_of(|| select! { get(&queue) => {}, default => {} });
        assert_eq!(message, "the queue is closed");
    });
}

#[test]
fn an_item_handed_to_a_select_that_is_killed_is_drained() {
    virtual_time(|| {
        let queue = Queue::bounded(0);
        let own = queue.clone();
        let victim = spawn(move || select! { recv(&own) -> item => item });
        wait_all_parked();
        queue.put("item");
        // The put yields to the getter, so another one is handed an item just before it is closed.
        assert_eq!(victim.join().unwrap(), Some("item"));
        let own = queue.clone();
        let victim = spawn(move || select! { recv(&own) -> item => item });
        wait_all_parked();
        queue.try_put("again").unwrap();
        queue.close();
        victim.kill();
        assert_eq!((queue.recv(), queue.recv()), (Some("again"), None));
    });
}

#[test]
fn closing_does_not_park_and_wakes_in_fifo_order() {
    virtual_time(|| {
        let (queue, log) = (Queue::<u8>::unbounded(), Log::new());
        for n in 0..4 {
            let (queue, log) = (queue.clone(), log.clone());
            spawn_n(move || {
                assert_eq!(queue.recv(), None);
                log.add(n);
            });
        }
        wait_all_parked();
        let ran = Rc::new(RefCell::new(Vec::new()));
        // An exit hook must not park.
        let (seen, order) = (Rc::clone(&ran), log.clone());
        let ending = spawn(|| ());
        ending.on_exit(move || {
            queue.close();
            seen.replace(order.take());
        });
        ending.join().unwrap();
        assert_eq!(*ran.borrow(), [0; 0], "no getter has run meanwhile");
        wait_all_parked();
        assert_eq!(log.take(), [0, 1, 2, 3]);
    });
}

#[test]
fn the_errors_print_like_those_of_std() {
    assert_eq!(format!("{:?}", Closed(1)), "Closed { .. }");
    assert_eq!(Closed(1).to_string(), "the queue is closed");
    assert_eq!(Full(1).to_string(), "the queue is full or closed");
    let error: Box<dyn std::error::Error> = Box::new(Closed("item"));
    assert!(error.source().is_none());
}
