//! Options of objects, such as that processes share them. Their places are found out by a trial.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

use libc::{pthread_cond_t, pthread_mutex_t, pthread_rwlock_t, sem_t};

/// The bits of an object by which those with an option differ from those without.
struct Flag {
    /// The number of a word in the upper half, and the bits in the lower. Zero until they are found.
    place: AtomicU64,
}

impl Flag {
    const fn new() -> Self {
        Self {
            place: AtomicU64::new(0),
        }
    }

    /// Whether `object` has the option. `init` initializes an object, with the option or without.
    ///
    /// # Safety
    ///
    /// The object is valid.
    unsafe fn is_set<T>(&self, object: *const T, init: impl Fn(*mut T, bool)) -> bool {
        let mut place = self.place.load(Relaxed);
        if place == 0 {
            place = find(init);
            self.place.store(place, Relaxed);
        }
        // SAFETY: inside of the object, which is valid (caller) and aligned to words. Other threads may
        // change other bits of the word.
        let word = unsafe { &*object.cast::<AtomicU32>().add((place >> 32) as usize) };
        word.load(Relaxed) & place as u32 != 0
    }
}

#[cold]
fn find<T>(init: impl Fn(*mut T, bool)) -> u64 {
    let mut with = MaybeUninit::<T>::zeroed();
    let mut without = MaybeUninit::<T>::zeroed();
    init(with.as_mut_ptr(), true);
    init(without.as_mut_ptr(), false);
    for number in 0..size_of::<T>() / size_of::<u32>() {
        // SAFETY: all bytes of the objects are initialized, and they are aligned to words.
        let (with, without) = unsafe {
            (
                with.as_ptr().cast::<u32>().add(number).read(),
                without.as_ptr().cast::<u32>().add(number).read(),
            )
        };
        let bits = with & !without;
        if bits != 0 {
            return (number as u64) << 32 | u64::from(bits);
        }
    }
    // No bits: no object has the option.
    0
}

const fn sharing(is_shared: bool) -> c_int {
    match is_shared {
        true => libc::PTHREAD_PROCESS_SHARED,
        false => libc::PTHREAD_PROCESS_PRIVATE,
    }
}

/// Defines a function that asks for an option of an object with attributes.
macro_rules! option {
    (
        $(#[$doc:meta])*
        fn $name:ident($object:ty), $attributes:ty,
        $init_attributes:ident, $set:ident($value:expr), $init:ident
    ) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// The object is valid.
        pub(super) unsafe fn $name(object: *const $object) -> bool {
            static FLAG: Flag = Flag::new();
            let init = |object: *mut $object, is_set: bool| {
                let mut attributes = MaybeUninit::<$attributes>::uninit();
                // SAFETY: each object is initialized before it is used.
                unsafe {
                    libc::$init_attributes(attributes.as_mut_ptr());
                    libc::$set(attributes.as_mut_ptr(), $value(is_set));
                    libc::$init(object, attributes.as_ptr());
                }
            };
            // SAFETY: valid (caller).
            unsafe { FLAG.is_set(object, init) }
        }
    };
}

option! {
    /// Whether processes share a mutex.
    fn is_shared_mutex(pthread_mutex_t), libc::pthread_mutexattr_t,
    pthread_mutexattr_init, pthread_mutexattr_setpshared(sharing), pthread_mutex_init
}

option! {
    /// Whether processes share a condition variable.
    fn is_shared_condvar(pthread_cond_t), libc::pthread_condattr_t,
    pthread_condattr_init, pthread_condattr_setpshared(sharing), pthread_cond_init
}

option! {
    /// Whether the deadlines of a condition variable are times of the monotonic clock.
    fn is_monotonic(pthread_cond_t), libc::pthread_condattr_t,
    pthread_condattr_init, pthread_condattr_setclock(clock), pthread_cond_init
}

option! {
    /// Whether processes share a read-write lock.
    fn is_shared_rwlock(pthread_rwlock_t), libc::pthread_rwlockattr_t,
    pthread_rwlockattr_init, pthread_rwlockattr_setpshared(sharing), pthread_rwlock_init
}

/// Returns the clock of a condition variable that is monotonic, or is not.
const fn clock(is_monotonic: bool) -> libc::clockid_t {
    match is_monotonic {
        true => libc::CLOCK_MONOTONIC,
        false => libc::CLOCK_REALTIME,
    }
}

/// Whether processes share a semaphore.
///
/// # Safety
///
/// The object is valid.
pub(super) unsafe fn is_shared_semaphore(object: *const sem_t) -> bool {
    static FLAG: Flag = Flag::new();
    let init = |object: *mut sem_t, is_shared: bool| {
        // SAFETY: the memory is valid.
        unsafe { libc::sem_init(object, c_int::from(is_shared), 0) };
    };
    // SAFETY: valid (caller).
    unsafe { FLAG.is_set(object, init) }
}
