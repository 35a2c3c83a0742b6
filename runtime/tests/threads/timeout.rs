//! Tests of `timeout` and `timeout_at`, which set a deadline for a closure.
//!
//! Where Eventlet has a `Timeout` object with methods, evy has a function call. Comments above the
//! tests say what corresponds to those methods.

#![expect(
    clippy::disallowed_methods,
    reason = "one test blocks its OS thread on purpose until a deadline has passed"
)]

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::io::{Direction, Green, Timeout};
use evy_runtime::lowlevel::now;
use evy_runtime::{
    Elapsed, Event, Queue, sleep, spawn, spawn_n, test, thread, timeout, timeout_at, yield_now,
};
use evy_test_support::{is_emulated, virtually, within};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// Returns how long `f` takes, and its result.
fn timed<T>(f: impl FnOnce() -> T) -> (Duration, T) {
    let start = now();
    let value = f();
    (now() - start, value)
}

// In Eventlet the object that is caught is the one that was created. Here each call returns its own
// expiry, at its own time.
#[test]
fn an_expiry_is_returned_by_the_call_that_set_the_timeout() {
    virtually(|| {
        let expiries = [3, 1, 2].map(|seconds| {
            let limit = SECOND * seconds;
            (
                limit,
                spawn(move || timed(|| timeout(limit, || sleep(LONG)))),
            )
        });
        for (limit, expiry) in expiries {
            let (took, result) = expiry.join().unwrap();
            assert_eq!(took, limit);
            let elapsed: Elapsed = result.unwrap_err();
            assert_eq!(elapsed.to_string(), "the deadline has elapsed");
        }
        // While it unwinds, the payload is neither a kill nor that of an ordinary panic.
        let seen = Cell::new(false);
        let result = timeout(SECOND, || {
            let payload = catch_unwind(AssertUnwindSafe(|| sleep(LONG))).unwrap_err();
            seen.set(!thread::is_kill(&*payload) && !payload.is::<&str>());
            resume_unwind(payload)
        });
        assert!(result.is_err() && seen.get());
        let deadline = now() + SECOND;
        assert_eq!(
            timed(|| timeout_at(deadline, || sleep(LONG)).is_err()),
            (SECOND, true)
        );
    });
}

// Eventlet raises a given instance or kind of error. Here `map_err` makes an instance, and `?`
// converts to a kind.
#[test]
fn an_expiry_converts_to_another_error_by_map_err_or_the_question_mark() {
    #[derive(Debug, PartialEq)]
    struct TooSlow(&'static str);

    fn as_io(limit: Duration) -> io::Result<()> {
        timeout(limit, || sleep(LONG))?;
        Ok(())
    }
    fn as_any(limit: Duration) -> Result<(), Box<dyn Error>> {
        timeout(limit, || sleep(LONG))?;
        Ok(())
    }
    virtually(|| {
        let own = timeout(SECOND, || sleep(LONG)).map_err(|_| TooSlow("the database"));
        assert_eq!(own, Err(TooSlow("the database")));
        assert_eq!(as_io(SECOND).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(as_any(SECOND).unwrap_err().is::<Elapsed>());
    });
}

// A silent timeout of Eventlet corresponds to a call of `ok` on the result.
#[test]
fn ok_discards_the_error_of_an_expired_timeout() {
    virtually(|| {
        let (took, nothing) = timed(|| timeout(SECOND, || sleep(LONG)).ok());
        assert_eq!(nothing, None);
        assert!(took >= SECOND && took < SECOND * 2, "{took:?}");
    });
}

// A timeout of Eventlet without a number of seconds corresponds to a duration that the clock cannot
// represent.
#[test]
fn a_timeout_that_the_clock_cannot_represent_never_expires() {
    virtually(|| {
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        assert_eq!(timeout(Duration::MAX, || sleep(century)), Ok(()));
        // It does not hide an enclosing timeout that expires.
        let both = timeout(SECOND, || timeout(Duration::MAX, || sleep(LONG)));
        assert!(both.is_err());
    });
}

#[test]
fn a_closure_that_finishes_in_time_leaves_no_timeout_behind() {
    virtually(|| {
        assert_eq!(timeout(SECOND, || 4), Ok(4));
        assert_eq!(timeout(SECOND, || sleep(SECOND / 2)), Ok(()));
        // Nothing fires later.
        assert_eq!(timed(|| sleep(LONG)).0, LONG);
        // No timer is left. Otherwise the clock would advance to it before the deadlock is
        // detected.
        assert_eq!(timeout(SECOND, yield_now), Ok(()));
        let deadlock = timed(|| catch_unwind(thread::park).is_err());
        assert_eq!(deadlock, (Duration::ZERO, true));
    });
}

// Nothing cancels a timeout inside its closure. Code that should no longer be limited comes after
// the call, and the closure may return early like any function.
#[test]
fn a_timeout_ends_when_its_closure_returns_early() {
    virtually(|| {
        let start = now();
        let head = timeout(SECOND, || {
            sleep(SECOND / 2);
            for n in 0.. {
                if n == 3 {
                    return n;
                }
            }
            sleep(LONG);
            0
        });
        sleep(LONG);
        assert_eq!((head, now() - start), (Ok(3), SECOND / 2 + LONG));
    });
}

// Nothing says whether a timeout is pending. It is if a green thread that parks is interrupted.
#[test]
fn a_timeout_is_pending_from_its_start_until_its_closure_ends() {
    virtually(|| {
        let is_pending = || timed(|| sleep(LONG)).0 != LONG;
        // It is pending from its start until the closure ends, even if the closure catches it.
        let result = timeout(SECOND, || {
            yield_now();
            for _ in 0..3 {
                assert!(catch_unwind(|| sleep(LONG)).is_err());
            }
            sleep(LONG);
        });
        assert!(result.is_err());
        // It is not pending after that, nor after the closure was left in another way.
        assert!(!is_pending());
        assert_eq!(timeout(SECOND, || ()), Ok(()));
        assert!(!is_pending());
        let panics = || timeout(SECOND, || resume_unwind(Box::new("thrown")));
        assert!(catch_unwind(panics).is_err());
        assert!(!is_pending());
        let killed = spawn(|| timeout(SECOND, || sleep(LONG)));
        yield_now();
        killed.kill();
        assert!(killed.join().unwrap_err().is_killed());
        assert!(!is_pending());
        // Other green threads are not affected.
        let other = spawn(move || timed(|| sleep(LONG)).0);
        assert!(timeout(SECOND, || sleep(LONG)).is_err());
        assert_eq!(other.join().unwrap(), LONG);
    });
}

#[test]
fn nested_timeouts_expire_independently() {
    virtually(|| {
        // The outer timeout is shorter: it fires, and the inner one ends with it.
        let outer = timed(|| timeout(SECOND, || timeout(LONG, || sleep(LONG))));
        assert_eq!(outer.0, SECOND);
        assert!(outer.1.is_err());
        assert_eq!(timed(|| sleep(LONG * 2)).0, LONG * 2);
        // The inner timeout is shorter: only it fires.
        let inner = timed(|| {
            timeout(LONG, || {
                let inner = timeout(SECOND, || sleep(LONG));
                sleep(SECOND);
                inner.is_err()
            })
        });
        assert_eq!(inner, (SECOND * 2, Ok(true)));
        // An inner timeout does not hide the outer one, even if its error is discarded.
        let discarded = timed(|| {
            timeout(SECOND, || {
                timeout(LONG, || sleep(LONG)).ok();
            })
        });
        assert!(discarded.1.is_err());
        assert_eq!(discarded.0, SECOND);
        // If both expire at once, the outer one is thrown.
        let both = timeout(SECOND, || timeout(SECOND, || sleep(LONG)).is_err());
        assert!(both.is_err());
        // The outer timeout is still pending after the inner one has fired.
        let again = timed(|| {
            timeout(SECOND * 2, || {
                timeout(SECOND, || sleep(LONG)).ok();
                sleep(LONG);
            })
        });
        assert!(again.1.is_err());
        assert_eq!(again.0, SECOND * 2);
    });
}

// The value that Eventlet takes as an argument is passed to `unwrap_or`.
#[test]
fn unwrap_or_replaces_the_result_only_if_its_own_timeout_expires() {
    virtually(|| {
        let slow = || {
            sleep(LONG);
            "result"
        };
        assert_eq!(timeout(SECOND, slow).unwrap_or("value"), "value");
        assert_eq!(timeout(LONG * 2, slow).unwrap_or("value"), "result");
        let outer = timeout(SECOND, || timeout(LONG, slow).unwrap_or("value"));
        assert!(outer.is_err());
    });
}

#[test]
fn a_timeout_of_zero_expires_at_the_first_parking_point() {
    virtually(|| {
        assert_eq!(timeout(Duration::ZERO, || 1), Ok(1));
        assert!(timeout(Duration::ZERO, yield_now).is_err());
        assert!(timeout(Duration::ZERO, || sleep(Duration::ZERO)).is_err());
        assert!(timeout(Duration::ZERO, thread::park).is_err());
        // It does not expire before the first parking point.
        let reached = Cell::new(false);
        let result = timeout(Duration::ZERO, || {
            reached.set(true);
            thread::park();
            reached.set(false);
        });
        assert!(result.is_err() && reached.get());
    });
}

#[test]
fn a_destructor_that_runs_on_expiry_may_park() {
    struct ParksInDrop(Rc<RefCell<Vec<&'static str>>>);
    impl Drop for ParksInDrop {
        fn drop(&mut self) {
            self.0.borrow_mut().push("begins");
            yield_now();
            sleep(LONG);
            self.0.borrow_mut().push("ends");
        }
    }
    virtually(|| {
        let log: Rc<RefCell<Vec<_>>> = Rc::default();
        let (inner, other) = (Rc::clone(&log), Rc::clone(&log));
        spawn_n(move || {
            sleep(SECOND * 2);
            other.borrow_mut().push("others run");
        });
        let (took, result) = timed(|| {
            timeout(SECOND, move || {
                let _parks = ParksInDrop(inner);
                sleep(LONG);
            })
        });
        assert!(result.is_err());
        assert_eq!(took, SECOND + LONG);
        assert_eq!(log.take(), ["begins", "others run", "ends"]);
    });
}

// `Elapsed` is zero-sized, so it cannot keep anything, and what the closure owned is dropped with
// it.
#[test]
fn a_timeout_keeps_nothing_of_its_closure() {
    assert_eq!(size_of::<Elapsed>(), 0);
    virtually(|| {
        for work in [Duration::ZERO, LONG] {
            let owned = Rc::new(());
            let alive = Rc::downgrade(&owned);
            let result = timeout(SECOND, move || {
                sleep(work);
                drop(owned);
            });
            assert_eq!(result.is_err(), work == LONG);
            assert!(alive.upgrade().is_none());
        }
    });
}

#[test]
fn data_that_is_ready_takes_precedence_over_an_expired_timeout() {
    within(|| {
        let (reader, writer) = io::pipe().unwrap();
        let (mut reader, mut writer) = (Green::new(reader).unwrap(), Green::new(writer).unwrap());
        let deadline = Instant::now() + Duration::from_millis(50);
        let waits = spawn(move || timeout_at(deadline, || reader.read(&mut [0; 8]).unwrap()));
        test::wait_all_parked();
        writer.write_all(b"data").unwrap();
        // No green thread runs until the data is there and the deadline has passed.
        while Instant::now() <= deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(waits.join().unwrap(), Ok(4));
    });
}

/// The budget of operations may be spent at any operation, and others run then.
#[test]
fn an_operation_that_succeeds_after_others_have_run_past_the_deadline_is_not_interrupted() {
    within(|| {
        let (queue, has_run) = (Queue::unbounded(), Rc::new(Cell::new(false)));
        let runs = Rc::clone(&has_run);
        spawn_n(move || {
            std::thread::sleep(SECOND / 10);
            runs.set(true);
        });
        let got = timeout(SECOND / 50, || {
            for n in 0.. {
                queue.put(n);
                let got = queue.get();
                if has_run.get() {
                    return got;
                }
            }
            0
        });
        assert!(got.is_ok());
    });
}

#[test]
fn an_operation_that_can_succeed_at_once_is_not_interrupted_by_a_timeout_of_zero() {
    within(|| {
        let queue = Queue::unbounded();
        for n in 0..1000 {
            queue.put(n);
            assert_eq!(timeout(Duration::ZERO, || queue.get()), Ok(n));
            // The failure of `try_put` gives the item back.
            let full = Queue::bounded(1);
            full.put(0);
            let refused = timeout(Duration::ZERO, || full.try_put(n).is_err());
            assert_eq!(refused, Ok(true));
        }
        let zeros = Green::new(std::fs::File::open("/dev/zero").unwrap()).unwrap();
        for _ in 0..1000 {
            let read = timeout(Duration::ZERO, || (&zeros).read(&mut [0; 8]).unwrap());
            assert_eq!(read, Ok(8));
        }
    });
}

#[test]
fn a_timeout_ends_a_loop_over_operations_that_never_have_to_park() {
    within(|| {
        let (queue, event) = (Queue::unbounded(), Event::new());
        event.send(()).unwrap();
        let zeros = Green::new(std::fs::File::open("/dev/zero").unwrap()).unwrap();
        let operations: [&dyn Fn(); 3] = [
            &|| {
                queue.put(1);
                assert_eq!(queue.get(), 1);
            },
            &|| event.wait().unwrap(),
            &|| _ = (&zeros).read(&mut [0; 8]).unwrap(),
        ];
        for operation in operations {
            let start = Instant::now();
            let endless = timeout(SECOND / 50, || {
                while start.elapsed() < SECOND * 10 {
                    operation();
                }
            });
            assert!(endless.is_err());
        }
    });
}

#[test]
fn a_steady_stream_of_data_does_not_delay_a_timeout() {
    within(|| {
        let (reader, writer) = io::pipe().unwrap();
        let (mut reader, mut writer) = (Green::new(reader).unwrap(), Green::new(writer).unwrap());
        let late = Rc::new(Cell::new(false));
        let stop = Rc::clone(&late);
        spawn_n(move || {
            let start = Instant::now();
            while writer.write_all(b"x").is_ok() {
                stop.set(start.elapsed() > SECOND * 10);
                yield_now();
            }
        });
        let result = timeout(SECOND / 50, || {
            // Each read takes all the data that is there, so the next one parks.
            while !late.get() {
                assert!(reader.read(&mut [0; 4096]).unwrap() > 0);
            }
        });
        assert!(result.is_err());
    });
}

#[test]
fn a_steady_stream_of_wake_ups_does_not_delay_a_timeout() {
    // The scheduler reads the clock once in a fixed number of switches. That must suffice for each
    // offset between those readings and the wake-ups.
    for step in 0..4 {
        within(move || {
            let late = Rc::new(Cell::new(false));
            let stop = Rc::clone(&late);
            let woken = thread::current();
            (0..step).for_each(|_| yield_now());
            spawn_n(move || {
                let start = Instant::now();
                while !stop.get() {
                    stop.set(start.elapsed() > SECOND * 10);
                    woken.unpark();
                    yield_now();
                }
            });
            let result = timeout(SECOND / 50, || {
                while !late.get() {
                    thread::park();
                }
            });
            late.set(true);
            assert!(result.is_err(), "step {step}");
            yield_now();
        });
    }
}

// The predicate of Eventlet corresponds to the kind of an `io::Error`. `net/tests/net/tcp.rs` tests
// it for sockets.
#[test]
fn an_expiry_converts_to_an_io_error_of_kind_timed_out() {
    let is_timeout = |error: &io::Error| error.kind() == ErrorKind::TimedOut;
    virtually(move || {
        let elapsed = timeout(SECOND, || sleep(LONG)).unwrap_err();
        let error = io::Error::from(elapsed);
        assert!(is_timeout(&error));
        // It can be distinguished from the timeout of a descriptor.
        assert!(error.get_ref().is_some_and(|inner| inner.is::<Elapsed>()));

        let (reader, _writer) = io::pipe().unwrap();
        let reader = Green::new(reader).unwrap();
        let limit = Timeout::After(Duration::from_millis(1));
        let error = reader.wait_ready(Direction::Read, limit).unwrap_err();
        assert!(is_timeout(&error));
        assert!(!error.get_ref().is_some_and(|inner| inner.is::<Elapsed>()));
        let error = reader
            .wait_ready(Direction::Read, Timeout::NonBlocking)
            .unwrap_err();
        assert!(!is_timeout(&error));
    });
}

/// There are more descriptors than one event poll reports.
#[test]
fn ready_data_takes_precedence_over_deadlines_for_any_number_of_descriptors() {
    const COUNT: usize = 150;
    within(|| {
        let limit = Duration::from_millis(if is_emulated() { 2000 } else { 500 });
        let pipes: Vec<_> = (0..COUNT).map(|_| io::pipe().unwrap()).collect();
        let (readers, writers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
        let readers: Vec<_> = readers
            .into_iter()
            .map(|reader| {
                let mut reader = Green::new(reader).unwrap();
                spawn(move || timeout(limit, || reader.read(&mut [0]).unwrap()))
            })
            .collect();
        test::wait_all_parked();
        // The data comes in another order than the deadlines.
        for mut writer in writers.into_iter().rev() {
            writer.write_all(b"x").unwrap();
        }
        let start = Instant::now();
        while start.elapsed() < limit * 2 {
            std::hint::spin_loop();
        }
        let read = readers.into_iter().map(|reader| reader.join().unwrap());
        assert_eq!(read.filter(|read| *read == Ok(1)).count(), COUNT);
    });
}
