//! Futexes: what std, Rust's lock crates and C++'s atomics wait with, through the function `syscall`.
//!
//! A green thread waits in evy's own table ([`wait_table`]), where green threads and OS threads wake
//! it. OS threads wait in the kernel. A wake looks in the table first, and wakes the remainder in the
//! kernel.

use std::ffi::{c_int, c_long};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use evy_runtime::lowlevel::WaitReason;
use libc::timespec;

use super::system::{self, fail, returned};
use super::time::{duration, remaining_until};
use super::wait_table::{self, Key, Outcome};
use crate::Categories;

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
    returned(unsafe { system::call(number, [a, b, c, d, e, f]) }) as c_long
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
            // They are woken instead of moved, which a waiter must expect.
            libc::FUTEX_REQUEUE | libc::FUTEX_CMP_REQUEUE => {
                wait_table::wake(Key::Futex(arguments.address), usize::MAX, u32::MAX);
                arguments.call()
            }
            libc::FUTEX_WAKE_OP => wake_op(arguments),
            _ => arguments.call(),
        }
    }
}

unsafe fn wait(arguments: Arguments, bits: u32, is_relative: bool) -> isize {
    let is_valid =
        bits != 0 && arguments.address != 0 && arguments.address.is_multiple_of(align_of::<u32>());
    let caller = super::caller(Categories::THREAD).filter(|_| is_valid);
    let Some(caller) = caller else {
        // SAFETY: as for the function of the C library (caller).
        return unsafe { arguments.call() };
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
    let deadline = timeout.and_then(|timeout| caller.deadline_after(timeout));
    let is_shared = arguments.operation & libc::FUTEX_PRIVATE_FLAG == 0;
    // SAFETY: an address that a program waits at is valid, and it accesses the word atomically. It is
    // aligned, see above.
    let is_due =
        || unsafe { &*(arguments.address as *const AtomicU32) }.load(SeqCst) == arguments.value;
    let reason = WaitReason::CallOnObject(&"futex", arguments.address);
    let key = Key::Futex(arguments.address);
    match wait_table::wait(
        caller,
        key,
        bits,
        reason,
        deadline,
        is_shared,
        is_due,
        || (),
    ) {
        Outcome::NotBegun => fail(libc::EAGAIN),
        Outcome::Woken => 0,
        Outcome::TimedOut => fail(libc::ETIMEDOUT),
        Outcome::Deadlocked => fail(libc::EDEADLK),
    }
}

unsafe fn wake(arguments: Arguments, bits: u32) -> isize {
    // The kernel takes a number that is not positive for one.
    let most = usize::try_from(arguments.value.cast_signed())
        .unwrap_or(1)
        .max(1);
    let woken = wait_table::wake(Key::Futex(arguments.address), most, bits);
    if woken >= most {
        return woken.cast_signed();
    }
    let rest = Arguments {
        value: (most - woken) as u32,
        ..arguments
    };
    // SAFETY: as for the function of the C library (caller).
    match unsafe { rest.call() } {
        error if error < 0 => error,
        others => others + woken.cast_signed(),
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
