//! Tests of the queues: putting, getting, resizing and joining, and that no item is lost or
//! received twice if a putter or a getter is interrupted.
//!
//! On a paused clock a hang is a deadlock, and a deadlock is a panic, so no test needs a limit in
//! real time.

use std::cell::Cell;
use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::lowlevel::now;
use evy_runtime::test::{FaultInjector, inject_faults, virtual_time, wait_all_parked};
use evy_runtime::thread::JoinHandle;
use evy_runtime::{
    Full, LifoQueue, PriorityQueue, Queue, sleep, spawn, spawn_n, timeout, yield_now,
};
use evy_test_support::{Item, ItemTracker};
use evy_test_support::{Log, in_any_order};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

fn getter<T: 'static>(queue: &Queue<T>) -> JoinHandle<T> {
    let queue = queue.clone();
    spawn(move || queue.get())
}

fn putter<T: 'static>(queue: &Queue<T>, item: T) -> JoinHandle<()> {
    let queue = queue.clone();
    spawn(move || queue.put(item))
}

/// Calls `f` in an exit hook, on a green thread after its body has returned. This is the closest
/// equivalent of the scheduler context of Eventlet, in which nothing may park.
fn in_exit_hook(f: impl FnOnce() + 'static) {
    let ending = spawn(|| ());
    ending.on_exit(f);
    ending.join().expect("the body is empty");
}

#[test]
fn get_returns_the_item_that_was_put() {
    in_any_order(|| {
        let queue = Queue::unbounded();
        queue.put("hi");
        assert_eq!((queue.len(), queue.capacity()), (1, None));
        assert_eq!(queue.get(), "hi");
        assert!(queue.is_empty() && !queue.is_full());
    });
}

#[test]
fn a_put_wakes_a_parked_getter() {
    in_any_order(|| {
        let queue = Queue::unbounded();
        let getter = getter(&queue);
        wait_all_parked();
        assert!(!getter.is_finished());
        queue.put("hi");
        assert_eq!(getter.join().unwrap(), "hi");
    });
}

#[test]
fn a_put_into_a_full_queue_parks_until_an_item_is_taken() {
    in_any_order(|| {
        let (queue, log) = (Queue::bounded(2), Log::new());
        let (full, done) = (queue.clone(), log.clone());
        let putter = spawn(move || {
            for item in ["a", "b", "c"] {
                full.put(item);
                done.add(item);
            }
        });
        wait_all_parked();
        assert!(queue.is_full());
        assert_eq!(log.take(), ["a", "b"]);
        assert_eq!(queue.get(), "a");
        wait_all_parked();
        assert_eq!(log.take(), ["c"]);
        assert_eq!((queue.get(), queue.get()), ("b", "c"));
        putter.join().unwrap();
    });
}

#[test]
fn at_capacity_zero_a_put_returns_only_after_a_get_has_taken_the_item() {
    virtual_time(|| {
        let (queue, log) = (Queue::bounded(0), Log::new());
        for putter_comes_first in [true, false] {
            let (full, done) = (queue.clone(), log.clone());
            let putter = move || {
                full.put("hi");
                done.add("put");
            };
            let (empty, taken) = (queue.clone(), log.clone());
            let getter = move || {
                assert_eq!(empty.get(), "hi");
                taken.add("taken");
            };
            let first = match putter_comes_first {
                true => spawn(putter.clone()),
                false => spawn(getter.clone()),
            };
            wait_all_parked();
            assert!(queue.is_empty() && queue.is_full());
            assert!(!first.is_finished());
            let second = match putter_comes_first {
                true => spawn(getter),
                false => spawn(putter),
            };
            first.join().unwrap();
            second.join().unwrap();
            assert_eq!(log.take(), ["taken", "put"]);
            assert!(queue.is_empty() && queue.is_full());
        }
    });
}

#[test]
fn at_capacity_zero_each_put_waits_for_its_get() {
    virtual_time(|| {
        let (channel, log) = (Queue::bounded(0), Log::new());
        let (receiver, received) = (channel.clone(), log.clone());
        spawn_n(move || (0..2).for_each(|_| received.add(receiver.get())));
        log.add("sending");
        channel.put("hello");
        log.add("sent hello");
        channel.put("world");
        log.add("sent world");
        let order = ["sending", "hello", "sent hello", "world", "sent world"];
        assert_eq!(log.take(), order);
    });
}

#[test]
fn at_capacity_zero_a_getter_continues_before_its_putter() {
    virtual_time(|| {
        let (channel, log) = (Queue::bounded(0), Log::new());
        let (sender, sent) = (channel.clone(), log.clone());
        spawn_n(move || {
            sent.add("sending hello");
            sender.put("hello");
            sent.add("sending world");
            sender.put("world");
            sent.add("sent world");
        });
        log.add("waiting");
        log.add(channel.get());
        log.add(channel.get());
        let order = [
            "waiting",
            "sending hello",
            "hello",
            "sending world",
            "world",
        ];
        assert_eq!(log.take(), order);
        yield_now();
        assert_eq!(log.take(), ["sent world"]);
    });
}

#[test]
fn at_capacity_zero_every_putter_finds_a_getter() {
    in_any_order(|| {
        let channel = Queue::bounded(0);
        let getters: Vec<_> = (0..3).map(|_| getter(&channel)).collect();
        wait_all_parked();
        assert_eq!(channel.getting(), 3);
        let putters: Vec<_> = (0..3).map(|n| putter(&channel, n)).collect();
        for putter in putters {
            putter.join().unwrap();
        }
        assert_eq!(channel.getting(), 0);
        let mut got: Vec<_> = getters.into_iter().map(|g| g.join().unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2]);
    });
}

#[test]
fn a_larger_capacity_admits_parked_putters() {
    in_any_order(|| {
        for more in [Some(1), None] {
            let queue = Queue::bounded(0);
            let putter = putter(&queue, "hi");
            wait_all_parked();
            assert!(!putter.is_finished());
            queue.resize(more);
            putter.join().unwrap();
            assert_eq!((queue.len(), queue.capacity()), (1, more));
            assert_eq!(queue.get(), "hi");
        }
        // Only as many putters are admitted as there is room for.
        let queue = Queue::bounded(1);
        let putters: Vec<_> = (0..5).map(|n| putter(&queue, n)).collect();
        wait_all_parked();
        assert_eq!((queue.len(), queue.putting()), (1, 4));
        queue.resize(3);
        assert_eq!((queue.len(), queue.putting()), (3, 2));
        let mut got: Vec<_> = putters.iter().map(|_| queue.get()).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn a_smaller_capacity_keeps_the_items() {
    in_any_order(|| {
        let queue = Queue::bounded(5);
        (0..5).for_each(|n| queue.put(n));
        queue.resize(1);
        assert_eq!((queue.len(), queue.capacity()), (5, Some(1)));
        let putter = putter(&queue, 5);
        for n in 0..5 {
            wait_all_parked();
            assert!(queue.is_full() && !putter.is_finished());
            assert_eq!(queue.get(), n);
        }
        assert_eq!(queue.get(), 5);
        putter.join().unwrap();
    });
}

#[test]
fn each_of_several_getters_gets_one_item() {
    in_any_order(|| {
        let queue = Queue::unbounded();
        let getters: Vec<_> = (0..4).map(|_| getter(&queue)).collect();
        wait_all_parked();
        (0..4).for_each(|n| queue.put(n));
        let mut got: Vec<_> = getters.into_iter().map(|g| g.join().unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3]);
    });
}

#[test]
fn a_getter_that_times_out_leaves_the_queue_usable() {
    in_any_order(|| {
        let queue: Queue<_> = Queue::unbounded();
        let start = now();
        assert!(timeout(SHORT, || queue.get()).is_err());
        assert_eq!(queue.get_timeout(SHORT), None);
        assert_eq!(now() - start, SHORT * 2);
        assert_eq!(queue.getting(), 0);
        queue.put("hi");
        assert_eq!(queue.get_timeout(SHORT), Some("hi"));
    });
}

#[test]
fn an_item_goes_to_the_getter_that_is_still_waiting() {
    in_any_order(|| {
        for killed in [true, false] {
            let queue = Queue::unbounded();
            let inner = queue.clone();
            let dying = spawn(move || timeout(SHORT, || inner.get()));
            let waiting = getter(&queue);
            wait_all_parked();
            assert_eq!(queue.getting(), 2);
            if killed {
                dying.kill();
            } else {
                sleep(SHORT * 2);
            }
            queue.put("hi");
            assert!(!matches!(dying.join(), Ok(Ok(_))));
            assert_eq!(waiting.join().unwrap(), "hi");
        }
    });
}

#[test]
fn an_item_stays_in_the_queue_if_every_getter_has_timed_out() {
    in_any_order(|| {
        let queue = Queue::unbounded();
        let dying = [(); 2].map(|()| {
            let queue = queue.clone();
            spawn(move || timeout(SHORT, || queue.get()))
        });
        sleep(SHORT * 2);
        queue.put("sent");
        for getter in dying {
            assert!(getter.join().unwrap().is_err());
        }
        assert_eq!(queue.getting(), 0);
        assert_eq!(queue.try_get(), Some("sent"));
    });
}

/// The deadlines pass and the items are put before the getters run. The items take precedence.
#[test]
fn an_item_that_is_put_at_the_deadline_is_received() {
    virtual_time(|| {
        let queue = Queue::unbounded();
        let all_due = now() + SHORT;
        let feeder = queue.clone();
        spawn_n(move || {
            sleep(all_due - now());
            feeder.put("in time");
            feeder.put("in time");
        });
        let timed = queue.clone();
        let timed = spawn(move || timed.get_timeout(all_due - now()));
        let scoped = queue.clone();
        let scoped = spawn(move || timeout(all_due - now(), || scoped.get()));
        assert_eq!(timed.join().unwrap(), Some("in time"));
        assert_eq!(scoped.join().unwrap(), Ok("in time"));
        assert_eq!((queue.len(), queue.getting()), (0, 0));
    });
}

#[test]
fn a_killed_putter_leaves_no_item() {
    in_any_order(|| {
        for capacity in [0, 1] {
            let queue = Queue::bounded(capacity);
            (0..capacity).for_each(|_| queue.put("first"));
            let putter = putter(&queue, "never");
            wait_all_parked();
            assert_eq!(queue.putting(), 1);
            putter.kill();
            assert!(putter.join().unwrap_err().is_killed());
            assert_eq!(queue.putting(), 0);
            assert_eq!(queue.try_get().is_some(), capacity == 1);
            assert_eq!(queue.try_get(), None);
            assert_eq!(queue.unfinished(), capacity);
        }
    });
}

#[test]
fn an_item_handed_to_a_getter_that_is_killed_stays_in_the_queue() {
    in_any_order(|| {
        for queue in [Queue::unbounded(), Queue::bounded(1), Queue::bounded(0)] {
            let getter = getter(&queue);
            wait_all_parked();
            queue.try_put("kept").unwrap();
            assert!(queue.is_empty(), "the item belongs to the getter already");
            getter.kill();
            assert!(getter.join().unwrap_err().is_killed());
            assert_eq!(queue.getting(), 0);
            assert_eq!(queue.unfinished(), 1);
            assert_eq!(queue.try_get(), Some("kept"));
            assert_eq!(queue.try_get(), None);
        }
    });
}

/// An item that was handed to a getter that is killed goes to the next waiting getter. If there is
/// none, it is the oldest item of the queue again.
#[test]
fn an_item_of_a_killed_getter_is_the_next_to_be_received() {
    virtual_time(|| {
        let queue = Queue::unbounded();
        let victim = getter(&queue);
        wait_all_parked();
        (1..=3).for_each(|n| queue.put(n));
        victim.kill();
        assert_eq!((queue.get(), queue.get(), queue.get()), (1, 2, 3));

        let (victim, next) = (getter(&queue), getter(&queue));
        wait_all_parked();
        queue.put(4);
        victim.kill();
        assert_eq!(next.join().unwrap(), 4);
    });
}

#[test]
fn a_put_skips_getters_that_were_killed() {
    virtual_time(|| {
        let (queue, log) = (Queue::bounded(0), Log::new());
        let fetcher = || {
            let (queue, log) = (queue.clone(), log.clone());
            spawn(move || log.add(queue.get()))
        };
        let pairs: Vec<_> = (0..10).map(|_| (fetcher(), fetcher())).collect();
        wait_all_parked();
        assert_eq!(queue.getting(), 20);
        for (_, bad) in &pairs {
            bad.kill_with("kaboom");
        }
        assert_eq!(queue.getting(), 10);
        (0..10).for_each(|n| queue.put(n));
        assert_eq!(log.take(), (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn put_timeout_returns_the_item_if_there_is_no_room_in_time() {
    in_any_order(|| {
        let queue = Queue::bounded(0);
        let start = now();
        assert_eq!(queue.put_timeout("hi", SHORT), Err(Full("hi")));
        assert_eq!(now() - start, SHORT);
        assert_eq!(queue.putting(), 0);
        assert_eq!(queue.try_get(), None);
        // The item is put if there is room in time.
        let late = queue.clone();
        let getter = spawn(move || {
            sleep(SHORT);
            late.get()
        });
        assert_eq!(queue.put_timeout("ho", SHORT * 2), Ok(()));
        assert_eq!(getter.join().unwrap(), "ho");
    });
}

#[test]
fn try_put_and_try_get_in_an_exit_hook_report_a_full_or_empty_queue() {
    in_any_order(|| {
        let (queue, log) = (Queue::bounded(1), Log::new());
        let (q, l) = (queue.clone(), log.clone());
        in_exit_hook(move || {
            l.add(q.try_put(2));
            l.add(q.try_put(3));
        });
        assert_eq!(log.take(), [Ok(()), Err(Full(3))]);
        let log = Log::new();
        let (q, l) = (queue, log.clone());
        in_exit_hook(move || {
            l.add(q.try_get());
            l.add(q.try_get());
        });
        assert_eq!(log.take(), [Some(2), None]);
    });
}

#[test]
fn try_get_in_an_exit_hook_takes_the_item_of_a_parked_putter() {
    in_any_order(|| {
        let (queue, log) = (Queue::bounded(0), Log::new());
        let putter = putter(&queue, 5);
        wait_all_parked();
        assert!(queue.is_empty() && queue.is_full() && !putter.is_finished());
        let (q, l) = (queue.clone(), log.clone());
        in_exit_hook(move || l.add(q.try_get()));
        assert_eq!(log.take(), [Some(5)]);
        putter.join().unwrap();
        assert!(queue.is_empty() && queue.is_full());
    });
}

#[test]
fn try_put_in_an_exit_hook_hands_the_item_to_a_parked_getter() {
    in_any_order(|| {
        let (queue, log) = (Queue::bounded(0), Log::new());
        let getter = getter(&queue);
        wait_all_parked();
        assert!(queue.is_empty() && queue.is_full() && !getter.is_finished());
        let (q, l) = (queue.clone(), log.clone());
        in_exit_hook(move || l.add(q.try_put(10)));
        assert_eq!(log.take(), [Ok(())]);
        assert_eq!(getter.join().unwrap(), 10);
        assert!(queue.is_empty() && queue.is_full());
    });
}

#[test]
fn a_panic_after_a_get_reaches_the_joiner_and_leaves_the_queue_usable() {
    in_any_order(|| {
        let queue = Queue::unbounded();
        let failing = queue.clone();
        let getter = spawn(move || {
            assert_eq!(failing.get(), 1);
            resume_unwind(Box::new("after the get"));
        });
        wait_all_parked();
        queue.put(1);
        let payload = getter.join().unwrap_err().into_panic();
        assert_eq!(payload.downcast_ref(), Some(&"after the get"));
        // The item is gone with its getter, and the queue is still usable.
        assert_eq!((queue.len(), queue.getting()), (0, 0));
        queue.put(2);
        assert_eq!(queue.try_get(), Some(2));
    });
}

#[test]
fn getting_and_putting_count_the_parked_green_threads() {
    in_any_order(|| {
        let queue = Queue::bounded(1);
        let getters: Vec<_> = (0..3).map(|_| getter(&queue)).collect();
        assert_eq!(queue.getting(), 0);
        wait_all_parked();
        assert_eq!(queue.getting(), 3);
        queue.put(0);
        assert_eq!(queue.getting(), 2);
        wait_all_parked();
        getters.iter().for_each(JoinHandle::kill);
        assert_eq!((queue.getting(), queue.len()), (0, 0));

        queue.put(0);
        let putters: Vec<_> = (1..=3).map(|n| putter(&queue, n)).collect();
        assert_eq!(queue.putting(), 0);
        wait_all_parked();
        assert_eq!((queue.putting(), queue.getting()), (3, 0));
        assert_eq!(queue.get(), 0);
        assert_eq!((queue.putting(), queue.len()), (2, 1));
        putters.iter().for_each(JoinHandle::kill);
        assert_eq!((queue.putting(), queue.len()), (0, 1));
    });
}

#[test]
fn getters_are_served_in_fifo_order() {
    virtual_time(|| {
        let (queue, log) = (Queue::unbounded(), Log::new());
        for n in 0..8 {
            let (queue, log) = (queue.clone(), log.clone());
            spawn_n(move || log.add((n, queue.get())));
        }
        wait_all_parked();
        (0..8).for_each(|n| queue.put(n));
        wait_all_parked();
        assert_eq!(log.take(), (0..8).map(|n| (n, n)).collect::<Vec<_>>());
    });
}

#[test]
fn putters_are_served_in_fifo_order() {
    virtual_time(|| {
        for capacity in [0, 1, 3] {
            let (queue, log) = (Queue::bounded(capacity), Log::new());
            for n in 0..8 {
                let (queue, log) = (queue.clone(), log.clone());
                spawn_n(move || {
                    queue.put(n);
                    log.add(n);
                });
            }
            wait_all_parked();
            assert_eq!((0..8).map(|_| queue.get()).sum::<usize>(), 28);
            wait_all_parked();
            assert_eq!(log.take(), (0..8).collect::<Vec<_>>());
        }
    });
}

/// Items and room are handed off to waiters, so a later call cannot take them.
#[test]
fn a_later_call_cannot_take_what_was_handed_to_a_waiter() {
    virtual_time(|| {
        let queue = Queue::bounded(1);
        let getter = getter(&queue);
        wait_all_parked();
        queue.put("for the getter");
        assert_eq!(queue.try_get(), None);
        assert_eq!(getter.join().unwrap(), "for the getter");

        queue.put("first");
        let putter = putter(&queue, "second");
        wait_all_parked();
        assert_eq!(queue.get(), "first");
        assert_eq!(queue.try_put("too late"), Err(Full("too late")));
        assert_eq!(queue.get(), "second");
        putter.join().unwrap();
    });
}

#[test]
fn join_parks_until_every_item_is_reported_done() {
    in_any_order(|| {
        let queue = Queue::bounded(2);
        queue.join();
        let producer = queue.clone();
        spawn_n(move || (0..6).for_each(|n| producer.put(n)));
        wait_all_parked();
        assert_eq!(queue.unfinished(), 2, "only items in the queue count");
        let joiners = [(); 2].map(|()| {
            let queue = queue.clone();
            spawn(move || queue.join())
        });
        for left in (0..6).rev() {
            assert_eq!(queue.get(), 5 - left);
            wait_all_parked();
            assert!(joiners.iter().all(|joiner| !joiner.is_finished()));
            queue.task_done();
            assert_eq!(queue.unfinished(), left.min(2));
        }
        for joiner in joiners {
            joiner.join().unwrap();
        }
        let extra = catch_unwind(AssertUnwindSafe(|| queue.task_done())).unwrap_err();
        let message = extra.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| extra.downcast_ref::<&str>().copied());
        assert!(
            message
                .unwrap()
                .contains("called more often than items were put")
        );
        assert_eq!(queue.unfinished(), 0);
    });
}

#[test]
fn priority_queues_give_the_lowest_item_first_and_lifo_queues_the_newest() {
    in_any_order(|| {
        let queue = PriorityQueue::unbounded();
        for item in [(3, 'a'), (1, 'b'), (2, 'c'), (1, 'a')] {
            queue.put(item);
        }
        let order = [(1, 'a'), (1, 'b'), (2, 'c'), (3, 'a')];
        assert_eq!(order.map(|_| queue.get()), order);

        let highest_first = PriorityQueue::unbounded();
        (1..=3).for_each(|n| highest_first.put(Reverse(n)));
        assert_eq!([(); 3].map(|()| highest_first.get().0), [3, 2, 1]);

        let stack = LifoQueue::unbounded();
        (1..=3).for_each(|n| stack.put(n));
        assert_eq!([(); 3].map(|()| stack.get()), [3, 2, 1]);
    });
}

#[test]
fn items_of_equal_priority_are_received_in_fifo_order() {
    /// Compared by priority alone, so items of the same priority are equal.
    #[derive(Clone, Copy, Debug)]
    struct Prioritized(u32, &'static str);
    impl PartialEq for Prioritized {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Prioritized {}
    impl PartialOrd for Prioritized {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Prioritized {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.0.cmp(&other.0)
        }
    }
    virtual_time(|| {
        let queue = PriorityQueue::unbounded();
        let own = queue.clone();
        let victim = spawn(move || own.get());
        wait_all_parked();
        for item in [
            Prioritized(2, "first"),
            Prioritized(2, "second"),
            Prioritized(1, "urgent"),
        ] {
            queue.put(item);
        }
        queue.put(Prioritized(2, "third"));
        victim.kill();
        let order = [(); 4].map(|()| queue.get().1);
        assert_eq!(order, ["urgent", "first", "second", "third"]);
    });
}

/// The operations that the three kinds of queue have in common, for tests that run with each of
/// them.
trait Kind: Clone + 'static {
    fn with_capacity(capacity: Option<usize>) -> Self;
    fn put(&self, item: Item) -> Result<(), Full<Item>>;
    fn put_timeout(&self, item: Item, timeout: Duration) -> Result<(), Full<Item>>;
    fn get(&self) -> Item;
    fn get_timeout(&self, timeout: Duration) -> Option<Item>;
    fn capacity(&self) -> Option<usize>;
    /// Returns the numbers of parked getters, of parked putters, and of unfinished items.
    fn counts(&self) -> (usize, usize, usize);
}

macro_rules! kinds {
    ($($queue:ident)*) => {$(
        impl Kind for $queue<Item> {
            fn with_capacity(capacity: Option<usize>) -> Self {
                capacity.map_or_else(Self::unbounded, Self::bounded)
            }

            fn put(&self, item: Item) -> Result<(), Full<Item>> {
                self.put(item);
                Ok(())
            }

            fn put_timeout(&self, item: Item, timeout: Duration) -> Result<(), Full<Item>> {
                self.put_timeout(item, timeout)
            }

            fn get(&self) -> Item {
                self.get()
            }

            fn get_timeout(&self, timeout: Duration) -> Option<Item> {
                self.get_timeout(timeout)
            }

            fn capacity(&self) -> Option<usize> {
                self.capacity()
            }

            fn counts(&self) -> (usize, usize, usize) {
                (self.getting(), self.putting(), self.unfinished())
            }
        }
    )*};
}

kinds! { Queue LifoQueue PriorityQueue }

/// The number of items that each of two putters or getters handles.
const TURNS: usize = 3;

/// Injects faults into `round` for each capacity, with and without a pause between the operations
/// of the other green threads. `round` returns whether the victim failed. Each fault must make it
/// fail.
fn check_with_faults<K: Kind>(round: impl Fn(&FaultInjector, &K, Duration) -> bool + Sync) {
    for capacity in [Some(0), Some(1), None] {
        for pace in [Duration::ZERO, SHORT] {
            let failures = AtomicUsize::new(0);
            let faults = inject_faults(|injector| {
                let victim_failed = round(injector, &K::with_capacity(capacity), pace);
                failures.fetch_add(victim_failed.into(), Ordering::Relaxed);
            });
            assert!(faults >= 4 * TURNS, "{faults} at capacity {capacity:?}");
            assert_most_fail(faults, failures.into_inner());
        }
    }
}

/// Gets the items that are left, and checks that every item is accounted for. Returns how many
/// items were received, and how many were not put.
fn check_all_accounted<K: Kind>(queue: &K, tracker: &ItemTracker) -> (usize, usize) {
    while let Some(item) = queue.get_timeout(LONG) {
        item.take();
    }
    let (got, back) = tracker.check_all_accounted();
    assert_eq!(queue.counts(), (0, 0, got));
    (got, back)
}

fn check_getters_with_faults<K: Kind>() {
    check_with_faults(|injector, queue: &K, pace| {
        let tracker = ItemTracker::default();
        let turns = |queue: K| {
            move || {
                for turn in 0..TURNS {
                    match turn % 2 {
                        0 => queue.get().take(),
                        _ => queue.get_timeout(LONG).expect("enough are put").take(),
                    }
                }
            }
        };
        let victim = injector.spawn(turns(queue.clone()));
        let other = spawn(turns(queue.clone()));
        let (full, account) = (queue.clone(), tracker.clone());
        let putter = spawn(move || {
            for _ in 0..TURNS * 2 {
                account.track_put(|item| full.put(item));
                sleep(pace);
            }
        });
        let victim_failed = !matches!(victim.join(), Ok(Ok(())));
        other.join().expect("there are items for both");
        assert_eq!(check_all_accounted(queue, &tracker), (TURNS * 2, 0));
        putter.join().expect("every item was received");
        victim_failed
    });
}

fn check_putters_with_faults<K: Kind>() {
    check_with_faults(|injector, queue: &K, pace| {
        let tracker = ItemTracker::default();
        let turns = |done: &Rc<Cell<usize>>| {
            let (queue, tracker, done) = (queue.clone(), tracker.clone(), Rc::clone(done));
            move || {
                for turn in 0..TURNS {
                    tracker.track_put(|item| match turn % 2 {
                        0 => queue.put(item),
                        _ => queue.put_timeout(item, LONG),
                    });
                    done.set(done.get() + 1);
                    // If there is room, the put does not park, and the fault is injected here.
                    yield_now();
                }
            }
        };
        let done = Rc::default();
        let victim = injector.spawn(turns(&done));
        let other = spawn(turns(&Rc::default()));
        let empty = queue.clone();
        let getter = spawn(move || {
            while let Some(item) = empty.get_timeout(LONG) {
                item.take();
                sleep(pace);
            }
        });
        let victim = victim.join();
        other.join().expect("there is room for both");
        getter.join().expect("it ends when no item comes");
        let (got, back) = check_all_accounted(queue, &tracker);
        let (got, done) = (got - TURNS, done.get());
        let victim_failed = !matches!(victim, Ok(Ok(())));
        assert!(got + back <= TURNS, "{got} got, {back} back");
        assert!(victim_failed || (got, back) == (TURNS, 0));
        if let Ok(Err(_)) = victim
            && queue.capacity() != Some(0)
        {
            // At capacity zero a put may also time out after its item was received.
            assert_eq!(got, done, "the item of a put that timed out was not put");
        }
        victim_failed
    });
}

#[test]
fn a_fault_in_a_getter_loses_no_item() {
    check_getters_with_faults::<Queue<Item>>();
}

#[test]
fn a_fault_in_a_getter_of_a_lifo_queue_loses_no_item() {
    check_getters_with_faults::<LifoQueue<Item>>();
}

#[test]
fn a_fault_in_a_getter_of_a_priority_queue_loses_no_item() {
    check_getters_with_faults::<PriorityQueue<Item>>();
}

#[test]
fn a_fault_in_a_putter_loses_no_item() {
    check_putters_with_faults::<Queue<Item>>();
}

#[test]
fn a_fault_in_a_putter_of_a_lifo_queue_loses_no_item() {
    check_putters_with_faults::<LifoQueue<Item>>();
}

#[test]
fn a_fault_in_a_putter_of_a_priority_queue_loses_no_item() {
    check_putters_with_faults::<PriorityQueue<Item>>();
}

#[test]
fn a_fault_in_one_joiner_does_not_affect_the_other() {
    let faults = inject_faults(|injector| {
        let queue = Queue::unbounded();
        queue.put(());
        let (victim, other) = (queue.clone(), queue.clone());
        let victim = injector.spawn(move || victim.join());
        let other = spawn(move || other.join());
        wait_all_parked();
        queue.task_done();
        drop(victim.join());
        other.join().expect("the task is done");
    });
    assert_eq!(faults, 4);
}

/// Each green thread drops its clone of the queue when it ends. The items that are left in the
/// queue are dropped once, with the last clone.
#[test]
fn items_left_in_a_queue_are_dropped_with_it() {
    in_any_order(|| {
        let item = Rc::new(());
        let queue = Queue::bounded(1);
        queue.put(Rc::clone(&item));
        let putter = putter(&queue, Rc::clone(&item));
        wait_all_parked();
        assert_eq!(Rc::strong_count(&item), 3);
        putter.kill();
        assert_eq!(Rc::strong_count(&item), 2);
        drop(queue);
        assert_eq!(Rc::strong_count(&item), 1);
    });
}

/// The item is put while the expired timeout lets others run.
#[test]
fn an_expired_timeout_does_not_end_a_put_if_its_item_is_taken_meanwhile() {
    {
        virtual_time(|| {
            let queue = Queue::bounded(0);
            let getter = queue.clone();
            let taken = spawn(move || {
                yield_now();
                getter.get()
            });
            let put = timeout(SHORT, || {
                // A first expiry, which is swallowed.
                assert!(catch_unwind(AssertUnwindSafe(|| sleep(2 * SHORT))).is_err());
                queue.put(7);
            });
            match put {
                Ok(()) => assert_eq!(taken.join().unwrap(), 7),
                Err(_) => {
                    queue.put(8);
                    assert_eq!(taken.join().unwrap(), 8);
                }
            }
        });
    }
}

/// Checks that faults make their victims fail. What the victim waits for may happen at the same time
/// as a timeout, which is one fault in four; then the timeout has no effect.
fn assert_most_fail(faults: usize, failures: usize) {
    assert!(
        failures <= faults && failures >= faults - faults / 4,
        "{failures} of {faults}"
    );
}
