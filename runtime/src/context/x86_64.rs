//! The context switch on `x86_64`, with the System V calling convention.
//!
//! In a switch, `rsi` is the context that is continued. The context that is suspended is in any
//! other register. In a prepared context, `rbx` holds the argument, and `rbp` the entry function.

use std::arch::{asm, naked_asm};

use super::native::Context;

#[inline(always)]
pub(crate) unsafe fn switch(from: *mut Context, to: *mut Context) -> *mut Context {
    let arrived;
    // SAFETY:
    // - the values that are loaded were stored by `prepare` or by this code (caller). So the stack
    //   and the address are those of a suspended computation of this OS thread.
    // - every register that the compiler can name is declared as clobbered. The four that it cannot
    //   name are stored and loaded, so the code behind the label finds the values that it had
    //   before.
    // - nothing is pushed, and the flags, including the direction flag, are as the ABI requires.
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
            // With indirect-branch tracking, a jump must land on this instruction. Otherwise it is
            // a nop.
            "endbr64",
            from = in(reg) from,
            inout("rsi") to => arrived,
            // Not `lateout`: it is written while `from` is still needed.
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

/// The outermost frame of a prepared stack.
///
/// It is entered and left by a jump. A call that never returns would leave an entry in the
/// processor's return predictor, and so shift the predictions for all other stacks.
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
        // Never reached, because `entry` does not return. The trap also keeps the return address
        // inside this function.
        "ud2",
        ".cfi_endproc",
    )
}
