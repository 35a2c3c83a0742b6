//! Tests of `interval`: its ticks stay a whole number of periods apart, and none is lost.

use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::lowlevel::now;
use evy_runtime::test::{inject_faults, virtual_time, wait_all_parked};
use evy_runtime::{Interval, Queue, interval, interval_at, select, sleep, spawn, spawn_n, timeout};
use evy_test_support::{Log, in_any_order, within};

const PERIOD: Duration = Duration::from_millis(10);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn the_first_tick_comes_at_once_and_the_others_after_one_period_each() {
    in_any_order(|| {
        let (start, ticks) = (now(), interval(PERIOD));
        for n in 0..5 {
            assert_eq!(ticks.tick(), start + PERIOD * n);
            assert_eq!(now(), start + PERIOD * n);
        }
        assert_eq!(ticks.period(), PERIOD);
    });
}

#[test]
fn an_interval_may_begin_later_or_have_begun_earlier() {
    virtual_time(|| {
        let start = now() + MINUTE;
        let later = interval_at(start, PERIOD);
        assert_eq!((later.tick(), now()), (start, start));
        assert_eq!(later.tick(), start + PERIOD);
        let earlier = interval_at(start, PERIOD * 4);
        assert_eq!((earlier.tick(), now()), (start, start + PERIOD));
        assert_eq!(earlier.tick(), start + PERIOD * 4);
    });
}

#[test]
fn ticks_do_not_drift_if_the_code_between_them_takes_time() {
    virtual_time(|| {
        let (start, ticks) = (now(), interval(PERIOD));
        for n in 0..100 {
            assert_eq!(ticks.tick(), start + PERIOD * n);
            sleep(PERIOD * (n % 3) / 4);
        }
    });
}

#[test]
fn missed_ticks_are_skipped_but_one_and_the_others_stay_in_step() {
    virtual_time(|| {
        let (start, ticks) = (now(), interval(PERIOD));
        assert_eq!(ticks.tick(), start);
        sleep(PERIOD * 7 / 2);
        let late = now();
        assert_eq!(
            ticks.tick(),
            start + PERIOD,
            "the tick that is late comes at once"
        );
        assert_eq!(now(), late);
        assert_eq!(ticks.tick(), start + PERIOD * 4);
        sleep(PERIOD);
        assert_eq!(
            ticks.tick(),
            start + PERIOD * 5,
            "a tick that is just due is not late"
        );
        assert_eq!(now(), start + PERIOD * 5);
    });
}

#[test]
fn a_tick_is_not_lost_if_its_waiter_times_out_or_is_killed() {
    virtual_time(|| {
        let (start, ticks) = (now(), Rc::new(interval_at(now() + PERIOD, PERIOD)));
        assert!(timeout(PERIOD / 2, || ticks.tick()).is_err());
        let own = Rc::clone(&ticks);
        let victim = spawn(move || own.tick());
        wait_all_parked();
        victim.kill();
        assert_eq!(ticks.tick(), start + PERIOD);
    });
}

#[test]
fn a_fault_in_a_waiter_for_a_tick_leaves_the_tick_to_the_other() {
    let faults = inject_faults(|injector| {
        let (start, ticks) = (now(), Rc::new(interval_at(now() + PERIOD, PERIOD)));
        let own = Rc::clone(&ticks);
        let victim = injector.spawn(move || own.tick());
        let other = spawn(move || [ticks.tick(), ticks.tick()]);
        let taken = victim.join().ok().and_then(Result::ok);
        let mut got: Vec<_> = other.join().unwrap().into_iter().chain(taken).collect();
        got.sort_unstable();
        let expected = (1..).map(|n| start + PERIOD * n).take(got.len());
        assert!(got.into_iter().eq(expected));
    });
    assert!(faults >= 3, "{faults}");
}

#[test]
fn each_tick_goes_to_one_of_several_waiters() {
    in_any_order(|| {
        let (ticks, log) = (Rc::new(interval(PERIOD)), Log::new());
        let start = now();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let (ticks, log) = (Rc::clone(&ticks), log.clone());
                spawn(move || (0..4).for_each(|_| log.add(ticks.tick())))
            })
            .collect();
        waiters.into_iter().for_each(|it| it.join().unwrap());
        let expected: Vec<_> = (0..12).map(|n| start + PERIOD * n).collect();
        assert_eq!(log.take(), expected);
    });
}

#[test]
fn a_select_consumes_a_tick_only_if_it_chooses_it() {
    in_any_order(|| {
        let (start, ticks, queue) = (now(), interval(PERIOD), Queue::unbounded());
        (0..3).for_each(|n| queue.put(n));
        // Timers are considered only if no other arm is ready.
        for n in 0..3 {
            let item = select! { tick(&ticks) -> _ => None, get(&queue) -> item => Some(item) };
            assert_eq!(item, Some(n));
        }
        let tick = |ticks: &Interval| {
            select! {
                tick(ticks) -> at => at,
                get(&queue) => unreachable!("it is empty"),
                after(MINUTE) => unreachable!("a tick comes first"),
            }
        };
        assert_eq!((tick(&ticks), tick(&ticks)), (start, start + PERIOD));
        let putter = queue.clone();
        spawn_n(move || {
            sleep(PERIOD / 2);
            putter.put(3);
        });
        let item = select! { tick(&ticks) -> _ => None, get(&queue) -> item => Some(item) };
        assert_eq!(item, Some(3));
        assert!(select! { tick(&ticks) => false, default => true });
        assert_eq!(ticks.tick(), start + PERIOD * 2);
    });
}

#[test]
fn an_interval_is_an_iterator_over_its_ticks() {
    virtual_time(|| {
        let start = now();
        let mut ticks = interval(PERIOD);
        let first: Vec<_> = ticks.by_ref().take(3).map(|tick| tick - start).collect();
        assert_eq!(first, [Duration::ZERO, PERIOD, PERIOD * 2]);
        assert_eq!(ticks.next(), Some(start + PERIOD * 3));
    });
}

#[test]
fn an_interval_of_any_length_works_except_zero() {
    virtual_time(|| {
        assert!(catch_unwind(|| drop(interval(Duration::ZERO))).is_err());
        let forever = interval(Duration::MAX);
        assert_eq!(forever.tick(), now());
        assert!(timeout(MINUTE, || forever.tick()).is_err());
        let start = now();
        select! {
            tick(&forever) => unreachable!("beyond the range of the clock"),
            after(MINUTE) => {}
        }
        assert_eq!(now() - start, MINUTE);
        let (begin, odd) = (now(), interval(Duration::new(3, 7)));
        odd.tick();
        sleep(Duration::from_secs(1000));
        odd.tick();
        assert_eq!(odd.tick() - begin, Duration::new(3, 7) * 334);
    });
}

#[test]
fn an_interval_that_is_always_due_lets_the_others_run() {
    within(|| {
        let ticks = interval(Duration::from_nanos(1));
        let other = spawn(|| ());
        while !other.is_finished() {
            ticks.tick();
        }
    });
}
