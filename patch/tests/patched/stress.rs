//! Many messages between green threads of two OS threads and an OS thread without any, through locks
//! and channels of std, with kills and timeouts.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::sleep;
use std::time::Duration;

use evy_test_support::within;

use crate::is_patched;

const SENDERS: usize = 8;
const MESSAGES: usize = 5000;

/// Sends `MESSAGES` numbers, some of them under a lock that is held while the channel is full.
fn send(sender: SyncSender<usize>, turn: Arc<Mutex<usize>>) {
    for number in 0..MESSAGES {
        if number % 16 == 0 {
            let mut turns = turn.lock().unwrap();
            sender.send(number).unwrap();
            *turns += 1;
        } else {
            sender.send(number).unwrap();
        }
    }
}

/// Receives until all senders are gone. Green threads and OS threads share the receiver.
fn receive(receiver: &Mutex<Receiver<usize>>, got: &AtomicUsize) {
    loop {
        // The lock is held while this waits.
        let message = receiver
            .lock()
            .unwrap()
            .recv_timeout(Duration::from_millis(20));
        match message {
            Ok(number) => got.fetch_add(number + 1, SeqCst),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
    }
}

/// Spawns green threads that wait in locks and sleeps of std, and kills them, or lets a `timeout`
/// expire.
fn disturb(rounds: usize) {
    let pair = Arc::new((Mutex::new(()), Condvar::new()));
    for round in 0..rounds {
        let waits = Arc::clone(&pair);
        let victim = evy::spawn(move || {
            let expired = evy::timeout(Duration::from_micros(300), || {
                let guard = waits.0.lock().unwrap();
                drop(waits.1.wait_timeout(guard, Duration::from_millis(1)));
                evy::sleep(Duration::from_millis(1));
            });
            assert!(expired.is_err());
            sleep(Duration::from_millis(1));
            // A kill is thrown here at the latest.
            evy::sleep(Duration::from_secs(100));
        });
        if round % 3 == 0 {
            sleep(Duration::from_micros(500));
        } else {
            evy::yield_now();
        }
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
    }
}

#[test]
fn no_message_is_lost_between_two_schedulers_and_os_threads() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (sender, receiver) = mpsc::sync_channel(4);
        let receiver = Arc::new(Mutex::new(receiver));
        let got = Arc::new(AtomicUsize::new(0));
        let turn = Arc::new(Mutex::new(0));
        let scheduler = |senders: usize, receivers: usize| {
            let (sender, receiver) = (sender.clone(), Arc::clone(&receiver));
            let (got, turn) = (Arc::clone(&got), Arc::clone(&turn));
            std::thread::spawn(move || {
                let mut all = Vec::new();
                for _ in 0..senders {
                    let (sender, turn) = (sender.clone(), Arc::clone(&turn));
                    all.push(evy::spawn(move || send(sender, turn)));
                }
                drop(sender);
                for _ in 0..receivers {
                    let (receiver, got) = (Arc::clone(&receiver), Arc::clone(&got));
                    all.push(evy::spawn(move || receive(&receiver, &got)));
                }
                all.push(evy::spawn(|| disturb(100)));
                for green in all {
                    green.join().unwrap();
                }
            })
        };
        let schedulers = [scheduler(5, 2), scheduler(2, 1)];
        let os_receiver = {
            let (receiver, got) = (Arc::clone(&receiver), Arc::clone(&got));
            std::thread::spawn(move || receive(&receiver, &got))
        };
        send(sender, Arc::clone(&turn));
        for thread in schedulers {
            thread.join().unwrap();
        }
        os_receiver.join().unwrap();
        assert_eq!(got.load(SeqCst), SENDERS * MESSAGES * (MESSAGES + 1) / 2);
        assert_eq!(*turn.lock().unwrap(), SENDERS * MESSAGES.div_ceil(16));
    });
}

/// The runtime has locks of std itself. They are contended here, in the middle of its own operations.
#[test]
fn the_locks_of_the_runtime_block_briefly_when_several_schedulers_share_them() {
    if !is_patched() {
        return;
    }
    within(|| {
        let (sender, receiver) = evy::sync::mpsc::sync_channel::<usize>(3);
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let all: Vec<_> = (0..4)
                        .map(|_| {
                            let sender = sender.clone();
                            evy::spawn(move || {
                                for number in 0..1000 {
                                    sender.send(number).unwrap();
                                    if number % 100 == 0 {
                                        assert_eq!(evy::unblock(move || number), number);
                                    }
                                }
                            })
                        })
                        .collect();
                    for green in all {
                        green.join().unwrap();
                    }
                })
            })
            .collect();
        drop(sender);
        let sum = evy::spawn(move || receiver.iter().sum::<usize>());
        assert_eq!(sum.join().unwrap(), 12 * 999 * 1000 / 2);
        for thread in senders {
            thread.join().unwrap();
        }
        // Closures for another OS thread, from several at once.
        let (remote_sender, remote_receiver) = mpsc::channel();
        let stop = Arc::new(AtomicUsize::new(0));
        let target = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                evy::spawn_n(|| ());
                remote_sender.send(evy::thread::Remote::current()).unwrap();
                while stop.load(SeqCst) < 3 {
                    evy::sleep(Duration::from_millis(1));
                }
            }
        });
        let remote = remote_receiver.recv().unwrap();
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (remote, stop) = (remote.clone(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let greens: Vec<_> = (0..4)
                        .map(|_| {
                            let remote = remote.clone();
                            evy::spawn(move || {
                                for number in 0..200 {
                                    let spawned = remote.spawn(move || number);
                                    assert_eq!(spawned.join().unwrap(), number);
                                }
                            })
                        })
                        .collect();
                    for green in greens {
                        green.join().unwrap();
                    }
                    stop.fetch_add(1, SeqCst);
                })
            })
            .collect();
        for thread in callers.into_iter().chain([target]) {
            thread.join().unwrap();
        }
    });
}
