//! Locks and channels of std, between green threads and OS threads.

use std::cell::UnsafeCell;
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Condvar, Mutex, OnceLock, RwLock};
use std::thread::sleep;
use std::time::Duration;

use evy_test_support::within;

use crate::is_patched;

const SHORT: Duration = Duration::from_millis(10);

#[test]
fn a_mutex_of_std_may_be_held_while_parked() {
    if !is_patched() {
        return;
    }
    within(|| {
        let lock = Arc::new(Mutex::new(0));
        let all: Vec<_> = (0..5)
            .map(|_| {
                let lock = Arc::clone(&lock);
                evy::spawn(move || {
                    let mut held = lock.lock().unwrap();
                    sleep(SHORT);
                    *held += 1;
                })
            })
            .collect();
        assert!(evy::wait_all(all).into_iter().all(|ended| ended.is_ok()));
        assert_eq!(*lock.lock().unwrap(), 5);
    });
}

#[test]
fn channels_of_std_work_between_green_threads_and_os_threads() {
    if !is_patched() {
        return;
    }
    within(|| {
        for bound in [0, 1, 3] {
            let (sender, receiver) = mpsc::sync_channel(bound);
            let from_green = sender.clone();
            let green = evy::spawn(move || (0..1000).for_each(|n| from_green.send(n).unwrap()));
            let os = std::thread::spawn(move || (0..1000).for_each(|n| sender.send(n).unwrap()));
            let receiver = evy::spawn(move || receiver.iter().sum::<u32>());
            assert_eq!(receiver.join().unwrap(), 999_000);
            green.join().unwrap();
            os.join().unwrap();
        }
    });
}

#[test]
fn the_other_locks_of_std_park() {
    if !is_patched() {
        return;
    }
    within(|| {
        let barrier = Arc::new(Barrier::new(4));
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        static ONCE: OnceLock<u32> = OnceLock::new();
        let shared = Arc::new(RwLock::new(1));
        let all: Vec<_> = (0..4)
            .map(|n| {
                let (barrier, pair, shared) =
                    (Arc::clone(&barrier), Arc::clone(&pair), Arc::clone(&shared));
                evy::spawn(move || {
                    barrier.wait();
                    let value = *ONCE.get_or_init(|| {
                        sleep(SHORT);
                        7
                    });
                    assert_eq!(value, 7);
                    if n == 0 {
                        let mut written = shared.write().unwrap();
                        sleep(SHORT);
                        *written += 1;
                        *pair.0.lock().unwrap() = true;
                        pair.1.notify_all();
                    } else {
                        assert!(*shared.read().unwrap() <= 2);
                        let guard = pair.0.lock().unwrap();
                        drop(pair.1.wait_while(guard, |done| !*done).unwrap());
                        let guard = pair.0.lock().unwrap();
                        let (_guard, timed) = pair.1.wait_timeout(guard, SHORT).unwrap();
                        assert!(timed.timed_out());
                    }
                })
            })
            .collect();
        assert!(evy::wait_all(all).into_iter().all(|ended| ended.is_ok()));
    });
}

#[test]
fn thread_park_of_std_parks_each_green_thread_by_itself() {
    if !is_patched() {
        return;
    }
    within(|| {
        let all: Vec<_> = (0..3)
            .map(|_| {
                evy::spawn(|| {
                    let me = std::thread::current();
                    let waker = std::thread::spawn(move || {
                        sleep(SHORT);
                        me.unpark();
                    });
                    std::thread::park();
                    waker.join().unwrap();
                })
            })
            .collect();
        assert!(evy::wait_all(all).into_iter().all(|ended| ended.is_ok()));
    });
}

/// A mutex of C.
struct CMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a mutex of C may be used on any thread.
unsafe impl Send for CMutex {}
// SAFETY: as above.
unsafe impl Sync for CMutex {}

impl CMutex {
    fn lock(&self) {
        // SAFETY: the mutex is valid.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.0.get()) }, 0);
    }

    fn unlock(&self) {
        // SAFETY: the mutex is valid.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0.get()) }, 0);
    }
}

#[test]
fn an_owner_of_a_c_mutex_may_wait_for_the_os_thread_of_another_waiter() {
    if !is_patched() {
        return;
    }
    within(|| {
        for computes_first in [false, true] {
            let mutex = Arc::new(CMutex(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER)));
            let (locked, is_locked) = mpsc::channel();
            let (send, receive) = mpsc::channel();
            let owner = std::thread::spawn({
                let mutex = Arc::clone(&mutex);
                move || {
                    let green = evy::spawn(move || {
                        mutex.lock();
                        locked.send(()).unwrap();
                        if computes_first {
                            evy::patch::unpatched(|| sleep(Duration::from_millis(20)));
                        }
                        // Only another green thread of the waiter's OS thread sends it.
                        assert_eq!(receive.recv(), Ok("go on"));
                        mutex.unlock();
                    });
                    green.join().unwrap();
                }
            });
            is_locked.recv().unwrap();
            let waiter = evy::spawn(move || {
                mutex.lock();
                mutex.unlock();
            });
            evy::yield_now();
            send.send("go on").unwrap();
            waiter.join().unwrap();
            owner.join().unwrap();
        }
    });
}
