//! System V `x86_64`. Register roles in a switch: `rsi` the context continued, any other the one left;
//! in a first context: `rbx` the argument, `rbp` the entry function.

use std::arch::{asm, naked_asm};

use super::native::Context;

#[inline(always)]
pub(crate) unsafe fn switch(from: *mut Context, to: *mut Context) -> *mut Context {
    let arrived;
    // SAFETY:
    // - what is loaded was stored by `prepare` or by this very code (caller), so the stack and the
    //   address are those of a suspended computation of this OS thread;
    // - every register that the compiler can name is declared clobbered, and the four that it
    //   cannot are stored and loaded: the code behind the label finds what it left;
    // - nothing is pushed, the flags and the direction flag are as the ABI wants them.
    unsafe {
        asm!(
            "lea rax, [rip + 2f]",
            "mov [{from}], rsp",
            "mov [{from} + 8], rbp",
            "mov [{from} + 16], rbx",
            "mov [{from} + 24], rax",
            "mov rsp, [rsi]",
            "mov rbp, [rsi + 8]",
            "mov rbx, [rsi + 16]",
            "jmp [rsi + 24]",
            "2:",
            // With indirect-branch tracking a jump must land on this; elsewhere it is a nop.
            "endbr64",
            from = in(reg) from,
            inout("rsi") to => arrived,
            // Written while `from` is still needed.
            out("rax") _,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("C"),
        );
    }
    arrived
}

/// The frame below which there is none. Entered by a jump, and left by one: a call that never returns
/// would shift all that the return predictor knows of the other stacks.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn trampoline() -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "endbr64",
        "mov rdi, rbx",
        "mov rax, rbp",
        "xor ebp, ebp",
        "lea rcx, [rip + 2f]",
        "push rcx",
        "jmp rax",
        "nop",
        "2:",
        // `entry` does not return. The trap also keeps the return address inside this function.
        "ud2",
        ".cfi_endproc",
    )
}
