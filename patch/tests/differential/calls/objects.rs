//! Mutexes, conditions, read-write locks and semaphores, used by one thread. No call waits for
//! another thread.

use std::ffi::c_int;
use std::ptr;

use libc::{clockid_t, pthread_mutex_t, timespec};

use crate::memory::time;
use crate::round::Round;

unsafe extern "C" {
    fn pthread_mutex_clocklock(
        mutex: *mut pthread_mutex_t,
        clock: clockid_t,
        until: *const timespec,
    ) -> c_int;
    fn pthread_cond_clockwait(
        condition: *mut libc::pthread_cond_t,
        mutex: *mut pthread_mutex_t,
        clock: clockid_t,
        until: *const timespec,
    ) -> c_int;
    fn sem_clockwait(
        semaphore: *mut libc::sem_t,
        clock: clockid_t,
        until: *const timespec,
    ) -> c_int;
    fn pthread_rwlock_timedrdlock(
        lock: *mut libc::pthread_rwlock_t,
        until: *const timespec,
    ) -> c_int;
    fn pthread_rwlock_timedwrlock(
        lock: *mut libc::pthread_rwlock_t,
        until: *const timespec,
    ) -> c_int;
    fn pthread_mutexattr_setprotocol(
        attributes: *mut libc::pthread_mutexattr_t,
        protocol: c_int,
    ) -> c_int;
}

const CLOCKS: &[clockid_t] = &[
    libc::CLOCK_REALTIME,
    libc::CLOCK_MONOTONIC,
    libc::CLOCK_BOOTTIME,
    libc::CLOCK_THREAD_CPUTIME_ID,
    -1,
];

pub(crate) fn mutex(round: &mut Round) {
    let kind = round.random.choose(&[
        libc::PTHREAD_MUTEX_NORMAL,
        libc::PTHREAD_MUTEX_RECURSIVE,
        libc::PTHREAD_MUTEX_ERRORCHECK,
    ]);
    let (robust, inherits) = (round.random.once_in(3), round.random.once_in(3));
    let shared = round.random.once_in(4);
    round.note(&format!("    mutex {kind} {robust} {inherits} {shared}\n"));
    // SAFETY: all zeros is a valid value, and the pointers are valid.
    let (mut mutex, mut condition) = unsafe {
        let mut attributes = std::mem::zeroed();
        libc::pthread_mutexattr_init(&raw mut attributes);
        libc::pthread_mutexattr_settype(&raw mut attributes, kind);
        libc::pthread_mutexattr_setrobust(&raw mut attributes, robust.into());
        libc::pthread_mutexattr_setpshared(&raw mut attributes, shared.into());
        if inherits {
            pthread_mutexattr_setprotocol(&raw mut attributes, 1);
        }
        let mut mutex: pthread_mutex_t = std::mem::zeroed();
        libc::pthread_mutex_init(&raw mut mutex, &raw const attributes);
        (mutex, libc::PTHREAD_COND_INITIALIZER)
    };
    let (mutex, condition) = (&raw mut mutex, &raw mut condition);
    let is_checked = kind != libc::PTHREAD_MUTEX_NORMAL;
    let mut locks = 0_u32;
    for _ in 0..8 {
        let until = time(round);
        let clock = round.random.choose(CLOCKS);
        let at = &raw const until;
        let result = match round.random.below(7) {
            // One that is not checked would wait for itself.
            0 if is_checked || locks == 0 => call!(round, "lock", libc::pthread_mutex_lock(mutex)),
            1 => call!(round, "trylock", libc::pthread_mutex_trylock(mutex)),
            2 => {
                let text = format!("timedlock({until:?})");
                call!(round, text, libc::pthread_mutex_timedlock(mutex, at))
            }
            3 => {
                let text = format!("clocklock({clock}, {until:?})");
                call!(round, text, pthread_mutex_clocklock(mutex, clock, at))
            }
            // Only a checked one may be unlocked too often.
            4 if is_checked || locks > 0 => {
                let result = call!(round, "unlock", libc::pthread_mutex_unlock(mutex));
                locks -= u32::from(result == 0);
                1
            }
            5 if locks == 1 => {
                let text = format!("timedwait({until:?})");
                call!(
                    round,
                    text,
                    libc::pthread_cond_timedwait(condition, mutex, at)
                );
                1
            }
            6 if locks == 1 => {
                let text = format!("clockwait({clock}, {until:?})");
                call!(
                    round,
                    text,
                    pthread_cond_clockwait(condition, mutex, clock, at)
                );
                1
            }
            _ => 1,
        };
        locks += u32::from(result == 0);
    }
    for _ in 0..locks {
        call!(round, "unlock", libc::pthread_mutex_unlock(mutex));
    }
    call!(round, "destroy", libc::pthread_mutex_destroy(mutex));
}

pub(crate) fn rwlock(round: &mut Round) {
    let mut lock = libc::PTHREAD_RWLOCK_INITIALIZER;
    let lock = &raw mut lock;
    let (mut readers, mut is_written) = (0_u32, false);
    round.note("    rwlock\n");
    for _ in 0..8 {
        let until = time(round);
        let at = &raw const until;
        let text = format!("timed({until:?})");
        let reads = match round.random.below(7) {
            0 if readers == 0 || is_written => {
                is_written |= call!(round, "wrlock", libc::pthread_rwlock_wrlock(lock)) == 0;
                1
            }
            1 => call!(round, "rdlock", libc::pthread_rwlock_rdlock(lock)),
            2 => {
                is_written |= call!(round, "trywrlock", libc::pthread_rwlock_trywrlock(lock)) == 0;
                1
            }
            3 => call!(round, "tryrdlock", libc::pthread_rwlock_tryrdlock(lock)),
            4 => {
                is_written |= call!(round, text, pthread_rwlock_timedwrlock(lock, at)) == 0;
                1
            }
            5 => call!(round, text, pthread_rwlock_timedrdlock(lock, at)),
            6 if is_written || readers > 0 => {
                call!(round, "unlock", libc::pthread_rwlock_unlock(lock));
                readers = readers.saturating_sub(1);
                is_written = false;
                1
            }
            _ => 1,
        };
        readers += u32::from(reads == 0);
    }
}

pub(crate) fn semaphore(round: &mut Round) {
    // SAFETY: all zeros is a valid value, and the pointer is valid.
    let mut semaphore: libc::sem_t = unsafe { std::mem::zeroed() };
    let semaphore = &raw mut semaphore;
    let value = round.random.choose(&[0, 1, 2, i32::MAX as u32, u32::MAX]);
    let text = format!("sem_init({value})");
    if call!(round, text, libc::sem_init(semaphore, 0, value)) != 0 {
        return;
    }
    for _ in 0..6 {
        let until = time(round);
        let clock = round.random.choose(CLOCKS);
        let at = &raw const until;
        match round.random.below(4) {
            0 => call!(round, "sem_post", libc::sem_post(semaphore)),
            1 => call!(round, "sem_trywait", libc::sem_trywait(semaphore)),
            2 => {
                let text = format!("sem_timedwait({until:?})");
                call!(round, text, libc::sem_timedwait(semaphore, at))
            }
            _ => {
                let text = format!("sem_clockwait({clock}, {until:?})");
                call!(round, text, sem_clockwait(semaphore, clock, at))
            }
        };
    }
}

pub(crate) fn thread(round: &mut Round) {
    // SAFETY: the functions have no preconditions.
    let own = unsafe { libc::pthread_self() };
    let mut name = [0_u8; 32];
    let long = round.random.choose(&[
        c"short",
        c"exactly fifteen",
        c"longer than fifteen bytes",
        c"",
    ]);
    let size = round.random.choose(&[0, 3, 16, 32]);
    let buffer = name.as_mut_ptr().cast();
    call!(
        round,
        "join oneself",
        libc::pthread_join(own, ptr::null_mut())
    );
    call!(
        round,
        format!("setname({long:?})"),
        libc::pthread_setname_np(own, long.as_ptr())
    );
    call!(
        round,
        format!("getname({size})"),
        libc::pthread_getname_np(own, buffer, size)
    );
    call!(
        round,
        "setname",
        libc::pthread_setname_np(own, c"test".as_ptr())
    );
    call!(round, "no signal", libc::pthread_kill(own, 0));
    call!(round, "a wrong signal", libc::pthread_kill(own, 99));
    let (mut policy, mut parameters) = (9, libc::sched_param { sched_priority: 9 });
    call!(
        round,
        "getschedparam",
        libc::pthread_getschedparam(own, &raw mut policy, &raw mut parameters)
    );
    round.note(&format!("; {policy} {}", parameters.sched_priority));
    let mut set = [0_u64; 128];
    let size = round.random.choose(&[0, 1, 8, 1024]);
    let text = format!("getaffinity({size})");
    call!(
        round,
        text,
        libc::pthread_getaffinity_np(own, size, set.as_mut_ptr().cast())
    );
    round.note(&format!("; {}", set[0]));
}
