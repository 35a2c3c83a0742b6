//! Green threads: order, results, ends. Named after the lines of the catalogue of behaviours.

#![expect(
    clippy::disallowed_methods,
    reason = "tests compare with what std does"
)]

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
fn spawn_is_lazy() {
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
fn spawn_result() {
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
fn spawn_fifo() {
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

// There is no handle to ask: that it is alive shows in what its closure owns, and a result has no
// place to go to.

#[test]
fn spawn_n_state() {
    virtually(|| {
        let owned = Rc::new(());
        let alive = Rc::downgrade(&owned);
        let () = spawn_n(move || drop(owned));
        assert!(alive.upgrade().is_some());
        yield_now();
        assert!(alive.upgrade().is_none());
    });
}

// The method form is `KillHandle`; `spawn_n` gives nothing to kill.

#[test]
fn round_robin() {
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

#[test]
fn kill_before_start() {
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
fn kill_sleeping() {
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
fn kill_order() {
    virtually(|| {
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
fn kill_custom_error() {
    virtually(|| {
        let error = Arc::new("this very error");
        let is_it = |payload: &(dyn Any + Send)| {
            let theirs = payload.downcast_ref::<Arc<&str>>();
            theirs.is_some_and(|theirs| Arc::ptr_eq(theirs, &error))
        };
        // Before it starts, and where it is parked.
        for starts in [false, true] {
            let handle = spawn(|| sleep(LONG));
            if starts {
                yield_now();
            }
            handle.kill_with(Arc::clone(&error));
            assert!(is_it(&*handle.join().unwrap_err().into_panic()));
        }
        // The victim sees it. If it keeps it to itself, an ordinary kill follows.
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
fn kill_self() {
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
fn kill_dead() {
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

// A closure captures its arguments, the handle among them.

#[test]
fn kill_swallowed() {
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

#[test]
fn link_args() {
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
fn link_after_exit() {
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
fn link_in_link() {
    fn link_the_next(handle: &Rc<thread::JoinHandle<()>>, calls: &Rc<Cell<usize>>) {
        let (own, count) = (Rc::clone(handle), Rc::clone(calls));
        handle.on_exit(move || {
            count.set(count.get() + 1);
            if count.get() < 10_000 {
                link_the_next(&own, &count);
            }
        });
    }
    virtually(|| {
        let log = Log::default();
        let handle = Rc::new(spawn(|| ()));
        let (own, first, second) = (Rc::clone(&handle), log.clone(), log.clone());
        handle.on_exit(move || {
            let inner = first.clone();
            own.on_exit(move || inner.add("linked in the first"));
            first.add("first");
        });
        handle.on_exit(move || second.add("second"));
        handle.wait();
        yield_now();
        assert_eq!(log.take(), ["first", "second", "linked in the first"]);

        // Inside each other they would need more than a stack.
        let handle = Rc::new(spawn(|| ()));
        let calls = Rc::default();
        link_the_next(&handle, &calls);
        handle.wait();
        assert_eq!(calls.get(), 10_000);
    });
}

#[test]
fn link_order() {
    virtually(|| {
        let log = Log::default();
        let handle = Rc::new(spawn(thread::park));
        let (waited_for, waiter) = (Rc::clone(&handle), log.clone());
        let joiner = spawn(move || {
            waited_for.wait();
            waiter.add("waiter");
        });
        // It waits before anything is linked.
        yield_now();
        let (a, b) = (log.clone(), log.clone());
        handle.on_exit(move || {
            // Even where a link lets others run.
            yield_now();
            a.add("first link");
        });
        handle.on_exit(move || b.add("second link"));
        handle.thread().unpark();
        joiner.join().unwrap();
        assert_eq!(log.take(), ["first link", "second link", "waiter"]);
    });
}

#[test]
fn link_error_isolated() {
    virtually(|| {
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
fn remove_exit_hook() {
    virtually(|| {
        let log = Log::default();
        let handle = Rc::new(spawn(|| ()));
        let (never, own) = (log.clone(), Rc::clone(&handle));
        let link = handle.on_exit(move || never.add("never"));
        assert!(handle.remove_exit_hook(link));
        assert!(!handle.remove_exit_hook(link));
        // Also from a link that is called before it.
        let (told, never) = (log.clone(), log.clone());
        let behind = Rc::new(Cell::new(None));
        let its_name = Rc::clone(&behind);
        handle.on_exit(move || {
            let found = own.remove_exit_hook(its_name.get().unwrap());
            told.add(if found { "taken back" } else { "not found" });
        });
        behind.set(Some(handle.on_exit(move || never.add("never"))));
        handle.wait();
        assert!(!handle.remove_exit_hook(behind.get().unwrap()));
        assert_eq!(log.take(), ["taken back"]);
    });
}

#[test]
fn spawn_after_runs() {
    virtually(|| {
        let start = lowlevel::now();
        let handle = spawn_after(LONG, || ("late", lowlevel::now()));
        let (result, began) = handle.join().unwrap();
        assert_eq!((result, began - start), ("late", LONG));
    });
}

#[test]
fn cancel_pending() {
    virtually(|| {
        let handle = spawn_after(LONG, || ());
        assert!(handle.cancel());
        assert!(!handle.cancel());
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn cancel_started() {
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
fn kill_started_after() {
    virtually(|| {
        let handle = spawn_after(Duration::ZERO, || sleep(LONG));
        sleep(SHORT);
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn after_local_alive() {
    virtually(|| {
        let ran = spawn(|| {
            let timer = spawn_after_local(SHORT, || "fired");
            timer.join().unwrap()
        });
        assert_eq!(ran.join().unwrap(), "fired");
    });
}

#[test]
fn after_local_dead() {
    virtually(|| {
        let timer = spawn(|| spawn_after_local(SHORT, || "never"))
            .join()
            .unwrap();
        sleep(SHORT * 3);
        assert!(timer.join().unwrap_err().is_killed());
    });
}

#[test]
fn spawn_outlives_parent() {
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

// A duration is never negative, and there is no hub that must not sleep: the root does as everybody.
// Where waiting is an error, in a panic hook, `crash.rs` shows it.

#[test]
fn sleep_edges() {
    virtually(|| {
        let start = lowlevel::now();
        let log = Log::default();
        let other = log.clone();
        spawn_n(move || other.add("other"));
        sleep(Duration::ZERO);
        assert_eq!(log.take(), ["other"]);
        // Nobody else is ready.
        sleep(Duration::ZERO);
        assert_eq!(lowlevel::now(), start);
        let least = Duration::from_nanos(1);
        sleep(least);
        assert_eq!(lowlevel::now() - start, least);
        // Longer than the clock can say.
        let never = spawn(|| sleep(Duration::MAX));
        sleep(LONG);
        assert!(!never.is_finished());
        never.kill();
        assert!(never.join().unwrap_err().is_killed());
    });
}

// What `std::thread::panicking` says is of the OS thread; whether it is oneself, evy tells.

#[test]
fn error_context_isolated() {
    struct ParksInDrop(Log);
    impl Drop for ParksInDrop {
        fn drop(&mut self) {
            for _ in 0..2 {
                let own = thread::panicking();
                self.0.add(if own { "unwinding" } else { "calm" });
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
        // While they park in the middle of unwinding, another panics and is caught.
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
fn scheduler_survives_bad_callback() {
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
fn kill_of_a_queued_thread_waits_for_nobody() {
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
fn kill_is_held_back_while_unwinding() {
    virtually(|| {
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
fn links_of_a_killed_thread_come_after_what_it_owned_and_may_park() {
    virtually(|| {
        for starts in [false, true] {
            let log = Log::default();
            let (owned, link) = (OnDrop(log.clone(), "owned"), log.clone());
            let handle = Rc::new(spawn(move || {
                let _owned = &owned;
                sleep(LONG);
            }));
            let own = Rc::clone(&handle);
            handle.on_exit(move || {
                link.add("link");
                sleep(SHORT);
                own.kill();
                sleep(SHORT);
                link.add("whole");
            });
            if starts {
                yield_now();
            }
            handle.kill();
            assert!(!handle.is_finished());
            assert!(handle.take_result().unwrap_err().is_killed());
            assert_eq!(log.take(), ["owned", "link", "whole"]);
        }
    });
}

#[test]
fn a_panic_costs_nobody_else_anything() {
    virtually(|| {
        let bad = spawn(|| std::panic::resume_unwind(Box::new("thrown")));
        let good = spawn(|| 1);
        let error = bad.join().unwrap_err();
        assert_eq!(error.downcast_ref::<&str>(), Some(&"thrown"));
        spawn_n(|| std::panic::resume_unwind(Box::new("nobody joins this")));
        assert_eq!(good.join().unwrap(), 1);
        yield_now();
    });
}

#[test]
fn join_timeout_gives_the_handle_back() {
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
fn timer_order() {
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
        // By deadline; first come, first served among equals.
        assert_eq!(log.take(), [1, 3, 5, 2, 0, 4]);
    });
}

#[test]
fn a_shield_holds_kill_and_timeout_back() {
    virtually(|| {
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
fn scope_parent_killed_ends_children_first() {
    virtually(|| {
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
fn scope_child_panics() {
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
fn scope_child_killed_before_start_drops_its_borrow_first() {
    virtually(|| {
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
fn a_token_lets_the_next_park_through() {
    virtually(|| {
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
fn an_unparker_that_unparks_and_goes_leaves_no_stall() {
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
    virtually(|| {
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
    virtually(|| {
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

#[test]
fn lots_may_fall_on_who_yields() {
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
            // Both had begun, and neither had ended.
            let turns = log.take();
            if turns[..2] != ["a", "a"] && turns[..2] != ["b", "b"] && turns[2] == turns[1] {
                seen.fetch_add(1, Ordering::Relaxed);
            }
        });
        let twice = twice_in_a_row.load(Ordering::Relaxed);
        assert!((1..100).contains(&twice), "{twice} of 100");
    });
}

/// A kill that was held back to the end drops its error there.
#[test]
fn what_a_late_destructor_begins_ends_with_its_green_thread() {
    struct Late(Arc<AtomicUsize>);
    impl Drop for Late {
        fn drop(&mut self) {
            let late = Arc::clone(&self.0);
            spawn_after_local(SHORT, move || late.fetch_add(100, Ordering::Relaxed));
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    virtually(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let victim = spawn(|| shield(thread::park));
        yield_now();
        victim.kill_with(Late(Arc::clone(&count)));
        victim.thread().unpark();
        victim.join().unwrap();
        sleep(SHORT * 10);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    });
}
