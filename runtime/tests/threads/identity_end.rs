//! The end of a green thread with a pthread identity: the destructors of its thread locals and of the
//! values of its POSIX keys.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use evy_runtime::thread::{self, Builder};
use evy_runtime::{green_local, timeout, yield_now};
use evy_test_support::{rerun_ignored, within};

use super::identity::{is_supported, spawn};

/// Calls a function when dropped.
struct OnDrop(Box<dyn FnOnce()>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        std::mem::replace(&mut self.0, Box::new(|| ()))();
    }
}

/// A cell in which a test puts what is to happen at the end of its green thread.
type AtEnd = RefCell<Vec<OnDrop>>;

thread_local! {
    static AT_END: AtEnd = const { RefCell::new(Vec::new()) };
    static LAZY: Cell<u32> = { yield_now(); Cell::new(7) };
    static PLAIN: Cell<u32> = const { Cell::new(7) };
}

fn at_end(f: impl FnOnce() + 'static) {
    AT_END.with_borrow_mut(|list| list.push(OnDrop(Box::new(f))));
}

/// What a destructor may do.
fn actions() -> [fn(); 9] {
    [
        || (),
        || evy_runtime::sleep(Duration::from_millis(1)),
        yield_now,
        || assert_eq!(spawn(|| PLAIN.get()).join().unwrap(), 7),
        || drop(spawn(|| evy_runtime::sleep(Duration::from_millis(1)))),
        || assert_eq!(evy_runtime::spawn(|| 1).join().unwrap(), 1),
        || assert!(timeout(Duration::from_millis(1), thread::park).is_err()),
        || {
            let panics = || std::panic::resume_unwind(Box::new("in a destructor"));
            assert!(std::panic::catch_unwind(panics).is_err());
        },
        || {
            // Its destructor runs too.
            thread_local!(static LATE: RefCell<Option<OnDrop>> = const { RefCell::new(None) });
            LATE.set(Some(OnDrop(Box::new(|| PLAIN.set(PLAIN.get() + 1)))));
            LAZY.set(LAZY.get() + 1);
        },
    ]
}

/// Ends green threads in all ways. `set` is called in each, at the latest when its closure, its result or
/// its exit hook is dropped. `check` is called after each.
fn end_in_all_ways(set: impl Fn() + Clone + 'static, check: impl Fn(&str)) {
    let run = set.clone();
    spawn(run).join().unwrap();
    check("returns");
    let run = set.clone();
    let panics = spawn(move || {
        run();
        std::panic::resume_unwind(Box::new(1));
    });
    assert!(panics.join().unwrap_err().is_panic());
    check("panics");
    let run = set.clone();
    let killed = spawn(move || {
        run();
        thread::park();
    });
    yield_now();
    killed.kill();
    assert!(killed.join().unwrap_err().is_killed());
    check("is killed");
    let captured = OnDrop(Box::new(set.clone()));
    let killed = spawn(move || drop(captured));
    killed.kill();
    assert!(killed.join().unwrap_err().is_killed());
    check("is killed before it starts");
    let run = set.clone();
    let hooked = spawn(yield_now);
    hooked.on_exit(run);
    hooked.join().unwrap();
    check("runs an exit hook");
    let run = set.clone();
    drop(spawn(move || OnDrop(Box::new(run))));
    evy_runtime::sleep(Duration::from_millis(50));
    check("leaves a result without a handle");
    let killed_at_end = spawn(move || {
        at_end(|| evy_runtime::sleep(Duration::from_millis(20)));
        set();
    });
    yield_now();
    killed_at_end.kill();
    assert!(killed_at_end.join().is_ok());
    check("is killed in a destructor");
}

#[test]
fn a_destructor_runs_once_before_the_join_whatever_it_does_and_however_its_green_thread_ends() {
    if !is_supported() {
        return;
    }
    for action in actions() {
        within(move || {
            PLAIN.set(100);
            let drops = Rc::new(Cell::new(0));
            let dropped = Rc::clone(&drops);
            let set = move || {
                assert_eq!(PLAIN.replace(8), 7, "nothing is left of an earlier one");
                let drops = Rc::clone(&drops);
                let (me, std_me) = (thread::current().id(), std::thread::current().id());
                at_end(move || {
                    assert_eq!(thread::current().id(), me);
                    assert_eq!(std::thread::current().id(), std_me);
                    assert_eq!(PLAIN.get(), 8);
                    action();
                    assert_eq!(thread::current().id(), me);
                    assert_eq!(std::thread::current().id(), std_me);
                    drops.set(drops.get() + 1);
                });
            };
            end_in_all_ways(set, |end| {
                assert_eq!(dropped.replace(0), 1, "one that {end}");
            });
            assert_eq!(PLAIN.get(), 100);
            assert_eq!(AT_END.with_borrow(Vec::len), 0);
        });
    }
}

#[test]
fn the_destructors_of_one_that_is_abandoned_never_run() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    const OF_THE_ROOT: usize = 1000;
    if !is_supported() {
        return;
    }
    within(|| {
        let os_thread = std::thread::spawn(|| {
            at_end(|| _ = DROPS.fetch_add(OF_THE_ROOT, Relaxed));
            for _ in 0..3 {
                drop(spawn(|| {
                    at_end(|| _ = DROPS.fetch_add(1, Relaxed));
                    thread::park();
                }));
                drop(spawn(|| {
                    // Values of one list are dropped in order.
                    at_end(|| _ = DROPS.fetch_add(10, Relaxed));
                    at_end(thread::park);
                    at_end(|| _ = DROPS.fetch_add(1, Relaxed));
                }));
            }
            yield_now();
        });
        os_thread.join().unwrap();
        assert_eq!(DROPS.load(Relaxed), OF_THE_ROOT + 3 * 10);
    });
}

#[test]
fn green_locals_are_dropped_before_thread_locals_which_may_use_others() {
    green_local! {
        static LOCAL: RefCell<Option<OnDrop>> = RefCell::new(None);
        static OTHER: RefCell<Option<OnDrop>> = RefCell::new(None);
    }
    if !is_supported() {
        return;
    }
    within(|| {
        let drops = Rc::new(Cell::new(0));
        let count = Rc::clone(&drops);
        spawn(move || {
            let early = Rc::clone(&count);
            LOCAL.set(Some(OnDrop(Box::new(move || early.set(early.get() + 1)))));
            at_end(move || {
                assert_eq!(count.get(), 1);
                assert!(LOCAL.try_with(|_| ()).is_err());
                OTHER.set(Some(OnDrop(Box::new(move || count.set(count.get() + 10)))));
            });
        })
        .join()
        .unwrap();
        yield_now();
        assert_eq!(drops.get(), 11);
    });
}

/// A POSIX key whose destructor calls `f`.
fn new_key(f: unsafe extern "C" fn(*mut c_void)) -> libc::pthread_key_t {
    let mut key = 0;
    // SAFETY: the pointer is valid, and the destructor accepts any value.
    let created = unsafe { libc::pthread_key_create(&raw mut key, Some(f)) };
    assert_eq!(created, 0);
    key
}

fn set_key(key: libc::pthread_key_t, value: usize) {
    // SAFETY: the key exists, and its values are not used as pointers.
    let set: c_int = unsafe { libc::pthread_setspecific(key, ptr::without_provenance(value)) };
    assert_eq!(set, 0);
}

fn value_of(key: libc::pthread_key_t) -> usize {
    // SAFETY: the key exists.
    unsafe { libc::pthread_getspecific(key) }.addr()
}

#[test]
fn thread_locals_that_the_destructor_of_a_key_uses_are_destroyed_too() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn use_thread_locals(_: *mut c_void) {
        at_end(|| {
            evy_runtime::sleep(Duration::from_millis(1));
            DROPS.fetch_add(1, Relaxed);
        });
    }
    if !is_supported() {
        return;
    }
    within(|| {
        let key = new_key(use_thread_locals);
        for round in 1..10 {
            spawn(move || set_key(key, 1)).join().unwrap();
            assert_eq!(DROPS.load(Relaxed), round);
            // The one before has left no destructor for a value of this one.
            let value = Arc::new(());
            let held = Arc::clone(&value);
            spawn(|| at_end(move || drop(held))).join().unwrap();
            assert_eq!(Arc::strong_count(&value), 1);
        }
    });
}

#[test]
fn the_destructor_of_a_key_that_sets_its_value_runs_four_times_and_leaves_none() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static KEY: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn set_again(value: *mut c_void) {
        CALLS.fetch_add(1, Relaxed);
        set_key(KEY.load(Relaxed) as libc::pthread_key_t, value.addr() + 1);
    }
    if !is_supported() {
        return;
    }
    within(|| {
        let key = new_key(set_again);
        KEY.store(key as usize, Relaxed);
        for round in 1..4 {
            spawn(move || {
                assert_eq!(value_of(key), 0);
                set_key(key, 1);
            })
            .join()
            .unwrap();
            // As at the end of an OS thread.
            assert_eq!(CALLS.load(Relaxed), 4 * round);
        }
    });
}

#[test]
fn a_key_that_is_deleted_runs_no_destructor() {
    unsafe extern "C" fn never(_: *mut c_void) {
        unreachable!("the key is deleted")
    }
    if !is_supported() {
        return;
    }
    within(|| {
        let key = new_key(never);
        spawn(move || {
            set_key(key, 1);
            // SAFETY: the key exists.
            assert_eq!(unsafe { libc::pthread_key_delete(key) }, 0);
        })
        .join()
        .unwrap();
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the parks of std are under test")]
fn nothing_that_std_knows_of_a_thread_is_left_to_the_next() {
    if !is_supported() {
        return;
    }
    within(|| {
        let first = spawn(std::thread::current).join().unwrap();
        let builder = Builder::new().name("named".into()).own_identity();
        let second = builder.spawn(std::thread::current).unwrap().join().unwrap();
        assert_ne!(first.id(), second.id());
        // A token for one that has ended is none for a later one.
        first.unpark();
        second.unpark();
        spawn(|| {
            let start = std::time::Instant::now();
            let time = Duration::from_millis(5);
            while start.elapsed() < time {
                let before = start.elapsed();
                std::thread::park_timeout(time);
                assert!(start.elapsed() - before > Duration::from_micros(500));
            }
            std::thread::current().unpark();
            std::thread::park();
            std::thread::current().unpark();
        })
        .join()
        .unwrap();
    });
}

#[test]
fn a_destructor_that_panics_aborts_the_process_as_on_an_os_thread() {
    if is_supported() {
        for name in ["panics_on_green_thread", "panics_on_os_thread"] {
            let run = rerun_ignored(&format!("identity_end::{name}"));
            let output = { run }.env("RUST_BACKTRACE", "0").output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success());
            assert!(text.contains("thread local panicked on drop"), "{text}");
        }
    }
}

#[test]
#[ignore = "ends the process"]
fn panics_on_green_thread() {
    spawn(|| at_end(|| panic!("in a destructor"))).join().ok();
}

#[test]
#[ignore = "ends the process"]
fn panics_on_os_thread() {
    std::thread::spawn(|| at_end(|| panic!("in a destructor")))
        .join()
        .ok();
}

#[test]
fn an_exit_of_the_process_drops_the_thread_locals_of_the_green_thread_that_exits() {
    if is_supported() {
        let output = rerun_ignored("identity_end::exits").output().unwrap();
        assert_eq!(output.status.code(), Some(7));
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.matches("of the one that exits").count(), 1, "{text}");
        assert!(!text.contains("of another"), "{text}");
    }
}

#[test]
#[ignore = "ends the process"]
fn exits() {
    let print = |text: &'static str| move || eprintln!("{text}");
    drop(spawn(move || {
        at_end(print("of another"));
        thread::park();
    }));
    let exits = spawn(move || {
        at_end(print("of the one that exits"));
        yield_now();
        std::process::exit(7);
    });
    exits.join().ok();
}
