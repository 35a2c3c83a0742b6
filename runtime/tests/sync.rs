//! Locks, condition variables and channels in std's shape: between green threads, and OS threads.

mod common;

use common::within;
use evy_runtime::sync::{Arc, Condvar, Mutex, RwLock, mpsc};
use evy_runtime::{spawn, yield_now};

#[test]
fn a_mutex_excludes_green_threads_and_os_threads() {
    within(|| {
        let total = Arc::new(Mutex::new(0u64));
        let os_threads: Vec<_> = (0..4)
            .map(|n| {
                let total = Arc::clone(&total);
                std::thread::spawn(move || {
                    if n % 2 == 0 {
                        for _ in 0..10_000 {
                            *total.lock().unwrap() += 1;
                        }
                        return;
                    }
                    let greens: Vec<_> = (0..10)
                        .map(|_| {
                            let total = Arc::clone(&total);
                            spawn(move || {
                                for n in 0..1000 {
                                    let mut total = total.lock().unwrap();
                                    let seen = *total;
                                    if n % 100 == 0 {
                                        yield_now();
                                    }
                                    *total = seen + 1;
                                }
                            })
                        })
                        .collect();
                    for green in greens {
                        green.join().unwrap();
                    }
                })
            })
            .collect();
        for thread in os_threads {
            thread.join().unwrap();
        }
        assert_eq!(*total.lock().unwrap(), 40_000);
    });
}

#[test]
fn a_channel_carries_between_os_threads_and_green_threads() {
    within(|| {
        for bound in [None, Some(0), Some(3)] {
            let (send, receiver): (Box<dyn Fn(u64) + Send>, _) = match bound {
                None => {
                    let (sender, receiver) = mpsc::channel();
                    (Box::new(move |n| sender.send(n).unwrap()), receiver)
                }
                Some(bound) => {
                    let (sender, receiver) = mpsc::sync_channel(bound);
                    (Box::new(move |n| sender.send(n).unwrap()), receiver)
                }
            };
            let thread = std::thread::spawn(move || (0..10_000).for_each(send));
            let sum: u64 = spawn(move || receiver.iter().sum()).join().unwrap();
            assert_eq!(sum, 10_000 * 9_999 / 2);
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_condvar_and_a_rwlock_work_together() {
    within(|| {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let log = Arc::new(RwLock::new(Vec::new()));
        let waiters: Vec<_> = (1..=5)
            .map(|turn| {
                let (pair, log) = (Arc::clone(&pair), Arc::clone(&log));
                std::thread::spawn(move || {
                    let count = pair.0.lock().unwrap();
                    drop(pair.1.wait_while(count, |count| *count < turn).unwrap());
                    log.write().unwrap().push(turn);
                    *pair.0.lock().unwrap() += 1;
                    pair.1.notify_all();
                })
            })
            .collect();
        *pair.0.lock().unwrap() = 1;
        pair.1.notify_all();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(*log.read().unwrap(), [1, 2, 3, 4, 5]);
    });
}
