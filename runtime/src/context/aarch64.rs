//! The context switch on 64-bit Arm, with the calling convention AAPCS64.
//!
//! In a switch, `x0` is the context that is suspended, and `x1` the one that is continued. In a
//! prepared context, `x19` holds the argument, and `x29` the entry function.

use std::arch::{asm, naked_asm};

use super::native::Context;

#[inline(always)]
pub(crate) unsafe fn switch(from: *mut Context, to: *mut Context) -> *mut Context {
    let arrived;
    // SAFETY:
    // - the values that are loaded were stored by `prepare` or by this code (caller). So the stack
    //   and the address are those of a suspended computation of this OS thread.
    // - every register that the compiler can name is declared as clobbered, including the low
    //   halves of v8-v15. x18 belongs to the platform and is not touched.
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
            // `bti j`: if branch targets are enforced, a jump must land on this instruction.
            // Otherwise it is a nop.
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

/// The outermost frame of a prepared stack; see `x86_64.rs`.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn trampoline() -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined x30",
        "hint #36",
        "mov x0, x19",
        // If branch targets are enforced, a jump to a function must use x16 or x17.
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
