//! A program whose allocator has a cache for each thread, which it fills under a lock of C, like jemalloc.
//! While a thread fills its cache, it must not allocate.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::hint::spin_loop;
use std::process::abort;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use evy_test_support::within;

struct Caching(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a mutex of C may be used on any thread.
unsafe impl Sync for Caching {}

#[global_allocator]
static ALLOCATOR: Caching = Caching(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));

thread_local! {
    /// How often the thread may allocate before it fills its cache.
    static CACHED: Cell<u32> = const { Cell::new(0) };
    static IS_FILLING: Cell<bool> = const { Cell::new(false) };
}

/// The key, plus one, whose destructor gives a cache back.
static KEY: AtomicU32 = AtomicU32::new(0);

/// The number of caches.
static CACHES: AtomicI64 = AtomicI64::new(0);

/// Counts the cache of this thread, until the thread ends.
fn begin_cache() {
    unsafe extern "C" fn end_cache(_value: *mut c_void) {
        CACHES.fetch_sub(1, Ordering::Relaxed);
    }
    // SAFETY: the key is valid, and the value is not used as a pointer.
    unsafe {
        if KEY.load(Ordering::Acquire) == 0 {
            let mut key = 0;
            assert_eq!(libc::pthread_key_create(&raw mut key, Some(end_cache)), 0);
            KEY.store(key + 1, Ordering::Release);
        }
        let key = KEY.load(Ordering::Acquire) - 1;
        if libc::pthread_getspecific(key).is_null() {
            CACHES.fetch_add(1, Ordering::Relaxed);
            libc::pthread_setspecific(key, std::ptr::without_provenance(1));
        }
    }
}

impl Caching {
    fn take(&self) {
        begin_cache();
        if IS_FILLING.get() {
            // A panic would allocate.
            abort();
        }
        if CACHED.get() > 0 {
            CACHED.set(CACHED.get() - 1);
            return;
        }
        IS_FILLING.set(true);
        // SAFETY: the mutex is valid, and locked when it is unlocked.
        unsafe {
            libc::pthread_mutex_lock(self.0.get());
            // The others have time to wait for it.
            (0..1000).for_each(|_| spin_loop());
            libc::pthread_mutex_unlock(self.0.get());
        }
        IS_FILLING.set(false);
        CACHED.set(10);
    }
}

// SAFETY: it is the allocator of the system.
unsafe impl GlobalAlloc for Caching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take();
        // SAFETY: as for this function (caller).
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        begin_cache();
        // SAFETY: as for this function (caller).
        unsafe { System.dealloc(pointer, layout) };
    }
}

/// Held by each test, because they share the counts.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn an_allocator_that_waits_for_a_lock_is_not_entered_again_meanwhile() {
    if let Err(error) = evy::patch::monkey_patch() {
        return println!("skipped: {error}");
    }
    let _alone = ALONE.lock().unwrap();
    within(|| {
        let schedulers: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    for _ in 0..10 {
                        let allocating: Vec<_> = (0..50)
                            .map(|number| {
                                evy::spawn(move || {
                                    for size in 1..100 {
                                        drop(vec![1_u8; size * 10 + number]);
                                        if size % 10 == 0 {
                                            evy::yield_now();
                                        }
                                    }
                                })
                            })
                            .collect();
                        for green in allocating {
                            green.join().unwrap();
                        }
                    }
                })
            })
            .collect();
        for scheduler in schedulers {
            scheduler.join().unwrap();
        }
    });
}

#[test]
fn an_allocator_keeps_nothing_for_green_threads_that_have_ended() {
    if let Err(error) = evy::patch::monkey_patch() {
        return println!("skipped: {error}");
    }
    let _alone = ALONE.lock().unwrap();
    within(|| {
        let run = || {
            std::thread::spawn(|| {
                let allocating: Vec<_> = (0..50)
                    .map(|_| {
                        evy::spawn(|| drop(vec![evy::thread::current().name().map(str::to_owned)]))
                    })
                    .collect();
                for green in allocating {
                    green.join().unwrap();
                }
            })
            .join()
            .unwrap();
        };
        let before = CACHES.load(Ordering::Relaxed);
        (0..20).for_each(|_| run());
        // Some OS threads of the runtime and of the tests have one.
        let kept = CACHES.load(Ordering::Relaxed) - before;
        assert!(kept < 50, "1000 green threads have left {kept} caches");
    });
}
