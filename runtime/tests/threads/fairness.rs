//! Tests of fairness: a green thread that keeps its OS thread busy does not starve the others.
//!
//! Whatever is due, a timer or a descriptor, is made ready within 10 ms, or at the end of the
//! stretch between two calls of evy. The tests count stretches of work instead of time, so that a
//! slow machine does not matter.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests keep their OS thread busy, and count real time"
)]
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::cell::Cell;
use std::io::{Read, Seek, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evy_runtime::fs::File;
use evy_runtime::io::{Direction, Green, Sharing, Timeout};
use evy_runtime::signal::{SIGUSR1, Signals};
use evy_runtime::stdio::stdout;
use evy_runtime::sync::{Mutex, RwLock, mpsc};
use evy_runtime::{
    CappedSemaphore, Event, Queue, Semaphore, block_on, select, sleep, spawn, spawn_n, thread,
    timeout, yield_now,
};
use evy_test_support::within;

/// The time that a timer is due after.
const DUE: Duration = Duration::from_millis(10);

/// Computes for `duration`, without a call of evy.
fn compute(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        std::hint::spin_loop();
    }
}

/// Runs `step` again and again on a green thread, computing for `stretch` before each, and returns
/// the number of steps that passed while the caller slept for [`DUE`].
fn steps_while_sleeping(stretch: Duration, mut step: impl FnMut() + 'static) -> u32 {
    let (steps, stop) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (counted, stopped) = (Rc::clone(&steps), Rc::clone(&stop));
    let worker = spawn(move || {
        while !stopped.get() {
            compute(stretch);
            step();
            counted.set(counted.get() + 1);
        }
    });
    sleep(DUE);
    stop.set(true);
    worker.kill();
    worker.join().ok();
    steps.get()
}

#[test]
fn a_timer_fires_soon_beside_a_green_thread_that_yields_rarely() {
    within(|| {
        for millis in [20, 60] {
            let steps = steps_while_sleeping(Duration::from_millis(millis), yield_now);
            assert!(steps <= 2, "{steps} stretches of {millis} ms");
        }
    });
}

#[test]
fn a_timer_fires_soon_after_a_change_from_short_turns_to_long_ones() {
    within(|| {
        let turns = Cell::new(0);
        let steps = steps_while_sleeping(Duration::ZERO, move || {
            turns.set(turns.get() + 1);
            if turns.get() > 10_000 {
                compute(Duration::from_millis(20));
                turns.set(turns.get() + 1_000_000);
            }
            yield_now();
        });
        assert!(steps <= 10_000 + 3, "{steps}");
    });
}

#[test]
fn data_is_delivered_soon_beside_a_green_thread_that_yields_rarely() {
    within(|| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut reader = Green::new(reader).unwrap();
        let steps = Rc::new(Cell::new(0));
        let counted = Rc::clone(&steps);
        let worker = spawn(move || {
            loop {
                compute(Duration::from_millis(20));
                counted.set(counted.get() + 1);
                yield_now();
            }
        });
        let late = std::thread::spawn(move || {
            std::thread::sleep(DUE);
            writer.write_all(b"x").unwrap();
        });
        reader.read_exact(&mut [0]).unwrap();
        assert!(steps.get() <= 3, "{}", steps.get());
        worker.kill();
        late.join().unwrap();
    });
}

type Operation = Box<dyn FnMut()>;

/// Operations that never have to park, by name.
fn operations() -> Vec<(&'static str, Operation)> {
    fn boxed(op: impl FnMut() + 'static) -> Operation {
        Box::new(op)
    }
    let unbounded = Queue::unbounded();
    let filled = Queue::unbounded();
    (0..100_000).for_each(|n| filled.try_put(n).unwrap());
    let (sender, endless) = mpsc::channel();
    let (filler, messages) = mpsc::channel();
    std::thread::spawn(move || (0..100_000).for_each(|n| filler.send(n).unwrap()))
        .join()
        .unwrap();
    let (synced, drained) = mpsc::sync_channel(1);
    let event = Event::new();
    event.send(()).unwrap();
    let (permits, capped) = (Semaphore::new(1), CappedSemaphore::new(1, 2));
    let (mutex, lock) = (Arc::new(Mutex::new(0)), RwLock::new(0));
    let zeros = Green::new(std::fs::File::open("/dev/zero").unwrap()).unwrap();
    let (pipe, kept_open) = std::io::pipe().unwrap();
    let empty = Green::new(pipe).unwrap();
    let ended = Green::new(std::io::pipe().unwrap().0).unwrap();
    let unwrapped = Cell::new(Some(std::io::pipe().unwrap().0));
    let file = File::open("/dev/null").unwrap();
    let mut positioned = file.try_clone().unwrap();
    vec![
        ("put", boxed(move || unbounded.put(1))),
        ("get", boxed(move || _ = filled.get())),
        (
            "send",
            boxed(move || {
                let _kept_open = &endless;
                sender.send(1).unwrap();
            }),
        ),
        ("recv", boxed(move || _ = messages.recv().unwrap())),
        (
            "send to a bounded channel",
            boxed(move || {
                synced.send(1).unwrap();
                drained.try_recv().unwrap();
            }),
        ),
        ("wait", boxed(move || event.wait().unwrap())),
        (
            "acquire",
            boxed(move || {
                permits.acquire();
                permits.release();
            }),
        ),
        (
            "acquire of a capped semaphore",
            boxed(move || {
                capped.acquire();
                capped.release();
            }),
        ),
        ("lock", boxed(move || *mutex.lock().unwrap() += 1)),
        ("write", boxed(move || *lock.write().unwrap() += 1)),
        (
            "park",
            boxed(|| {
                thread::current().unpark();
                thread::park();
            }),
        ),
        ("block_on", boxed(|| block_on(async {}))),
        ("read", boxed(move || _ = (&zeros).read(&mut [0]).unwrap())),
        (
            "a read that another one excludes",
            boxed({
                let (pipe, writer) = std::io::pipe().unwrap();
                let green = Rc::new(Green::new(pipe).unwrap());
                let reads = Rc::clone(&green);
                spawn_n(move || drop((&*reads).read(&mut [0])));
                yield_now();
                move || {
                    let _writer = &writer;
                    (&*green).read(&mut [0]).unwrap_err();
                }
            }),
        ),
        (
            "a read that fails",
            boxed(move || {
                let _kept_open = &kept_open;
                let fail = |_: &_| Err::<(), _>(std::io::ErrorKind::InvalidData.into());
                let (read, shared) = (Direction::Read, Sharing::Shared);
                empty
                    .with_io(read, shared, Timeout::Never, fail, |()| false)
                    .unwrap_err();
            }),
        ),
        (
            "wait_readable",
            boxed(move || ended.wait_readable().unwrap()),
        ),
        ("pipe", boxed(|| drop(evy_runtime::io::pipe().unwrap()))),
        (
            "Green::new",
            boxed(move || {
                let again = unwrapped.take().unwrap();
                unwrapped.set(Some(Green::new(again).unwrap().into_inner()));
            }),
        ),
        (
            "Green::shared",
            boxed(|| drop(Green::shared(std::io::stderr()).unwrap())),
        ),
        (
            "Signals::new",
            boxed(|| drop(Signals::new([SIGUSR1]).unwrap())),
        ),
        ("unblock", boxed(|| evy_runtime::unblock(|| ()))),
        ("metadata", boxed(move || _ = file.metadata().unwrap())),
        ("seek", boxed(move || positioned.rewind().unwrap())),
        (
            "flush",
            boxed({
                let mut output = stdout().lock();
                move || output.flush().unwrap()
            }),
        ),
        ("select", boxed(|| select! { after(Duration::ZERO) => {} })),
        (
            "spawn and put",
            boxed({
                let queue = Queue::unbounded();
                move || {
                    spawn_n(|| ());
                    queue.put(1);
                }
            }),
        ),
        (
            "spawn by a Remote and put",
            boxed({
                let (queue, here) = (Queue::unbounded(), thread::Remote::current());
                move || {
                    drop(here.spawn(|| ()));
                    queue.put(1);
                }
            }),
        ),
    ]
}

#[test]
fn a_timer_fires_soon_beside_operations_that_never_park() {
    within(|| {
        for (name, op) in operations() {
            let steps = steps_while_sleeping(Duration::from_millis(4), op);
            assert!(steps <= 8, "{name}: {steps} steps of 4 ms");
        }
    });
}

#[test]
fn a_green_thread_does_at_most_128_operations_in_one_turn() {
    within(|| {
        for (name, mut op) in operations() {
            let most = Rc::new(Cell::new(0));
            let since = Rc::new(Cell::new(0));
            let (seen, reset) = (Rc::clone(&most), Rc::clone(&since));
            let other = spawn(move || {
                loop {
                    seen.set(seen.get().max(reset.replace(0)));
                    yield_now();
                }
            });
            for _ in 0..1000 {
                op();
                since.set(since.get() + 1);
            }
            other.kill();
            assert!((1..=128).contains(&most.get()), "{name}: {}", most.get());
        }
    });
}

/// Another green thread may hold a borrow across such a call.
#[test]
fn an_operation_that_must_not_park_does_not_switch_when_it_succeeds() {
    within(|| {
        let has_run = Rc::new(Cell::new(false));
        let runs = Rc::clone(&has_run);
        spawn_n(move || runs.set(true));
        let (queue, permits, event) = (Queue::unbounded(), Semaphore::new(0), Event::new());
        let (sender, receiver) = mpsc::sync_channel(1);
        let mutex = Mutex::new(0);
        let deadline = Instant::now() + Duration::from_millis(30);
        let mut rounds = 0;
        while rounds < 1000 || Instant::now() < deadline {
            rounds += 1;
            queue.try_put(1).unwrap();
            queue.try_get().unwrap();
            permits.release();
            assert!(permits.try_acquire());
            event.send(1).unwrap();
            event.reset().unwrap();
            sender.try_send(1).unwrap();
            receiver.try_recv().unwrap();
            *mutex.try_lock().unwrap() += 1;
            thread::current().unpark();
            if rounds < 1000 {
                spawn_n(|| ());
            }
        }
        assert!(!has_run.get(), "{rounds} rounds");
        yield_now();
        assert!(has_run.get());
    });
}

#[test]
fn an_operation_that_fails_instead_of_parking_yields_after_128_failures_in_one_turn() {
    within(|| {
        let queue = Queue::<u32>::unbounded();
        let has_run = Rc::new(Cell::new(false));
        let runs = Rc::clone(&has_run);
        spawn_n(move || runs.set(true));
        for _ in 0..127 {
            assert_eq!(queue.try_get(), None);
            assert!(!has_run.get());
        }
        assert_eq!(queue.try_get(), None);
        assert!(has_run.get());
    });
}

/// Without that, a loop that repeats an operation until it succeeds would never end.
#[test]
fn a_timeout_ends_a_loop_over_an_operation_that_fails() {
    within(|| {
        let queue = Queue::<u32>::unbounded();
        let (_sender, receiver) = mpsc::channel::<u32>();
        let mutex = Mutex::new(());
        let guard = mutex.lock().unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        let reader = Green::new(reader).unwrap();
        let read = |mut pipe: &std::io::PipeReader| pipe.read(&mut [0]);
        let attempt = || {
            let (read_direction, shared) = (Direction::Read, Sharing::Shared);
            reader.with_io(read_direction, shared, Timeout::NonBlocking, read, |_| {
                false
            })
        };
        let loops: [&dyn Fn(); 4] = [
            &|| while queue.try_get().is_none() {},
            &|| while receiver.try_recv().is_err() {},
            &|| while mutex.try_lock().is_err() {},
            &|| while attempt().is_err() {},
        ];
        for endless in loops {
            assert!(timeout(Duration::from_millis(5), endless).is_err());
        }
        drop(guard);
    });
}

/// Messages of another OS thread keep the run queue filled, so the OS thread is never idle.
#[test]
fn a_timer_fires_soon_beside_a_green_thread_that_another_os_thread_wakes_continually() {
    within(|| {
        let woken = spawn(|| {
            loop {
                thread::park();
                compute(Duration::from_millis(2));
            }
        });
        let unparker = woken.thread().unparker();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let wakes = std::thread::spawn(move || {
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                unparker.unpark();
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let start = Instant::now();
        sleep(DUE);
        let elapsed = start.elapsed();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        wakes.join().unwrap();
        woken.kill();
        assert!(elapsed < 20 * DUE, "{elapsed:?}");
    });
}

/// A kill that is caught is thrown again at the next parking point. Each time, the others run first.
#[test]
fn a_green_thread_that_catches_what_is_thrown_does_not_starve_the_others() {
    within(|| {
        let stop = Rc::new(Cell::new(false));
        let stopped = Rc::clone(&stop);
        let worker = spawn(move || {
            let mut caught = 0;
            while !stopped.get() {
                let wait = || sleep(Duration::from_secs(3600));
                let outcome = std::panic::catch_unwind(wait);
                caught += u32::from(outcome.is_err());
            }
            caught
        });
        yield_now();
        worker.kill();
        (0..3).for_each(|_| yield_now());
        stop.set(true);
        assert!((1..10).contains(&worker.join().unwrap()));
        let expired = timeout(Duration::ZERO, || {
            let other = spawn(|| ());
            while !other.is_finished() {
                std::panic::catch_unwind(|| sleep(Duration::from_secs(3600))).ok();
            }
        });
        assert!(expired.is_ok());
    });
}
