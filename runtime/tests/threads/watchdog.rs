//! The watchdog: who keeps the others waiting is named, and nobody else.

#![expect(
    clippy::disallowed_methods,
    reason = "a hog runs in real time, and blocks its OS thread"
)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use evy_runtime::{Watchdog, sleep, spawn, spawn_n, test, thread, yield_now};
use evy_test_support::within;

/// What is to be known of a report.
#[derive(Debug)]
struct Told {
    id: thread::ThreadId,
    name: Option<String>,
    busy_time: Duration,
    text: String,
}

/// A watchdog, and what it tells.
fn watch(limit: Duration) -> (Watchdog, Receiver<Told>) {
    let (sender, told) = mpsc::channel();
    let watchdog = Watchdog::with(limit, move |report| {
        let told = Told {
            id: report.id(),
            name: report.name().map(str::to_owned),
            busy_time: report.busy_time(),
            text: report.to_string(),
        };
        sender.send(told).expect("somebody listens");
    });
    (watchdog, told)
}

/// Keeps the OS thread busy for `duration`, and goes on until `done`.
fn hog(duration: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < duration || !done() {
        std::hint::spin_loop();
    }
}

#[test]
fn hog_detected() {
    const LIMIT: Duration = Duration::from_millis(100);
    within(|| {
        let (watchdog, told) = watch(LIMIT);
        let other = spawn(|| (0..10).for_each(|_| yield_now()));
        let hog = thread::Builder::new().name("hog").spawn(move || {
            yield_now();
            // It is named while it still runs.
            let mut report = None;
            hog(LIMIT * 5, || {
                report = report.take().or_else(|| told.try_recv().ok());
                report.is_some()
            });
            (report.unwrap(), told)
        });
        let hog = hog.unwrap();
        let (id, site) = (hog.thread().id(), hog.thread().spawned_at());
        let (report, told) = hog.join().unwrap();
        other.join().unwrap();
        drop(watchdog);
        assert_eq!((report.id, report.name.as_deref()), (id, Some("hog")));
        assert!(report.busy_time >= LIMIT, "{report:?}");
        let described = format!("green thread {id} 'hog' (spawned at {site} by #");
        assert!(report.text.starts_with(&described), "{report:?}");
        // Once.
        assert!(told.try_recv().is_err());
    });
}

#[test]
fn the_root_and_a_victim_of_kill_are_named_too() {
    const LIMIT: Duration = Duration::from_millis(20);
    struct Lingers(Rc<Receiver<Told>>, Rc<Cell<Option<Told>>>);
    impl Drop for Lingers {
        fn drop(&mut self) {
            self.1.set(self.0.recv().ok());
        }
    }
    within(|| {
        let (_watchdog, told) = watch(LIMIT);
        let told = Rc::new(told);
        // This very green thread blocks its OS thread.
        let report = told.recv().unwrap();
        assert_eq!(report.id, thread::current().id());
        assert!(report.text.contains("(root)"), "{report:?}");

        let found = Rc::new(Cell::new(None));
        let lingers = Lingers(told, Rc::clone(&found));
        let victim = thread::Builder::new().name("victim").spawn(move || {
            let _lingers = lingers;
            thread::park();
        });
        yield_now();
        victim.unwrap().kill();
        let report = found.take().unwrap();
        assert_eq!(report.name.as_deref(), Some("victim"));
    });
}

#[test]
fn who_yields_or_is_parked_is_no_hog() {
    // Far above what a loaded machine may take an OS thread away for.
    const LIMIT: Duration = Duration::from_millis(300);
    within(|| {
        let (watchdog, told) = watch(LIMIT);
        // Alone, and among others.
        for others in [0, 3] {
            for _ in 0..others {
                spawn_n(|| (0..1000).for_each(|_| yield_now()));
            }
            let start = Instant::now();
            while start.elapsed() < LIMIT * 3 / 2 {
                hog(Duration::from_millis(1), || true);
                yield_now();
            }
        }
        let parked = spawn(|| sleep(LIMIT * 2));
        parked.join().unwrap();
        drop(watchdog);
        assert!(told.try_recv().is_err());
    });
}

#[test]
fn several_watchdogs_and_none() {
    const LIMIT: Duration = Duration::from_millis(20);
    within(|| {
        let (strict, told) = watch(LIMIT);
        let (_lenient, other) = watch(LIMIT * 1000);
        // One that was dropped tells no more.
        drop(watch(LIMIT));
        let report = told.recv().unwrap();
        assert!(report.busy_time >= LIMIT);
        drop(strict);
        hog(LIMIT * 4, || true);
        assert!(told.recv().is_err());
        assert!(other.try_recv().is_err());
    });
}

#[test]
fn an_os_thread_that_has_ended_is_no_hog() {
    const LIMIT: Duration = Duration::from_millis(200);
    within(|| {
        let ended = std::thread::spawn(|| {
            let (watchdog, told) = watch(LIMIT);
            std::mem::forget(watchdog);
            told
        });
        let told = ended.join().unwrap();
        let nothing = told.recv_timeout(LIMIT * 3).unwrap_err();
        assert_eq!(nothing, mpsc::RecvTimeoutError::Timeout);
    });
}

#[test]
fn lots_are_drawn_as_if_nobody_watched() {
    let order = |is_watched: bool| {
        let orders = std::sync::Mutex::new(Vec::new());
        test::explore_schedules(0..20, || {
            let _watchdog = is_watched.then(|| watch(Duration::from_secs(60)));
            let order: Rc<Cell<Vec<usize>>> = Rc::default();
            let handles: Vec<_> = (0..4)
                .map(|n| {
                    let order = Rc::clone(&order);
                    spawn(move || {
                        let mut so_far = order.take();
                        so_far.push(n);
                        order.set(so_far);
                    })
                })
                .collect();
            handles.into_iter().for_each(|one| one.join().unwrap());
            orders.lock().unwrap().push(order.take());
        });
        orders.into_inner().unwrap()
    };
    assert_eq!(order(true), order(false));
}
