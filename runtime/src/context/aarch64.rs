//! AAPCS64. Register roles in a switch: `x0` the context left, `x1` the one continued; in a first
//! context: `x19` the argument, `x29` the entry function.

use std::arch::{asm, naked_asm};

use super::native::Context;

#[inline(always)]
pub(crate) unsafe fn switch(from: *mut Context, to: *mut Context) -> *mut Context {
    let arrived;
    // SAFETY:
    // - what is loaded was stored by `prepare` or by this very code (caller), so the stack and the
    //   address are those of a suspended computation of this OS thread;
    // - every register that the compiler can name is declared clobbered, the low halves of v8-v15
    //   included; x18 belongs to the platform and is left alone;
    // - nothing is pushed.
    unsafe {
        asm!(
            "adr x2, 2f",
            "mov x3, sp",
            "stp x3, x29, [x0]",
            "stp x19, x2, [x0, #16]",
            "ldp x3, x29, [x1]",
            "ldp x19, x2, [x1, #16]",
            "mov sp, x3",
            "br x2",
            "2:",
            // `bti j`: with branch targets enforced a jump must land on this; elsewhere a nop.
            "hint #36",
            inout("x0") from => _,
            inout("x1") to => arrived,
            lateout("x20") _,
            lateout("x21") _,
            lateout("x22") _,
            lateout("x23") _,
            lateout("x24") _,
            lateout("x25") _,
            lateout("x26") _,
            lateout("x27") _,
            lateout("x28") _,
            lateout("x30") _,
            lateout("v8") _,
            lateout("v9") _,
            lateout("v10") _,
            lateout("v11") _,
            lateout("v12") _,
            lateout("v13") _,
            lateout("v14") _,
            lateout("v15") _,
            clobber_abi("C"),
        );
    }
    arrived
}

/// The frame below which there is none: see `x86_64.rs`.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn trampoline() -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined x30",
        "hint #36",
        "mov x0, x19",
        // With branch targets enforced, a jump to a function must go through this register.
        "mov x16, x29",
        "mov x29, xzr",
        "adr x30, 2f",
        "br x16",
        "nop",
        "2:",
        "brk #1",
        ".cfi_endproc",
    )
}
