//! Tests of the watchdog: it names the green thread that keeps the others from running, and no
//! other.

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

/// The contents of a `HogReport`.
#[derive(Debug)]
struct Report {
    id: thread::ThreadId,
    name: Option<String>,
    busy_time: Duration,
    text: String,
}

/// Starts a watchdog, and returns it with the receiver of its reports.
fn watch(limit: Duration) -> (Watchdog, Receiver<Report>) {
    let (sender, reports) = mpsc::channel();
    let watchdog = Watchdog::with(limit, move |report| {
        let report = Report {
            id: report.id(),
            name: report.name().map(str::to_owned),
            busy_time: report.busy_time(),
            text: report.to_string(),
        };
        sender.send(report).expect("the test receives");
    });
    (watchdog, reports)
}

/// Keeps the OS thread busy for at least `duration`, and until `done` returns `true`.
fn hog(duration: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < duration || !done() {
        std::hint::spin_loop();
    }
}

#[test]
fn a_green_thread_that_runs_for_too_long_is_reported_once() {
    const LIMIT: Duration = Duration::from_millis(100);
    within(|| {
        let (watchdog, reports) = watch(LIMIT);
        let other = spawn(|| (0..10).for_each(|_| yield_now()));
        let hog = thread::Builder::new().name("hog".into()).spawn(move || {
            yield_now();
            // The report comes while it still runs.
            let mut report = None;
            hog(LIMIT * 5, || {
                report = report.take().or_else(|| reports.try_recv().ok());
                report.is_some()
            });
            (report.unwrap(), reports)
        });
        let hog = hog.unwrap();
        let (id, site) = (hog.thread().id(), hog.thread().spawned_at());
        let (report, reports) = hog.join().unwrap();
        other.join().unwrap();
        drop(watchdog);
        assert_eq!((report.id, report.name.as_deref()), (id, Some("hog")));
        assert!(report.busy_time >= LIMIT, "{report:?}");
        let described = format!("green thread {id} 'hog' (spawned at {site} by #");
        assert!(report.text.starts_with(&described), "{report:?}");
        // There is only one report.
        assert!(reports.try_recv().is_err());
    });
}

#[test]
fn the_root_and_a_green_thread_that_is_being_killed_are_reported_too() {
    const LIMIT: Duration = Duration::from_millis(20);
    struct WaitsOnDrop(Rc<Receiver<Report>>, Rc<Cell<Option<Report>>>);
    impl Drop for WaitsOnDrop {
        fn drop(&mut self) {
            self.1.set(self.0.recv().ok());
        }
    }
    within(|| {
        let (_watchdog, reports) = watch(LIMIT);
        let reports = Rc::new(reports);
        // The current green thread, the root, blocks its OS thread.
        let report = reports.recv().unwrap();
        assert_eq!(report.id, thread::current().id());
        assert!(report.text.contains("(root)"), "{report:?}");

        let found = Rc::new(Cell::new(None));
        let waits_on_drop = WaitsOnDrop(reports, Rc::clone(&found));
        let victim = thread::Builder::new().name("victim".into()).spawn(move || {
            let _waits_on_drop = waits_on_drop;
            thread::park();
        });
        yield_now();
        victim.unwrap().kill();
        let report = found.take().unwrap();
        assert_eq!(report.name.as_deref(), Some("victim"));
    });
}

#[test]
fn a_green_thread_that_yields_or_is_parked_is_not_reported() {
    // Far longer than a loaded machine may suspend an OS thread.
    const LIMIT: Duration = Duration::from_millis(300);
    within(|| {
        let (watchdog, reports) = watch(LIMIT);
        // Alone, and beside other green threads.
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
        assert!(reports.try_recv().is_err());
    });
}

#[test]
fn each_watchdog_reports_by_its_own_limit_until_it_is_dropped() {
    const LIMIT: Duration = Duration::from_millis(20);
    within(|| {
        let (strict, reports) = watch(LIMIT);
        let (_lenient, other) = watch(LIMIT * 1000);
        // A watchdog that was dropped reports nothing.
        drop(watch(LIMIT));
        let report = reports.recv().unwrap();
        assert!(report.busy_time >= LIMIT);
        drop(strict);
        hog(LIMIT * 4, || true);
        assert!(reports.recv().is_err());
        assert!(other.try_recv().is_err());
    });
}

#[test]
fn an_os_thread_that_has_ended_is_not_reported() {
    const LIMIT: Duration = Duration::from_millis(200);
    within(|| {
        let ended = std::thread::spawn(|| {
            let (watchdog, reports) = watch(LIMIT);
            std::mem::forget(watchdog);
            reports
        });
        let reports = ended.join().unwrap();
        let nothing = reports.recv_timeout(LIMIT * 3).unwrap_err();
        assert_eq!(nothing, mpsc::RecvTimeoutError::Timeout);
    });
}

#[test]
fn a_watchdog_does_not_change_the_random_order() {
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
