//! Deadlines around a block of code. Named after the lines of the catalogue of behaviours; where the
//! original has an object with methods, evy has a call, and a line above the test says what its
//! words mean here.

#![expect(
    clippy::disallowed_methods,
    reason = "one test stops its OS thread on purpose, past a deadline"
)]

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::io::{Direction, Green, Timeout};
use evy_runtime::lowlevel::now;
use evy_runtime::{Elapsed, sleep, spawn, spawn_n, thread, timeout, timeout_at, yield_now};
use evy_test_support::{virtually, within};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// How long `f` takes, and what it returns.
fn timed<T>(f: impl FnOnce() -> T) -> (Duration, T) {
    let start = now();
    let value = f();
    (now() - start, value)
}

// What is caught belongs to the call that made it: each caller's own, at its own time.
#[test]
fn raises_self() {
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
            assert_eq!(elapsed.to_string(), "the time was up");
        }
        // On its way it is no kill, and no ordinary panic.
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

// `map_err` gives an instance, `?` a kind.
#[test]
fn custom_error() {
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

// `ok` keeps quiet.
#[test]
fn silent() {
    virtually(|| {
        let (took, nothing) = timed(|| timeout(SECOND, || sleep(LONG)).ok());
        assert_eq!(nothing, None);
        assert!(took >= SECOND && took < SECOND * 2, "{took:?}");
    });
}

// No seconds at all are more than the clock can say.
#[test]
fn never() {
    virtually(|| {
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        assert_eq!(timeout(Duration::MAX, || sleep(century)), Ok(()));
        // Nor does it hide one that comes.
        let both = timeout(SECOND, || timeout(Duration::MAX, || sleep(LONG)));
        assert!(both.is_err());
    });
}

#[test]
fn finishes_first() {
    virtually(|| {
        assert_eq!(timeout(SECOND, || 4), Ok(4));
        assert_eq!(timeout(SECOND, || sleep(SECOND / 2)), Ok(()));
        // Nothing fires later.
        assert_eq!(timed(|| sleep(LONG)).0, LONG);
        // And nothing is left: else the clock would go on to it before it knew that nobody wakes.
        assert_eq!(timeout(SECOND, yield_now), Ok(()));
        let stalled = timed(|| catch_unwind(thread::park).is_err());
        assert_eq!(stalled, (Duration::ZERO, true));
    });
}

// What is not to be limited any more comes after the call; it is left early like any function.
#[test]
fn cancel_inside() {
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

// Whether one is pending shows in what becomes of those who park.
#[test]
fn pending_flag() {
    virtually(|| {
        let is_pending = || timed(|| sleep(LONG)).0 != LONG;
        // From its start until it fires, also for who swallows it,
        let result = timeout(SECOND, || {
            yield_now();
            for _ in 0..3 {
                assert!(catch_unwind(|| sleep(LONG)).is_err());
            }
            sleep(LONG);
        });
        assert!(result.is_err());
        // and neither after that, nor when its block was left in another way.
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
        // Others are not concerned.
        let other = spawn(move || timed(|| sleep(LONG)).0);
        assert!(timeout(SECOND, || sleep(LONG)).is_err());
        assert_eq!(other.join().unwrap(), LONG);
    });
}

#[test]
fn nested() {
    virtually(|| {
        // The outer one is shorter: it fires, and the inner one is over with it.
        let outer = timed(|| timeout(SECOND, || timeout(LONG, || sleep(LONG))));
        assert_eq!(outer.0, SECOND);
        assert!(outer.1.is_err());
        assert_eq!(timed(|| sleep(LONG * 2)).0, LONG * 2);
        // The inner one is shorter: only it fires.
        let inner = timed(|| {
            timeout(LONG, || {
                let inner = timeout(SECOND, || sleep(LONG));
                sleep(SECOND);
                inner.is_err()
            })
        });
        assert_eq!(inner, (SECOND * 2, Ok(true)));
        // An inner one that keeps quiet does not swallow the outer one's,
        let quiet = timed(|| {
            timeout(SECOND, || {
                timeout(LONG, || sleep(LONG)).ok();
            })
        });
        assert!(quiet.1.is_err());
        assert_eq!(quiet.0, SECOND);
        // and where both come at once, the outer one's is what counts.
        let both = timeout(SECOND, || timeout(SECOND, || sleep(LONG)).is_err());
        assert!(both.is_err());
        // The outer one is still there when the inner one has fired.
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

// The value is given to `unwrap_or`.
#[test]
fn with_timeout_value() {
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
fn zero() {
    virtually(|| {
        assert_eq!(timeout(Duration::ZERO, || 1), Ok(1));
        assert!(timeout(Duration::ZERO, yield_now).is_err());
        assert!(timeout(Duration::ZERO, || sleep(Duration::ZERO)).is_err());
        assert!(timeout(Duration::ZERO, thread::park).is_err());
        // Not before the first of them.
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
fn cleanup_may_yield() {
    struct Goodbye(Rc<RefCell<Vec<&'static str>>>);
    impl Drop for Goodbye {
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
                let _goodbye = Goodbye(inner);
                sleep(LONG);
            })
        });
        assert!(result.is_err());
        assert_eq!(took, SECOND + LONG);
        assert_eq!(log.take(), ["begins", "others run", "ends"]);
    });
}

// `Elapsed` has no room for anything, and what the block owned is gone with it.
#[test]
fn no_retention() {
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
fn ready_beats_expired() {
    within(|| {
        let (reader, writer) = io::pipe().unwrap();
        let (mut reader, mut writer) = (Green::new(reader).unwrap(), Green::new(writer).unwrap());
        let deadline = Instant::now() + Duration::from_millis(50);
        let waits = spawn(move || timeout_at(deadline, || reader.read(&mut [0; 8]).unwrap()));
        yield_now();
        writer.write_all(b"data").unwrap();
        // Nobody has a turn until the data lie there and the deadline is past.
        while Instant::now() <= deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(waits.join().unwrap(), Ok(4));
    });
}

#[test]
fn data_that_keep_coming_do_not_put_it_off() {
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
            // It has read all there is, so it parks.
            while !late.get() {
                assert!(reader.read(&mut [0; 4096]).unwrap() > 0);
            }
        });
        assert!(result.is_err());
    });
}

#[test]
fn wake_ups_that_keep_coming_do_not_put_it_off() {
    // A look at the clock comes after so many switches: it must do in any step with the wake-ups.
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

// The predicate is the kind of an `io::Error`; sockets are asked in `net/tests/tcp.rs`.
#[test]
fn is_timeout() {
    let is_timeout = |error: &io::Error| error.kind() == ErrorKind::TimedOut;
    virtually(move || {
        let elapsed = timeout(SECOND, || sleep(LONG)).unwrap_err();
        let error = io::Error::from(elapsed);
        assert!(is_timeout(&error));
        // It can be told from a descriptor's.
        assert!(error.get_ref().is_some_and(|inner| inner.is::<Elapsed>()));

        let (reader, _writer) = io::pipe().unwrap();
        let reader = Green::new(reader).unwrap();
        let patience = Timeout::After(Duration::from_millis(1));
        let error = reader.wait_ready(Direction::Read, patience).unwrap_err();
        assert!(is_timeout(&error));
        assert!(!error.get_ref().is_some_and(|inner| inner.is::<Elapsed>()));
        let error = reader
            .wait_ready(Direction::Read, Timeout::NonBlocking)
            .unwrap_err();
        assert!(!is_timeout(&error));
    });
}

/// There are more descriptors than one round of the poller reports.
#[test]
fn where_data_and_deadlines_are_due_the_data_win() {
    const COUNT: usize = 150;
    const LIMIT: Duration = Duration::from_millis(50);
    within(|| {
        let pipes: Vec<_> = (0..COUNT).map(|_| io::pipe().unwrap()).collect();
        let (readers, writers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
        let readers: Vec<_> = readers
            .into_iter()
            .map(|reader| {
                let mut reader = Green::new(reader).unwrap();
                spawn(move || timeout(LIMIT, || reader.read(&mut [0]).unwrap()))
            })
            .collect();
        yield_now();
        // Not in the order of the deadlines.
        for mut writer in writers.into_iter().rev() {
            writer.write_all(b"x").unwrap();
        }
        let start = Instant::now();
        while start.elapsed() < LIMIT * 2 {
            std::hint::spin_loop();
        }
        let read = readers.into_iter().map(|reader| reader.join().unwrap());
        assert_eq!(read.filter(|read| *read == Ok(1)).count(), COUNT);
    });
}
