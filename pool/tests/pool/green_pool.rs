//! Tests of `GreenPool`: spawning, counters, resizing, and waiting for the members.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_pool::GreenPool;
use evy_runtime::lowlevel::{WaitQueue, WaitReason};
use evy_runtime::test::wait_all_parked;
use evy_runtime::thread;
use evy_runtime::{green_local, sleep, spawn, spawn_after_local, spawn_n, timeout, yield_now};
use evy_test_support::within;

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

/// A flag that green threads wait for: `wait` parks until `set` is called.
#[derive(Clone, Default)]
struct Flag(Rc<(WaitQueue, Cell<bool>)>);

impl Flag {
    fn wait(&self) {
        while !self.0.1.get() {
            self.0.0.wait(WaitReason::Other("a flag"));
        }
    }

    fn set(&self) {
        self.0.1.set(true);
        self.0.0.wake_all();
    }
}

/// Returns a pool of `size` slots with `running` members, and the flag that the members wait for.
fn busy(size: usize, running: usize) -> (GreenPool, Flag) {
    let (pool, flag) = (GreenPool::new(size), Flag::default());
    for _ in 0..running {
        let flag = flag.clone();
        pool.spawn_n(move || flag.wait());
    }
    wait_all_parked();
    (pool, flag)
}

fn counts(pool: &GreenPool) -> (usize, isize, usize) {
    (pool.running(), pool.free(), pool.waiting())
}

fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not a message")
}

fn fail(payload: &'static str) -> ! {
    // `resume_unwind` does not call the panic hook, which would print each of these panics.
    std::panic::resume_unwind(Box::new(payload))
}

#[test]
fn each_handle_returns_the_result_of_its_own_job() {
    within(|| {
        let pool = GreenPool::new(4);
        let handles: Vec<_> = (0..10u64)
            .map(|n| {
                pool.spawn(move || {
                    for _ in 0..(n * 7 % 4) {
                        yield_now();
                    }
                    n
                })
            })
            .collect();
        for (n, handle) in (0..).zip(handles) {
            assert_eq!(handle.join().unwrap(), n);
        }
    });
}

#[test]
fn wait_all_returns_after_every_job_has_run() {
    within(|| {
        let (pool, ran) = (GreenPool::new(4), Rc::new(Cell::new(0)));
        for _ in 0..10 {
            let ran = Rc::clone(&ran);
            pool.spawn_n(move || ran.set(ran.get() + 1));
        }
        pool.wait_all();
        assert_eq!(ran.get(), 10);
    });
}

#[test]
fn running_counts_the_members_and_waiting_the_parked_spawners() {
    within(|| {
        let (pool, flag) = (GreenPool::new(1), Flag::default());
        for waiting in 0..3 {
            let (spawner, flag) = (pool.clone(), flag.clone());
            spawn_n(move || spawner.spawn_n(move || flag.wait()));
            wait_all_parked();
            assert_eq!((pool.running(), pool.waiting()), (1, waiting));
        }
        flag.set();
        pool.wait_all();
        assert_eq!(counts(&pool), (0, 1, 0));
    });
}

#[test]
fn a_running_member_is_counted_and_occupies_a_slot() {
    within(|| {
        let pool = GreenPool::new(3);
        let inner = pool.clone();
        let seen = pool.spawn(move || counts(&inner));
        assert_eq!(seen.join().unwrap(), (1, 2, 0));
    });
}

#[test]
fn a_member_that_wakes_another_one_continues_before_it() {
    within(|| {
        let (pool, log) = (GreenPool::new(2), Rc::new(RefCell::new(Vec::new())));
        let flag = Flag::default();
        let (consumer, producer) = (Rc::clone(&log), Rc::clone(&log));
        let waits = flag.clone();
        pool.spawn_n(move || {
            consumer.borrow_mut().push("cons1");
            waits.wait();
            consumer.borrow_mut().push("cons2");
        });
        pool.spawn_n(move || {
            flag.set();
            producer.borrow_mut().push("prod");
        });
        pool.wait_all();
        assert_eq!(*log.borrow(), ["cons1", "prod", "cons2"]);
    });
}

#[test]
fn a_local_timer_does_not_fire_after_its_member_has_ended() {
    within(|| {
        let (pool, fired) = (GreenPool::new(1), Rc::new(Cell::new(false)));
        let seen = Rc::clone(&fired);
        pool.spawn_n(move || {
            drop(spawn_after_local(SHORT, move || seen.set(true)));
        });
        pool.wait_all();
        sleep(SHORT * 3);
        assert!(!fired.get());
    });
}

#[test]
fn a_member_that_spawns_into_its_full_pool_starts_a_job_beyond_the_limit() {
    within(|| {
        let (pool, flag) = (GreenPool::new(1), Flag::default());
        let (inner, waits) = (pool.clone(), flag.clone());
        let outer = pool.spawn(move || {
            let passes = waits.clone();
            let job = inner.spawn(move || {
                passes.wait();
                thread::current().id()
            });
            assert!(!job.is_finished());
            assert_eq!(counts(&inner), (2, -1, 0));
            assert!(inner.try_spawn(|| ()).is_err());
            (thread::current().id(), job)
        });
        let (id, job) = outer.join().unwrap();
        // The spawner has ended, so the job occupies the only slot, and other spawners wait.
        assert_eq!(counts(&pool), (1, 0, 0));
        assert!(timeout(SHORT, || pool.spawn(|| ())).is_err());
        flag.set();
        assert_ne!(job.join().unwrap(), id);
        assert_eq!(counts(&pool), (0, 1, 0));
    });
}

#[test]
fn spawners_wait_until_the_jobs_beyond_the_limit_have_ended() {
    within(|| {
        let (pool, flag) = (GreenPool::new(2), Flag::default());
        let (inner, waits) = (pool.clone(), flag.clone());
        pool.spawn_n(move || {
            for _ in 0..4 {
                let waits = waits.clone();
                inner.spawn_n(move || waits.wait());
            }
        });
        wait_all_parked();
        assert_eq!(counts(&pool), (4, -2, 0));
        let (spawner, seen) = (pool.clone(), Rc::new(Cell::new(0)));
        let running = Rc::clone(&seen);
        spawn_n(move || {
            let inner = spawner.clone();
            spawner.spawn_n(move || running.set(inner.running()));
        });
        wait_all_parked();
        assert_eq!(counts(&pool), (4, -2, 1));
        flag.set();
        pool.wait_all();
        assert!((1..=2).contains(&seen.get()), "{}", seen.get());
    });
}

#[test]
fn a_panic_of_a_job_beyond_the_limit_fails_only_the_job() {
    within(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let outer = pool.spawn(move || {
            let job = inner.spawn(|| fail("with a handle"));
            inner.spawn_n(|| fail("without a handle"));
            job.join().unwrap_err().is_panic()
        });
        assert!(outer.join().unwrap());
        pool.wait_all();
        assert_eq!(counts(&pool), (0, 1, 0));
    });
}

#[test]
fn a_job_beyond_the_limit_has_its_own_locals_and_survives_its_spawner() {
    green_local!(static VALUE: Cell<u32> = Cell::new(0));
    within(|| {
        let (pool, ended) = (GreenPool::new(1), Rc::new(Cell::new(false)));
        let (inner, seen) = (pool.clone(), Rc::clone(&ended));
        let spawner = pool.spawn(move || {
            VALUE.set(1);
            inner.spawn(|| VALUE.set(2)).join().unwrap();
            assert_eq!(VALUE.get(), 1);
            inner.spawn_n(move || {
                sleep(SHORT);
                seen.set(true);
            });
            sleep(LONG);
        });
        wait_all_parked();
        spawner.kill();
        assert!(spawner.join().unwrap_err().is_killed());
        pool.wait_all();
        assert!(ended.get());
    });
}

#[test]
fn a_job_beyond_the_limit_can_be_killed() {
    within(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let outer = pool.spawn(move || {
            let job = inner.spawn(|| sleep(LONG));
            yield_now();
            job.kill();
            job.join().unwrap_err().is_killed()
        });
        assert!(outer.join().unwrap());
        assert_eq!(counts(&pool), (0, 1, 0));
    });
}

#[test]
fn a_member_of_a_full_pool_may_feed_the_job_that_it_has_spawned() {
    within(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let outer = pool.spawn(move || {
            let flag = Flag::default();
            let waits = flag.clone();
            let job = inner.spawn(move || waits.wait());
            flag.set();
            job.join().unwrap();
        });
        outer.join().unwrap();
    });
}

#[test]
fn a_long_chain_of_jobs_that_each_spawn_the_next_one_needs_one_slot() {
    fn link(pool: &GreenPool, left: usize, most: Rc<Cell<usize>>) {
        most.set(most.get().max(pool.running()));
        yield_now();
        if left > 0 {
            let next = pool.clone();
            pool.spawn_n(move || link(&next, left - 1, most));
        }
    }
    within(|| {
        let (pool, most) = (GreenPool::new(1), Rc::new(Cell::new(0)));
        let (first, seen) = (pool.clone(), Rc::clone(&most));
        pool.spawn_n(move || link(&first, 10_000, seen));
        pool.wait_all();
        assert!(most.get() <= 2, "{}", most.get());
    });
}

#[test]
fn the_number_of_free_slots_of_the_largest_pool_is_the_largest_number() {
    within(|| {
        let pool = GreenPool::new(usize::MAX);
        assert_eq!(counts(&pool), (0, isize::MAX, 0));
        let resources = evy_pool::Pool::infallible(usize::MAX, || ());
        assert_eq!(resources.free(), isize::MAX);
    });
}

#[expect(clippy::large_stack_arrays, reason = "that is the test")]
#[test]
fn a_job_may_capture_more_than_half_of_its_stack() {
    within(|| {
        let pool = GreenPool::new(1);
        let big = [1u8; 150_000];
        let sum = pool.spawn(move || big.iter().map(|b| u64::from(*b)).sum::<u64>());
        assert_eq!(sum.join().unwrap(), 150_000);
    });
}

#[test]
fn a_full_pool_that_waits_for_itself_through_a_child_is_reported_as_a_deadlock() {
    within(|| {
        let pool = GreenPool::new(1);
        let inner = pool.clone();
        let outer = pool.spawn(move || {
            // A child of a member is not a member itself, so it waits for its own parent.
            spawn(move || inner.spawn(|| ()).join()).join().is_ok()
        });
        let caught = catch_unwind(AssertUnwindSafe(|| outer.wait())).unwrap_err();
        let report = message(&*caught);
        assert!(report.contains("a free slot in a pool"), "{report}");
        outer.kill();
        wait_all_parked();
        evy_runtime::shutdown(LONG);
    });
}

#[test]
fn after_shrinking_no_job_starts_until_fewer_members_run_than_the_new_size() {
    within(|| {
        let (pool, flag) = busy(4, 4);
        pool.resize(1);
        assert_eq!(counts(&pool), (4, -3, 0));
        let spawner = pool.clone();
        let started = Rc::new(Cell::new(false));
        let seen = Rc::clone(&started);
        spawn_n(move || spawner.spawn_n(move || seen.set(true)));
        wait_all_parked();
        assert!(!started.get());
        flag.set();
        pool.wait_all();
        assert!(started.get());
    });
}

#[test]
fn shrinking_does_not_change_the_number_of_waiting_spawners() {
    within(|| {
        let (pool, flag) = busy(4, 4);
        pool.resize(1);
        assert_eq!(pool.waiting(), 0);
        flag.set();
        pool.wait_all();
    });
}

#[test]
fn growing_wakes_a_waiting_spawner_at_once() {
    within(|| {
        let (pool, flag) = busy(1, 1);
        let started = Rc::new(Cell::new(false));
        let (spawner, seen) = (pool.clone(), Rc::clone(&started));
        spawn_n(move || spawner.spawn_n(move || seen.set(true)));
        wait_all_parked();
        assert!(!started.get() && pool.waiting() == 1);
        pool.resize(5);
        wait_all_parked();
        assert!(started.get() && pool.waiting() == 0);
        flag.set();
        pool.wait_all();
    });
}

#[test]
fn an_idle_pool_has_as_many_free_slots_as_its_new_size() {
    within(|| {
        let pool = GreenPool::new(0);
        for size in [1, 2] {
            pool.resize(size);
            assert_eq!(pool.free(), size as isize);
            let flag = Flag::default();
            for _ in 0..size {
                let flag = flag.clone();
                pool.spawn_n(move || flag.wait());
            }
            assert!(timeout(Duration::ZERO, || pool.spawn_n(|| ())).is_err());
            flag.set();
            pool.wait_all();
        }
    });
}

#[test]
fn a_spawn_that_times_out_on_a_full_pool_leaves_the_counters_unchanged() {
    within(|| {
        let (pool, flag) = busy(1, 1);
        assert!(timeout(Duration::ZERO, || pool.spawn(|| ())).is_err());
        assert_eq!(counts(&pool), (1, 0, 0));
        assert!(pool.try_spawn(|| ()).is_err());
        flag.set();
        pool.wait_all();
        assert_eq!(counts(&pool), (0, 1, 0));
    });
}

#[test]
fn a_member_that_times_out_on_another_pool_harms_neither_pool() {
    within(|| {
        let (tokens, pool) = (GreenPool::new(1), GreenPool::new(1));
        let flag = Flag::default();
        let holds = flag.clone();
        tokens.spawn_n(move || holds.wait());
        let wants = tokens.clone();
        let worker = pool.spawn(move || timeout(SHORT, || wants.spawn(|| ())).is_err());
        assert!(worker.join().unwrap());
        flag.set();
        tokens.wait_all();
        pool.wait_all();
        assert_eq!(tokens.spawn(|| "token").join().unwrap(), "token");
        assert_eq!((counts(&tokens), counts(&pool)), ((0, 1, 0), (0, 1, 0)));
    });
}

#[test]
fn a_spawn_into_a_full_pool_parks_until_a_slot_is_free() {
    within(|| {
        let (pool, results) = (GreenPool::new(2), Rc::new(RefCell::new(vec![1])));
        let add = |n: i32| {
            let results = Rc::clone(&results);
            pool.spawn_n(move || results.borrow_mut().push(n));
        };
        add(2);
        add(3);
        assert_eq!(*results.borrow(), [1]);
        add(4);
        assert_eq!(*results.borrow(), [1, 2, 3]);
        yield_now();
        assert_eq!(*results.borrow(), [1, 2, 3, 4]);
    });
}

/// Records, when it is dropped, how many slots of the pool are occupied.
struct CountsOnDrop(GreenPool, Rc<Cell<Option<usize>>>);

impl Drop for CountsOnDrop {
    fn drop(&mut self) {
        self.1.set(Some(self.0.running()));
    }
}

#[test]
fn a_slot_is_occupied_until_the_captures_of_its_job_are_dropped() {
    within(|| {
        let pool = GreenPool::new(1);
        for killed_before_start in [false, true] {
            let seen = Rc::default();
            let capture = CountsOnDrop(pool.clone(), Rc::clone(&seen));
            let job = pool.spawn(move || drop(capture));
            if killed_before_start {
                job.kill();
            }
            assert_eq!(job.join().is_err(), killed_before_start);
            assert_eq!(seen.get(), Some(1), "killed: {killed_before_start}");
            assert_eq!(pool.running(), 0);
        }
    });
}

#[test]
fn a_job_that_kills_all_jobs_is_killed_after_the_others() {
    within(|| {
        let pool = GreenPool::new(3);
        let other = pool.spawn(|| sleep(LONG));
        let inner = pool.clone();
        let killer = pool.spawn(move || {
            yield_now();
            inner.kill_all();
        });
        let last = pool.spawn(|| sleep(LONG));
        let results = [other.join(), killer.join(), last.join()];
        assert!(
            results
                .iter()
                .all(|result| result.as_ref().is_err_and(|error| error.is_killed()))
        );
    });
}

#[test]
fn a_job_that_panics_or_is_killed_frees_its_slot() {
    within(|| {
        let pool = GreenPool::new(1);
        drop(pool.spawn(|| fail("spawn")));
        pool.spawn_n(|| fail("spawn_n"));
        let killed = pool.spawn(|| sleep(LONG));
        yield_now();
        killed.kill();
        pool.wait_all();
        assert_eq!(counts(&pool), (0, 1, 0));
    });
}

#[test]
fn a_kill_frees_the_slot_before_and_after_the_job_has_started() {
    within(|| {
        let pool = GreenPool::new(2);
        let unstarted = pool.spawn(|| ());
        unstarted.kill();
        assert_eq!(pool.free(), 2);
        let parked = pool.spawn(|| sleep(LONG));
        yield_now();
        parked.kill();
        assert_eq!(counts(&pool), (0, 2, 0));
        let (one, two) = (pool.spawn(|| sleep(LONG)), pool.spawn(|| sleep(LONG)));
        yield_now();
        pool.kill_all();
        assert!(one.join().is_err() && two.join().is_err());
        assert_eq!(counts(&pool), (0, 2, 0));
    });
}

#[test]
fn a_spawner_killed_after_it_was_granted_a_slot_leaves_it_to_the_next() {
    within(|| {
        let (pool, flag) = busy(1, 1);
        let spawners: Vec<_> = (0..2)
            .map(|n| {
                let pool = pool.clone();
                spawn(move || pool.spawn(move || n).join().unwrap())
            })
            .collect();
        wait_all_parked();
        flag.set();
        // The member ends and hands its slot to the first spawner, which is killed before it runs.
        yield_now();
        spawners[0].kill();
        let mut results = spawners.into_iter().map(thread::JoinHandle::join);
        assert!(results.next().unwrap().is_err() || pool.running() <= 1);
        assert_eq!(results.next().unwrap().unwrap(), 1);
        pool.wait_all();
        assert_eq!(counts(&pool), (0, 1, 0));
    });
}

#[test]
fn an_exit_hook_finds_the_slot_free() {
    within(|| {
        let pool = GreenPool::new(1);
        let free = Rc::new(Cell::new(0));
        let (seen, inner) = (Rc::clone(&free), pool.clone());
        let handle = pool.spawn(|| ());
        handle.on_exit(move || seen.set(inner.free()));
        handle.join().unwrap();
        assert_eq!(free.get(), 1);
    });
}

#[test]
fn wait_all_on_an_idle_pool_returns_at_once() {
    within(|| GreenPool::new(3).wait_all());
}

#[test]
fn wait_all_in_a_member_panics() {
    within(|| {
        let pool = GreenPool::new(2);
        let inner = pool.clone();
        let error = pool
            .spawn(move || {
                catch_unwind(AssertUnwindSafe(|| inner.wait_all())).map_err(|p| message(&*p).len())
            })
            .join()
            .unwrap();
        assert!(error.unwrap_err() > 20);
    });
}

#[test]
fn wait_all_wakes_every_caller() {
    within(|| {
        let (pool, flag) = busy(1, 1);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let pool = pool.clone();
                spawn(move || pool.wait_all())
            })
            .collect();
        wait_all_parked();
        flag.set();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn wait_all_also_waits_for_the_job_of_a_parked_spawner() {
    within(|| {
        for size in 1..=3 {
            let (pool, flag) = busy(size, size);
            let ran = Rc::new(Cell::new(false));
            let (spawner, seen) = (pool.clone(), Rc::clone(&ran));
            spawn_n(move || spawner.spawn_n(move || seen.set(true)));
            wait_all_parked();
            let setter = spawn(move || flag.set());
            pool.wait_all();
            assert!(ran.get());
            setter.join().unwrap();
        }
    });
}

#[test]
fn a_spawner_that_gives_up_does_not_keep_wait_all_parked() {
    within(|| {
        let (pool, flag) = busy(1, 1);
        let spawner = pool.clone();
        let gives_up = spawn(move || spawner.spawn(|| ()).join());
        wait_all_parked();
        pool.resize(0);
        flag.set();
        wait_all_parked();
        gives_up.kill();
        pool.wait_all();
    });
}

#[test]
fn a_pool_of_size_zero_parks_spawners_and_rejects_imap() {
    within(|| {
        let pool = GreenPool::new(0);
        assert!(timeout(SHORT, || pool.spawn(|| ())).is_err());
        pool.wait_all();
        let caught = catch_unwind(AssertUnwindSafe(|| drop(pool.imap(|n: u8| n, [1]))));
        assert!(message(&*caught.unwrap_err()).contains("without slots"));
    });
}

#[test]
fn a_pool_may_have_any_size_and_has_1000_slots_by_default() {
    within(|| {
        // A negative or non-numeric size does not compile, because the parameter is a `usize`.
        assert_eq!(GreenPool::new(0).size(), 0);
        assert_eq!(GreenPool::new(1).size(), 1);
        assert_eq!(GreenPool::default().size(), 1000);
    });
}
