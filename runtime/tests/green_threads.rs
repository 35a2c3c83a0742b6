//! Green threads: order, results, ends. Named after the lines of the catalogue of behaviours.

#![expect(
    clippy::disallowed_methods,
    reason = "tests compare with what std does"
)]

mod common;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::within;
use evy_runtime::thread::{self, JoinError};
use evy_runtime::{
    scope, shield, shutdown, sleep, spawn, spawn_after, spawn_after_local, spawn_n, timeout,
    unblock, yield_now,
};

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
fn spawn_is_lazy() {
    within(|| {
        let ran = Rc::new(Cell::new(false));
        let seen = Rc::clone(&ran);
        let handle = spawn(move || seen.set(true));
        assert!(!ran.get());
        handle.join().unwrap();
        assert!(ran.get());
    });
}

#[test]
fn spawn_result() {
    within(|| {
        let text = String::from("argument");
        assert_eq!(
            spawn(move || text + " back").join().unwrap(),
            "argument back"
        );
    });
}

#[test]
fn spawn_fifo() {
    within(|| {
        let log = Log::default();
        let (a, b, c) = (log.clone(), log.clone(), log.clone());
        spawn_n(move || a.add("a"));
        let after = spawn_after(Duration::ZERO, move || b.add("b"));
        spawn_n(move || c.add("c"));
        after.join().unwrap();
        let order = log.take();
        assert_eq!(order.len(), 3);
        assert!(order.iter().position(|x| *x == "a") < order.iter().position(|x| *x == "c"));
    });
}

#[test]
fn round_robin() {
    within(|| {
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

#[test]
fn kill_before_start() {
    within(|| {
        let log = Log::default();
        let (captured, ran) = (OnDrop(log.clone(), "dropped"), log.clone());
        let handle = spawn(move || {
            ran.add("ran");
            drop(captured);
        });
        handle.kill();
        assert_eq!(log.take(), ["dropped"]);
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn kill_sleeping() {
    within(|| {
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
fn kill_order() {
    within(|| {
        let log = Log::default();
        let victim = log.clone();
        let handle = spawn(move || {
            let caught = catch_unwind(AssertUnwindSafe(|| sleep(LONG)));
            victim.add("cleanup");
            yield_now_quietly();
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

/// A yield that a pending kill does not end.
fn yield_now_quietly() {
    shield(yield_now);
}

#[test]
fn kill_self() {
    within(|| {
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
fn kill_dead() {
    within(|| {
        let handle = spawn(|| 7);
        yield_now();
        handle.kill();
        assert_eq!(handle.join().unwrap(), 7);
    });
}

#[test]
fn kill_swallowed() {
    within(|| {
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

#[test]
fn kill_of_a_queued_thread_waits_for_nobody() {
    within(|| {
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
fn kill_is_held_back_while_unwinding() {
    within(|| {
        struct Slow(Log);
        impl Drop for Slow {
            fn drop(&mut self) {
                sleep(SHORT);
                self.0.add("said goodbye");
            }
        }
        let log = Log::default();
        let victim = log.clone();
        let handle = spawn(move || {
            let _slow = Slow(victim);
            sleep(LONG);
        });
        yield_now();
        handle.kill();
        handle.kill();
        assert!(log.take().is_empty());
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(log.take(), ["said goodbye"]);
    });
}

#[test]
fn link_args_and_order() {
    within(|| {
        let log = Log::default();
        let handle = spawn(|| ());
        let (a, b, waiter) = (log.clone(), log.clone(), log.clone());
        handle.on_exit(move || a.add("first link"));
        handle.on_exit(move || b.add("second link"));
        let joiner = spawn(move || {
            handle.join().unwrap();
            waiter.add("waiter");
        });
        joiner.join().unwrap();
        assert_eq!(log.take(), ["first link", "second link", "waiter"]);
    });
}

#[test]
fn link_after_exit() {
    within(|| {
        let handle = spawn(|| ());
        yield_now();
        let log = Log::default();
        let late = log.clone();
        handle.on_exit(move || late.add("at once"));
        assert_eq!(log.take(), ["at once"]);
    });
}

#[test]
fn link_error_isolated() {
    within(|| {
        let handle = spawn(|| 5);
        let log = Log::default();
        let next = log.clone();
        handle.on_exit(|| std::panic::resume_unwind(Box::new("a link fails")));
        handle.on_exit(move || next.add("the next is called"));
        assert_eq!(handle.join().unwrap(), 5);
        yield_now();
        assert_eq!(log.take(), ["the next is called"]);
    });
}

#[test]
fn unlink() {
    within(|| {
        let handle = spawn(|| ());
        let log = Log::default();
        let never = log.clone();
        let link = handle.on_exit(move || never.add("never"));
        assert!(handle.unlink(link));
        assert!(!handle.unlink(link));
        handle.join().unwrap();
        assert!(log.take().is_empty());
    });
}

#[test]
fn spawn_after_runs() {
    within(|| {
        let start = Instant::now();
        let handle = spawn_after(Duration::from_millis(20), || "late");
        assert_eq!(handle.join().unwrap(), "late");
        assert!(start.elapsed() >= Duration::from_millis(20));
    });
}

#[test]
fn cancel_pending() {
    within(|| {
        let handle = spawn_after(LONG, || ());
        assert!(handle.cancel());
        assert!(!handle.cancel());
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn cancel_started() {
    within(|| {
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
fn kill_started_after() {
    within(|| {
        let handle = spawn_after(Duration::ZERO, || sleep(LONG));
        sleep(SHORT);
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn after_local_alive() {
    within(|| {
        let ran = spawn(|| {
            let timer = spawn_after_local(SHORT, || "fired");
            timer.join().unwrap()
        });
        assert_eq!(ran.join().unwrap(), "fired");
    });
}

#[test]
fn after_local_dead() {
    within(|| {
        let timer = spawn(|| spawn_after_local(SHORT, || "never"))
            .join()
            .unwrap();
        sleep(SHORT * 3);
        assert!(timer.join().unwrap_err().is_killed());
    });
}

#[test]
fn spawn_outlives_parent() {
    within(|| {
        let log = Log::default();
        let child = log.clone();
        spawn_n(move || {
            spawn_n(move || {
                sleep(SHORT);
                child.add("child");
            });
        });
        let mut lines = Vec::new();
        while lines.is_empty() {
            sleep(SHORT);
            lines = log.take();
        }
        assert_eq!(lines, ["child"]);
    });
}

#[test]
fn a_panic_costs_nobody_else_anything() {
    within(|| {
        let bad = spawn(|| std::panic::resume_unwind(Box::new("thrown")));
        let good = spawn(|| 1);
        match bad.join() {
            Err(JoinError::Panicked(payload)) => {
                assert_eq!(payload.downcast_ref::<&str>(), Some(&"thrown"));
            }
            other => panic!("{other:?}"),
        }
        spawn_n(|| std::panic::resume_unwind(Box::new("nobody joins this")));
        assert_eq!(good.join().unwrap(), 1);
        yield_now();
    });
}

#[test]
fn error_context_isolated() {
    within(|| {
        struct ParksInDrop(Log);
        impl Drop for ParksInDrop {
            fn drop(&mut self) {
                self.0.add("unwinding");
                sleep(SHORT);
                self.0.add("unwound");
            }
        }
        let log = Log::default();
        let inner = log.clone();
        let bad = spawn(move || {
            let _parks = ParksInDrop(inner);
            std::panic::resume_unwind(Box::new("one"));
        });
        yield_now();
        // While the first parks in the middle of unwinding, another panics and is caught.
        let other = spawn(|| catch_unwind(|| std::panic::resume_unwind(Box::new("two"))).is_err());
        assert!(other.join().unwrap());
        log.add("other done");
        assert!(bad.join().is_err());
        assert_eq!(log.take(), ["unwinding", "other done", "unwound"]);
        assert!(!std::thread::panicking());
    });
}

#[test]
fn join_timeout_gives_the_handle_back() {
    within(|| {
        let handle = spawn(|| {
            sleep(SHORT * 4);
            "done"
        });
        let handle = handle.join_timeout(SHORT).unwrap_err();
        assert_eq!(handle.join_timeout(LONG).unwrap().unwrap(), "done");
    });
}

#[test]
fn timer_order() {
    within(|| {
        let log: Rc<RefCell<Vec<usize>>> = Rc::default();
        // Counted from one moment, however long the spawning takes.
        let start = Instant::now();
        let handles: Vec<_> = [300u64, 100, 200]
            .into_iter()
            .enumerate()
            .map(|(index, millis)| {
                let log = Rc::clone(&log);
                let due = start + Duration::from_millis(millis);
                spawn_after(due.saturating_duration_since(Instant::now()), move || {
                    log.borrow_mut().push(index);
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(log.take(), [1, 2, 0]);
    });
}

#[test]
fn timeout_finishes_first_or_expires() {
    within(|| {
        assert_eq!(timeout(LONG, || 4), Ok(4));
        assert!(timeout(SHORT, || sleep(LONG)).is_err());
        // Nothing fires later.
        sleep(SHORT * 2);
    });
}

#[test]
fn timeout_nested() {
    within(|| {
        // The outer one is shorter: it passes through the inner.
        let outer = timeout(SHORT, || timeout(LONG, || sleep(LONG)).is_err());
        assert!(outer.is_err());
        // The inner one is shorter: only it ends.
        let inner = timeout(LONG, || timeout(SHORT, || sleep(LONG)).is_err());
        assert_eq!(inner, Ok(true));
    });
}

#[test]
fn timeout_zero_fires_at_the_next_park_only() {
    within(|| {
        assert_eq!(timeout(Duration::ZERO, || 1), Ok(1));
        assert!(timeout(Duration::ZERO, yield_now).is_err());
        assert!(timeout(Duration::ZERO, thread::park).is_err());
    });
}

#[test]
fn timeout_swallowed_comes_again() {
    within(|| {
        let result = timeout(SHORT, || {
            assert!(catch_unwind(|| sleep(LONG)).is_err());
            sleep(LONG);
        });
        assert!(result.is_err());
    });
}

#[test]
fn timeout_cleanup_may_park() {
    within(|| {
        struct Goodbye(Log);
        impl Drop for Goodbye {
            fn drop(&mut self) {
                sleep(SHORT);
                self.0.add("goodbye");
            }
        }
        let log = Log::default();
        let inner = log.clone();
        let result = timeout(SHORT, move || {
            let _goodbye = Goodbye(inner);
            sleep(LONG);
        });
        assert!(result.is_err());
        assert_eq!(log.take(), ["goodbye"]);
    });
}

#[test]
fn a_shield_holds_kill_and_timeout_back() {
    within(|| {
        let log = Log::default();
        let inner = log.clone();
        let handle = spawn(move || {
            shield(|| sleep(SHORT));
            inner.add("whole");
            yield_now();
            inner.add("never");
        });
        yield_now();
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(log.take(), ["whole"]);

        let outer = log.clone();
        let result = timeout(Duration::from_millis(1), move || {
            shield(|| sleep(SHORT * 2));
            outer.add("whole");
            yield_now();
        });
        assert!(result.is_err());
        assert_eq!(log.take(), ["whole"]);
    });
}

#[test]
fn scope_borrows_and_waits() {
    within(|| {
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
fn scope_parent_killed_ends_children_first() {
    within(|| {
        let log = Log::default();
        let outer = log.clone();
        let parent = spawn(move || {
            let local = OnDrop(outer, "frame of the parent");
            scope(|s| {
                for _ in 0..2 {
                    s.spawn(|| {
                        let _child = OnDrop(local.0.clone(), "child");
                        // One kill is swallowed; it comes again.
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
fn scope_body_panics_after_a_spawn() {
    within(|| {
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
fn scope_child_panics() {
    within(|| {
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
fn scope_child_killed_before_start_drops_its_borrow_first() {
    within(|| {
        let log = Log::default();
        scope(|s| {
            let slow = {
                struct Slow<'a>(&'a Log);
                impl Drop for Slow<'_> {
                    fn drop(&mut self) {
                        shield(|| sleep(SHORT));
                        self.0.add("dropped");
                    }
                }
                Slow(&log)
            };
            let child = s.spawn(move || drop(slow));
            child.kill();
        });
        assert_eq!(log.take(), ["dropped"]);
    });
}

#[test]
fn park_and_unpark() {
    within(|| {
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
fn a_token_lets_the_next_park_through() {
    within(|| {
        thread::current().unpark();
        thread::park();
        thread::park_timeout(SHORT);
    });
}

#[test]
fn unpark_from_other_os_threads() {
    within(|| {
        let handles: Vec<_> = (0..100)
            .map(|_| {
                spawn(|| {
                    let unparker = thread::current().unparker();
                    let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
                    let set = std::sync::Arc::clone(&flag);
                    let other = std::thread::spawn(move || {
                        set.store(true, std::sync::atomic::Ordering::Release);
                        unparker.unpark();
                        unparker.unpark();
                    });
                    while !flag.load(std::sync::atomic::Ordering::Acquire) {
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
fn unblock_lets_others_run() {
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
fn unblock_passes_a_panic_on_and_survives_a_kill() {
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
fn schedulers_of_several_os_threads_do_not_meet() {
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
fn names_ids_and_sites() {
    within(|| {
        let handle = thread::Builder::new().name("worker-7").spawn(|| {
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
fn a_stall_is_a_panic_that_lists_everybody() {
    within(|| {
        let named = thread::Builder::new()
            .name("left-behind")
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
        named.thread().unpark();
        named.join().unwrap();
    });
}

#[test]
fn shutdown_waits_then_kills() {
    within(|| {
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
fn a_large_closure_and_its_result_move_whole() {
    within(|| {
        let big = [3u8; 10_000];
        let sum = spawn(move || big.iter().map(|b| u64::from(*b)).sum::<u64>());
        assert_eq!(sum.join().unwrap(), 30_000);
    });
}

#[test]
fn a_hundred_thousand_parked_then_woken_and_joined() {
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
