//! Locks, channels and pools of crates.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use crate::{WAIT, at_once, patched};

const SHORT: Duration = Duration::from_millis(10);

#[test]
fn a_mutex_of_parking_lot_may_be_held_while_parked() {
    patched(|| {
        let count = Arc::new(parking_lot::Mutex::new(0));
        let shared = Arc::clone(&count);
        at_once(20, move |_| {
            let mut count = shared.lock();
            sleep(SHORT);
            *count += 1;
            drop(count);
            sleep(WAIT);
        });
        assert_eq!(*count.lock(), 20);
    });
}

#[test]
fn condition_variables_and_read_write_locks_of_parking_lot_park() {
    patched(|| {
        let pair = Arc::new((parking_lot::Mutex::new(false), parking_lot::Condvar::new()));
        let shared = Arc::new(parking_lot::RwLock::new(0));
        let (waiting, written) = (Arc::clone(&pair), Arc::clone(&shared));
        let setter = std::thread::spawn(move || {
            sleep(WAIT);
            *written.write() = 7;
            *waiting.0.lock() = true;
            waiting.1.notify_all();
        });
        let seen = at_once(10, move |_| {
            let mut is_set = pair.0.lock();
            assert!(pair.1.wait_for(&mut is_set, SHORT).timed_out());
            while !*is_set {
                pair.1.wait(&mut is_set);
            }
            *shared.read()
        });
        assert_eq!(seen, [7; 10]);
        setter.join().unwrap();
    });
}

#[test]
fn channels_of_crossbeam_and_flume_work_between_green_threads_and_os_threads() {
    patched(|| {
        for bound in [0, 1, 3] {
            let (sender, receiver) = crossbeam_channel::bounded(bound);
            let (forward, end) = flume::bounded(bound);
            let from_green = sender.clone();
            let green = evy::spawn(move || (0..1000).for_each(|n| from_green.send(n).unwrap()));
            let os = std::thread::spawn(move || (0..1000).for_each(|n| sender.send(n).unwrap()));
            let middle = evy::spawn(move || {
                receiver.iter().for_each(|n| forward.send(n).unwrap());
            });
            let sum = evy::spawn(move || end.iter().sum::<u32>());
            assert_eq!(sum.join().unwrap(), 999_000);
            green.join().unwrap();
            middle.join().unwrap();
            os.join().unwrap();
        }
    });
}

#[test]
fn a_select_of_crossbeam_parks() {
    patched(|| {
        let chosen = at_once(10, |_| {
            let (_sender, never) = crossbeam_channel::bounded::<()>(1);
            let after = crossbeam_channel::after(WAIT);
            crossbeam_channel::select! {
                recv(never) -> _ => false,
                recv(after) -> _ => true,
            }
        });
        assert!(chosen.iter().all(|is_after| *is_after));
    });
}

/// The waits are on the OS threads of rayon's pool. The green threads wait for these.
#[test]
fn green_threads_wait_for_a_pool_of_rayon() {
    patched(|| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(10);
        let pool = Arc::new(pool.build().unwrap());
        let sums = at_once(10, move |index| {
            pool.install(|| {
                sleep(WAIT);
                rayon::join(|| index, || 1)
            })
        });
        assert_eq!(sums, (0..10).map(|n| (n, 1)).collect::<Vec<_>>());
    });
}

#[test]
fn channels_of_kanal_work_between_green_threads_and_os_threads() {
    patched(|| {
        for bound in [0, 2] {
            let (sender, receiver) = kanal::bounded(bound);
            let (forward, end) = kanal::bounded(bound);
            let middle = evy::spawn(move || {
                while let Ok(n) = receiver.recv() {
                    forward.send(n).unwrap();
                }
            });
            let sum = std::thread::spawn(move || {
                let mut sum = 0;
                while let Ok(n) = end.recv() {
                    sum += n;
                }
                sum
            });
            for n in 0..500_u32 {
                sender.send(n).unwrap();
            }
            drop(sender);
            middle.join().unwrap();
            assert_eq!(sum.join().unwrap(), 124_750);
        }
        at_once(10, |_| {
            let (_sender, receiver) = kanal::bounded::<()>(0);
            assert!(receiver.recv_timeout(WAIT).is_err());
        });
    });
}

#[test]
fn scopes_wait_groups_and_parkers_of_crossbeam_park() {
    patched(|| {
        at_once(10, |_| {
            let mut numbers = [0; 4];
            crossbeam_utils::thread::scope(|scope| {
                for number in &mut numbers {
                    scope.spawn(move |_| {
                        sleep(WAIT);
                        *number = 1;
                    });
                }
            })
            .unwrap();
            assert_eq!(numbers, [1; 4]);
            let group = crossbeam_utils::sync::WaitGroup::new();
            for _ in 0..3 {
                let member = group.clone();
                evy::spawn_n(move || {
                    sleep(SHORT);
                    drop(member);
                });
            }
            group.wait();
            let parker = crossbeam_utils::sync::Parker::new();
            parker.park_timeout(SHORT);
            let unparker = parker.unparker().clone();
            evy::spawn_n(move || unparker.unpark());
            parker.park();
        });
    });
}
