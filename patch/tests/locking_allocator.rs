//! A program whose allocator has a lock of std, as those that count allocations have. The runtime
//! allocates where a green thread must not park, so a contended lock must not make it park there.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evy_test_support::within;

struct Locking(Mutex<()>);

#[global_allocator]
static ALLOCATOR: Locking = Locking(Mutex::new(()));

impl Locking {
    fn locked<R>(&self, f: impl FnOnce() -> R) -> R {
        let guard = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let result = f();
        drop(guard);
        result
    }
}

// SAFETY: it is the allocator of the system, under a lock.
unsafe impl GlobalAlloc for Locking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for this function (caller).
        self.locked(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as for this function (caller).
        self.locked(|| unsafe { System.dealloc(pointer, layout) });
    }
}

#[test]
fn an_allocator_with_a_contended_lock_does_not_park_inside_of_the_runtime() {
    if let Err(error) = evy::patch::monkey_patch() {
        return println!("skipped: {error}");
    }
    within(|| {
        static IS_OVER: AtomicBool = AtomicBool::new(false);
        // It holds the lock for a moment, again and again.
        let other = std::thread::spawn(|| {
            while !IS_OVER.load(Ordering::Relaxed) {
                // Others have time to wait for the lock: green threads, and the runtime itself.
                ALLOCATOR.locked(|| std::thread::sleep(Duration::from_micros(20)));
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        for _ in 0..10 {
            let echoes: Vec<_> = (0..50)
                .map(|_| {
                    evy::spawn(|| {
                        let (mut one, mut other) = UnixStream::pair().unwrap();
                        let reader = evy::spawn(move || {
                            let mut text = String::new();
                            other.read_to_string(&mut text).map(|_| text)
                        });
                        evy::yield_now();
                        one.write_all(b"text").unwrap();
                        drop(one);
                        reader.join().unwrap().unwrap()
                    })
                })
                .collect();
            for echo in echoes {
                assert_eq!(echo.join().unwrap(), "text");
            }
        }
        IS_OVER.store(true, Ordering::Relaxed);
        other.join().unwrap();
    });
}
