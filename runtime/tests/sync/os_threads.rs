//! Tests of `sync` between OS threads without green threads. No stack is switched here, so Miri can
//! check accesses to the frames of other OS threads, and try what a weak memory model allows:
//!
//! ```text
//! MIRIFLAGS="-Zmiri-many-seeds=0..16" cargo +nightly miri test -p evy-runtime --test sync os_threads
//! ```

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "these tests use OS threads only")]

use std::thread;
use std::time::Duration;

use evy_runtime::sync::mpsc::{RecvTimeoutError, channel, sync_channel};
use evy_runtime::sync::{
    Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, RwLockWriteGuard,
};

/// The number of rounds of each OS thread.
const ROUNDS: u64 = if cfg!(miri) { 8 } else { 2000 };

const SHORT: Duration = Duration::from_micros(50);

/// Runs `body` on `number` OS threads, with the index of each, and returns the results.
fn on_threads<T: Send>(number: u64, body: impl Fn(u64) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let body = &body;
        let threads: Vec<_> = (0..number).map(|n| scope.spawn(move || body(n))).collect();
        threads.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn a_mutex_has_one_holder_at_a_time() {
    let total = Mutex::new(0);
    on_threads(4, |n| {
        for round in 0..ROUNDS {
            let mut total = total.lock().unwrap();
            let seen = *total;
            if (round + n) % 4 == 0 {
                thread::yield_now();
            }
            *total = seen + 1;
        }
    });
    assert_eq!(total.into_inner().unwrap(), 4 * ROUNDS);
}

#[test]
fn a_reader_of_a_rwlock_sees_no_unfinished_write() {
    let pair = RwLock::new((0, 0));
    on_threads(4, |n| {
        for round in 0..ROUNDS {
            match (n + round) % 3 {
                0 => {
                    let mut pair = pair.write().unwrap();
                    pair.0 += 1;
                    thread::yield_now();
                    pair.1 += 1;
                }
                1 => {
                    let pair = pair.read().unwrap();
                    assert_eq!(pair.0, pair.1);
                }
                _ => {
                    let mut pair = pair.write().unwrap();
                    pair.0 += 1;
                    pair.1 += 1;
                    let pair = RwLockWriteGuard::downgrade(pair);
                    thread::yield_now();
                    assert_eq!(pair.0, pair.1);
                }
            }
        }
    });
    let (one, two) = pair.into_inner().unwrap();
    assert_eq!(one, two);
}

#[test]
fn a_condition_variable_loses_no_notification() {
    let turn = (Mutex::new(0), Condvar::new());
    on_threads(3, |n| {
        for round in 0..ROUNDS {
            let mine = round * 3 + n;
            let mut now = turn.0.lock().unwrap();
            while *now != mine {
                now = match round % 2 {
                    0 => turn.1.wait(now).unwrap(),
                    _ => turn.1.wait_timeout(now, SHORT).unwrap().0,
                };
            }
            *now += 1;
            turn.1.notify_all();
        }
    });
    assert_eq!(turn.0.into_inner().unwrap(), 3 * ROUNDS);
}

#[test]
fn a_barrier_has_one_leader_in_each_round() {
    let barrier = Barrier::new(3);
    let led = on_threads(3, |_| {
        (0..ROUNDS).filter(|_| barrier.wait().is_leader()).count()
    });
    assert_eq!(led.iter().sum::<usize>() as u64, ROUNDS);
}

#[test]
fn concurrent_callers_run_one_initializer() {
    for _ in 0..ROUNDS.min(100) {
        let (once, cell, plain) = (Once::new(), OnceLock::<Box<u64>>::new(), Mutex::new(0));
        let lazy = LazyLock::new(|| vec![1, 2, 3]);
        let seen = on_threads(3, |n| {
            once.call_once(|| *plain.lock().unwrap() += 1);
            assert_eq!(lazy.len(), 3);
            match n {
                0 => **cell.wait(),
                _ => **cell.get_or_init(|| Box::new(n)),
            }
        });
        assert!(seen[0] != 0 && seen.iter().all(|n| *n == seen[0]));
        assert_eq!(plain.into_inner().unwrap(), 1);
    }
}

#[test]
fn a_channel_loses_no_message() {
    for bound in [None, Some(0), Some(1), Some(4)] {
        let (send, receiver): (Box<dyn Fn(Box<u64>) + Send + Sync>, _) = match bound {
            None => {
                let (sender, receiver) = channel();
                (Box::new(move |n| sender.send(n).unwrap()), receiver)
            }
            Some(bound) => {
                let (sender, receiver) = sync_channel(bound);
                (Box::new(move |n| sender.send(n).unwrap()), receiver)
            }
        };
        let receives = thread::spawn(move || {
            let mut sum = 0;
            loop {
                match receiver.recv_timeout(SHORT) {
                    Ok(n) => sum += *n,
                    Err(RecvTimeoutError::Timeout) => sum += receiver.recv().map_or(0, |n| *n),
                    Err(RecvTimeoutError::Disconnected) => return sum,
                }
            }
        });
        let send = Arc::new(send);
        on_threads(3, |_| (0..ROUNDS).for_each(|n| send(Box::new(n))));
        drop(send);
        assert_eq!(receives.join().unwrap(), 3 * (0..ROUNDS).sum::<u64>());
    }
}

#[test]
fn a_receiver_that_is_dropped_ends_the_wait_of_every_sender() {
    for bound in [0, 1] {
        let (sender, receiver) = sync_channel(bound);
        let leaves = thread::spawn(move || receiver.recv().map(drop));
        let failed = on_threads(3, |n| sender.send(Box::new(n)).is_err());
        assert!(failed.iter().filter(|failed| **failed).count() >= 2 - bound);
        leaves.join().unwrap().unwrap();
    }
}
