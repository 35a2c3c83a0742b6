//! Tests of `Event`: sending, waiting and resetting, and that every waiter is notified even if
//! another waiter is interrupted.
//!
//! On a paused clock a hang is a deadlock, and a deadlock is a panic, so no test needs a limit in
//! real time.

use std::fmt;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evy_runtime::lowlevel::now;
use evy_runtime::test::{inject_faults, virtual_time, wait_all_parked};
use evy_runtime::thread::JoinHandle;
use evy_runtime::{Event, EventError, sleep, spawn, spawn_after, spawn_n, timeout};
use evy_test_support::{Log, in_any_order};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3600);

fn waiter<T: Clone + 'static>(event: &Event<T>) -> JoinHandle<Result<T, EventError>> {
    let event = event.clone();
    spawn(move || event.wait())
}

/// Returns the number of waiters, which only the `Debug` output shows.
fn waiting<T>(event: &Event<T>) -> usize {
    let text = format!("{event:?}");
    let (_, number) = text.split_once("waiting: ").expect("the number is shown");
    let number = number.trim_end_matches(" }");
    number.parse().expect("the output ends with the number")
}

#[test]
fn every_wait_returns_the_value_that_was_sent() {
    in_any_order(|| {
        let event = Event::new();
        assert!(!event.is_set());
        let sender = event.clone();
        spawn_n(move || sender.send("some stuff").unwrap());
        assert_eq!(event.wait().unwrap(), "some stuff");
        assert!(event.is_set());
        // Later waits return the value too, without parking.
        assert_eq!(waiter(&event).join().unwrap().unwrap(), "some stuff");
        assert_eq!(event.wait().unwrap(), "some stuff");
    });
}

#[test]
fn send_wakes_every_waiter_even_if_each_then_fails() {
    in_any_order(|| {
        for each_then_fails in [false, true] {
            let (event, log) = (Event::new(), Log::new());
            let waiters = [(); 5].map(|()| {
                let (event, log) = (event.clone(), log.clone());
                spawn(move || {
                    log.add(event.wait().unwrap());
                    if each_then_fails {
                        resume_unwind(Box::new("after the wait"));
                    }
                })
            });
            wait_all_parked();
            assert_eq!(waiting(&event), 5);
            event.send("woken").unwrap();
            for waiter in waiters {
                assert_eq!(waiter.join().is_err(), each_then_fails);
            }
            assert_eq!(log.take(), ["woken"; 5]);
            assert_eq!(waiting(&event), 0);
        }
    });
}

#[test]
fn an_event_is_sent_once_until_it_is_reset() {
    in_any_order(|| {
        let event = Event::new();
        let fresh = event.reset().unwrap_err();
        assert!(fresh.to_string().contains("cannot be reset"));
        event.send("some stuff").unwrap();
        let again = event.send("second stuff").unwrap_err();
        assert!(again.to_string().contains("reset it first"));
        assert_eq!(event.send_error("an error"), Err(again));
        assert_eq!(event.wait().unwrap(), "some stuff");
        assert_eq!(event.wait().unwrap(), "some stuff");

        event.reset().unwrap();
        assert!(!event.is_set());
        assert_eq!(event.reset(), Err(fresh));
        let late = waiter(&event);
        wait_all_parked();
        event.send("second stuff").unwrap();
        assert_eq!(late.join().unwrap().unwrap(), "second stuff");
        assert_eq!(event.wait().unwrap(), "second stuff");
    });
}

/// A waiter receives the value that woke it, even if the event is reset and sent again before the
/// waiter runs.
#[test]
fn a_reset_does_not_affect_waiters_that_were_woken() {
    in_any_order(|| {
        let event = Event::new();
        let first = waiter(&event);
        wait_all_parked();
        event.send(1).unwrap();
        event.reset().unwrap();
        event.send(2).unwrap();
        assert_eq!(first.join().unwrap().unwrap(), 1);
        assert_eq!(event.wait().unwrap(), 2);
    });
}

/// An error that carries data.
#[derive(Debug, PartialEq)]
struct Refused(u32);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused {} times", self.0)
    }
}

impl std::error::Error for Refused {}

#[test]
fn an_error_is_returned_by_every_wait_until_the_reset() {
    in_any_order(|| {
        let event: Event<()> = Event::new();
        let waiters = [(); 3].map(|()| waiter(&event));
        wait_all_parked();
        event.send_error(Refused(3)).unwrap();
        let late = event.wait().unwrap_err();
        for waiter in waiters {
            let error = waiter.join().unwrap().unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Refused(3)));
        }
        assert_eq!(late.to_string(), "refused 3 times");
        assert!(event.wait_timeout(SHORT).unwrap().is_err());
        event.reset().unwrap();
        assert!(event.wait_timeout(SHORT).is_none(), "the error is gone");
        event.send(()).unwrap();
        assert!(event.wait().is_ok());
    });
}

#[test]
fn send_does_not_yield() {
    in_any_order(|| {
        let (event, log) = (Event::new(), Log::new());
        let (awaited, waiter_log) = (event.clone(), log.clone());
        let waiter = spawn(move || waiter_log.add(awaited.wait().unwrap()));
        wait_all_parked();
        event.send("woken").unwrap();
        log.add("sent");
        waiter.join().unwrap();
        assert_eq!(log.take(), ["sent", "woken"]);
    });
}

#[test]
fn wait_timeout_returns_none_unless_the_value_is_sent_in_time() {
    in_any_order(|| {
        let delay = Duration::from_millis(100);
        for in_time in [true, false] {
            let event = Event::new();
            let (sender, start) = (event.clone(), now());
            let sending = spawn_after(delay, move || sender.send("sent").unwrap());
            let limit = if in_time { delay * 2 } else { delay / 2 };
            let got = event.wait_timeout(limit).map(Result::unwrap);
            assert_eq!(got, in_time.then_some("sent"));
            assert_eq!(now() - start, limit.min(delay));
            assert_eq!(waiting(&event), 0);
            sending.join().unwrap();
        }
    });
}

#[test]
fn a_wait_that_times_out_leaves_every_event_usable() {
    in_any_order(|| {
        let (first, second) = (Event::<&str>::new(), Event::<&str>::new());
        assert!(timeout(SHORT, || first.wait()).is_err());
        assert_eq!(waiting(&first), 0);
        assert!(second.wait_timeout(SHORT).is_none());
        let sender = second.clone();
        spawn_n(move || sender.send("hello").unwrap());
        assert_eq!(second.wait().unwrap(), "hello");
        // The first event is still usable.
        first.send("late").unwrap();
        assert_eq!(first.wait().unwrap(), "late");
    });
}

#[test]
fn waiters_are_woken_in_fifo_order() {
    virtual_time(|| {
        let (event, log) = (Event::new(), Log::new());
        for n in 0..6 {
            let (event, log) = (event.clone(), log.clone());
            spawn_n(move || {
                event.wait().unwrap();
                log.add(n);
            });
        }
        wait_all_parked();
        event.send(()).unwrap();
        wait_all_parked();
        assert_eq!(log.take(), [0, 1, 2, 3, 4, 5]);
    });
}

/// The number of times that each green thread waits.
const TURNS: usize = 3;

#[test]
fn try_get_returns_what_was_sent_and_never_waits() {
    let event = Event::new();
    assert!(event.try_get().is_none());
    event.send(1).unwrap();
    assert_eq!(event.try_get().unwrap().unwrap(), 1);
    assert_eq!(event.try_get().unwrap().unwrap(), 1, "the event stays set");
    event.reset().unwrap();
    assert!(event.try_get().is_none());
    event.send_error("failed").unwrap();
    assert_eq!(event.try_get().unwrap().unwrap_err().to_string(), "failed");
}

#[test]
fn a_fault_in_one_waiter_does_not_affect_the_others() {
    let failures = AtomicUsize::new(0);
    let faults = inject_faults(|injector| {
        let events = Rc::new([(); TURNS].map(|()| Event::new()));
        let turns = || {
            let events = Rc::clone(&events);
            move || {
                for (turn, event) in events.iter().enumerate() {
                    let value: Rc<usize> = match turn % 2 {
                        0 => event.wait().unwrap(),
                        _ => event.wait_timeout(LONG).unwrap().unwrap(),
                    };
                    assert_eq!(*value, turn);
                }
            }
        };
        let first = spawn(turns());
        let victim = injector.spawn(turns());
        let last = spawn(turns());
        for (turn, event) in events.iter().enumerate() {
            sleep(SHORT);
            let value = Rc::new(turn);
            event.send(Rc::clone(&value)).unwrap();
            // The reset comes before any waiter runs. Once they have run, neither the event nor a
            // waiter may keep the value.
            event.reset().unwrap();
            sleep(SHORT);
            assert_eq!(waiting(event), 0);
            assert_eq!(Rc::strong_count(&value), 1);
        }
        first.join().expect("the value is sent to every waiter");
        last.join().expect("the value is sent to every waiter");
        let victim_failed = !matches!(victim.join(), Ok(Ok(())));
        failures.fetch_add(victim_failed.into(), Ordering::Relaxed);
    });
    assert_eq!(faults, 4 * TURNS);
    assert_eq!(faults, failures.into_inner());
}
