//! Events: lines 124 to 131 of the catalogue of behaviours, each test named after its line; and that
//! everybody is told whatever becomes of those who wait.
//!
//! On a held clock a hang is a stall, and a stall is a panic, so no test needs a bound in real time.

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

/// So many wait, as `Debug` says.
fn waiting<T>(event: &Event<T>) -> usize {
    let text = format!("{event:?}");
    let (_, number) = text.split_once("waiting: ").expect("it says who waits");
    let number = number.trim_end_matches(" }");
    number.parse().expect("a number stands at the end")
}

#[test]
fn send_wait() {
    in_any_order(|| {
        let event = Event::new();
        assert!(!event.is_set());
        let sender = event.clone();
        spawn_n(move || sender.send("some stuff").unwrap());
        assert_eq!(event.wait().unwrap(), "some stuff");
        assert!(event.is_set());
        // Whoever asks later gets it too, and need not wait.
        assert_eq!(waiter(&event).join().unwrap().unwrap(), "some stuff");
        assert_eq!(event.wait().unwrap(), "some stuff");
    });
}

#[test]
fn many_waiters() {
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
fn single_send() {
    in_any_order(|| {
        let event = Event::new();
        let fresh = event.reset().unwrap_err();
        assert!(fresh.to_string().contains("nothing to reset"));
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

/// What was sent is for those who waited then, whatever becomes of the event before they run.
#[test]
fn a_reset_takes_nothing_from_those_who_were_woken() {
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

/// An error with something in it.
#[derive(Debug, PartialEq)]
struct Refused(u32);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused {} times", self.0)
    }
}

impl std::error::Error for Refused {}

#[test]
fn send_error() {
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
        let (heard, told) = (event.clone(), log.clone());
        let waiter = spawn(move || told.add(heard.wait().unwrap()));
        wait_all_parked();
        event.send("woken").unwrap();
        log.add("sent");
        waiter.join().unwrap();
        assert_eq!(log.take(), ["sent", "woken"]);
    });
}

#[test]
fn wait_timeout() {
    in_any_order(|| {
        let delay = Duration::from_millis(100);
        for in_time in [true, false] {
            let event = Event::new();
            let (sender, start) = (event.clone(), now());
            let sending = spawn_after(delay, move || sender.send("sent").unwrap());
            let patience = if in_time { delay * 2 } else { delay / 2 };
            let got = event.wait_timeout(patience).map(Result::unwrap);
            assert_eq!(got, in_time.then_some("sent"));
            assert_eq!(now() - start, patience.min(delay));
            assert_eq!(waiting(&event), 0);
            sending.join().unwrap();
        }
    });
}

#[test]
fn interrupted_wait() {
    in_any_order(|| {
        let (first, second) = (Event::<&str>::new(), Event::<&str>::new());
        assert!(timeout(SHORT, || first.wait()).is_err());
        assert_eq!(waiting(&first), 0);
        assert!(second.wait_timeout(SHORT).is_none());
        let sender = second.clone();
        spawn_n(move || sender.send("hello").unwrap());
        assert_eq!(second.wait().unwrap(), "hello");
        // And the first is as good as new.
        first.send("late").unwrap();
        assert_eq!(first.wait().unwrap(), "late");
    });
}

#[test]
fn wake_order() {
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

/// How often the victim waits.
const TURNS: usize = 3;

#[test]
fn a_waiter_struck_anywhere_is_missed_by_nobody() {
    let harmed = AtomicUsize::new(0);
    let struck = inject_faults(|injector| {
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
            // Before anybody runs, and after: nobody keeps what is not there any more.
            event.reset().unwrap();
            sleep(SHORT);
            assert_eq!(waiting(event), 0);
            assert_eq!(Rc::strong_count(&value), 1);
        }
        first.join().expect("it was sent to everybody");
        last.join().expect("it was sent to everybody");
        let came_to_harm = !matches!(victim.join(), Ok(Ok(())));
        harmed.fetch_add(came_to_harm.into(), Ordering::Relaxed);
    });
    assert_eq!(struck, 4 * TURNS);
    assert_eq!(struck, harmed.into_inner());
}
