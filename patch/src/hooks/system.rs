//! Bare system calls: no hook, no cancellation point, and no `errno` unless asked for.

use std::arch::asm;
use std::ffi::{c_int, c_long};

/// Makes a system call. Returns what the kernel returns: an error is negative.
///
/// # Safety
///
/// As for the system call.
#[inline(always)]
pub(super) unsafe fn call(number: c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the registers are those of the kernel's ABI, and the call is sound (caller).
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("syscall", inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _, options(nostack));
        #[cfg(target_arch = "aarch64")]
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f, options(nostack));
    }
    result
}

/// Makes a system call whose arguments are numbers or pointers: `system_call!(SYS_close, fd)`.
macro_rules! system_call {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        $crate::hooks::system::call(
            libc::$number,
            $crate::hooks::system::words([
                $($crate::hooks::system::Argument::into_word($argument)),*
            ]),
        )
    };
}
pub(super) use system_call;

/// Fills the arguments of a system call up.
#[inline(always)]
pub(super) fn words<const N: usize>(given: [usize; N]) -> [usize; 6] {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&given);
    all
}

/// What fits into a register.
pub(super) trait Argument {
    fn into_word(self) -> usize;
}

macro_rules! argument {
    ($($type:ty),*) => {
        $(
            impl Argument for $type {
                #[inline(always)]
                fn into_word(self) -> usize {
                    self as usize
                }
            }
        )*
    };
}
argument!(i32, u32, i64, u64, isize);

impl Argument for usize {
    #[inline(always)]
    fn into_word(self) -> usize {
        self
    }
}

impl<T> Argument for *const T {
    #[inline(always)]
    fn into_word(self) -> usize {
        self.expose_provenance()
    }
}

impl<T> Argument for *mut T {
    #[inline(always)]
    fn into_word(self) -> usize {
        self.expose_provenance()
    }
}

/// The error for a call that would block, as the kernel returns it.
pub(super) const WOULD_BLOCK: isize = -(libc::EAGAIN as isize);

/// Returns the result of a system call as the C library does: `errno` has the error.
#[inline]
pub(super) fn returned(result: isize) -> isize {
    if (-4095..0).contains(&result) {
        fail(-result as c_int)
    } else {
        result
    }
}

/// Sets `errno` and returns -1.
#[cold]
pub(super) fn fail(errno: c_int) -> isize {
    set_errno(errno);
    -1
}

/// Returns `errno`. Not inlined, because the thread pointer may change between two calls.
#[inline(never)]
pub(super) fn errno() -> c_int {
    // SAFETY: the address is that of the calling thread.
    unsafe { *libc::__errno_location() }
}

/// Sets `errno`.
#[inline(never)]
pub(super) fn set_errno(errno: c_int) {
    // SAFETY: the address is that of the calling thread.
    unsafe { *libc::__errno_location() = errno };
}
