//! Tests of what happens to the waiters of an OS thread that ends: they are passed over, whether
//! they had been notified or not.
#![expect(clippy::disallowed_methods, reason = "these tests use OS threads")]

use std::thread::{self, JoinHandle};
use std::time::Duration;

use evy_runtime::sync::mpsc::{self, RecvTimeoutError, TryRecvError, TrySendError};
use evy_runtime::sync::{Arc, Barrier, Condvar, Mutex, RwLock};
use evy_runtime::{Queue, select, spawn_n, yield_now};
use evy_test_support::within;

const SHORT: Duration = Duration::from_millis(20);

/// Runs `wait` on a green thread of an OS thread until it parks. Then runs `last`, and ends the OS
/// thread.
fn abandon(wait: impl FnOnce() + Send + 'static, last: impl FnOnce() + Send + 'static) {
    let os_thread = thread::spawn(|| {
        spawn_n(wait);
        yield_now();
        last();
    });
    os_thread.join().expect("the OS thread does not panic");
}

/// Runs `wait` on an OS thread of its own, and returns when it has probably begun to wait.
fn on_os_thread<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let os_thread = thread::spawn(wait);
    thread::sleep(SHORT);
    os_thread
}

#[test]
fn an_abandoned_waiter_for_a_mutex_does_not_get_it() {
    within(|| {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        let abandoned = Arc::clone(&mutex);
        abandon(move || drop(abandoned.lock()), || {});
        let other = Arc::clone(&mutex);
        let next = on_os_thread(move || drop(other.lock().unwrap()));
        drop(guard);
        next.join().unwrap();
    });
}

#[test]
fn an_abandoned_waiter_that_was_woken_for_a_mutex_wakes_the_next() {
    within(|| {
        let mutex = Arc::new(Mutex::new(()));
        let (held, other, again) = (mutex.clone(), mutex.clone(), mutex.clone());
        let os_thread = thread::spawn(move || {
            let guard = held.lock().unwrap();
            let abandoned = held.clone();
            spawn_n(move || drop(abandoned.lock()));
            yield_now();
            // This waiter is behind the abandoned one.
            let next = on_os_thread(move || drop(other.lock().unwrap()));
            drop(guard);
            next
        });
        os_thread.join().unwrap().join().unwrap();
        let guard = mutex.lock().unwrap();
        let next = on_os_thread(move || drop(again.lock().unwrap()));
        drop(guard);
        next.join().unwrap();
    });
}

#[test]
fn an_abandoned_waiter_that_was_handed_a_mutex_releases_it() {
    within(|| {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.clone();
        let os_thread = thread::spawn(move || {
            let guard = held.lock().unwrap();
            let abandoned = held.clone();
            spawn_n(move || drop(abandoned.lock()));
            yield_now();
            drop(guard);
            // Taken before the woken waiter runs, which then asks for a handoff.
            let guard = held.lock().unwrap();
            yield_now();
            drop(guard);
        });
        os_thread.join().unwrap();
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn an_abandoned_waiter_for_a_notification_does_not_take_it() {
    within(|| {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let abandoned = pair.clone();
        abandon(
            move || drop(abandoned.1.wait(abandoned.0.lock().unwrap())),
            || {},
        );
        let other = pair.clone();
        let next = on_os_thread(move || {
            let (count, changed) = &*other;
            *changed
                .wait_while(count.lock().unwrap(), |count| *count == 0)
                .unwrap()
        });
        *pair.0.lock().unwrap() = 7;
        pair.1.notify_one();
        assert_eq!(next.join().unwrap(), 7);
    });
}

#[test]
fn an_abandoned_waiter_passes_on_its_notification_whatever_it_has_waited_for_since() {
    within(|| {
        for locks_again in [false, true] {
            let pair = Arc::new((Mutex::new(0), Condvar::new()));
            let (waits, other) = (pair.clone(), pair.clone());
            let os_thread = thread::spawn(move || {
                let abandoned = waits.clone();
                spawn_n(move || drop(abandoned.1.wait(abandoned.0.lock().unwrap())));
                yield_now();
                let next = on_os_thread(move || {
                    let (count, changed) = &*other;
                    *changed
                        .wait_while(count.lock().unwrap(), |count| *count == 0)
                        .unwrap()
                });
                let mut count = waits.0.lock().unwrap();
                *count = 7;
                waits.1.notify_one();
                if locks_again {
                    // The notified waiter now waits for the mutex.
                    yield_now();
                }
                drop(count);
                next
            });
            assert_eq!(os_thread.join().unwrap().join().unwrap(), 7);
        }
    });
}

#[test]
fn abandoned_waiters_that_were_handed_a_rwlock_release_it() {
    within(|| {
        let lock = Arc::new(RwLock::new(()));
        let held = lock.clone();
        let os_thread = thread::spawn(move || {
            let guard = held.write().unwrap();
            for writes in [true, false, true] {
                let abandoned = held.clone();
                spawn_n(move || match writes {
                    true => drop(abandoned.write()),
                    false => drop(abandoned.read()),
                });
            }
            yield_now();
            drop(guard);
        });
        os_thread.join().unwrap();
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn an_abandoned_writer_does_not_hold_back_readers() {
    within(|| {
        let lock = Arc::new(RwLock::new(()));
        let reader = lock.read().unwrap();
        let abandoned = lock.clone();
        abandon(move || drop(abandoned.write()), || {});
        drop(lock.read().unwrap());
        drop(reader);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn an_abandoned_waiter_at_a_barrier_is_not_counted() {
    within(|| {
        let barrier = Arc::new(Barrier::new(2));
        let abandoned = barrier.clone();
        abandon(move || _ = abandoned.wait(), || {});
        let other = barrier.clone();
        let first = on_os_thread(move || other.wait().is_leader());
        assert!(!first.is_finished());
        assert!(barrier.wait().is_leader() != first.join().unwrap());
    });
}

#[test]
fn an_abandoned_receiver_takes_no_message() {
    within(|| {
        for selects in [false, true] {
            let (sender, receiver) = mpsc::sync_channel(0);
            abandon(
                move || match selects {
                    true => drop(select! { recv(&receiver) -> got => got }),
                    false => drop(receiver.recv()),
                },
                || {},
            );
            assert_eq!(
                sender.try_send(1),
                Err(TrySendError::Full(1)),
                "select: {selects}"
            );
        }
    });
}

#[test]
fn the_message_of_an_abandoned_sender_is_received() {
    within(|| {
        let (sender, receiver) = mpsc::sync_channel(0);
        abandon(move || assert!(sender.send(1).is_ok()), || {});
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
    });
}

#[test]
fn an_abandoned_select_leaves_all_its_queues() {
    within(|| {
        let (sender, receiver) = mpsc::sync_channel(0);
        let (other_sender, other_receiver) = mpsc::sync_channel(0);
        abandon(
            move || {
                let queue = Queue::<u32>::unbounded();
                let (pipe, _writer) = std::io::pipe().unwrap();
                select! {
                    recv(&receiver) -> _ => {},
                    send(&other_sender, 1) -> _ => {},
                    get(&queue) -> _ => {},
                    readable(&pipe) -> _ => {},
                }
            },
            || {},
        );
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(other_receiver.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn waiters_abandoned_together_pass_on_what_each_of_them_is_given() {
    within(|| {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.clone();
        let os_thread = thread::spawn(move || {
            let guard = held.lock().unwrap();
            for _ in 0..3 {
                let abandoned = held.clone();
                spawn_n(move || drop(abandoned.lock()));
            }
            yield_now();
            drop(guard);
        });
        os_thread.join().unwrap();
        let guard = mutex.lock().unwrap();
        let other = mutex.clone();
        let next = on_os_thread(move || drop(other.lock().unwrap()));
        drop(guard);
        next.join().unwrap();
    });
}
