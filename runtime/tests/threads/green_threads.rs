//! Tests of green threads: the order in which they run, their results, and how they end.

#![expect(clippy::disallowed_methods, reason = "the tests compare evy with std")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::thread;
use evy_runtime::{
    lowlevel, scope, shield, shutdown, sleep, spawn, spawn_after, spawn_after_local, spawn_n, test,
    timeout, unblock, yield_now,
};
use evy_test_support::{virtually, within};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

/// A log that green threads share.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<&'static str>>>);

impl Log {
    fn add(&self, line: &'static str) {
        self.0.borrow_mut().push(line);
    }

    fn take(&self) -> Vec<&'static str> {
        self.0.take()
    }
}

/// Adds a line when dropped.
struct OnDrop(Log, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

#[test]
fn spawn_returns_before_the_green_thread_runs() {
    virtually(|| {
        let ran = Rc::new(Cell::new(false));
        let seen = Rc::clone(&ran);
        let handle = spawn(move || seen.set(true));
        assert!(!ran.get());
        handle.join().unwrap();
        assert!(ran.get());
    });
}

#[test]
fn join_returns_the_value_of_a_closure_that_ran_once() {
    virtually(|| {
        let text = String::from("argument");
        let runs = Rc::new(Cell::new(0));
        let count = Rc::clone(&runs);
        let handle = spawn(move || {
            count.set(count.get() + 1);
            text + " back"
        });
        assert_eq!(handle.join().unwrap(), "argument back");
        yield_now();
        assert_eq!(runs.get(), 1);
    });
}

#[test]
fn green_threads_start_in_fifo_order() {
    virtually(|| {
        let log = Log::default();
        let (a, b, c) = (log.clone(), log.clone(), log.clone());
        spawn_n(move || a.add("a"));
        spawn_after(Duration::ZERO, move || b.add("b"));
        spawn_n(move || c.add("c"));
        yield_now();
        assert_eq!(log.take(), ["a", "b", "c"]);
    });
}

// `spawn_n` returns no handle, so the test watches a value that the closure owns. A result cannot
// be retrieved.
#[test]
fn a_green_thread_without_a_handle_lives_until_its_closure_returns() {
    virtually(|| {
        let owned = Rc::new(());
        let alive = Rc::downgrade(&owned);
        let () = spawn_n(move || drop(owned));
        assert!(alive.upgrade().is_some());
        yield_now();
        assert!(alive.upgrade().is_none());
    });
}

#[test]
fn green_threads_that_yield_take_turns() {
    virtually(|| {
        let log = Log::default();
        let loops = ["1", "2"].map(|name| {
            let log = log.clone();
            spawn(move || {
                for _ in 0..3 {
                    log.add(name);
                    yield_now();
                }
            })
        });
        for handle in loops {
            handle.join().unwrap();
        }
        assert_eq!(log.take(), ["1", "2", "1", "2", "1", "2"]);
    });
}

// `KillHandle` corresponds to the method of Eventlet. `spawn_n` returns nothing that can be killed.
#[test]
fn a_green_thread_killed_before_its_start_never_runs() {
    virtually(|| {
        let ways: [fn(&thread::JoinHandle<()>); 2] = [thread::JoinHandle::kill, |handle| {
            handle.kill_handle().kill();
        }];
        for kill in ways {
            let log = Log::default();
            let (captured, ran) = (OnDrop(log.clone(), "dropped"), log.clone());
            let handle = spawn(move || {
                ran.add("ran");
                drop(captured);
            });
            kill(&handle);
            assert_eq!(log.take(), ["dropped"]);
            kill(&handle);
            assert!(handle.join().unwrap_err().is_killed());
            assert!(log.take().is_empty());
        }
    });
}

#[test]
fn a_kill_unwinds_a_parked_green_thread_at_once() {
    virtually(|| {
        let log = Log::default();
        let victim = log.clone();
        let handle = spawn(move || {
            let _on_drop = OnDrop(victim, "unwound");
            sleep(LONG);
        });
        yield_now();
        handle.kill();
        assert_eq!(log.take(), ["unwound"]);
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn kill_returns_when_the_victim_has_run_to_its_next_parking_point() {
    virtually(|| {
        let log = Log::default();
        let victim = log.clone();
        let handle = spawn(move || {
            let caught = catch_unwind(AssertUnwindSafe(|| sleep(LONG)));
            victim.add("cleanup");
            yield_now_shielded();
            victim.add("rest of the victim");
            std::panic::resume_unwind(caught.unwrap_err());
        });
        yield_now();
        handle.kill();
        log.add("killer");
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(log.take(), ["cleanup", "killer", "rest of the victim"]);
    });
}

/// Yields without being interrupted by a pending kill.
fn yield_now_shielded() {
    shield(yield_now);
}

#[test]
fn kill_with_throws_its_error_in_the_victim_and_returns_it_from_join() {
    virtually(|| {
        let error = Arc::new("this very error");
        let is_it = |payload: &(dyn Any + Send)| {
            let theirs = payload.downcast_ref::<Arc<&str>>();
            theirs.is_some_and(|theirs| Arc::ptr_eq(theirs, &error))
        };
        // The victim is killed before it starts, and while it is parked.
        for starts in [false, true] {
            let handle = spawn(|| sleep(LONG));
            if starts {
                yield_now();
            }
            handle.kill_with(Arc::clone(&error));
            assert!(is_it(&*handle.join().unwrap_err().into_panic()));
        }
        // The victim can catch the error. If it does not pass it on, an ordinary kill follows.
        let handle = spawn(|| {
            let seen: Rc<RefCell<Option<Box<dyn Any + Send>>>> = Rc::default();
            let inner = Rc::clone(&seen);
            let keeps_it = spawn(move || {
                *inner.borrow_mut() = catch_unwind(|| sleep(LONG)).err();
                sleep(LONG);
            });
            yield_now();
            (keeps_it, seen)
        });
        let (keeps_it, seen) = handle.join().unwrap();
        keeps_it.kill_with(Arc::clone(&error));
        assert!(is_it(&**seen.borrow().as_ref().unwrap()));
        assert!(keeps_it.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_green_thread_that_kills_itself_unwinds_in_place() {
    virtually(|| {
        let log = Log::default();
        let own = log.clone();
        let slot: Rc<RefCell<Option<thread::JoinHandle<()>>>> = Rc::default();
        let me = Rc::clone(&slot);
        let handle = spawn(move || {
            let _on_drop = OnDrop(own.clone(), "unwound");
            me.borrow().as_ref().unwrap().kill();
            own.add("after");
        });
        *slot.borrow_mut() = Some(handle);
        yield_now();
        assert_eq!(log.take(), ["unwound"]);
        let handle = slot.take().unwrap();
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_kill_of_a_finished_green_thread_has_no_effect() {
    virtually(|| {
        let handle = spawn(|| 7);
        yield_now();
        handle.kill();
        handle.kill_with("too late");
        handle.kill_handle().kill();
        assert!(!handle.cancel());
        assert_eq!(handle.join().unwrap(), 7);
    });
}

#[test]
fn a_kill_that_is_caught_is_thrown_again() {
    virtually(|| {
        let swallowed = Rc::new(Cell::new(0));
        let count = Rc::clone(&swallowed);
        let handle = spawn(move || {
            for _ in 0..3 {
                let caught = catch_unwind(|| sleep(LONG)).unwrap_err();
                assert!(thread::is_kill(&*caught));
                count.set(count.get() + 1);
            }
            sleep(LONG);
        });
        yield_now();
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(swallowed.get(), 3);
    });
}

// The hook captures its arguments, the handle among them.
#[test]
fn an_exit_hook_is_called_once_with_what_it_captured() {
    virtually(|| {
        let calls: Rc<RefCell<Vec<_>>> = Rc::default();
        let handle = Rc::new(spawn(|| 42));
        let (seen, own) = (Rc::clone(&calls), Rc::clone(&handle));
        let argument = String::from("argument");
        handle.on_exit(move || {
            let call = (own.thread().id(), own.take_result().unwrap(), argument);
            seen.borrow_mut().push(call);
        });
        handle.wait();
        yield_now();
        let id = handle.thread().id();
        assert_eq!(calls.take(), [(id, 42, "argument".to_owned())]);
    });
}

#[test]
fn an_exit_hook_of_a_finished_green_thread_is_called_at_once() {
    virtually(|| {
        let handle = spawn(|| ());
        yield_now();
        let log = Log::default();
        let late = log.clone();
        handle.on_exit(move || late.add("at once"));
        assert_eq!(log.take(), ["at once"]);
    });
}

#[test]
fn an_exit_hook_may_add_exit_hooks_without_recursion() {
    fn add_next_hook(handle: &Rc<thread::JoinHandle<()>>, calls: &Rc<Cell<usize>>) {
        let (own, count) = (Rc::clone(handle), Rc::clone(calls));
        handle.on_exit(move || {
            count.set(count.get() + 1);
            if count.get() < 10_000 {
                add_next_hook(&own, &count);
            }
        });
    }
    virtually(|| {
        let log = Log::default();
        let handle = Rc::new(spawn(|| ()));
        let (own, first, second) = (Rc::clone(&handle), log.clone(), log.clone());
        handle.on_exit(move || {
            let inner = first.clone();
            own.on_exit(move || inner.add("added by the first"));
            first.add("first");
        });
        handle.on_exit(move || second.add("second"));
        handle.wait();
        yield_now();
        assert_eq!(log.take(), ["first", "second", "added by the first"]);

        // Nested calls would overflow the stack.
        let handle = Rc::new(spawn(|| ()));
        let calls = Rc::default();
        add_next_hook(&handle, &calls);
        handle.wait();
        assert_eq!(calls.get(), 10_000);
    });
}

#[test]
fn exit_hooks_run_in_fifo_order_before_a_joiner_wakes() {
    virtually(|| {
        let log = Log::default();
        let handle = Rc::new(spawn(thread::park));
        let (waited_for, waiter) = (Rc::clone(&handle), log.clone());
        let joiner = spawn(move || {
            waited_for.wait();
            waiter.add("waiter");
        });
        // The joiner waits before any hook is added.
        yield_now();
        let (a, b) = (log.clone(), log.clone());
        handle.on_exit(move || {
            // The order holds even if a hook lets other green threads run.
            yield_now();
            a.add("first hook");
        });
        handle.on_exit(move || b.add("second hook"));
        handle.thread().unpark();
        joiner.join().unwrap();
        assert_eq!(log.take(), ["first hook", "second hook", "waiter"]);
    });
}

#[test]
fn a_panic_in_an_exit_hook_does_not_affect_the_result_or_other_hooks() {
    virtually(|| {
        let handle = spawn(|| 5);
        let log = Log::default();
        let next = log.clone();
        handle.on_exit(|| std::panic::resume_unwind(Box::new("a hook fails")));
        handle.on_exit(move || next.add("the next is called"));
        assert_eq!(handle.join().unwrap(), 5);
        yield_now();
        assert_eq!(log.take(), ["the next is called"]);
    });
}

#[test]
fn remove_exit_hook_returns_true_only_for_a_hook_that_is_still_registered() {
    virtually(|| {
        let log = Log::default();
        let handle = Rc::new(spawn(|| ()));
        let (never, own) = (log.clone(), Rc::clone(&handle));
        let hook = handle.on_exit(move || never.add("never"));
        assert!(handle.remove_exit_hook(hook));
        assert!(!handle.remove_exit_hook(hook));
        // A hook may also be removed by one that is called before it.
        let (remover, never) = (log.clone(), log.clone());
        let second = Rc::new(Cell::new(None));
        let its_id = Rc::clone(&second);
        handle.on_exit(move || {
            let found = own.remove_exit_hook(its_id.get().unwrap());
            remover.add(if found { "removed" } else { "not found" });
        });
        second.set(Some(handle.on_exit(move || never.add("never"))));
        handle.wait();
        assert!(!handle.remove_exit_hook(second.get().unwrap()));
        assert_eq!(log.take(), ["removed"]);
    });
}

#[test]
fn remove_exit_hook_removes_no_hook_of_another_green_thread() {
    virtually(|| {
        let (one, other) = (spawn(|| ()), spawn(|| ()));
        let called = Rc::new(Cell::new(0));
        let hook = || {
            let called = Rc::clone(&called);
            move || called.set(called.get() + 1)
        };
        let (own, foreign) = (one.on_exit(hook()), other.on_exit(hook()));
        assert_ne!(own, foreign);
        assert!(!one.remove_exit_hook(foreign) && !other.remove_exit_hook(own));
        one.wait();
        other.wait();
        assert_eq!(called.get(), 2);
    });
}

#[test]
fn spawn_after_starts_a_green_thread_after_the_delay() {
    virtually(|| {
        let start = lowlevel::now();
        let handle = spawn_after(LONG, || ("late", lowlevel::now()));
        let (result, began) = handle.join().unwrap();
        assert_eq!((result, began - start), ("late", LONG));
    });
}

#[test]
fn cancel_before_the_start_keeps_a_green_thread_from_running() {
    virtually(|| {
        let handle = spawn_after(LONG, || ());
        assert!(handle.cancel());
        assert!(!handle.cancel());
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn cancel_after_the_start_has_no_effect() {
    virtually(|| {
        let handle = spawn(|| {
            yield_now();
            3
        });
        yield_now();
        assert!(!handle.cancel());
        assert_eq!(handle.join().unwrap(), 3);
    });
}

#[test]
fn a_delayed_green_thread_can_be_killed_after_its_start() {
    virtually(|| {
        let handle = spawn_after(Duration::ZERO, || sleep(LONG));
        sleep(SHORT);
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn spawn_after_local_starts_its_green_thread_if_the_spawner_still_lives() {
    virtually(|| {
        let ran = spawn(|| {
            let timer = spawn_after_local(SHORT, || "fired");
            timer.join().unwrap()
        });
        assert_eq!(ran.join().unwrap(), "fired");
    });
}

#[test]
fn spawn_after_local_starts_nothing_if_the_spawner_has_ended() {
    virtually(|| {
        let timer = spawn(|| spawn_after_local(SHORT, || "never"))
            .join()
            .unwrap();
        sleep(SHORT * 3);
        assert!(timer.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_green_thread_may_outlive_its_parent() {
    virtually(|| {
        let log = Log::default();
        let child = log.clone();
        let parent = spawn(move || {
            spawn_n(move || {
                sleep(SHORT);
                child.add("child");
            });
        });
        parent.join().unwrap();
        assert!(log.take().is_empty());
        sleep(SHORT * 2);
        assert_eq!(log.take(), ["child"]);
    });
}

// A `Duration` is never negative, and no scheduler context exists that must not sleep: the root
// sleeps like every other green thread. Waiting is an error in a panic hook; `process/crash.rs`
// tests that.
#[test]
fn sleep_accepts_every_duration_from_zero_to_the_maximum() {
    virtually(|| {
        let start = lowlevel::now();
        let log = Log::default();
        let other = log.clone();
        spawn_n(move || other.add("other"));
        sleep(Duration::ZERO);
        assert_eq!(log.take(), ["other"]);
        // No other green thread is ready.
        sleep(Duration::ZERO);
        assert_eq!(lowlevel::now(), start);
        let least = Duration::from_nanos(1);
        sleep(least);
        assert_eq!(lowlevel::now() - start, least);
        // Longer than the clock can represent.
        let never = spawn(|| sleep(Duration::MAX));
        sleep(LONG);
        assert!(!never.is_finished());
        never.kill();
        assert!(never.join().unwrap_err().is_killed());
    });
}

// `std::thread::panicking` is about the OS thread. `evy::thread::panicking` is about the current
// green thread.
#[test]
fn an_unwinding_green_thread_is_not_seen_as_panicking_by_others() {
    struct ParksInDrop(Log);
    impl Drop for ParksInDrop {
        fn drop(&mut self) {
            for _ in 0..2 {
                let own = thread::panicking();
                self.0.add(if own { "unwinding" } else { "not unwinding" });
                sleep(SHORT);
            }
        }
    }
    virtually(|| {
        let log = Log::default();
        let bad = [(); 2].map(|()| {
            let inner = log.clone();
            spawn(move || {
                let _parks = ParksInDrop(inner);
                panic!("one");
            })
        });
        yield_now();
        // While they are parked in the middle of unwinding, another green thread panics and catches
        // it.
        let other = spawn(|| {
            assert!(!thread::panicking());
            catch_unwind(|| std::panic::resume_unwind(Box::new("two"))).is_err()
        });
        assert!(other.join().unwrap());
        assert!(!thread::panicking());
        log.add("other done");
        for handle in bad {
            assert!(handle.join().is_err());
        }
        let (own, other) = ("unwinding", "other done");
        assert_eq!(log.take(), [own, own, other, own, own]);
        assert!(!std::thread::panicking());
    });
}

#[test]
fn a_panic_of_a_delayed_green_thread_does_not_disturb_a_sleep() {
    virtually(|| {
        let start = lowlevel::now();
        let bad = spawn_after(SHORT, || std::panic::resume_unwind(Box::new("bad")));
        spawn_after_local(SHORT * 2, || std::panic::resume_unwind(Box::new("worse")));
        sleep(LONG);
        assert_eq!(lowlevel::now() - start, LONG);
        assert!(bad.join().is_err());
    });
}

#[test]
fn a_kill_unwinds_a_ready_green_thread_before_others_run() {
    virtually(|| {
        let log = Log::default();
        let (victim, other) = (log.clone(), log.clone());
        let handle = spawn(move || {
            let _on_drop = OnDrop(victim, "unwound");
            loop {
                yield_now();
            }
        });
        yield_now();
        spawn_n(move || other.add("other"));
        handle.kill();
        assert_eq!(log.take(), ["unwound"]);
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_green_thread_can_be_killed_through_its_thread_handle() {
    virtually(|| {
        let log = Log::default();
        let inner = log.clone();
        let victim = spawn(move || {
            let _on_drop = OnDrop(inner, "unwound");
            sleep(LONG);
        });
        let unstarted = spawn(|| unreachable!());
        let (handle, other) = (victim.thread().clone(), unstarted.thread().clone());
        other.kill();
        assert!(unstarted.join().unwrap_err().is_killed());
        yield_now();
        handle.kill();
        assert_eq!(log.take(), ["unwound"]);
        assert!(victim.join().unwrap_err().is_killed());
        // It has ended.
        handle.kill();
        let own = spawn(|| {
            thread::current().kill();
            unreachable!()
        });
        assert!(own.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_root_green_thread_cannot_be_killed() {
    virtually(|| {
        let root = thread::current();
        let killer = spawn(move || root.kill());
        assert!(killer.join().unwrap_err().is_panic());
        sleep(SHORT);
    });
}

#[test]
fn ready_green_threads_are_killed_in_any_order_and_the_others_keep_theirs() {
    within(|| {
        const COUNT: usize = 1000;
        for step in [1, COUNT - 1, 383] {
            let order = Rc::new(RefCell::new(Vec::new()));
            let spawn_numbered = |n: usize| {
                let order = Rc::clone(&order);
                spawn(move || order.borrow_mut().push(n))
            };
            let all: Vec<_> = (0..COUNT).map(spawn_numbered).collect();
            let is_victim = |n: &usize| n.is_multiple_of(3);
            let numbers = (0..COUNT).map(|n| n * step % COUNT);
            for n in numbers.filter(is_victim) {
                all[n].kill();
                assert!(all[n].is_finished());
            }
            for (n, one) in all.into_iter().enumerate() {
                assert_eq!(one.join().is_err(), is_victim(&n));
            }
            let survivors = (0..COUNT).filter(|n| !is_victim(n));
            assert!(order.take().into_iter().eq(survivors));
        }
    });
}

#[test]
fn kills_of_ready_green_threads_lose_no_other_in_any_schedule() {
    within(|| {
        test::explore_schedules(0..20, || {
            let ran = Rc::new(Cell::new(0));
            let all: Vec<_> = (0..200)
                .map(|_| {
                    let ran = Rc::clone(&ran);
                    spawn(move || {
                        yield_now();
                        ran.set(ran.get() + 1);
                    })
                })
                .collect();
            for victim in all.iter().rev().step_by(3) {
                victim.kill();
            }
            let ended_well = all.into_iter().filter_map(|one| one.join().ok()).count();
            assert_eq!(ran.get(), ended_well);
            assert!(ended_well >= 133, "{ended_well}");
        });
    });
}

#[test]
fn a_second_kill_does_not_interrupt_a_destructor() {
    virtually(|| {
        struct SleepsOnDrop(Log);
        impl Drop for SleepsOnDrop {
            fn drop(&mut self) {
                sleep(SHORT);
                self.0.add("dropped slowly");
            }
        }
        let log = Log::default();
        let victim = log.clone();
        let handle = spawn(move || {
            let _sleeps_on_drop = SleepsOnDrop(victim);
            sleep(LONG);
        });
        yield_now();
        handle.kill();
        handle.kill();
        assert!(log.take().is_empty());
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(log.take(), ["dropped slowly"]);
    });
}

#[test]
fn exit_hooks_of_a_killed_green_thread_run_after_its_values_drop_and_may_park() {
    virtually(|| {
        for starts in [false, true] {
            let log = Log::default();
            let (owned, hook) = (OnDrop(log.clone(), "owned"), log.clone());
            let handle = Rc::new(spawn(move || {
                let _owned = &owned;
                sleep(LONG);
            }));
            let own = Rc::clone(&handle);
            handle.on_exit(move || {
                hook.add("hook begins");
                sleep(SHORT);
                own.kill();
                sleep(SHORT);
                hook.add("hook ends");
            });
            if starts {
                yield_now();
            }
            handle.kill();
            assert!(!handle.is_finished());
            assert!(handle.take_result().unwrap_err().is_killed());
            assert_eq!(log.take(), ["owned", "hook begins", "hook ends"]);
        }
    });
}

#[test]
fn a_panic_does_not_affect_other_green_threads() {
    virtually(|| {
        let bad = spawn(|| std::panic::resume_unwind(Box::new("thrown")));
        let good = spawn(|| 1);
        let error = bad.join().unwrap_err();
        assert_eq!(error.downcast_ref::<&str>(), Some(&"thrown"));
        spawn_n(|| std::panic::resume_unwind(Box::new("not joined")));
        assert_eq!(good.join().unwrap(), 1);
        yield_now();
    });
}

#[test]
fn join_timeout_returns_the_handle_if_the_time_runs_out() {
    virtually(|| {
        let handle = spawn(|| {
            sleep(SHORT * 4);
            "done"
        });
        let handle = handle.join_timeout(SHORT).unwrap_err();
        assert_eq!(handle.join_timeout(LONG).unwrap().unwrap(), "done");
    });
}

#[test]
fn timers_fire_by_deadline_and_in_fifo_order_at_equal_deadlines() {
    virtually(|| {
        let log: Rc<RefCell<Vec<usize>>> = Rc::default();
        let handles: Vec<_> = [300u64, 100, 200, 100, 300, 100]
            .into_iter()
            .enumerate()
            .map(|(index, millis)| {
                let log = Rc::clone(&log);
                spawn_after(Duration::from_millis(millis), move || {
                    log.borrow_mut().push(index);
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(log.take(), [1, 3, 5, 2, 0, 4]);
    });
}

#[test]
fn a_shield_defers_kills_and_timeouts() {
    virtually(|| {
        let log = Log::default();
        let inner = log.clone();
        let handle = spawn(move || {
            shield(|| sleep(SHORT));
            inner.add("complete");
            yield_now();
            inner.add("never");
        });
        yield_now();
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(log.take(), ["complete"]);

        let outer = log.clone();
        let result = timeout(Duration::from_millis(1), move || {
            shield(|| sleep(SHORT * 2));
            outer.add("complete");
            yield_now();
        });
        assert!(result.is_err());
        assert_eq!(log.take(), ["complete"]);
    });
}

#[test]
fn a_scope_waits_for_children_that_borrow() {
    virtually(|| {
        let mut sum = 0;
        let numbers = [1, 2, 3];
        let result = scope(|s| {
            s.spawn(|| {
                sleep(SHORT);
                sum += numbers.iter().sum::<i32>();
            });
            let joined = s.spawn(|| numbers.len());
            joined.join().unwrap()
        });
        assert_eq!((sum, result), (6, 3));
    });
}

#[test]
fn a_kill_of_the_parent_of_a_scope_ends_the_children_first() {
    virtually(|| {
        let log = Log::default();
        let outer = log.clone();
        let parent = spawn(move || {
            let local = OnDrop(outer, "frame of the parent");
            scope(|s| {
                for _ in 0..2 {
                    s.spawn(|| {
                        let _child = OnDrop(local.0.clone(), "child");
                        // The first kill is caught, so it is thrown again.
                        drop(catch_unwind(AssertUnwindSafe(|| sleep(LONG))));
                        sleep(LONG);
                    });
                }
            });
        });
        yield_now();
        yield_now();
        parent.kill();
        assert!(parent.join().unwrap_err().is_killed());
        assert_eq!(log.take(), ["child", "child", "frame of the parent"]);
    });
}

#[test]
fn a_panic_in_the_body_of_a_scope_ends_the_children() {
    virtually(|| {
        let log = Log::default();
        let data = [7u8; 64];
        let caught = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                s.spawn(|| {
                    let _child = OnDrop(log.clone(), "child");
                    sleep(LONG);
                    assert_eq!(data[0], 7);
                });
                yield_now();
                std::panic::resume_unwind(Box::new("body"));
            })
        }));
        assert!(caught.is_err());
        assert_eq!(log.take(), ["child"]);
    });
}

#[test]
fn a_child_that_is_spawned_while_its_scope_unwinds_never_runs() {
    virtually(|| {
        let log = Log::default();
        let outcome = timeout(SHORT, || {
            scope(|s| {
                let log = &log;
                s.spawn(move || {
                    let _spawns = on_drop(move || {
                        sleep(SHORT);
                        let late = s.spawn(|| {
                            log.add("ran");
                            sleep(LONG);
                        });
                        log.add(match late.join() {
                            Err(error) if error.is_killed() => "killed",
                            _ => "not killed",
                        });
                    });
                    sleep(LONG);
                });
            });
        });
        assert!(outcome.is_err());
        assert_eq!(log.take(), ["killed"]);
    });
    /// Calls `f` when the result is dropped.
    fn on_drop(f: impl FnMut()) -> impl Drop {
        struct OnDrop<F: FnMut()>(F);
        impl<F: FnMut()> Drop for OnDrop<F> {
            fn drop(&mut self) {
                (self.0)();
            }
        }
        OnDrop(f)
    }
}

#[test]
fn a_scope_panics_if_a_child_has_panicked_and_was_not_joined() {
    virtually(|| {
        let caught = catch_unwind(|| {
            scope(|s| {
                s.spawn(|| std::panic::resume_unwind(Box::new("child")));
            });
        });
        assert!(caught.is_err());
        let joined = catch_unwind(|| {
            scope(|s| {
                let child = s.spawn(|| std::panic::resume_unwind(Box::new("child")));
                assert!(child.join().is_err());
            });
        });
        assert!(joined.is_ok());
    });
}

#[test]
fn a_scope_waits_until_a_killed_child_has_dropped_what_it_borrowed() {
    virtually(|| {
        let log = Log::default();
        scope(|s| {
            let sleeps_on_drop = {
                struct SleepsOnDrop<'a>(&'a Log);
                impl Drop for SleepsOnDrop<'_> {
                    fn drop(&mut self) {
                        shield(|| sleep(SHORT));
                        self.0.add("dropped");
                    }
                }
                SleepsOnDrop(&log)
            };
            let child = s.spawn(move || drop(sleeps_on_drop));
            child.kill();
        });
        assert_eq!(log.take(), ["dropped"]);
    });
}

#[test]
fn several_unparks_end_one_park() {
    virtually(|| {
        let log = Log::default();
        let inner = log.clone();
        let handle = spawn(move || {
            thread::park();
            inner.add("first");
            thread::park();
            inner.add("second");
        });
        yield_now();
        handle.thread().unpark();
        handle.thread().unpark();
        yield_now();
        assert_eq!(log.take(), ["first"]);
        handle.thread().unpark();
        handle.join().unwrap();
    });
}

#[test]
fn an_unpark_in_advance_ends_the_next_park_at_once() {
    virtually(|| {
        thread::current().unpark();
        thread::park();
        thread::park_timeout(SHORT);
    });
}

#[test]
fn an_unparker_unparks_from_another_os_thread() {
    within(|| {
        let handles: Vec<_> = (0..100)
            .map(|_| {
                spawn(|| {
                    let unparker = thread::current().unparker();
                    let flag = Arc::new(std::sync::atomic::AtomicBool::new(false));
                    let set = Arc::clone(&flag);
                    let other = std::thread::spawn(move || {
                        set.store(true, Ordering::Release);
                        unparker.unpark();
                        unparker.unpark();
                    });
                    while !flag.load(Ordering::Acquire) {
                        thread::park();
                    }
                    other.join().unwrap();
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
}

#[test]
fn an_unparker_dropped_right_after_an_unpark_causes_no_false_deadlock() {
    within(|| {
        let (sender, receiver) = std::sync::mpsc::channel::<thread::Unparker>();
        let other = std::thread::spawn(move || receiver.iter().for_each(|last| last.unpark()));
        for _ in 0..20_000 {
            sender.send(thread::current().unparker()).unwrap();
            thread::park();
        }
        drop(sender);
        other.join().unwrap();
    });
}

#[test]
fn other_green_threads_run_during_unblock() {
    within(|| {
        let log = Log::default();
        let other = log.clone();
        spawn_n(move || other.add("meanwhile"));
        let value = unblock(|| {
            std::thread::sleep(Duration::from_millis(10));
            5
        });
        log.add("done");
        assert_eq!(value, 5);
        assert_eq!(log.take(), ["meanwhile", "done"]);
    });
}

#[test]
fn unblock_rethrows_a_panic_of_its_closure_and_can_be_killed() {
    within(|| {
        let caught = catch_unwind(|| unblock(|| std::panic::resume_unwind(Box::new(9u8))));
        assert_eq!(
            *caught
                .map(|(): ()| ())
                .unwrap_err()
                .downcast::<u8>()
                .unwrap(),
            9
        );
        let handle = spawn(|| unblock(|| std::thread::sleep(Duration::from_millis(20))));
        yield_now();
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn each_os_thread_has_its_own_scheduler() {
    let threads: Vec<_> = (0..4)
        .map(|n| {
            std::thread::spawn(move || {
                let handles: Vec<_> = (0..100)
                    .map(|i| {
                        spawn(move || {
                            sleep(Duration::from_micros(i % 7 * 100));
                            i + n
                        })
                    })
                    .collect();
                handles.into_iter().map(|h| h.join().unwrap()).sum::<u64>()
            })
        })
        .collect();
    for (n, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), 4950 + 100 * n as u64);
    }
}

#[test]
fn a_green_thread_has_one_name_and_id_for_itself_and_its_handle() {
    virtually(|| {
        let handle = thread::Builder::new().name("worker-7".into()).spawn(|| {
            let me = thread::current();
            (me.id(), me.name().map(str::to_owned))
        });
        let handle = handle.unwrap();
        let id = handle.thread().id();
        assert_eq!(handle.thread().name(), Some("worker-7"));
        yield_now();
        assert_eq!(handle.thread().name(), Some("worker-7"));
        assert_eq!(handle.join().unwrap(), (id, Some("worker-7".to_owned())));
    });
}

#[test]
fn a_deadlock_is_a_panic_that_lists_the_parked_green_threads() {
    virtually(|| {
        let named = thread::Builder::new()
            .name("left-behind".into())
            .spawn(thread::park)
            .unwrap();
        let caught = catch_unwind(AssertUnwindSafe(thread::park)).unwrap_err();
        let message = caught.downcast_ref::<String>().unwrap();
        assert!(
            message.contains("every green thread of this OS thread is parked"),
            "{message}"
        );
        assert!(
            message.contains("'left-behind'") && message.contains("green_threads.rs"),
            "{message}"
        );
        let root = message.lines().find(|line| line.contains("(root)"));
        assert!(root.is_some_and(|line| line.contains("waits for unpark")));
        // In optimized code, the call may be part of the function that contains it.
        let has_site = |line: &str| line.contains("green_threads.rs");
        assert!(
            !cfg!(debug_assertions) || root.is_some_and(has_site),
            "{message}"
        );
        named.thread().unpark();
        named.join().unwrap();
    });
}

#[test]
fn shutdown_waits_and_then_kills() {
    virtually(|| {
        let log = Log::default();
        let (quick, slow) = (log.clone(), log.clone());
        spawn_n(move || {
            sleep(SHORT);
            quick.add("ended by itself");
        });
        spawn_n(move || {
            let _on_drop = OnDrop(slow, "was killed");
            sleep(LONG);
        });
        assert_eq!(shutdown(Duration::from_millis(500)), 0);
        assert_eq!(log.take(), ["ended by itself", "was killed"]);
    });
}

#[test]
fn shutdown_kills_what_its_victims_spawn_while_they_unwind() {
    struct SpawnsOnDrop(Log);
    impl Drop for SpawnsOnDrop {
        fn drop(&mut self) {
            sleep(SHORT);
            let on_drop = OnDrop(self.0.clone(), "was killed");
            spawn_n(move || {
                sleep(LONG);
                drop(on_drop);
            });
            yield_now();
        }
    }
    virtually(|| {
        let log = Log::default();
        let inner = log.clone();
        spawn_n(move || {
            let _spawns = SpawnsOnDrop(inner);
            sleep(LONG);
        });
        assert_eq!(shutdown(10 * SHORT), 0);
        assert_eq!(log.take(), ["was killed"]);
    });
}

#[test]
fn many_yielders_do_not_starve_a_sleeper() {
    within(|| {
        let stop = Rc::new(Cell::new(false));
        for _ in 0..10 {
            let stop = Rc::clone(&stop);
            spawn_n(move || {
                while !stop.get() {
                    yield_now();
                }
            });
        }
        sleep(SHORT);
        stop.set(true);
        assert_eq!(shutdown(LONG), 0);
    });
}

#[test]
fn a_large_closure_is_moved_intact() {
    within(|| {
        let big = [3u8; 10_000];
        let sum = spawn(move || big.iter().map(|b| u64::from(*b)).sum::<u64>());
        assert_eq!(sum.join().unwrap(), 30_000);
    });
}

#[expect(clippy::large_stack_arrays, reason = "that is the test")]
#[test]
fn a_closure_may_capture_more_than_half_of_the_stack_that_it_runs_on() {
    const SIZE: usize = 150_000;
    /// A closure that captures `SIZE` bytes, and returns their sum.
    fn large() -> impl FnOnce() -> usize {
        let big = [1u8; SIZE];
        move || big.iter().map(|b| usize::from(*b)).sum()
    }
    // A function for each kind of spawn, because each of them needs much of the OS thread's stack.
    let kinds: [fn() -> usize; 6] = [
        || spawn(large()).join().unwrap(),
        || spawn_after(SHORT, large()).join().unwrap(),
        || spawn_after_local(SHORT, large()).join().unwrap(),
        || scope(|s| s.spawn(large()).join().unwrap()),
        || {
            let set = thread::JoinSet::new();
            set.spawn(large());
            set.join_next().unwrap().unwrap()
        },
        || {
            let (sum, seen) = (large(), Rc::new(Cell::new(0)));
            let set = Rc::clone(&seen);
            spawn_n(move || set.set(sum()));
            yield_now();
            seen.get()
        },
    ];
    within(move || {
        for spawn_and_join in kinds {
            assert_eq!(spawn_and_join(), SIZE);
        }
        let unstarted = spawn(large());
        unstarted.kill();
        assert!(unstarted.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_hundred_thousand_green_threads_are_parked_woken_and_joined() {
    within(|| {
        let count = if std::env::var_os("EVY_UNDER_QEMU").is_some() {
            1_000
        } else {
            100_000
        };
        let handles: Vec<_> = (0..count)
            .map(|i| {
                spawn(move || {
                    thread::park();
                    i
                })
            })
            .collect();
        yield_now();
        for handle in &handles {
            handle.thread().unpark();
        }
        let sum: usize = handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum();
        assert_eq!(sum, count * (count - 1) / 2);
    });
}

#[test]
fn in_random_order_a_green_thread_that_yields_may_run_next() {
    within(|| {
        let twice_in_a_row = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&twice_in_a_row);
        test::explore_schedules(0..100, move || {
            let log = Log::default();
            let both: Vec<_> = ["a", "b"]
                .into_iter()
                .map(|name| {
                    let log = log.clone();
                    spawn(move || {
                        for _ in 0..3 {
                            log.add(name);
                            yield_now();
                        }
                    })
                })
                .collect();
            both.into_iter().for_each(|one| one.join().unwrap());
            // By the third turn both have begun, and neither has ended.
            let turns = log.take();
            if turns[..2] != ["a", "a"] && turns[..2] != ["b", "b"] && turns[2] == turns[1] {
                seen.fetch_add(1, Ordering::Relaxed);
            }
        });
        let twice = twice_in_a_row.load(Ordering::Relaxed);
        assert!((1..100).contains(&twice), "{twice} of 100");
    });
}

/// If a kill is deferred until its green thread ends, its error is dropped there.
#[test]
fn a_timer_set_by_the_last_destructor_of_a_green_thread_is_canceled() {
    struct SetsTimerOnDrop(Arc<AtomicUsize>);
    impl Drop for SetsTimerOnDrop {
        fn drop(&mut self) {
            let count = Arc::clone(&self.0);
            spawn_after_local(SHORT, move || count.fetch_add(100, Ordering::Relaxed));
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    virtually(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let victim = spawn(|| shield(thread::park));
        yield_now();
        victim.kill_with(SetsTimerOnDrop(Arc::clone(&count)));
        victim.thread().unpark();
        victim.join().unwrap();
        sleep(SHORT * 10);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_scoped_child_of_a_builder_has_its_name_and_the_spawn_site_of_the_call() {
    virtually(|| {
        let mut seen = None;
        scope(|s| {
            let builder = thread::Builder::new().name("child".into());
            let line = line!() + 1;
            let child = builder.spawn_scoped(s, || {
                seen = thread::current().name().map(str::to_owned);
            });
            let child = child.unwrap();
            assert_eq!(child.thread().name(), Some("child"));
            assert_eq!(child.thread().spawned_at().line(), line);
            child.join().unwrap();
        });
        assert_eq!(seen.as_deref(), Some("child"));
    });
}

#[test]
fn a_scoped_child_of_a_builder_is_killed_when_its_scope_unwinds() {
    virtually(|| {
        let dropped = Cell::new(false);
        struct Sets<'a>(&'a Cell<bool>);
        impl Drop for Sets<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let caught = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                let sets = Sets(&dropped);
                let child = thread::Builder::new().spawn_scoped(s, move || {
                    let _sets = sets;
                    thread::park();
                });
                drop(child);
                yield_now();
                panic!("in the scope");
            })
        }));
        assert!(caught.is_err() && dropped.get());
    });
}

#[test]
fn a_scoped_child_of_a_builder_that_has_no_stack_is_an_error_and_no_child() {
    virtually(|| {
        scope(|s| {
            let huge = thread::Builder::new().stack_size(1 << 60);
            assert!(huge.spawn_scoped(s, || ()).is_err());
        });
    });
}
