//! Green threads with a pthread identity of their own: `Builder::own_identity`.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::thread::{Builder, JoinHandle};
use evy_test_support::{is_emulated, rerun_ignored, shares_thread_locals, within};

/// Spawns with an identity. Where identities do not work, it says why, and the test ends.
pub(crate) fn spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    Builder::new().own_identity().spawn(f).unwrap()
}

/// Whether identities work here.
pub(crate) fn is_supported() -> bool {
    match Builder::new().own_identity().spawn(|| ()) {
        Ok(handle) => handle.join().is_ok(),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            println!("skipped: {error}");
            false
        }
    }
}

#[test]
fn thread_locals_are_its_own_and_travel_with_it_across_parks() {
    if !shares_thread_locals() {
        return;
    }
    thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
    if !is_supported() {
        return;
    }
    within(|| {
        COUNT.set(100);
        let count = || {
            for _ in 0..1000 {
                COUNT.set(COUNT.get() + 1);
                evy_runtime::yield_now();
            }
            COUNT.get()
        };
        let light = evy_runtime::spawn(count);
        let own: Vec<_> = (0..10).map(|_| spawn(count)).collect();
        for handle in own {
            assert_eq!(handle.join().unwrap(), 1000);
        }
        assert_eq!(light.join().unwrap(), 1100);
        assert_eq!(COUNT.get(), 1100);
    });
}

#[test]
fn a_reused_identity_starts_with_initial_thread_locals() {
    thread_local! {
        static PLAIN: Cell<u32> = const { Cell::new(7) };
        static LAZY: RefCell<Vec<u32>> = RefCell::new(vec![1]);
    }
    if !is_supported() {
        return;
    }
    within(|| {
        let mut ids = Vec::new();
        for _ in 0..100 {
            let id = spawn(|| {
                assert_eq!(PLAIN.replace(8), 7);
                LAZY.with_borrow_mut(|list| list.push(2));
                assert_eq!(LAZY.with_borrow(Vec::len), 2);
                std::thread::current().id()
            });
            ids.push(id.join().unwrap());
        }
        ids.sort_by_key(|id| format!("{id:?}"));
        ids.dedup();
        assert_eq!(
            ids.len(),
            100,
            "each green thread is a thread of its own to std"
        );
    });
}

#[test]
fn destructors_of_thread_locals_run_before_the_join_and_may_park() {
    struct Noisy(RefCell<Option<Rc<Cell<u32>>>>);
    impl Drop for Noisy {
        fn drop(&mut self) {
            evy_runtime::sleep(Duration::from_millis(5));
            if let Some(drops) = self.0.take() {
                drops.set(drops.get() + 1);
            }
        }
    }
    thread_local!(static NOISY: Noisy = const { Noisy(RefCell::new(None)) });
    if !is_supported() {
        return;
    }
    within(|| {
        let drops = Rc::new(Cell::new(0));
        let run = |drops: &Rc<Cell<u32>>| {
            let drops = Rc::clone(drops);
            spawn(move || NOISY.with(|noisy| *noisy.0.borrow_mut() = Some(drops)))
        };
        let (a, b) = (run(&drops), run(&drops));
        a.join().unwrap();
        b.join().unwrap();
        assert_eq!(drops.get(), 2);
        // A killed one ends like any other.
        let drops_of_killed = Rc::clone(&drops);
        let killed = spawn(move || {
            NOISY.with(|noisy| *noisy.0.borrow_mut() = Some(drops_of_killed));
            evy_runtime::thread::park();
        });
        evy_runtime::yield_now();
        killed.kill();
        assert!(killed.join().unwrap_err().is_killed());
        assert_eq!(drops.get(), 3);
    });
}

#[test]
fn an_initializer_that_parks_runs_once_for_each_green_thread() {
    thread_local! {
        static BOXED: RefCell<Box<u64>> = {
            evy_runtime::yield_now();
            RefCell::new(Box::new(7))
        };
    }
    if !is_supported() {
        return;
    }
    within(|| {
        let look = || {
            BOXED.with(|boxed| {
                let before = &raw const **boxed.borrow();
                evy_runtime::yield_now();
                assert_eq!(before, &raw const **boxed.borrow());
                **boxed.borrow()
            })
        };
        for handle in [spawn(look), spawn(look), spawn(look)] {
            assert_eq!(handle.join().unwrap(), 7);
        }
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "std's answer is under test")]
fn std_counts_the_panics_of_each_green_thread_apart() {
    struct ParkInDrop;
    impl Drop for ParkInDrop {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            evy_runtime::sleep(Duration::from_millis(20));
            assert!(std::thread::panicking());
        }
    }
    if !is_supported() {
        return;
    }
    within(|| {
        let unwinding = spawn(|| {
            let _parks = ParkInDrop;
            std::panic::resume_unwind(Box::new(1));
        });
        let innocent = spawn(|| {
            evy_runtime::sleep(Duration::from_millis(5));
            let lock = std::sync::Mutex::new(());
            drop(lock.lock());
            (
                std::thread::panicking(),
                evy_runtime::thread::panicking(),
                lock.is_poisoned(),
            )
        });
        assert_eq!(innocent.join().unwrap(), (false, false, false));
        assert!(unwinding.join().unwrap_err().is_panic());
        assert!(!std::thread::panicking());
    });
}

#[test]
fn kills_timeouts_and_panics_work_as_for_other_green_threads() {
    if !is_supported() {
        return;
    }
    within(|| {
        let sleeper = spawn(|| evy_runtime::sleep(Duration::from_secs(100)));
        evy_runtime::yield_now();
        sleeper.kill();
        assert!(sleeper.join().unwrap_err().is_killed());
        let not_started = spawn(|| unreachable!("it is killed before it starts"));
        not_started.kill();
        assert!(not_started.join().unwrap_err().is_killed());
        let timed = spawn(|| {
            evy_runtime::timeout(Duration::from_millis(5), evy_runtime::thread::park).is_err()
        });
        assert!(timed.join().unwrap());
        let panics = spawn(|| panic!("a message"));
        assert!(panics.join().unwrap_err().is_panic());
        // An identity kills one without, and the other way around.
        let victim = evy_runtime::spawn(|| evy_runtime::sleep(Duration::from_secs(100)));
        let killer = spawn(move || {
            evy_runtime::yield_now();
            victim.kill();
            victim.join().unwrap_err().is_killed()
        });
        assert!(killer.join().unwrap());
    });
}

#[test]
fn operations_that_never_park_do_not_starve_the_others() {
    if !is_supported() {
        return;
    }
    within(|| {
        let stop = Rc::new(Cell::new(false));
        let queue = evy_runtime::Queue::unbounded();
        let spins = spawn({
            let stop = Rc::clone(&stop);
            move || {
                while !stop.get() {
                    queue.put(1);
                    assert_eq!(queue.get(), 1);
                }
            }
        });
        evy_runtime::sleep(Duration::from_millis(5));
        stop.set(true);
        spins.join().unwrap();
    });
}

#[test]
fn posix_keys_have_values_of_their_own_and_destructors_run() {
    use std::ffi::c_void;
    use std::sync::atomic::{AtomicUsize, Ordering};
    static DESTROYED: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn destroy(value: *mut c_void) {
        DESTROYED.fetch_add(value.addr(), Ordering::Relaxed);
    }
    if !is_supported() {
        return;
    }
    within(|| {
        let mut key = 0;
        // SAFETY: the pointer is valid, and the destructor accepts any value.
        let created = unsafe { libc::pthread_key_create(&raw mut key, Some(destroy)) };
        assert_eq!(created, 0);
        let use_key = move |value: usize| {
            // SAFETY: the key exists, and its values are not pointers.
            unsafe {
                assert!(libc::pthread_getspecific(key).is_null());
                libc::pthread_setspecific(key, std::ptr::without_provenance(value));
                evy_runtime::yield_now();
                assert_eq!(libc::pthread_getspecific(key).addr(), value);
            }
        };
        for round in 1..=3 {
            let (a, b) = (spawn(move || use_key(1)), spawn(move || use_key(2)));
            a.join().unwrap();
            b.join().unwrap();
            assert_eq!(DESTROYED.load(Ordering::Relaxed), 3 * round);
        }
    });
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Runs `count` green threads with identities, 50 at a time. Each allocates.
fn run_many(count: usize) {
    for _ in 0..count / 50 {
        let all: Vec<_> = (0..50)
            .map(|_| {
                spawn(|| {
                    evy_runtime::yield_now();
                    drop(std::hint::black_box(vec![1_u8; 1000]));
                })
            })
            .collect();
        for handle in all {
            handle.join().unwrap();
        }
    }
}

/// Fills what an allocator keeps for a thread.
fn fill_cache() {
    for size in (16..1024).step_by(16) {
        let all: Vec<_> = (0..7).map(|_| Vec::<u8>::with_capacity(size)).collect();
        drop(std::hint::black_box(all));
    }
}

/// Checks that the memory of this process hardly grows while `run` runs for the second time.
fn check_growth(run: impl Fn()) {
    run();
    let before = resident();
    run();
    let growth = resident().saturating_sub(before);
    if is_emulated() {
        // An emulator keeps memory of each OS thread that has ended.
        println!("not checked: {growth} bytes");
        return;
    }
    assert!(growth < 4 << 20, "{growth} bytes");
}

#[test]
fn a_hundred_thousand_are_reused_without_growth() {
    if is_supported() {
        let status = rerun_ignored("identity::reuses").status().unwrap();
        assert!(status.success());
    }
}

#[test]
#[ignore = "run by `a_hundred_thousand_are_reused_without_growth`"]
fn reuses() {
    let count = if is_emulated() { 2000 } else { 100_000 };
    check_growth(|| run_many(count));
}

#[test]
fn many_are_born_without_growth() {
    if is_supported() {
        let status = rerun_ignored("identity::births").status().unwrap();
        assert!(status.success());
    }
}

#[test]
#[ignore = "run by `many_are_born_without_growth`"]
fn births() {
    // At its end an OS thread gives up all identities that it has had.
    let count = if is_emulated() { 100 } else { 2000 };
    check_growth(|| {
        for _ in 0..count / 50 {
            let run = || {
                spawn(fill_cache).join().unwrap();
                run_many(50);
            };
            std::thread::spawn(run).join().unwrap();
        }
    });
}
