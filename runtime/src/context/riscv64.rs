//! The context switch on 64-bit RISC-V.
//!
//! In a switch, `a0` is the context that is suspended, and `a1` the one that is continued. In a
//! prepared context, `s1` holds the argument, and `s0` the entry function.

use std::arch::{asm, naked_asm};

use super::native::Context;

#[inline(always)]
pub(crate) unsafe fn switch(from: *mut Context, to: *mut Context) -> *mut Context {
    let arrived;
    // SAFETY:
    // - the values that are loaded were stored by `prepare` or by this code (caller). So the stack
    //   and the address are those of a suspended computation of this OS thread.
    // - every register that the compiler can name is declared as clobbered, including the
    //   floating-point registers. gp and tp belong to the OS thread and are not touched.
    // - nothing is pushed.
    unsafe {
        asm!(
            "lla a2, 2f",
            "sd sp, 0(a0)",
            "sd s0, 8(a0)",
            "sd s1, 16(a0)",
            "sd a2, 24(a0)",
            "ld sp, 0(a1)",
            "ld s0, 8(a1)",
            "ld s1, 16(a1)",
            "ld a2, 24(a1)",
            "jr a2",
            "2:",
            inout("a0") from => _,
            inout("a1") to => arrived,
            lateout("ra") _,
            lateout("s2") _,
            lateout("s3") _,
            lateout("s4") _,
            lateout("s5") _,
            lateout("s6") _,
            lateout("s7") _,
            lateout("s8") _,
            lateout("s9") _,
            lateout("s10") _,
            lateout("s11") _,
            lateout("fs0") _,
            lateout("fs1") _,
            lateout("fs2") _,
            lateout("fs3") _,
            lateout("fs4") _,
            lateout("fs5") _,
            lateout("fs6") _,
            lateout("fs7") _,
            lateout("fs8") _,
            lateout("fs9") _,
            lateout("fs10") _,
            lateout("fs11") _,
            clobber_abi("C"),
        );
    }
    arrived
}

/// The outermost frame of a prepared stack; see `x86_64.rs`.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn trampoline() -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined ra",
        "mv a0, s1",
        "mv a1, s0",
        "li s0, 0",
        "lla ra, 2f",
        "jr a1",
        "nop",
        "2:",
        "unimp",
        ".cfi_endproc",
    )
}
