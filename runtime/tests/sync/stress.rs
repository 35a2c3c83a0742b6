//! Stress tests of `sync`: each primitive is shared by four OS threads. Two of them run green
//! threads, one runs green threads that are interrupted all the time, and one does not use evy
//! otherwise. Exact counts are expected.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::sync::mpsc::{SendError, channel, sync_channel};
use evy_runtime::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, OnceLock, RwLock};
use evy_runtime::{sleep, spawn, spawn_n, timeout, wait_all, yield_now};
use evy_test_support::within;

/// The number of green threads of an OS thread.
const GREEN: u64 = 8;

/// The kind of OS thread that runs the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An OS thread without green threads.
    Os,
    /// An OS thread with green threads.
    Green,
    /// An OS thread with green threads. A timeout or a kill interrupts the work of each after a
    /// short time.
    Interrupted,
}

/// Runs `work` on four OS threads at the same time: `rounds` times on each green thread, and
/// `rounds * GREEN` times on the OS thread without green threads.
fn everywhere<W>(rounds: u64, work: W)
where
    W: Fn(Kind, u64) + Send + Sync + 'static,
{
    let work = Arc::new(work);
    let threads = [Kind::Os, Kind::Green, Kind::Green, Kind::Interrupted].map(|kind| {
        let work = Arc::clone(&work);
        std::thread::spawn(move || match kind {
            Kind::Os => (0..rounds * GREEN).for_each(|n| work(kind, n)),
            Kind::Green => {
                let run = |_| {
                    let work = Arc::clone(&work);
                    spawn(move || (0..rounds).for_each(|n| work(kind, n)))
                };
                for end in wait_all((0..GREEN).map(run)) {
                    end.unwrap();
                }
            }
            Kind::Interrupted => {
                let run = |green| {
                    let work = Arc::clone(&work);
                    spawn(move || (0..rounds).for_each(|n| run_interrupted(&work, green, n)))
                };
                for end in wait_all((0..GREEN).map(run)) {
                    end.unwrap();
                }
            }
        })
    });
    threads.into_iter().for_each(|one| one.join().unwrap());
}

/// Runs `work`, and interrupts it after at most 200 microseconds.
fn run_interrupted<W>(work: &Arc<W>, green: u64, n: u64)
where
    W: Fn(Kind, u64) + Send + Sync + 'static,
{
    let limit = Duration::from_micros(fastrand::u64(0..200));
    if green.is_multiple_of(2) {
        timeout(limit, || work(Kind::Interrupted, n)).ok();
        return;
    }
    let own = Arc::clone(work);
    let victim = spawn(move || own(Kind::Interrupted, n));
    if limit.subsec_micros().is_multiple_of(2) {
        yield_now();
    } else {
        sleep(limit);
    }
    victim.kill();
}

/// Locks `mutex`, whether it is poisoned or not.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Yields if `n` is a multiple of 16 and the OS thread has green threads.
fn yield_sometimes(kind: Kind, n: u64) {
    if kind != Kind::Os && n.is_multiple_of(16) {
        yield_now();
    }
}

#[test]
fn a_mutex_has_one_holder_at_a_time() {
    within(|| {
        let total = Arc::new(Mutex::new(0));
        let done = Arc::new(AtomicU64::new(0));
        let (mutex, count) = (Arc::clone(&total), Arc::clone(&done));
        everywhere(1000, move |kind, n| {
            let tried = n.is_multiple_of(4).then(|| mutex.try_lock().ok()).flatten();
            let mut total = tried.unwrap_or_else(|| lock(&mutex));
            let seen = *total;
            yield_sometimes(kind, n);
            *total = seen + 1;
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(*lock(&total), done.load(Ordering::Relaxed));
        assert!(*lock(&total) >= 3 * GREEN * 1000);
    });
}

#[test]
fn a_writer_of_a_rwlock_excludes_readers_and_writers() {
    within(|| {
        let pair = Arc::new(RwLock::new((0, 0)));
        let done = Arc::new(AtomicU64::new(0));
        let (lock, count) = (Arc::clone(&pair), Arc::clone(&done));
        everywhere(1000, move |kind, n| {
            if n % 4 == 0 {
                let mut pair = lock.write().unwrap_or_else(PoisonError::into_inner);
                // A green thread that is interrupted before the assignment has written nothing.
                let seen = *pair;
                yield_sometimes(kind, n);
                *pair = (seen.0 + 1, seen.1 + 1);
                count.fetch_add(1, Ordering::Relaxed);
            } else {
                let pair = lock.read().unwrap_or_else(PoisonError::into_inner);
                let seen = *pair;
                yield_sometimes(kind, n + 1);
                assert_eq!(seen.0, seen.1);
                assert_eq!(*pair, seen);
            }
        });
        let done = done.load(Ordering::Relaxed);
        let pair = pair.read().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*pair, (done, done));
        assert!(done >= 3 * GREEN * 250);
    });
}

#[test]
fn a_bounded_buffer_on_condition_variables_loses_no_item() {
    #[derive(Default)]
    struct Buffer {
        items: Mutex<VecDeque<u64>>,
        filled: Condvar,
        emptied: Condvar,
    }
    within(|| {
        let buffer = Arc::new(Buffer::default());
        let put = Arc::new(AtomicU64::new(0));
        let (own, sum) = (Arc::clone(&buffer), Arc::clone(&put));
        let getter = Arc::clone(&buffer);
        let got = std::thread::spawn(move || {
            let get = |_| {
                let buffer = Arc::clone(&getter);
                spawn(move || {
                    let mut sum = 0;
                    loop {
                        let items = lock(&buffer.items);
                        let mut items = buffer
                            .filled
                            .wait_while(items, |items| items.is_empty())
                            .unwrap_or_else(PoisonError::into_inner);
                        let item = items.pop_front().unwrap();
                        buffer.emptied.notify_one();
                        if item == u64::MAX {
                            return sum;
                        }
                        sum += item;
                    }
                })
            };
            let sums = wait_all((0..GREEN).map(get));
            sums.into_iter().map(|sum| sum.unwrap()).sum::<u64>()
        });
        let put_one = move |item| {
            let items = lock(&own.items);
            let mut items = own
                .emptied
                .wait_while(items, |items| items.len() == 3)
                .unwrap_or_else(PoisonError::into_inner);
            items.push_back(item);
            own.filled.notify_one();
        };
        let put_one = Arc::new(put_one);
        let last = Arc::clone(&put_one);
        everywhere(300, move |_, n| {
            put_one(n);
            sum.fetch_add(n, Ordering::Relaxed);
        });
        (0..GREEN).for_each(|_| last(u64::MAX));
        assert_eq!(got.join().unwrap(), put.load(Ordering::Relaxed));
        assert!(lock(&buffer.items).is_empty());
    });
}

#[test]
fn a_barrier_releases_its_waiters_together_with_one_leader() {
    const ROUNDS: usize = 500;
    within(|| {
        let barrier = Arc::new(Barrier::new(2 + 2 * GREEN as usize));
        let round = Arc::new(AtomicUsize::new(0));
        let (own, seen) = (Arc::clone(&barrier), Arc::clone(&round));
        let run_rounds = move || {
            let mut led = 0;
            for n in 0..ROUNDS {
                led += usize::from(own.wait().is_leader());
                seen.fetch_max(n + 1, Ordering::Relaxed);
                let furthest = seen.load(Ordering::Relaxed);
                assert_eq!(furthest, n + 1, "no waiter is a round ahead");
            }
            led
        };
        let threads = [Kind::Os, Kind::Green, Kind::Green, Kind::Os].map(|kind| {
            let run_rounds = run_rounds.clone();
            std::thread::spawn(move || match kind {
                Kind::Os => run_rounds(),
                _ => {
                    let ends = wait_all((0..GREEN).map(|_| spawn(run_rounds.clone())));
                    ends.into_iter().map(|led| led.unwrap()).sum()
                }
            })
        });
        let led: usize = threads.into_iter().map(|one| one.join().unwrap()).sum();
        assert_eq!(led, ROUNDS);
    });
}

/// A waiter that leaves before the barrier is full does not count toward it.
#[test]
fn a_barrier_does_not_count_a_waiter_that_gives_up() {
    within(|| {
        let barrier = Arc::new(Barrier::new(3));
        for _ in 0..200 {
            let leaves = [Kind::Green, Kind::Interrupted].map(|kind| {
                let barrier = Arc::clone(&barrier);
                std::thread::spawn(move || {
                    if kind == Kind::Interrupted {
                        // There is no third waiter yet, so the timeout expires for certain.
                        let short = Duration::from_micros(fastrand::u64(0..100));
                        assert!(timeout(short, || barrier.wait()).is_err());
                        return;
                    }
                    let victim = spawn(move || barrier.wait());
                    yield_now();
                    victim.kill();
                })
            });
            leaves.into_iter().for_each(|one| one.join().unwrap());
        }
        let others = [Arc::clone(&barrier), Arc::clone(&barrier)];
        let others = others.map(|barrier| std::thread::spawn(move || barrier.wait().is_leader()));
        let led = u32::from(barrier.wait().is_leader());
        let led = led
            + others
                .map(|one| u32::from(one.join().unwrap()))
                .iter()
                .sum::<u32>();
        assert_eq!(led, 1);
    });
}

#[test]
fn a_once_lock_is_initialized_exactly_once() {
    within(|| {
        let cells: Arc<Vec<(OnceLock<u64>, AtomicU64)>> = Arc::new(
            (0..300)
                .map(|_| (OnceLock::new(), AtomicU64::new(0)))
                .collect(),
        );
        let own = Arc::clone(&cells);
        everywhere(300, move |kind, n| {
            let (cell, runs) = &own[n as usize % own.len()];
            let value = cell.get_or_init(|| {
                yield_sometimes(kind, n);
                runs.fetch_add(1, Ordering::Relaxed);
                n % 300
            });
            assert_eq!(*value, n % 300);
        });
        for (n, (cell, runs)) in cells.iter().enumerate() {
            assert_eq!(cell.get(), Some(&(n as u64)));
            assert_eq!(runs.load(Ordering::Relaxed), 1);
        }
    });
}

#[test]
fn a_channel_loses_no_message() {
    within(|| {
        for bound in [None, Some(0), Some(1), Some(16)] {
            let sent = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
            let (send, receiver): (Box<dyn Fn(u64) -> bool + Send + Sync>, _) = match bound {
                None => {
                    let (sender, receiver) = channel();
                    (Box::new(move |m| sender.send(m).is_ok()), receiver)
                }
                Some(bound) => {
                    let (sender, receiver) = sync_channel(bound);
                    let send = move |m| match sender.send(m) {
                        Ok(()) => true,
                        Err(SendError(_)) => false,
                    };
                    (Box::new(send), receiver)
                }
            };
            let receives = std::thread::spawn(move || {
                let receiver = spawn(move || {
                    let mut received = (0, 0);
                    let next = || {
                        // Each way to receive, also with timeouts that expire.
                        match fastrand::u8(0..4) {
                            0 => receiver.recv().ok(),
                            1 => receiver.iter().next(),
                            2 => loop {
                                let short = Duration::from_micros(fastrand::u64(0..50));
                                match timeout(short, || receiver.recv()) {
                                    Ok(end) => break end.ok(),
                                    Err(_) => continue,
                                }
                            },
                            _ => match receiver.recv_timeout(Duration::from_secs(30)) {
                                Ok(message) => Some(message),
                                Err(_) => receiver.recv().ok(),
                            },
                        }
                    };
                    while let Some(message) = next() {
                        received = (received.0 + 1, received.1 + message);
                    }
                    received
                });
                spawn_n(|| (0..100).for_each(|_| yield_now()));
                receiver.join().unwrap()
            });
            let count = Arc::clone(&sent);
            let tried = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
            let tries = Arc::clone(&tried);
            everywhere(300, move |_, n| {
                tries.0.fetch_add(1, Ordering::Relaxed);
                tries.1.fetch_add(n, Ordering::Relaxed);
                assert!(send(n));
                count.0.fetch_add(1, Ordering::Relaxed);
                count.1.fetch_add(n, Ordering::Relaxed);
            });
            // An interrupted sender may have sent its message before it noticed the interrupt. The
            // receiver then has more messages than `sent` counts.
            let (number, sum) = receives.join().unwrap();
            assert!(number >= sent.0.load(Ordering::Relaxed), "{bound:?}");
            assert!(number <= tried.0.load(Ordering::Relaxed));
            assert!(sum >= sent.1.load(Ordering::Relaxed));
            assert!(sum <= tried.1.load(Ordering::Relaxed));
        }
    });
}
