//! Tests of `thread::Remote`: green threads that other OS threads spawn.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "these tests use OS threads")]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use evy_runtime::io::Green;
use evy_runtime::sync::Arc;
use evy_runtime::thread::{self, Builder, Remote, RemoteJoinHandle};
use evy_runtime::{Queue, select, sleep, spawn, spawn_n, timeout, yield_now};
use evy_test_support::{shares_thread_locals, within};

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(3600);

thread_local! {
    static VISITS: Cell<u32> = const { Cell::new(0) };
}

/// An OS thread that runs green threads until it is stopped.
struct Target {
    remote: Remote,
    stop: mpsc::Sender<()>,
    os_thread: std::thread::JoinHandle<()>,
}

impl Target {
    fn start() -> Self {
        let (send, receive) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let os_thread = std::thread::spawn(move || {
            send.send(Remote::current()).unwrap();
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                thread::park_timeout(Duration::from_millis(1));
            }
        });
        Self {
            remote: receive.recv().unwrap(),
            stop,
            os_thread,
        }
    }

    /// An OS thread that never parks, and ends when it is stopped.
    fn start_busy() -> Self {
        let (send, receive) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let os_thread = std::thread::spawn(move || {
            send.send(Remote::current()).unwrap();
            stopped.recv().ok();
        });
        Self {
            remote: receive.recv().unwrap(),
            stop,
            os_thread,
        }
    }

    /// Ends the OS thread.
    fn end(self) -> Remote {
        drop(self.stop);
        self.os_thread.join().unwrap();
        self.remote
    }
}

/// Counts its drops.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> Arc<AtomicUsize> {
    Arc::default()
}

fn wait_for(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(50), "waits in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn is_everywhere<T: Clone + Send + Sync + std::fmt::Debug>() {}
fn is_send<T: Send>() {}

#[test]
fn a_remote_and_its_handles_may_be_used_on_any_os_thread() {
    is_everywhere::<Remote>();
    is_send::<RemoteJoinHandle<Cell<u8>>>();
}

#[test]
fn a_closure_runs_on_the_os_thread_that_the_remote_names() {
    if !shares_thread_locals() {
        return;
    }
    within(|| {
        let target = Target::start();
        let job = target.remote.spawn(|| {
            VISITS.set(VISITS.get() + 1);
            // It is a green thread, so it may park and spawn.
            let child = spawn(|| VISITS.set(VISITS.get() + 10));
            sleep(Duration::from_millis(1));
            child.join().unwrap();
            (std::thread::current().id(), VISITS.get())
        });
        let expected = target.os_thread.thread().id();
        assert_eq!(job.join().unwrap(), (expected, 11));
        assert_eq!(VISITS.get(), 0);
        target.end();
    });
}

#[test]
fn green_threads_start_in_the_order_in_which_they_were_spawned() {
    if !shares_thread_locals() {
        return;
    }
    within(|| {
        let target = Target::start();
        thread_local!(static LOG: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) });
        let jobs: Vec<_> = (0..1000)
            .map(|n| {
                target
                    .remote
                    .spawn(move || LOG.with_borrow_mut(|log| log.push(n)))
            })
            .collect();
        for job in jobs {
            job.join().unwrap();
        }
        let log = target.remote.spawn(|| LOG.take()).join().unwrap();
        assert!(log.into_iter().eq(0..1000));
        target.end();
    });
}

#[test]
fn a_result_can_be_waited_for_by_green_threads_and_by_os_threads() {
    within(|| {
        let target = Target::start();
        let remote = target.remote.clone();
        // An OS thread that has never used evy.
        let plain = std::thread::spawn(move || remote.spawn(|| 1).join().unwrap());
        assert_eq!(plain.join().unwrap(), 1);
        let slow = target.remote.spawn(|| sleep(SHORT));
        let ran = counter();
        let other = ran.clone();
        spawn_n(move || {
            other.fetch_add(1, Ordering::SeqCst);
        });
        slow.join().unwrap();
        assert_eq!(ran.load(Ordering::SeqCst), 1, "the wait has parked");
        target.end();
    });
}

#[test]
fn a_join_with_a_timeout_returns_the_handle() {
    within(|| {
        let target = Target::start();
        let (send, receive) = mpsc::channel::<()>();
        let job = target.remote.spawn(move || {
            while receive.try_recv().is_err() {
                sleep(Duration::from_millis(1));
            }
            5
        });
        let job = job.join_timeout(SHORT).expect_err("not finished");
        assert!(!job.is_finished());
        let killed = timeout(SHORT, || job.join());
        assert!(killed.is_err());
        let job = target.remote.spawn(|| 6);
        assert!(matches!(job.join_timeout(LONG), Ok(Ok(6))));
        send.send(()).unwrap();
        target.end();
    });
}

#[test]
fn a_panic_is_an_error_with_its_payload() {
    within(|| {
        let target = Target::start();
        let error = target
            .remote
            .spawn(|| panic!("no luck"))
            .join()
            .unwrap_err();
        assert!(error.is_panic());
        assert_eq!(error.downcast_ref::<&str>(), Some(&"no luck"));
        assert_eq!(target.remote.spawn(|| 1).join().unwrap(), 1);
        target.end();
    });
}

#[test]
fn the_name_the_spawner_and_the_place_of_the_spawn_are_those_of_the_sender() {
    within(|| {
        let target = Target::start();
        let me = thread::current().id();
        let describe = || {
            let this = thread::current();
            (
                this.name().map(str::to_owned),
                this.parent(),
                this.spawned_at(),
            )
        };
        let line = line!() + 1;
        let plain = target.remote.spawn(describe).join().unwrap();
        assert_eq!((plain.0, plain.1), (None, Some(me)));
        assert_eq!((plain.2.file(), plain.2.line()), (file!(), line));
        let named = Builder::new().name("far".to_owned()).stack_size(1 << 20);
        let (name, ..) = named.spawn_on(&target.remote, describe).join().unwrap();
        assert_eq!(name.as_deref(), Some("far"));
        target.end();
    });
}

#[test]
fn a_stack_that_cannot_be_allocated_is_an_error_of_the_join() {
    within(|| {
        let target = Target::start();
        let dropped = counter();
        let spawn_huge = || {
            let value = Dropped(dropped.clone());
            let huge = Builder::new().stack_size(usize::MAX / 4);
            huge.spawn_on(&target.remote, move || drop(value))
        };
        let error = spawn_huge().join().unwrap_err();
        assert!(error.is_panic());
        assert!(error.to_string().contains("cannot spawn"), "{error}");
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        // Without a handle, too.
        drop(spawn_huge());
        wait_for(|| dropped.load(Ordering::SeqCst) == 2);
        target.end();
    });
}

#[test]
fn a_kill_unwinds_the_green_thread_on_its_os_thread_and_does_not_wait() {
    within(|| {
        let target = Target::start();
        let dropped = counter();
        let (started, value) = (Arc::new(AtomicBool::new(false)), Dropped(dropped.clone()));
        let began = started.clone();
        let job = target.remote.spawn(move || {
            let _value = value;
            began.store(true, Ordering::SeqCst);
            sleep(LONG);
        });
        wait_for(|| started.load(Ordering::SeqCst));
        job.kill();
        job.kill();
        assert!(job.join().unwrap_err().is_killed());
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        target.end();
    });
}

#[test]
fn a_green_thread_that_is_killed_before_it_starts_never_runs() {
    within(|| {
        let target = Target::start_busy();
        let dropped = counter();
        let value = Dropped(dropped.clone());
        let job = target.remote.spawn(move || {
            drop(value);
            unreachable!("it was killed");
        });
        job.kill();
        // The OS thread ends without having run it.
        drop(target.end());
        assert!(job.join().unwrap_err().is_abandoned());
        assert_eq!(dropped.load(Ordering::SeqCst), 1);

        // This OS thread takes the request to start it and the one to kill it together.
        let here = Remote::current();
        let value = Dropped(dropped.clone());
        let ran = counter();
        let runs = Dropped(ran.clone());
        let job = here.spawn(move || {
            let _value = value;
            std::mem::forget(runs);
        });
        job.kill();
        assert!(job.join().unwrap_err().is_killed());
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
        assert_eq!(ran.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_kill_under_a_shield_is_deferred() {
    within(|| {
        let target = Target::start();
        let started = Arc::new(AtomicBool::new(false));
        let (began, saved) = (started.clone(), counter());
        let count = saved.clone();
        let job = target.remote.spawn(move || {
            evy_runtime::shield(|| {
                began.store(true, Ordering::SeqCst);
                sleep(SHORT);
                count.fetch_add(1, Ordering::SeqCst);
            });
            sleep(LONG);
        });
        wait_for(|| started.load(Ordering::SeqCst));
        job.kill();
        assert!(job.join().unwrap_err().is_killed());
        assert_eq!(saved.load(Ordering::SeqCst), 1);
        target.end();
    });
}

#[test]
fn a_spawn_on_an_os_thread_that_has_ended_drops_the_closure_at_once() {
    within(|| {
        let remote = Target::start().end();
        let dropped = counter();
        let value = Dropped(dropped.clone());
        let job = remote.spawn(move || drop(value));
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        assert!(job.is_finished());
        job.kill();
        assert!(job.join().unwrap_err().is_abandoned());
    });
}

#[test]
fn closures_that_are_queued_when_the_os_thread_ends_are_dropped_elsewhere() {
    within(|| {
        let target = Target::start_busy();
        let ended = target.os_thread.thread().id();
        let dropped = Arc::new(std::sync::Mutex::new(Vec::new()));
        struct DroppedOn(Arc<std::sync::Mutex<Vec<std::thread::ThreadId>>>);
        impl Drop for DroppedOn {
            fn drop(&mut self) {
                self.0.lock().unwrap().push(std::thread::current().id());
            }
        }
        let queue = || {
            let value = DroppedOn(dropped.clone());
            target.remote.spawn(move || drop(value))
        };
        let (joined, left, _detached) = (queue(), queue(), drop(queue()));
        // A waiter is woken.
        let waits = std::thread::spawn(move || joined.join().unwrap_err().is_abandoned());
        std::thread::sleep(SHORT);
        drop(target.end());
        assert!(waits.join().unwrap());
        drop(left);
        wait_for(|| dropped.lock().unwrap().len() == 3);
        assert!(!dropped.lock().unwrap().contains(&ended));
    });
}

#[test]
fn green_threads_that_live_when_their_os_thread_ends_are_abandoned() {
    within(|| {
        let target = Target::start();
        let running = target.remote.spawn(|| sleep(LONG));
        let nested = target.remote.spawn(|| spawn(|| ()).join().is_ok());
        assert!(nested.join().unwrap());
        let waits = std::thread::spawn(move || running.join().unwrap_err().is_abandoned());
        std::thread::sleep(SHORT);
        drop(target.end());
        assert!(waits.join().unwrap());
    });
}

#[test]
fn nothing_hangs_and_nothing_is_lost_when_os_threads_end_during_spawns() {
    within(|| {
        let (created, dropped) = (counter(), counter());
        for round in 0..50 {
            let (send, receive) = mpsc::channel();
            let target = std::thread::spawn(move || {
                send.send(Remote::current()).unwrap();
                for _ in 0..round {
                    yield_now();
                }
            });
            let remote: Remote = receive.recv().unwrap();
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let (remote, created, dropped) =
                        (remote.clone(), created.clone(), dropped.clone());
                    std::thread::spawn(move || {
                        for n in 0..100 {
                            created.fetch_add(1, Ordering::SeqCst);
                            let value = Dropped(dropped.clone());
                            let job = remote.spawn(move || drop(value));
                            if n % 3 == 0 {
                                job.kill();
                            }
                            if n % 2 == 0 {
                                job.join().ok();
                            }
                        }
                    })
                })
                .collect();
            target.join().unwrap();
            for sender in senders {
                sender.join().unwrap();
            }
        }
        wait_for(|| dropped.load(Ordering::SeqCst) == created.load(Ordering::SeqCst));
    });
}

#[test]
fn a_storm_of_spawns_starves_neither_timers_nor_descriptors() {
    within(|| {
        let target = Target::start();
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (remote, stop) = (target.remote.clone(), stop.clone());
                std::thread::spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        // The last of some is waited for, so that the queue does not grow forever.
                        for _ in 0..200 {
                            drop(remote.spawn(|| ()));
                        }
                        remote.spawn(|| ()).join().unwrap();
                    }
                })
            })
            .collect();
        let exchange = target.remote.spawn(|| {
            use std::io::{Read, Write};
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            let (mut near, mut far) = (Green::new(near).unwrap(), Green::new(far).unwrap());
            let echo = spawn(move || {
                let mut byte = [0];
                for _ in 0..100 {
                    far.read_exact(&mut byte).unwrap();
                    far.write_all(&byte).unwrap();
                }
            });
            for _ in 0..100 {
                near.write_all(b"x").unwrap();
                near.read_exact(&mut [0]).unwrap();
                sleep(Duration::from_micros(100));
            }
            echo.join().unwrap();
        });
        exchange.join().unwrap();
        stop.store(true, Ordering::SeqCst);
        for sender in senders {
            sender.join().unwrap();
        }
        target.end();
    });
}

#[test]
fn a_busy_os_thread_takes_calls_between_two_turns() {
    within(|| {
        let target = Target::start();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let busy = target.remote.spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                yield_now();
            }
        });
        for n in 0..100 {
            assert_eq!(target.remote.spawn(move || n).join().unwrap(), n);
        }
        stop.store(true, Ordering::SeqCst);
        busy.join().unwrap();
        target.end();
    });
}

#[test]
fn a_joiner_that_is_killed_leaves_the_green_thread_running() {
    within(|| {
        let target = Target::start();
        let done = Arc::new(AtomicBool::new(false));
        let finished = done.clone();
        let (go, gone) = mpsc::channel();
        let job = target.remote.spawn(move || {
            while gone.try_recv().is_err() {
                sleep(Duration::from_millis(1));
            }
            finished.store(true, Ordering::SeqCst);
        });
        let joiner = spawn(move || job.join());
        yield_now();
        joiner.kill();
        assert!(joiner.join().unwrap_err().is_killed());
        go.send(()).unwrap();
        wait_for(|| done.load(Ordering::SeqCst));
        target.end();
    });
}

#[test]
fn a_remote_that_another_os_thread_holds_suppresses_deadlock_reports() {
    if !shares_thread_locals() {
        return;
    }
    within(|| {
        thread_local!(static ITEMS: Queue<u32> = Queue::unbounded());
        let here = Remote::current();
        let other = std::thread::spawn(move || {
            std::thread::sleep(SHORT);
            drop(here.spawn(|| ITEMS.with(|items| items.put(7))));
        });
        let items = ITEMS.with(Queue::clone);
        assert_eq!(items.get(), 7);
        other.join().unwrap();
        // The last one is gone.
        let deadlock = catch_unwind(AssertUnwindSafe(|| items.get()));
        assert!(deadlock.is_err());
    });
}

#[test]
fn the_last_remote_that_is_dropped_elsewhere_makes_a_deadlock_known() {
    within(|| {
        let here = Remote::current();
        let other = std::thread::spawn(move || {
            std::thread::sleep(SHORT);
            drop(here);
        });
        let deadlock = catch_unwind(AssertUnwindSafe(|| Queue::<()>::unbounded().get()));
        assert!(deadlock.is_err());
        other.join().unwrap();
    });
}

#[test]
fn a_handle_that_another_os_thread_holds_suppresses_deadlock_reports() {
    if !shares_thread_locals() {
        return;
    }
    struct PutsWhenDropped;
    impl Drop for PutsWhenDropped {
        fn drop(&mut self) {
            ITEMS.with(|items| items.put(7));
        }
    }
    thread_local!(static ITEMS: Queue<u32> = Queue::unbounded());
    within(|| {
        let here = Remote::current();
        let other = std::thread::spawn(move || {
            let parked = here.spawn(|| {
                let _guard = PutsWhenDropped;
                thread::park();
            });
            drop(here);
            std::thread::sleep(SHORT);
            parked.kill();
        });
        assert_eq!(ITEMS.with(Queue::clone).get(), 7);
        other.join().unwrap();
    });
}

#[test]
fn a_green_thread_cannot_join_itself() {
    within(|| {
        let here = Remote::current();
        let slot = Arc::new(std::sync::Mutex::new(None::<RemoteJoinHandle<()>>));
        let (own, failed) = (slot.clone(), counter());
        let count = failed.clone();
        let job = here.spawn(move || {
            let own = own.lock().unwrap().take().unwrap();
            if catch_unwind(AssertUnwindSafe(|| own.join())).is_err() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        *slot.lock().unwrap() = Some(job);
        here.spawn(|| ()).join().unwrap();
        assert_eq!(failed.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn destructors_of_closures_and_results_may_park_and_panic() {
    struct Rude(Arc<AtomicUsize>);
    impl Drop for Rude {
        fn drop(&mut self) {
            sleep(Duration::from_millis(1));
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("a rude destructor");
        }
    }
    within(|| {
        let target = Target::start();
        let dropped = counter();
        // The result of a green thread whose handle is gone.
        let value = Rude(dropped.clone());
        drop(target.remote.spawn(move || value));
        wait_for(|| dropped.load(Ordering::SeqCst) == 1);
        // The closure of one that is killed before it starts.
        let here = Remote::current();
        let value = Rude(dropped.clone());
        let job = here.spawn(move || std::mem::forget(value));
        job.kill();
        assert!(job.join().unwrap_err().is_killed());
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
        // A capture that is dropped while the closure runs.
        let value = Rude(dropped);
        let job = target.remote.spawn(move || drop(value));
        assert!(job.join().unwrap_err().is_panic());
        assert_eq!(target.remote.spawn(|| 8).join().unwrap(), 8);
        target.end();
    });
}

#[test]
fn a_shutdown_ends_green_threads_that_were_spawned_from_elsewhere() {
    within(|| {
        let (send, receive) = mpsc::channel();
        let (started, begun) = mpsc::channel();
        let target = std::thread::spawn(move || {
            send.send(Remote::current()).unwrap();
            begun.recv().unwrap();
            sleep(SHORT);
            assert_eq!(evy_runtime::shutdown(SHORT), 0);
        });
        let remote: Remote = receive.recv().unwrap();
        let job = remote.spawn(|| sleep(LONG));
        started.send(()).unwrap();
        assert!(job.join().unwrap_err().is_killed());
        target.join().unwrap();
    });
}

#[test]
fn a_select_waits_for_a_green_thread_of_another_os_thread() {
    within(|| {
        let target = Target::start();
        let never = Queue::<u32>::unbounded();
        let slow = target.remote.spawn(|| {
            sleep(SHORT);
            7
        });
        let result = select! {
            join(&slow) -> result => result.unwrap(),
            get(&never) -> n => n,
        };
        assert_eq!(result, 7);
        // It has finished before the select.
        let done = Rc::new(target.remote.spawn(|| 8));
        while !done.is_finished() {
            yield_now();
        }
        assert_eq!(select! { join(&done) -> result => result.unwrap() }, 8);
        // Another arm is chosen, and the handle can still be joined.
        let (go, gone) = mpsc::channel();
        let waits = target.remote.spawn(move || {
            while gone.try_recv().is_err() {
                yield_now();
            }
            9
        });
        for _ in 0..3 {
            select! {
                join(&waits) -> _ => panic!("it still runs"),
                after(SHORT) => {}
            }
        }
        let expired = timeout(SHORT, || select! { join(&waits) -> _ => () });
        assert!(expired.is_err());
        go.send(()).unwrap();
        assert_eq!(waits.join().unwrap(), 9);
        target.end();
    });
}

#[test]
fn a_select_sees_that_the_os_thread_of_the_green_thread_has_ended() {
    within(|| {
        let target = Target::start_busy();
        let job = target.remote.spawn(|| ());
        let selects = spawn(move || select! { join(&job) -> result => result });
        yield_now();
        target.end();
        assert!(selects.join().unwrap().unwrap_err().is_abandoned());
    });
}

#[test]
fn several_selects_wait_for_the_same_green_thread_and_one_takes_its_result() {
    within(|| {
        let target = Target::start();
        let job = Rc::new(target.remote.spawn(|| sleep(SHORT)));
        let selects: Vec<_> = (0..3)
            .map(|_| {
                let job = Rc::clone(&job);
                spawn(move || select! { join(&job) -> result => result.unwrap() })
            })
            .collect();
        let outcomes = selects.into_iter().map(|one| one.join());
        let (taken, late): (Vec<_>, Vec<_>) = outcomes.partition(Result::is_ok);
        assert_eq!((taken.len(), late.len()), (1, 2));
        target.end();
    });
}
