//! Each primitive of `sync` between four OS threads, of which two run green threads, one runs green
//! threads that give up all the time, and one has never used evy. What is counted comes out exactly.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::sync::mpsc::{SendError, channel, sync_channel};
use evy_runtime::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, OnceLock, RwLock};
use evy_runtime::{sleep, spawn, spawn_n, timeout, wait_all, yield_now};
use evy_test_support::within;

/// Green threads of an OS thread.
const GREEN: u64 = 8;

/// Who runs the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An OS thread without evy.
    Os,
    Green,
    /// Green threads whose work is given up after a moment, by a timeout or a kill.
    Fickle,
}

/// Runs `work` on four OS threads at a time, `rounds` times on each green thread and as often in all
/// on the OS thread without.
fn everywhere<W>(rounds: u64, work: W)
where
    W: Fn(Kind, u64) + Send + Sync + 'static,
{
    let work = Arc::new(work);
    let threads = [Kind::Os, Kind::Green, Kind::Green, Kind::Fickle].map(|kind| {
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
            Kind::Fickle => {
                let run = |green| {
                    let work = Arc::clone(&work);
                    spawn(move || (0..rounds).for_each(|n| give_up(&work, green, n)))
                };
                for end in wait_all((0..GREEN).map(run)) {
                    end.unwrap();
                }
            }
        })
    });
    threads.into_iter().for_each(|one| one.join().unwrap());
}

/// Does the work, but not for long.
fn give_up<W>(work: &Arc<W>, green: u64, n: u64)
where
    W: Fn(Kind, u64) + Send + Sync + 'static,
{
    let patience = Duration::from_micros(fastrand::u64(0..200));
    if green.is_multiple_of(2) {
        timeout(patience, || work(Kind::Fickle, n)).ok();
        return;
    }
    let own = Arc::clone(work);
    let victim = spawn(move || own(Kind::Fickle, n));
    if patience.subsec_micros().is_multiple_of(2) {
        yield_now();
    } else {
        sleep(patience);
    }
    victim.kill();
}

/// The lock, poisoned or not.
fn any<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parks once in a while, if it can.
fn linger(kind: Kind, n: u64) {
    if kind != Kind::Os && n.is_multiple_of(16) {
        yield_now();
    }
}

#[test]
fn a_mutex() {
    within(|| {
        let total = Arc::new(Mutex::new(0));
        let done = Arc::new(AtomicU64::new(0));
        let (mutex, count) = (Arc::clone(&total), Arc::clone(&done));
        everywhere(1000, move |kind, n| {
            let tried = n.is_multiple_of(4).then(|| mutex.try_lock().ok()).flatten();
            let mut total = tried.unwrap_or_else(|| any(&mutex));
            let seen = *total;
            linger(kind, n);
            *total = seen + 1;
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(*any(&total), done.load(Ordering::Relaxed));
        assert!(*any(&total) >= 3 * GREEN * 1000);
    });
}

#[test]
fn a_rwlock() {
    within(|| {
        let pair = Arc::new(RwLock::new((0, 0)));
        let done = Arc::new(AtomicU64::new(0));
        let (lock, count) = (Arc::clone(&pair), Arc::clone(&done));
        everywhere(1000, move |kind, n| {
            if n % 4 == 0 {
                let mut pair = lock.write().unwrap_or_else(PoisonError::into_inner);
                // Whoever is stopped in between has written nothing.
                let seen = *pair;
                linger(kind, n);
                *pair = (seen.0 + 1, seen.1 + 1);
                count.fetch_add(1, Ordering::Relaxed);
            } else {
                let pair = lock.read().unwrap_or_else(PoisonError::into_inner);
                let seen = *pair;
                linger(kind, n + 1);
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
fn a_bounded_buffer_on_condition_variables() {
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
                        let items = any(&buffer.items);
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
            let items = any(&own.items);
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
        assert!(any(&buffer.items).is_empty());
    });
}

#[test]
fn a_barrier() {
    const ROUNDS: usize = 500;
    within(|| {
        let barrier = Arc::new(Barrier::new(2 + 2 * GREEN as usize));
        let round = Arc::new(AtomicUsize::new(0));
        let (own, seen) = (Arc::clone(&barrier), Arc::clone(&round));
        let comes = move || {
            let mut led = 0;
            for n in 0..ROUNDS {
                led += usize::from(own.wait().is_leader());
                seen.fetch_max(n + 1, Ordering::Relaxed);
                let furthest = seen.load(Ordering::Relaxed);
                assert_eq!(furthest, n + 1, "nobody is ahead");
            }
            led
        };
        let threads = [Kind::Os, Kind::Green, Kind::Green, Kind::Os].map(|kind| {
            let comes = comes.clone();
            std::thread::spawn(move || match kind {
                Kind::Os => comes(),
                _ => {
                    let ends = wait_all((0..GREEN).map(|_| spawn(comes.clone())));
                    ends.into_iter().map(|led| led.unwrap()).sum()
                }
            })
        });
        let led: usize = threads.into_iter().map(|one| one.join().unwrap()).sum();
        assert_eq!(led, ROUNDS);
    });
}

/// Those who leave before the others have come are not counted.
#[test]
fn a_barrier_that_some_leave() {
    within(|| {
        let barrier = Arc::new(Barrier::new(3));
        for _ in 0..200 {
            let leaves = [Kind::Green, Kind::Fickle].map(|kind| {
                let barrier = Arc::clone(&barrier);
                std::thread::spawn(move || {
                    if kind == Kind::Fickle {
                        // There is nobody third yet, so these leave for certain.
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
fn cells() {
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
                linger(kind, n);
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
fn channels() {
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
                        // Each way to receive, and some that give up.
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
            // The senders that were given up may have been told of it after they had sent.
            let (number, sum) = receives.join().unwrap();
            assert!(number >= sent.0.load(Ordering::Relaxed), "{bound:?}");
            assert!(number <= tried.0.load(Ordering::Relaxed));
            assert!(sum >= sent.1.load(Ordering::Relaxed));
            assert!(sum <= tried.1.load(Ordering::Relaxed));
        }
    });
}
