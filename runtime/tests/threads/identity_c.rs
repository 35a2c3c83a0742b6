//! What the C library keeps for the pthread of a green thread, and gives back at its end.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use evy_runtime::yield_now;
use evy_test_support::{is_emulated, within};

use super::identity::{is_supported, spawn};

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
    fn pthread_setcanceltype(kind: c_int, old: *mut c_int) -> c_int;
}

/// Returns the locale, and what was set for cancellations. Sets other values.
fn set_settings() -> (usize, c_int, c_int) {
    let (mut state, mut kind) = (-1, -1);
    // SAFETY: the pointers are valid, and the locale is never freed.
    unsafe {
        let locale = libc::newlocale(libc::LC_ALL_MASK, c"C".as_ptr(), ptr::null_mut());
        assert_eq!(pthread_setcancelstate(1, &raw mut state), 0);
        assert_eq!(pthread_setcanceltype(1, &raw mut kind), 0);
        (libc::uselocale(locale).addr(), state, kind)
    }
}

#[test]
fn settings_of_a_thread_are_not_left_to_the_next_green_thread() {
    if !is_supported() {
        return;
    }
    within(|| {
        let on_os_thread = std::thread::spawn(set_settings).join().unwrap();
        for _ in 0..3 {
            assert_eq!(spawn(set_settings).join().unwrap(), on_os_thread);
        }
    });
}

/// A robust mutex.
struct Robust(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a mutex can be shared.
unsafe impl Send for Robust {}
// SAFETY: as above.
unsafe impl Sync for Robust {}

impl Robust {
    fn new(kind: c_int) -> Arc<Self> {
        let new = Arc::new(Self(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER)));
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: each object is initialized before it is used.
        unsafe {
            libc::pthread_mutexattr_init(attributes);
            libc::pthread_mutexattr_settype(attributes, kind);
            libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST);
            libc::pthread_mutex_init(new.0.get(), attributes);
        }
        new
    }

    fn lock(&self) -> c_int {
        // SAFETY: the mutex is valid.
        unsafe { libc::pthread_mutex_lock(self.0.get()) }
    }

    fn unlock(&self) -> c_int {
        // SAFETY: the mutex is valid.
        unsafe { libc::pthread_mutex_unlock(self.0.get()) }
    }

    fn make_consistent(&self) {
        // SAFETY: the mutex is valid.
        assert_eq!(unsafe { libc::pthread_mutex_consistent(self.0.get()) }, 0);
    }
}

#[test]
fn a_robust_mutex_that_a_green_thread_holds_at_its_end_goes_to_the_next_owner() {
    if !is_supported() {
        return;
    }
    if is_emulated() {
        println!("skipped: the emulator has no robust mutexes");
        return;
    }
    within(|| {
        for kind in [libc::PTHREAD_MUTEX_NORMAL, libc::PTHREAD_MUTEX_RECURSIVE] {
            let mutexes: Vec<_> = (0..3).map(|_| Robust::new(kind)).collect();
            let held = mutexes.clone();
            let owner = spawn(move || {
                held.iter().for_each(|mutex| assert_eq!(mutex.lock(), 0));
                assert_eq!(held[1].unlock(), 0);
                for _ in 0..20 {
                    evy_runtime::sleep(Duration::from_millis(1));
                }
            });
            yield_now();
            // It waits in the kernel.
            let first = Arc::clone(&mutexes[0]);
            let waiter = std::thread::spawn(move || (first.lock(), first.make_consistent()).0);
            owner.join().unwrap();
            assert_eq!(waiter.join().unwrap(), libc::EOWNERDEAD);
            assert_eq!(mutexes[1].lock(), 0);
            assert_eq!(mutexes[2].lock(), libc::EOWNERDEAD);
            // The next green thread has an empty list.
            let next = Robust::new(kind);
            spawn(move || assert_eq!((next.lock(), next.unlock()), (0, 0)))
                .join()
                .unwrap();
        }
    });
}

#[test]
fn a_green_thread_may_detach_its_pthread() {
    if !is_supported() {
        return;
    }
    within(|| {
        for _ in 0..10 {
            std::thread::spawn(|| {
                let detach = || {
                    // SAFETY: nothing joins this pthread but the runtime.
                    unsafe { libc::pthread_detach(libc::pthread_self()) };
                };
                spawn(detach).join().unwrap();
                assert_eq!(spawn(|| 7).join().unwrap(), 7);
            })
            .join()
            .unwrap();
            // It visits all threads that the C library knows.
            // SAFETY: the call sets what is set already.
            assert_eq!(unsafe { libc::setgid(libc::getgid()) }, 0);
        }
    });
}
