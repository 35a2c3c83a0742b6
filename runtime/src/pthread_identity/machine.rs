//! The thread pointer, and system calls that use no thread local.

use std::arch::asm;

/// The register through which all state of the current thread is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadPointer(usize);

impl ThreadPointer {
    /// Returns the current one.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        let address: usize;
        // SAFETY: the ABI keeps the thread pointer there. On x86_64 it is the address of a word that
        // contains that address. Nothing is written.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!("mov {}, fs:0", out(reg) address, options(nostack, preserves_flags, readonly));
            #[cfg(target_arch = "aarch64")]
            asm!("mrs {}, tpidr_el0", out(reg) address, options(nostack, preserves_flags, nomem));
        }
        Self(address)
    }

    /// Makes this the current one.
    ///
    /// # Safety
    ///
    /// - It belongs to a live thread, or to an identity, of this process, which runs nowhere else.
    /// - The calling function, and those that it is inlined into, use no thread local
    ///   ([no-tls-across-a-change]).
    /// - The processor allows it: [`super::check`] has returned `Ok`.
    #[inline(always)]
    pub(crate) unsafe fn set(self) {
        // SAFETY: the code that runs next finds the state of the thread that it expects (caller).
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!("wrfsbase {}", in(reg) self.0, options(nostack, preserves_flags));
            #[cfg(target_arch = "aarch64")]
            asm!("msr tpidr_el0, {}", in(reg) self.0, options(nostack, preserves_flags));
        }
    }

    pub(super) fn address(self) -> usize {
        self.0
    }

    /// Returns the address at `offset` from it.
    pub(super) fn at<T>(self, offset: isize) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.0.wrapping_add_signed(offset))
    }

    /// Returns the distance from it to `address`.
    pub(super) fn offset_of<T>(self, address: *const T) -> isize {
        address.addr().wrapping_sub(self.0).cast_signed()
    }
}

/// Makes a system call, without a C function: it sets no `errno`, and no cancellation point or hook is
/// involved.
///
/// # Safety
///
/// As for the system call.
#[inline(always)]
pub(super) unsafe fn system_call(number: libc::c_long, [a, b, c, d]: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the registers are those of the kernel's ABI, and the call is sound (caller).
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("syscall", inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            lateout("rcx") _, lateout("r11") _, options(nostack));
        #[cfg(target_arch = "aarch64")]
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, options(nostack));
    }
    result
}
