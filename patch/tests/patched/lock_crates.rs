//! Crates with locks and channels of their own: `parking_lot` and `crossbeam`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::sleep;
use std::time::Duration;

use evy_test_support::within;

use crate::is_patched;

const SHORT: Duration = Duration::from_millis(3);

/// Runs `f` on four green threads of this OS thread, two of another, and an OS thread. Each gets its
/// number.
fn on_seven(f: impl Fn(usize) + Clone + Send + 'static) {
    let on_green = |indices: std::ops::Range<usize>, f: &(dyn Fn(usize) + Send)| {
        evy::scope(|s| {
            for index in indices {
                evy::thread::Builder::new()
                    .own_identity()
                    .spawn_scoped(s, move || f(index))
                    .unwrap();
            }
        });
    };
    let (on_other, on_os) = (f.clone(), f.clone());
    let other = std::thread::spawn(move || on_green(4..6, &on_other));
    let os = std::thread::spawn(move || on_os(6));
    on_green(0..4, &f);
    other.join().unwrap();
    os.join().unwrap();
}

#[test]
fn locks_of_parking_lot_may_be_held_while_parked() {
    if !is_patched() {
        return;
    }
    within(|| {
        let mutex = Arc::new(parking_lot::FairMutex::new(0));
        let shared = Arc::new(parking_lot::RwLock::new(0_usize));
        let again = Arc::new(parking_lot::ReentrantMutex::new(()));
        let (counted, written) = (Arc::clone(&mutex), Arc::clone(&shared));
        on_seven(move |index| {
            for round in 0..5 {
                let mut count = mutex.lock();
                sleep(SHORT);
                *count += 1;
                drop(count);
                if (index + round) % 3 == 0 {
                    let mut value = shared.write();
                    let before = *value;
                    sleep(SHORT);
                    *value = before + 1;
                } else {
                    let value = shared.read();
                    let before = *value;
                    sleep(SHORT);
                    assert_eq!(*value, before);
                }
                let held = again.lock();
                let held_twice = again.lock();
                sleep(SHORT);
                drop((held, held_twice));
            }
        });
        assert_eq!(*counted.lock(), 35);
        assert_eq!(
            *written.read(),
            (0..7)
                .map(|n| (n..n + 5).filter(|n| n % 3 == 0).count())
                .sum::<usize>()
        );
    });
}

#[test]
fn conditions_of_parking_lot_pass_a_turn_around() {
    if !is_patched() {
        return;
    }
    within(|| {
        let turn = Arc::new((parking_lot::Mutex::new(0), parking_lot::Condvar::new()));
        let once = Arc::new(parking_lot::Once::new());
        let calls = Arc::new(AtomicUsize::new(0));
        let called = Arc::clone(&calls);
        on_seven(move |index| {
            once.call_once(|| {
                sleep(SHORT);
                calls.fetch_add(1, SeqCst);
            });
            for _ in 0..50 {
                let mut now = turn.0.lock();
                while *now != index {
                    turn.1.wait(&mut now);
                }
                *now = (*now + 1) % 7;
                turn.1.notify_all();
            }
            let mut now = turn.0.lock();
            let never = parking_lot::Condvar::new();
            assert!(never.wait_for(&mut now, SHORT).timed_out());
        });
        assert_eq!(called.load(SeqCst), 1);
    });
}

#[test]
fn channels_of_crossbeam_pass_each_message_once() {
    if !is_patched() {
        return;
    }
    within(|| {
        for bound in [Some(0), Some(1), Some(10), None] {
            let (sender, receiver) = match bound {
                Some(bound) => crossbeam_channel::bounded(bound),
                None => crossbeam_channel::unbounded(),
            };
            let sum = Arc::new(AtomicUsize::new(0));
            let total = Arc::clone(&sum);
            let wait_group = crossbeam_utils::sync::WaitGroup::new();
            let waits = wait_group.clone();
            on_seven(move |index| {
                let waits = waits.clone();
                if index % 2 == 0 {
                    for number in 0..500 {
                        sender.send(number).unwrap();
                    }
                } else {
                    // Four send 500 each, and three receive what there is.
                    let tick = crossbeam_channel::after(Duration::from_secs(50));
                    for _ in 0..2000 / 3 {
                        crossbeam_channel::select! {
                            recv(receiver) -> number => {
                                sum.fetch_add(number.unwrap(), SeqCst);
                            }
                            recv(tick) -> _ => panic!("no message has come"),
                        }
                    }
                    if index == 1 {
                        for _ in 0..2000 % 3 {
                            sum.fetch_add(receiver.recv().unwrap(), SeqCst);
                        }
                    }
                }
                drop(waits);
            });
            drop(wait_group);
            assert_eq!(total.load(SeqCst), 4 * 499 * 500 / 2);
        }
    });
}

#[test]
fn a_parker_of_crossbeam_belongs_to_its_green_thread() {
    if !is_patched() {
        return;
    }
    within(|| {
        let parker = crossbeam_utils::sync::Parker::new();
        let unparker = parker.unparker().clone();
        let parked = evy::spawn(move || {
            parker.park();
            parker.park_timeout(SHORT);
        });
        let wait_group = crossbeam_utils::sync::WaitGroup::new();
        let all: Vec<_> = (0..3)
            .map(|_| {
                let wait_group = wait_group.clone();
                evy::spawn(move || {
                    sleep(SHORT);
                    drop(wait_group);
                })
            })
            .collect();
        wait_group.wait();
        unparker.unpark();
        parked.join().unwrap();
        for green in all {
            green.join().unwrap();
        }
    });
}
