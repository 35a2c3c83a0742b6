//! System V `x86_64`. Register roles in a switch: `rdi` the context left, `rsi` the one continued;
//! in a first frame: `rbx` the argument, the word above the stack pointer the entry function.

use std::arch::{asm, naked_asm};

use super::Entry;

/// Four words: see the module above. `rbx` is the register that LLVM keeps for itself.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Context {
    rsp: usize,
    rbp: usize,
    rbx: usize,
    rip: usize,
}

impl Context {
    pub(crate) const fn new() -> Self {
        Self {
            rsp: 0,
            rbp: 0,
            rbx: 0,
            rip: 0,
        }
    }

    /// Where the suspended stack goes on: a hint for the cache.
    #[inline(always)]
    pub(crate) fn stack_pointer(&self) -> *const u8 {
        std::ptr::without_provenance(self.rsp)
    }
}

pub(crate) unsafe fn prepare(
    context: *mut Context,
    base: *mut u8,
    _limit: *mut u8,
    entry: Entry,
    arg: *mut (),
) {
    debug_assert!(base.addr().is_multiple_of(16));
    // The entry function lies in the two words that the trampoline starts on, so that `rsp` is
    // 16-aligned at its call, as the ABI asks.
    let rsp = base.wrapping_sub(16);
    // SAFETY: the 16 bytes below `base` are on the stack, writable and unused (caller, `prepare`).
    unsafe { rsp.cast::<Entry>().write_unaligned(entry) };
    let first = Context {
        rsp: rsp.addr(),
        rbp: 0,
        rbx: arg.addr(),
        rip: trampoline as *const () as usize,
    };
    // SAFETY: `context` is valid for writes (caller).
    unsafe { context.write(first) };
}

#[inline(always)]
pub(crate) unsafe fn switch(from: *mut Context, to: *const Context) {
    // SAFETY:
    // - what is loaded was stored by `prepare` or by this very code (caller), so the stack and the
    //   address are those of a suspended computation of this OS thread;
    // - every register that the compiler can name is declared clobbered, and the four that it
    //   cannot are stored and loaded: the code behind the label finds what it left;
    // - nothing is pushed, the flags and the direction flag are as the ABI wants them.
    unsafe {
        asm!(
            "lea rax, [rip + 2f]",
            "mov [rdi], rsp",
            "mov [rdi + 8], rbp",
            "mov [rdi + 16], rbx",
            "mov [rdi + 24], rax",
            "mov rsp, [rsi]",
            "mov rbp, [rsi + 8]",
            "mov rbx, [rsi + 16]",
            "jmp [rsi + 24]",
            "2:",
            // With indirect-branch tracking a jump must land on this; elsewhere it is a nop.
            "endbr64",
            inout("rdi") from => _,
            inout("rsi") to => _,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("C"),
        );
    }
}

#[inline(always)]
pub(crate) unsafe fn release(_context: *mut Context) {}

/// The frame below which there is none. Entered by a jump, with the entry function on top of the
/// stack.
#[unsafe(naked)]
unsafe extern "C" fn trampoline() -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "endbr64",
        "mov rdi, rbx",
        "nop",
        "call [rsp]",
        // `entry` does not return. The trap also keeps the return address inside this function.
        "ud2",
        ".cfi_endproc",
    )
}
