//! Futexes: what std, Rust's lock crates and C++'s atomics wait with, through the function `syscall`.
//!
//! A green thread waits in evy's own table ([`wait_table`]), where green threads and OS threads wake
//! it. OS threads wait in the kernel. A wake looks in the table first, and wakes the remainder in the
//! kernel.

use std::ffi::{c_int, c_long};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::time::Instant;

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::{Caller, has_scheduler};
use libc::timespec;

use super::futex2;
use super::system::{self, fail, returned};
use super::time::{duration, remaining_until};
use super::unpatched::{self, Call};
use super::wait_table::{self, Key};
use super::waits::{self, Outcome};
use crate::Categories;

/// The newer calls have numbers from here on.
const FIRST_OF_FUTEX2: c_long = libc::SYS_futex_waitv;

/// The arguments of the system call.
#[derive(Clone, Copy)]
struct Arguments {
    address: usize,
    operation: c_int,
    value: u32,
    /// A pointer to a `timespec`, or another number.
    fourth: usize,
    second_address: usize,
    bits: u32,
}

/// Replaces `syscall`.
///
/// The function of the C library is variadic. Its arguments are passed like those of a function with
/// six words, on all architectures that this crate supports. Arguments that a caller has not passed are
/// undefined, and no system call reads them.
///
/// # Safety
///
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if number == libc::SYS_futex {
        let arguments = Arguments {
            address: a,
            operation: b as c_int,
            value: c as u32,
            fourth: d,
            second_address: e,
            bits: f as u32,
        };
        // SAFETY: as for the function of the C library (caller).
        return unsafe { futex(arguments) } as c_long;
    }
    // SAFETY: as for the function of the C library (caller).
    unsafe {
        let result = match number {
            FIRST_OF_FUTEX2.. => futex2::call(number, [a, b, c, d, e, f]),
            _ => None,
        };
        let real = || returned(system::call(number, [a, b, c, d, e, f]));
        result.unwrap_or_else(real) as c_long
    }
}

impl Arguments {
    /// Makes the system call.
    unsafe fn call(self) -> isize {
        // SAFETY: as for the function of the C library (caller).
        let result = unsafe {
            system::call(
                libc::SYS_futex,
                [
                    self.address,
                    self.operation as usize,
                    self.value as usize,
                    self.fourth,
                    self.second_address,
                    self.bits as usize,
                ],
            )
        };
        returned(result)
    }
}

unsafe fn futex(arguments: Arguments) -> isize {
    let flags = libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME;
    // SAFETY: as for the function of the C library (caller).
    unsafe {
        match arguments.operation & !flags {
            libc::FUTEX_WAIT => wait(arguments, u32::MAX, true),
            libc::FUTEX_WAIT_BITSET => wait(arguments, arguments.bits, false),
            libc::FUTEX_WAKE => wake(arguments, u32::MAX),
            libc::FUTEX_WAKE_BITSET => wake(arguments, arguments.bits),
            libc::FUTEX_REQUEUE | libc::FUTEX_CMP_REQUEUE => {
                let moved = arguments.call();
                moved + wake_instead_of_moving(arguments.address, moved)
            }
            libc::FUTEX_WAKE_OP => wake_op(arguments),
            operation => {
                note(operation);
                arguments.call()
            }
        }
    }
}

/// Notes that an operation blocks the OS thread. The kernel must know the thread that waits, and gives it
/// the lock.
fn note(operation: c_int) {
    match operation {
        libc::FUTEX_LOCK_PI => unpatched::note(Call::LockPi),
        libc::FUTEX_LOCK_PI2 => unpatched::note(Call::LockPi2),
        libc::FUTEX_WAIT_REQUEUE_PI => unpatched::note(Call::WaitRequeuePi),
        _ => {}
    }
}

unsafe fn wait(arguments: Arguments, bits: u32, is_relative: bool) -> isize {
    let is_valid =
        bits != 0 && arguments.address != 0 && arguments.address.is_multiple_of(align_of::<u32>());
    let caller = super::caller::current(Categories::THREAD).filter(|_| is_valid);
    let Some(caller) = caller else {
        // SAFETY: as for the function of the C library (caller).
        return while_blocked(|| unsafe { arguments.call() });
    };
    // SAFETY: a pointer to a `timespec`, or null (caller).
    let time = unsafe { (arguments.fourth as *const timespec).as_ref() };
    let timeout = match time {
        None => None,
        Some(time) if is_relative => duration(time),
        Some(time) => {
            let clock = match arguments.operation & libc::FUTEX_CLOCK_REALTIME {
                0 => libc::CLOCK_MONOTONIC,
                _ => libc::CLOCK_REALTIME,
            };
            duration(time).map(|at| remaining_until(clock, at))
        }
    };
    if time.is_some() && timeout.is_none() {
        return fail(libc::EINVAL);
    }
    let wait = Wait {
        address: arguments.address,
        value: arguments.value,
        bits,
        deadline: timeout.and_then(|timeout| caller.deadline_after(timeout)),
        is_shared: arguments.operation & libc::FUTEX_PRIVATE_FLAG == 0,
    };
    // SAFETY: as for the function of the C library (caller).
    unsafe { wait_for(caller, wait) }
}

/// A wait for a word to be changed.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    pub(super) address: usize,
    pub(super) value: u32,
    pub(super) bits: u32,
    pub(super) deadline: Option<Instant>,
    pub(super) is_shared: bool,
}

/// # Safety
///
/// The address is aligned, and that of a word.
pub(super) unsafe fn wait_for(caller: Caller, wait: Wait) -> isize {
    let reason = WaitReason::CallOnObject(&"futex", wait.address);
    // SAFETY: valid (caller).
    let is_due = || unsafe { load(wait.address) } == wait.value;
    match waits::wait(
        caller.into(),
        Key::Futex(wait.address),
        wait.bits,
        reason,
        wait.deadline,
        wait.is_shared,
        is_due,
        || (),
    ) {
        Outcome::NotBegun => fail(libc::EAGAIN),
        Outcome::Woken => 0,
        Outcome::TimedOut => fail(libc::ETIMEDOUT),
        Outcome::Deadlocked => fail(libc::EDEADLK),
    }
}

/// Loads the word that a program waits for. It accesses the word atomically itself.
///
/// # Safety
///
/// The address is aligned, and that of a word.
pub(super) unsafe fn load(address: usize) -> u32 {
    // SAFETY: valid (caller).
    unsafe { &*(address as *const AtomicU32) }.load(SeqCst)
}

unsafe fn wake(arguments: Arguments, bits: u32) -> isize {
    // The kernel takes a number that is not positive for one.
    let most = usize::try_from(arguments.value.cast_signed())
        .unwrap_or(1)
        .max(1);
    wake_both(arguments.address, most, bits, |rest| {
        let rest = Arguments {
            value: rest as u32,
            ..arguments
        };
        // SAFETY: as for the function of the C library (caller).
        unsafe { rest.call() }
    })
}

/// The number of OS threads with a scheduler that wait in the kernel.
static BLOCKED: AtomicUsize = AtomicUsize::new(0);

/// Makes a call that may wait in the kernel for a word.
pub(super) fn while_blocked(call: impl FnOnce() -> isize) -> isize {
    if !has_scheduler() {
        return call();
    }
    BLOCKED.fetch_add(1, SeqCst);
    let result = call();
    BLOCKED.fetch_sub(1, SeqCst);
    result
}

/// Wakes up to `most` green threads, and the remainder in the kernel by `in_kernel`.
///
/// The runtime itself may wait for a lock in the kernel, such as that of the allocator, while one of its
/// green threads waits for the same lock in the table. If that one is woken, it cannot run before the
/// other. Then the kernel wakes as many, which a waiter must expect.
pub(super) fn wake_both(
    address: usize,
    most: usize,
    bits: u32,
    in_kernel: impl FnOnce(usize) -> isize,
) -> isize {
    let woken = wait_table::wake(Key::Futex(address), most, bits);
    let rest = match woken {
        0 => most,
        _ if BLOCKED.load(SeqCst) > 0 => most,
        _ if woken < most => most - woken,
        _ => return woken.cast_signed(),
    };
    match in_kernel(rest) {
        error if error < 0 => error,
        others => (others + woken.cast_signed()).min(most.cast_signed()),
    }
}

/// Wakes all green threads that wait at an address from which `moved` others have been moved or woken, or
/// none because of an error. Returns their number. A waiter must expect to be woken for nothing.
pub(super) fn wake_instead_of_moving(address: usize, moved: isize) -> isize {
    match moved {
        ..0 => 0,
        _ => wait_table::wake(Key::Futex(address), usize::MAX, u32::MAX).cast_signed(),
    }
}

/// Wakes at two addresses. The kernel changes the word at the second, and its old value decides about
/// the wake there. Green threads are woken in either case, which a waiter must expect.
unsafe fn wake_op(arguments: Arguments) -> isize {
    // SAFETY: as for the function of the C library (caller).
    let result = unsafe { arguments.call() };
    if result < 0 {
        return result;
    }
    let woken = [arguments.address, arguments.second_address]
        .map(|address| wait_table::wake(Key::Futex(address), usize::MAX, u32::MAX));
    result + (woken[0] + woken[1]).cast_signed()
}
