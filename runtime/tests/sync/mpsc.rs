//! Tests of `sync::mpsc`: order, capacity, disconnection, and messages of interrupted senders and
//! receivers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::sync::mpsc::{
    Receiver, RecvTimeoutError, SendError, Sender, SyncSender, TryRecvError, TrySendError, channel,
    sync_channel,
};
use evy_runtime::sync::{Arc, Mutex};
use evy_runtime::{lowlevel, sleep, spawn, spawn_n, test, yield_now};
use evy_test_support::within;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// Creates a channel of either kind. Returns a function that sends and returns whether it could,
/// and the receiver.
fn open<T: Send + 'static>(bound: Option<usize>) -> (Box<dyn Fn(T) -> bool + Send>, Receiver<T>) {
    match bound {
        None => {
            let (sender, receiver) = channel();
            (
                Box::new(move |message| sender.send(message).is_ok()),
                receiver,
            )
        }
        Some(bound) => {
            let (sender, receiver) = sync_channel(bound);
            (
                Box::new(move |message| sender.send(message).is_ok()),
                receiver,
            )
        }
    }
}

#[test]
fn messages_of_one_sender_arrive_in_the_order_of_sending() {
    within(|| {
        for bound in [None, Some(0), Some(1), Some(3)] {
            test::explore_schedules(0..50, || {
                let (send, receiver) = open(bound);
                let send = Rc::new(send);
                for from in 0..3 {
                    let send = Rc::clone(&send);
                    spawn_n(move || {
                        for n in 0..10 {
                            assert!(send((from, n)));
                            if n % 3 == from {
                                yield_now();
                            }
                        }
                    });
                }
                drop(send);
                let all: Vec<_> = receiver.iter().collect();
                assert_eq!(all.len(), 30);
                for sender in 0..3 {
                    let own = all.iter().filter(|(from, _)| *from == sender);
                    assert!(own.map(|(_, n)| *n).eq(0..10), "{bound:?}");
                }
            });
        }
    });
}

#[test]
fn waiting_senders_are_served_in_fifo_order() {
    within(|| {
        for bound in [0, 1, 2] {
            test::explore_schedules(0..50, || {
                let (sender, receiver) = sync_channel(bound);
                for n in 0..6 {
                    let sender = sender.clone();
                    spawn_n(move || sender.send(n).unwrap());
                    test::wait_all_parked();
                }
                drop(sender);
                assert!(receiver.into_iter().eq(0..6), "{bound}");
            });
        }
    });
}

#[test]
fn a_send_to_a_full_channel_parks_until_there_is_room() {
    within(|| {
        for bound in [1, 3] {
            test::virtual_time(|| {
                let (sender, receiver) = sync_channel(bound);
                let sent = Rc::new(Cell::new(0));
                let count = Rc::clone(&sent);
                spawn_n(move || {
                    for n in 0..10 {
                        sender.send(n).unwrap();
                        count.set(n + 1);
                    }
                });
                for n in 0..10 {
                    test::wait_all_parked();
                    assert_eq!(sent.get(), (n + bound).min(10));
                    assert_eq!(receiver.recv(), Ok(n));
                }
            });
        }
    });
}

#[test]
fn at_bound_zero_each_send_waits_for_a_receive() {
    within(|| {
        test::virtual_time(|| {
            let (sender, receiver) = sync_channel(0);
            let sent = Rc::new(Cell::new(0));
            let count = Rc::clone(&sent);
            assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
            let other = sender.clone();
            spawn_n(move || {
                for n in 0..3 {
                    other.send(n).unwrap();
                    count.set(n + 1);
                }
            });
            for n in 0..3 {
                sleep(SECOND);
                assert_eq!(sent.get(), n, "no receive has begun yet");
                assert_eq!(receiver.recv(), Ok(n));
            }
            // A waiting receiver is room for one message.
            let waiting = spawn(move || (receiver.recv(), receiver));
            test::wait_all_parked();
            assert_eq!(sender.try_send(3), Ok(()));
            assert_eq!(sender.try_send(4), Err(TrySendError::Full(4)));
            let (received, receiver) = waiting.join().unwrap();
            assert_eq!(received, Ok(3));
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            // A waiting sender counts as a message.
            spawn_n(move || sender.send(5).unwrap());
            test::wait_all_parked();
            assert_eq!(receiver.try_recv(), Ok(5));
        });
    });
}

#[test]
fn try_send_and_try_recv_do_not_park() {
    let (sender, receiver) = sync_channel(1);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(sender.try_send(1), Ok(()));
    assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    assert_eq!(receiver.try_recv(), Ok(1));
    let other = sender.clone();
    drop(sender);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    other.send(3).unwrap();
    drop(other);
    assert_eq!(receiver.try_recv(), Ok(3));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    let (sender, receiver) = sync_channel(1);
    drop(receiver);
    assert_eq!(sender.try_send(4), Err(TrySendError::Disconnected(4)));
}

#[test]
fn recv_timeout_fails_at_its_deadline() {
    within(|| {
        test::virtual_time(|| {
            let (sender, receiver) = channel();
            let start = lowlevel::now();
            let late = sender.clone();
            spawn_n(move || {
                sleep(3 * SECOND);
                late.send(1).unwrap();
                sleep(SECOND);
            });
            let timeout = Err(RecvTimeoutError::Timeout);
            assert_eq!(receiver.recv_timeout(SECOND), timeout);
            assert_eq!(receiver.recv_timeout(Duration::ZERO), timeout);
            assert_eq!(lowlevel::now() - start, SECOND);
            assert_eq!(receiver.recv_timeout(LONG), Ok(1));
            assert_eq!(lowlevel::now() - start, 3 * SECOND);
            drop(sender);
            let gone = Err(RecvTimeoutError::Disconnected);
            assert_eq!(receiver.recv_timeout(Duration::MAX), gone);
            assert_eq!(lowlevel::now() - start, 4 * SECOND);
            assert_eq!(receiver.recv_timeout(SECOND), gone);
        });
    });
}

#[test]
fn a_receiver_without_senders_gets_the_remaining_messages_and_then_an_error() {
    within(|| {
        test::explore_schedules(0..50, || {
            let (sender, receiver) = channel();
            let other = sender.clone();
            spawn_n(move || {
                sender.send(1).unwrap();
                yield_now();
                drop(sender);
            });
            spawn_n(move || {
                sleep(SECOND);
                other.send(2).unwrap();
            });
            assert_eq!([receiver.recv(), receiver.recv()], [Ok(1), Ok(2)]);
            assert!(receiver.recv().is_err() && receiver.recv().is_err());
        });
    });
}

#[test]
fn a_send_without_a_receiver_returns_the_message() {
    within(|| {
        for bound in [0, 1] {
            test::explore_schedules(0..50, || {
                let (sender, receiver) = sync_channel(bound);
                let senders: Vec<_> = (0..3)
                    .map(|n| {
                        let sender = sender.clone();
                        spawn(move || (n, sender.send(n)))
                    })
                    .collect();
                test::wait_all_parked();
                drop(receiver);
                let mut unread = 0;
                for one in senders {
                    match one.join().unwrap() {
                        (_, Ok(())) => unread += 1,
                        (n, Err(SendError(back))) => assert_eq!(n, back),
                    }
                }
                assert_eq!(unread, bound);
                assert_eq!(sender.send(7), Err(SendError(7)));
            });
        }
        let (sender, receiver) = channel();
        drop(receiver);
        assert_eq!(sender.send(7), Err(SendError(7)));
    });
}

#[test]
fn iterators_end_when_the_channel_is_empty_or_disconnected() {
    within(|| {
        let (sender, receiver) = channel();
        (0..3).for_each(|n| sender.send(n).unwrap());
        assert!(receiver.try_iter().eq(0..3));
        assert_eq!(receiver.try_iter().next(), None);
        (0..3).for_each(|n| sender.send(n).unwrap());
        drop(sender);
        let mut seen = 0;
        for n in &receiver {
            assert_eq!(n, seen);
            seen += 1;
            if seen == 2 {
                break;
            }
        }
        let mut rest = receiver.into_iter();
        assert_eq!(
            [rest.next(), rest.next(), rest.next()],
            [Some(2), None, None]
        );
    });
}

/// A message that sends another one on its own channel when it is dropped.
struct SendsOnDrop {
    sender: Sender<Self>,
    count: Arc<AtomicUsize>,
}

impl Drop for SendsOnDrop {
    fn drop(&mut self) {
        if self.count.fetch_add(1, Ordering::Relaxed) < 5 {
            let again = Self {
                sender: self.sender.clone(),
                count: Arc::clone(&self.count),
            };
            // The receiver is gone, so `send` returns the message, which is dropped here.
            drop(self.sender.send(again));
        }
    }
}

#[test]
fn a_message_may_send_on_its_own_channel_when_it_is_dropped() {
    within(|| {
        let (sender, receiver) = channel();
        let count = Arc::default();
        for _ in 0..3 {
            let message = SendsOnDrop {
                sender: sender.clone(),
                count: Arc::clone(&count),
            };
            sender.send(message).unwrap();
        }
        drop(receiver);
        assert!(count.load(Ordering::Relaxed) >= 6);
    });
}

#[test]
fn a_message_may_hold_an_end_of_another_channel_or_park_when_dropped() {
    struct SleepsOnDrop(Rc<Cell<bool>>);
    impl Drop for SleepsOnDrop {
        fn drop(&mut self) {
            sleep(SECOND);
            self.0.set(true);
        }
    }
    within(|| {
        test::virtual_time(|| {
            let (sender, receiver) = channel::<(Option<Receiver<u8>>, Option<SleepsOnDrop>)>();
            let (inner, held) = channel();
            let gone = Rc::new(Cell::new(false));
            sender.send((Some(held), None)).unwrap();
            sender
                .send((None, Some(SleepsOnDrop(Rc::clone(&gone)))))
                .unwrap();
            let ends = spawn(move || drop(receiver));
            test::wait_all_parked();
            // The messages are not dropped under a lock, so the sender works meanwhile.
            assert!(sender.send((None, None)).is_err());
            assert!(inner.send(1).is_err());
            assert!(!gone.get());
            ends.join().unwrap();
            assert!(gone.get());
        });
    });
}

#[test]
fn a_message_for_a_killed_receiver_stays_in_the_channel() {
    within(|| {
        for bound in [0, 2] {
            test::virtual_time(|| {
                let (sender, receiver) = sync_channel(bound);
                let shared = Arc::new(Mutex::new(receiver));
                let own = Arc::clone(&shared);
                let first = spawn(move || own.lock().unwrap().recv());
                test::wait_all_parked();
                assert_eq!(sender.try_send(1), Ok(()));
                first.kill();
                shared.clear_poison();
                assert_eq!(shared.lock().unwrap().recv(), Ok(1), "{bound}");
            });
        }
    });
}

#[test]
fn the_message_of_a_killed_sender_is_dropped_unless_it_was_sent() {
    within(|| {
        for bound in [0, 1] {
            test::virtual_time(|| {
                let (sender, receiver) = sync_channel(bound);
                (0..bound).for_each(|n| sender.send(n).unwrap());
                let others = [10, 11, 12].map(|n| {
                    let sender = sender.clone();
                    let one = spawn(move || sender.send(n));
                    test::wait_all_parked();
                    one
                });
                drop(sender);
                others[0].kill();
                let mut got = vec![receiver.recv().unwrap()];
                // The message of the next waiting sender was received or has moved into the buffer.
                others[1].kill();
                got.extend(receiver);
                let expected: Vec<_> = (0..bound).chain([11, 12]).collect();
                assert_eq!(got, expected);
                let ends = others.map(|one| one.join().is_err());
                assert_eq!(ends, [true, true, false]);
            });
        }
    });
}

/// A message with a number, which increments a counter when it is dropped.
struct Counted(u32, Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.set(self.1.get() + 1);
    }
}

#[test]
fn a_fault_in_a_sender_loses_no_message_of_another_sender() {
    within(|| {
        for bound in [0, 1, 2] {
            let faults = test::inject_faults(|injector| {
                let (sender, receiver) = sync_channel(bound);
                let dropped = Rc::new(Cell::new(0));
                let send = |sender: SyncSender<Counted>, from: u32| {
                    let dropped = Rc::clone(&dropped);
                    move || {
                        let mut sent = 0;
                        for n in 0..3 {
                            let message = Counted(from + n, Rc::clone(&dropped));
                            sent += u32::from(sender.send(message).is_ok());
                        }
                        sent
                    }
                };
                let before = spawn(send(sender.clone(), 0));
                test::wait_all_parked();
                let victim = injector.spawn(send(sender.clone(), 10));
                test::wait_all_parked();
                let after = spawn(send(sender, 20));
                test::wait_all_parked();
                let mut got: Vec<u32> = receiver.into_iter().map(|message| message.0).collect();
                assert_eq!(before.join().unwrap() + after.join().unwrap(), 6);
                let whole = victim.join().is_ok_and(|result| result == Ok(3));
                let own = got.iter().filter(|n| (10..13).contains(*n)).count();
                assert!(!whole || own == 3);
                let victims = got.iter().copied().filter(|n| (10..13).contains(n));
                assert!(victims.eq(10..10 + own as u32), "in order, without a gap");
                got.retain(|n| !(10..13).contains(n));
                got.sort_unstable();
                assert_eq!(got, [0, 1, 2, 20, 21, 22]);
                let made = dropped.get();
                assert!(
                    (6 + own as u32..=6 + own as u32 + 1).contains(&made),
                    "each message is dropped once"
                );
            });
            assert!(faults >= 4, "{bound}: {faults}");
        }
    });
}

#[test]
fn a_fault_in_a_receiver_loses_no_message() {
    within(|| {
        for bound in [Some(0), Some(1), None] {
            let faults = test::inject_faults(|injector| {
                let (send, receiver) = open(bound);
                let receiver = Rc::new(receiver);
                let got = Rc::new(RefCell::new(Vec::new()));
                let (own, seen) = (Rc::clone(&receiver), Rc::clone(&got));
                let victim = injector.spawn(move || {
                    for _ in 0..4 {
                        seen.borrow_mut().extend(own.recv());
                    }
                });
                test::wait_all_parked();
                let sender = spawn(move || {
                    for n in 0..6 {
                        assert!(send(n));
                        if n % 2 == 0 {
                            sleep(SECOND);
                        }
                    }
                });
                victim.join().ok();
                got.borrow_mut().extend(receiver.iter());
                sender.join().unwrap();
                assert_eq!(*got.borrow(), [0, 1, 2, 3, 4, 5]);
            });
            assert!(faults >= 4, "{bound:?}: {faults}");
        }
    });
}

/// A receiver that always finds a message must not keep the other green threads of its OS thread
/// from running.
#[test]
fn a_receiver_that_always_finds_a_message_lets_other_green_threads_run() {
    within(|| {
        test::virtual_time(|| {
            let (sender, receiver) = channel();
            (0..1000).for_each(|n| sender.send(n).unwrap());
            let ran = Rc::new(Cell::new(false));
            let other = Rc::clone(&ran);
            spawn_n(move || other.set(true));
            let first = receiver.iter().find(|_| ran.get());
            assert!(first.is_some_and(|n| n < 500), "{first:?}");
        });
    });
}

#[test]
fn a_channel_connects_os_threads_with_and_without_green_threads() {
    within(|| {
        for bound in [None, Some(0), Some(3)] {
            for (green_sender, green_receiver) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let (send, receiver) = open(bound);
                let run = move || assert!((0..2000).all(send));
                let sends = std::thread::spawn(move || match green_sender {
                    true => spawn(run).join().unwrap(),
                    false => run(),
                });
                let run = move || assert!(receiver.iter().eq(0..2000));
                match green_receiver {
                    true => spawn(run).join().unwrap(),
                    false => std::thread::spawn(run).join().unwrap(),
                }
                sends.join().unwrap();
            }
        }
    });
}
