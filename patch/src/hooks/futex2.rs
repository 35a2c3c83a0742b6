//! The newer system calls for futexes: one for each operation, and a wait for several words.

use std::ffi::c_long;
use std::time::Instant;

use evy_runtime::lowlevel::WaitReason;
use evy_runtime::lowlevel::hooks::Caller;
use libc::{clockid_t, timespec};

use super::futex::{self, Wait};
use super::system::{self, fail, returned};
use super::time::{duration, remaining_until};
use super::wait_table::Key;
use super::waits::{self, AnyOutcome, SHARED_WAIT};
use crate::Categories;

/// The numbers of these calls, which are the same on all architectures.
const WAITV: c_long = 449;
const WAKE: c_long = 454;
const WAIT: c_long = 455;
const REQUEUE: c_long = 456;

/// Flags of a word: it has 32 bits, and other processes do not use it. The kernel knows no other size.
const SIZE_32: usize = 2;
const PRIVATE: usize = 128;

/// The maximum number of words that a call waits for.
const MOST_WORDS: usize = 128;

/// A word to wait for, as the kernel defines it.
#[repr(C)]
struct Word {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

impl Word {
    fn is_valid(&self) -> bool {
        self.reserved == 0 && has_32_bits(self.flags as usize) && is_aligned(self.address as usize)
    }
}

fn has_32_bits(flags: usize) -> bool {
    flags & !PRIVATE == SIZE_32
}

fn is_aligned(address: usize) -> bool {
    address != 0 && address.is_multiple_of(align_of::<u32>())
}

/// Makes the call if it is one of these. The kernel answers whatever is invalid.
///
/// # Safety
///
/// As for the system call.
pub(super) unsafe fn call(number: c_long, arguments: [usize; 6]) -> Option<isize> {
    // SAFETY: as for the system call (caller).
    unsafe {
        let real = || returned(system::call(number, arguments));
        Some(match number {
            WAIT => wait(arguments).unwrap_or_else(|| futex::while_blocked(real)),
            WAITV => wait_for_any(arguments).unwrap_or_else(|| futex::while_blocked(real)),
            WAKE => {
                let [address, bits, most, flags, ..] = arguments;
                let is_valid = has_32_bits(flags) && is_aligned(address);
                let most = most as u32 as usize;
                let in_kernel =
                    |most| returned(system::call(number, [address, bits, most, flags, 0, 0]));
                match is_valid {
                    true => futex::wake_both(address, most, bits as u32, in_kernel),
                    false => in_kernel(most),
                }
            }
            REQUEUE => {
                let moved = real();
                match (arguments[0] as *const Word).as_ref() {
                    None => moved,
                    Some(from) => {
                        moved + futex::wake_instead_of_moving(from.address as usize, moved)
                    }
                }
            }
            _ => return None,
        })
    }
}

/// Returns when a wait ends that has this time and clock. `None` if they are invalid.
///
/// # Safety
///
/// `time` is valid or null.
unsafe fn deadline(caller: Caller, time: usize, clock: usize) -> Option<Option<Instant>> {
    let clock = clock as clockid_t;
    // SAFETY: valid (caller).
    let Some(time) = (unsafe { (time as *const timespec).as_ref() }) else {
        return Some(None);
    };
    if !matches!(clock, libc::CLOCK_MONOTONIC | libc::CLOCK_REALTIME) {
        return None;
    }
    Some(caller.deadline_after(remaining_until(clock, duration(time)?)))
}

/// Returns `None` if the kernel is to make the call.
unsafe fn wait([address, value, bits, flags, time, clock]: [usize; 6]) -> Option<isize> {
    let caller = super::caller::current(Categories::THREAD)?;
    let value = u32::try_from(value).ok()?;
    let bits = u32::try_from(bits).ok().filter(|bits| *bits != 0)?;
    if !has_32_bits(flags) || !is_aligned(address) {
        return None;
    }
    // SAFETY: as for the system call (caller).
    unsafe {
        let wait = Wait {
            address,
            value,
            bits,
            deadline: deadline(caller, time, clock)?,
            is_shared: flags & PRIVATE == 0,
        };
        Some(futex::wait_for(caller, wait))
    }
}

/// Returns `None` if the kernel is to make the call.
unsafe fn wait_for_any([words, count, flags, time, clock, _]: [usize; 6]) -> Option<isize> {
    let caller = super::caller::current(Categories::THREAD)?;
    if words == 0 || flags != 0 || !(1..=MOST_WORDS).contains(&count) {
        return None;
    }
    // SAFETY: as for the system call (caller).
    let (words, deadline) = unsafe {
        let words = std::slice::from_raw_parts(words as *const Word, count);
        (words, deadline(caller, time, clock)?)
    };
    if !words.iter().all(Word::is_valid) {
        return None;
    }
    let is_private = |word: &Word| word.flags as usize & PRIVATE != 0;
    let first = match words.iter().all(is_private) {
        true => deadline,
        false => deadline
            .into_iter()
            .chain(caller.deadline_after(SHARED_WAIT))
            .min(),
    };
    let keys = words.iter().map(|word| Key::Futex(word.address as usize));
    let reason = WaitReason::CallOnObject(&"futex_waitv", words[0].address as usize);
    let outcome = waits::wait_for_any(caller, keys, reason, first, |number| {
        let word = &words[number];
        // SAFETY: as for the system call (caller). It is aligned.
        let value = unsafe { futex::load(word.address as usize) };
        u64::from(value) == word.value
    });
    Some(match outcome {
        AnyOutcome::Woken(number) => number.cast_signed(),
        AnyOutcome::NotBegun => fail(libc::EAGAIN),
        AnyOutcome::TimedOut if first != deadline => 0,
        AnyOutcome::TimedOut => fail(libc::ETIMEDOUT),
        AnyOutcome::Deadlocked => fail(libc::EDEADLK),
    })
}
