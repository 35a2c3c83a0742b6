//! Tests of `Pool`: creating, handing out and discarding resources, and that no slot and no
//! resource is lost, however a green thread ends.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_pool::{GreenPool, Pool, PoolGuard};
use evy_runtime::lowlevel::{WaitQueue, WaitReason, now};
use evy_runtime::test::wait_all_parked;
use evy_runtime::thread::JoinHandle;
use evy_runtime::{spawn, timeout, yield_now};
use evy_test_support::within;

const SHORT: Duration = Duration::from_millis(5);

/// Parks forever, because nothing wakes this wait.
fn wait_forever() {
    WaitQueue::new().wait(WaitReason::Other("nothing"));
}

/// A resource with a number. Dropping it decrements the number of live resources.
#[derive(Debug)]
struct Numbered(u32, Rc<Cell<u32>>);

impl Drop for Numbered {
    fn drop(&mut self) {
        self.1.set(self.1.get() - 1);
    }
}

#[derive(Clone, Default)]
struct ResourceCounter {
    created: Rc<Cell<u32>>,
    alive: Rc<Cell<u32>>,
}

impl ResourceCounter {
    fn make(&self) -> Numbered {
        self.created.set(self.created.get() + 1);
        self.alive.set(self.alive.get() + 1);
        Numbered(self.created.get(), Rc::clone(&self.alive))
    }

    /// Returns how many resources were created, and how many are alive.
    fn counts(&self) -> (u32, u32) {
        (self.created.get(), self.alive.get())
    }
}

/// Returns a pool of resources that are numbered 1, 2, 3..., and their counter.
fn numbered_pool(max_size: usize) -> (Pool<Numbered>, ResourceCounter) {
    let counter = ResourceCounter::default();
    let makes = counter.clone();
    (Pool::infallible(max_size, move || makes.make()), counter)
}

fn take<T>(pool: &Pool<T>) -> PoolGuard<T> {
    let Ok(guard) = pool.get();
    guard
}

/// Spawns a green thread that gets a resource, gives it back and returns its number. If it has to
/// wait, it is parked when this function returns.
fn getter(pool: &Pool<Numbered>) -> JoinHandle<u32> {
    let pool = pool.clone();
    let getter = spawn(move || take(&pool).0);
    wait_all_parked();
    getter
}

/// Returns the number of existing resources, of free slots and of waiters.
fn counts<T, E>(pool: &Pool<T, E>) -> (usize, isize, usize) {
    (pool.current_size(), pool.free(), pool.waiting())
}

#[test]
fn resources_are_created_on_demand_up_to_the_maximum() {
    within(|| {
        let (pool, counter) = numbered_pool(4);
        assert_eq!((counter.created.get(), pool.current_size()), (0, 0));
        let guards: Vec<_> = (1..=4)
            .map(|n| {
                let guard = take(&pool);
                assert_eq!((guard.0, pool.current_size()), (n, n as usize));
                guard
            })
            .collect();
        let Ok(fifth) = pool.try_get();
        assert!(fifth.is_none());
        drop(guards);
        assert_eq!(take(&pool).0, 1);
        assert_eq!(counter.counts(), (4, 4));
    });
}

#[test]
fn free_is_lower_by_one_while_a_resource_is_in_use() {
    within(|| {
        let (pool, _) = numbered_pool(4);
        assert_eq!(pool.free(), 4);
        let guard = take(&pool);
        assert_eq!(pool.free(), 3);
        drop(guard);
        assert_eq!(pool.free(), 4);
    });
}

#[test]
fn a_returned_resource_is_handed_to_the_parked_getter() {
    within(|| {
        let (pool, _) = numbered_pool(4);
        let mut guards: Vec<_> = (0..4).map(|_| take(&pool)).collect();
        let getter = getter(&pool);
        assert!(!getter.is_finished());
        drop(guards.remove(2));
        // The resource counts as in use from now on, so no other caller can take it.
        let Ok(other) = pool.try_get();
        assert!(other.is_none());
        assert_eq!(getter.join().unwrap(), 3);
    });
}

#[test]
fn waiting_counts_the_parked_getters() {
    within(|| {
        let (pool, _) = numbered_pool(1);
        let guard = take(&pool);
        assert_eq!(pool.waiting(), 0);
        let (one, two) = (getter(&pool), getter(&pool));
        assert_eq!(pool.waiting(), 2);
        one.kill();
        assert_eq!(pool.waiting(), 1);
        drop(guard);
        assert_eq!(pool.waiting(), 0);
        assert_eq!(two.join().unwrap(), 1);
    });
}

#[test]
fn idle_resources_are_reused_in_fifo_order_by_default() {
    within(|| {
        let (pool, _) = numbered_pool(4);
        let (one, two) = (take(&pool), take(&pool));
        drop(one);
        drop(two);
        for expected in [1, 2, 1, 2] {
            assert_eq!(take(&pool).0, expected);
        }
    });
}

#[test]
fn with_order_as_stack_the_resource_returned_last_is_reused_first() {
    within(|| {
        let counter = ResourceCounter::default();
        let Ok(pool) = Pool::<Numbered>::builder(move || Ok(counter.make()))
            .order_as_stack(true)
            .build();
        let (one, two) = (take(&pool), take(&pool));
        drop(one);
        drop(two);
        let (first, second) = (take(&pool), take(&pool));
        assert_eq!((first.0, second.0), (2, 1));
    });
}

#[test]
fn build_creates_min_size_resources_or_returns_an_error() {
    within(|| {
        let (counter, failing) = (ResourceCounter::default(), ResourceCounter::default());
        let makes = counter.clone();
        let Ok(pool) = Pool::<Numbered>::builder(move || Ok(makes.make()))
            .min_size(3)
            .max_size(4)
            .build();
        assert_eq!((counter.counts(), counts(&pool)), ((3, 3), (3, 4, 0)));
        let guards: Vec<_> = (0..4).map(|_| take(&pool)).collect();
        assert!(guards.iter().map(|guard| guard.0).eq(1..=4));

        let makes = failing.clone();
        let third_fails = Pool::builder(move || {
            let made = makes.make();
            if made.0 == 3 {
                Err("no more")
            } else {
                Ok(made)
            }
        });
        assert_eq!(third_fails.min_size(3).build().unwrap_err(), "no more");
        assert_eq!(failing.counts(), (3, 0));

        let too_small = Pool::builder(|| Ok::<_, Infallible>(()))
            .min_size(3)
            .max_size(2);
        assert!(catch_unwind(AssertUnwindSafe(|| too_small.build())).is_err());
    });
}

#[test]
fn shrinking_discards_excess_resources_and_growing_adds_free_slots() {
    within(|| {
        let (pool, counter) = numbered_pool(4);
        let [one, two, three, four] = std::array::from_fn(|_| take(&pool));
        drop(three);
        drop(four);
        // Idle resources are discarded at once, and resources in use when they are given back.
        pool.resize(1);
        assert_eq!((pool.max_size(), counts(&pool)), (1, (2, -1, 0)));
        drop(one);
        assert_eq!((counter.counts(), counts(&pool)), ((4, 1), (1, 0, 0)));
        drop(two);
        assert_eq!((counter.counts(), counts(&pool)), ((4, 1), (1, 1, 0)));
        pool.resize(3);
        assert_eq!(counts(&pool), (1, 3, 0));
        assert_eq!(take(&pool).0, 2);
    });
}

#[test]
fn concurrent_getters_create_no_more_resources_than_the_maximum() {
    within(|| {
        let counter = ResourceCounter::default();
        let makes = counter.clone();
        let pool = Pool::infallible(4, move || {
            yield_now();
            makes.make()
        });
        let (users, served) = (GreenPool::default(), Rc::new(Cell::new(0)));
        for _ in 0..100 {
            let (pool, served) = (pool.clone(), Rc::clone(&served));
            users.spawn_n(move || {
                let _used = take(&pool);
                yield_now();
                served.set(served.get() + 1);
            });
        }
        users.wait_all();
        assert_eq!((counter.counts(), served.get()), ((4, 4), 100));
        assert_eq!(counts(&pool), (4, 4, 0));
    });
}

#[test]
fn a_failed_create_is_returned_to_its_getter_and_the_next_getter_creates() {
    within(|| {
        let (attempts, gate) = (Rc::new(Cell::new(0)), Rc::new(WaitQueue::new()));
        let (counted, waits) = (Rc::clone(&attempts), Rc::clone(&gate));
        let pool = Pool::new(1, move || {
            counted.set(counted.get() + 1);
            if counted.get() > 2 {
                return Ok(counted.get());
            }
            waits.wait(WaitReason::Other("the server"));
            Err("refused")
        });
        let getters: Vec<_> = (0..3)
            .map(|_| {
                let pool = pool.clone();
                spawn(move || pool.get().map(|guard| *guard))
            })
            .collect();
        wait_all_parked();
        // One getter creates. Two wait for its resource or, if it fails, for their turn to create.
        assert_eq!((attempts.get(), counts(&pool)), (1, (1, 0, 2)));
        assert!(gate.wake_one());
        wait_all_parked();
        assert_eq!((attempts.get(), counts(&pool)), (2, (1, 0, 1)));
        assert!(gate.wake_one());
        let results: Vec<_> = getters.into_iter().map(|g| g.join().unwrap()).collect();
        assert_eq!(results, [Err("refused"), Err("refused"), Ok(3)]);
        assert_eq!(counts(&pool), (1, 1, 0));

        let never = Pool::new(1, || Err::<(), _>("refused"));
        assert_eq!(never.get().unwrap_err(), "refused");
        assert_eq!(never.try_get().unwrap_err(), "refused");
        assert_eq!(never.get_timeout(SHORT).unwrap_err(), "refused");
        assert_eq!(counts(&never), (0, 1, 0));
    });
}

#[test]
fn a_resource_returned_while_every_getter_is_about_to_time_out_is_not_lost() {
    within(|| {
        let (pool, counter) = numbered_pool(1);
        let guard = take(&pool);
        let log = Rc::new(RefCell::new(Vec::new()));
        let getters: Vec<_> = (0..4)
            .map(|n| {
                let (pool, log) = (pool.clone(), Rc::clone(&log));
                spawn(move || {
                    let got = if n % 2 == 0 {
                        let Ok(got) = pool.get_timeout(Duration::ZERO);
                        got.is_some()
                    } else {
                        timeout(Duration::ZERO, || drop(take(&pool))).is_ok()
                    };
                    log.borrow_mut().push(got);
                })
            })
            .collect();
        yield_now();
        // The deadlines of all getters have passed, and none of the getters has run since.
        assert_eq!(pool.waiting(), 4);
        drop(guard);
        assert!(log.borrow().is_empty(), "giving back does not park");
        for getter in getters {
            getter.join().unwrap();
        }
        // The first getter was handed the resource before it noticed that its deadline had passed.
        assert!(log.borrow()[0]);
        assert_eq!((counter.counts(), counts(&pool)), ((1, 1), (1, 1, 0)));
        assert_eq!(take(&pool).0, 1);
    });
}

#[test]
fn a_getter_killed_after_it_was_handed_a_resource_leaves_it_to_the_next() {
    within(|| {
        let (pool, counter) = numbered_pool(1);
        let guard = take(&pool);
        let (doomed, next) = (getter(&pool), getter(&pool));
        drop(guard);
        assert_eq!(pool.waiting(), 1);
        doomed.kill();
        assert!(doomed.join().unwrap_err().is_killed());
        assert_eq!(next.join().unwrap(), 1);
        assert_eq!((counter.counts(), counts(&pool)), ((1, 1), (1, 1, 0)));
    });
}

#[test]
fn a_getter_that_times_out_takes_no_resource() {
    within(|| {
        let (pool, _) = numbered_pool(1);
        let guard = take(&pool);
        let start = now();
        let Ok(late) = pool.get_timeout(SHORT);
        assert!(late.is_none() && now() - start >= SHORT);
        assert!(timeout(SHORT, || drop(take(&pool))).is_err());
        assert_eq!(counts(&pool), (1, 0, 0));
        drop(guard);
        let Ok(free) = pool.get_timeout(Duration::MAX);
        assert_eq!(free.map(|guard| guard.0), Some(1));
        assert_eq!(counts(&pool), (1, 1, 0));
    });
}

#[test]
fn getters_are_served_in_fifo_order() {
    within(|| {
        let (pool, _) = numbered_pool(1);
        let guard = take(&pool);
        let log = Rc::new(RefCell::new(Vec::new()));
        let waiters: Vec<_> = (0..5)
            .map(|n| {
                let (pool, log) = (pool.clone(), Rc::clone(&log));
                spawn(move || {
                    let _used = take(&pool);
                    log.borrow_mut().push(n);
                    yield_now();
                })
            })
            .collect();
        wait_all_parked();
        drop(guard);
        log.borrow_mut().push(9);
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(*log.borrow(), [9, 0, 1, 2, 3, 4]);
    });
}

/// Checks a pool of one slot in which one green thread creates a resource while another one waits.
/// `end` ends the first create, and the waiter must then get its turn to create.
fn check_failing_create(
    creates: impl FnOnce(&Pool<Numbered>) + 'static,
    end: impl FnOnce(&WaitQueue, JoinHandle<()>),
) {
    let (counter, gate, first) = (
        ResourceCounter::default(),
        Rc::new(WaitQueue::new()),
        Cell::new(true),
    );
    let (makes, waits) = (counter.clone(), Rc::clone(&gate));
    let pool = Pool::infallible(1, move || {
        if first.take() {
            waits.wait(WaitReason::Other("the server"));
            // `resume_unwind` does not call the panic hook, which would print the panic.
            resume_unwind(Box::new("create"));
        }
        makes.make()
    });
    let creating = pool.clone();
    let creator = spawn(move || creates(&creating));
    yield_now();
    let waiter = getter(&pool);
    end(&gate, creator);
    assert_eq!(waiter.join().ok(), Some(1));
    assert_eq!((counter.counts(), counts(&pool)), ((1, 1), (1, 1, 0)));
}

#[test]
fn a_create_that_panics_frees_its_slot() {
    within(|| {
        check_failing_create(
            |pool| drop(take(pool)),
            |gate, creator| {
                assert!(gate.wake_one());
                assert!(creator.join().unwrap_err().is_panic());
            },
        );
    });
}

#[test]
fn a_create_that_is_killed_frees_its_slot() {
    within(|| {
        check_failing_create(
            |pool| drop(take(pool)),
            |_, creator| {
                creator.kill();
                assert!(creator.join().unwrap_err().is_killed());
            },
        );
    });
}

#[test]
fn a_create_that_times_out_frees_its_slot() {
    within(|| {
        check_failing_create(
            |pool| assert!(timeout(SHORT, || drop(take(pool))).is_err()),
            |_, creator| creator.join().unwrap(),
        );
    });
}

#[test]
fn a_holder_that_unwinds_frees_its_slot_and_its_resource_is_discarded() {
    within(|| {
        let (pool, counter) = numbered_pool(1);
        let own = pool.clone();
        let holder = spawn(move || {
            let _held = take(&own);
            wait_forever();
        });
        yield_now();
        let waiter = getter(&pool);
        assert_eq!(counts(&pool), (1, 0, 1));
        holder.kill();
        assert_eq!(waiter.join().unwrap(), 2);
        assert_eq!((counter.counts(), counts(&pool)), ((2, 1), (1, 1, 0)));

        assert!(
            timeout(SHORT, || {
                let _held = take(&pool);
                wait_forever();
            })
            .is_err()
        );
        assert_eq!((counter.counts(), counts(&pool)), ((2, 0), (0, 1, 0)));
    });
}

#[test]
fn discard_drops_the_resource_and_frees_its_slot() {
    within(|| {
        let (pool, counter) = numbered_pool(1);
        let broken = take(&pool);
        let waiter = getter(&pool);
        PoolGuard::discard(broken);
        assert_eq!((counter.counts(), counts(&pool)), ((1, 0), (0, 0, 0)));
        assert_eq!(waiter.join().unwrap(), 2);
        assert_eq!((counter.counts(), counts(&pool)), ((2, 1), (1, 1, 0)));
    });
}

#[test]
fn into_inner_removes_the_resource_and_frees_its_slot() {
    within(|| {
        let (pool, counter) = numbered_pool(1);
        let guard = take(&pool);
        let waiter = getter(&pool);
        let mine = PoolGuard::into_inner(guard);
        assert_eq!(waiter.join().unwrap(), 2);
        assert_eq!(
            (mine.0, counter.counts(), counts(&pool)),
            (1, (2, 2), (1, 1, 0))
        );
    });
}

#[test]
fn growing_wakes_parked_getters() {
    within(|| {
        let (pool, counter) = numbered_pool(1);
        let held = take(&pool);
        let waiters = [getter(&pool), getter(&pool), getter(&pool)];
        pool.resize(3);
        assert_eq!(counts(&pool), (1, 0, 1));
        let got = waiters.map(|waiter| waiter.join().unwrap());
        assert!(got.iter().all(|&n| n == 2 || n == 3), "{got:?}");
        drop(held);
        assert_eq!(counts(&pool), (counter.created.get() as usize, 3, 0));
    });
}

#[test]
fn a_getter_of_a_pool_of_size_zero_parks_until_the_pool_grows() {
    within(|| {
        let (pool, _) = numbered_pool(0);
        let waiter = getter(&pool);
        assert_eq!(counts(&pool), (0, 0, 1));
        pool.resize(1);
        assert_eq!(waiter.join().unwrap(), 1);
    });
}

/// A resource that uses its own pool when it is created and when it is dropped, and parks
/// meanwhile.
struct UsesItsPool(Rc<RefCell<Option<Pool<Self>>>>);

impl UsesItsPool {
    fn use_pool(self_pool: &RefCell<Option<Pool<Self>>>) {
        let Some(pool) = self_pool.borrow().clone() else {
            return;
        };
        let Ok(other) = pool.try_get();
        yield_now();
        drop(other);
        pool.resize(pool.max_size());
    }
}

impl Drop for UsesItsPool {
    fn drop(&mut self) {
        Self::use_pool(&self.0);
    }
}

#[test]
fn constructors_and_destructors_of_resources_may_use_the_pool() {
    within(|| {
        let shared = Rc::new(RefCell::new(None));
        let own = Rc::clone(&shared);
        let pool = Pool::infallible(3, move || {
            if own
                .borrow()
                .as_ref()
                .is_some_and(|pool: &Pool<UsesItsPool>| pool.free() > 0)
            {
                UsesItsPool::use_pool(&own);
            }
            UsesItsPool(Rc::clone(&own))
        });
        shared.replace(Some(pool.clone()));
        let guards = [take(&pool), take(&pool), take(&pool)];
        assert_eq!(pool.current_size(), 3);
        drop(guards);
        PoolGuard::discard(take(&pool));
        pool.resize(1);
        assert_eq!(counts(&pool), (1, 1, 0));
        shared.take();
    });
}

/// A resource with a destructor that panics once if its flag is set.
struct PanicsOnDrop(Rc<Cell<bool>>);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        if self.0.take() {
            resume_unwind(Box::new("on purpose"));
        }
    }
}

#[test]
fn a_destructor_that_panics_frees_its_slot() {
    within(|| {
        let armed = Rc::new(Cell::new(false));
        let own = Rc::clone(&armed);
        let pool = Pool::infallible(1, move || PanicsOnDrop(Rc::clone(&own)));
        let panics = |f: &dyn Fn(PoolGuard<PanicsOnDrop>), bad| {
            armed.set(true);
            let panicked = catch_unwind(AssertUnwindSafe(|| f(bad))).is_err();
            // Otherwise a destructor would panic while a failed assertion unwinds.
            armed.set(false);
            panicked
        };
        assert!(panics(&PoolGuard::discard, take(&pool)));
        assert_eq!(counts(&pool), (0, 1, 0));
        let excess = take(&pool);
        pool.resize(0);
        assert!(panics(&drop, excess));
        assert_eq!(counts(&pool), (0, 0, 0));
    });
}

#[test]
fn a_guard_may_outlive_the_pool() {
    within(|| {
        let (pool, counter) = numbered_pool(1);
        let guard = take(&pool);
        drop(pool);
        assert_eq!(guard.0, 1);
        drop(guard);
        assert_eq!(counter.counts(), (1, 0));
    });
}

#[test]
fn a_guard_dereferences_to_its_resource_and_formats_like_it() {
    within(|| {
        let pool = Pool::infallible(1, Vec::<u8>::new);
        take(&pool).push(7);
        assert_eq!(take(&pool).len(), 1);
        assert_eq!(format!("{:?}", take(&pool)), "[7]");
        assert_eq!(
            format!("{pool:?}"),
            "Pool { max_size: 1, current_size: 1, free: 1, waiting: 0, .. }"
        );
    });
}
