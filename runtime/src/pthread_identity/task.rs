//! The kernel tasks of an identity: one begins it, and another one ends it.
//!
//! The first task leaves the start routine of the pthread without returning from it: it stores its
//! registers on the stack, and ends. The frames of the C library above stay as they are. The last task
//! takes the registers from there and returns from the start routine, so the C library ends the thread
//! as it ends each: it gives back what it has allocated for it, such as the cache of the allocator.

use std::arch::{asm, naked_asm};
use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, AtomicU32};

use super::birth::{record, separate};
use super::machine::ThreadPointer;

/// The start routine of the pthread of an identity. Its argument is a pointer to a word that gets the
/// address of the stored registers. [`record`] gets the same pointer.
///
/// Only the C library calls it, with what was given to `pthread_create`.
#[unsafe(naked)]
pub(super) extern "C" fn begin(birth: *mut c_void) -> *mut c_void {
    #[cfg(target_arch = "x86_64")]
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov qword ptr [rdi], rsp",
        "sub rsp, 8",
        "call {record}",
        "ud2",
        record = sym record,
    );
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x29, x30, [sp, #-160]!",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mov x9, sp",
        "str x9, [x0]",
        "bl {record}",
        "brk #1",
        record = sym record,
    );
}

/// Lets a new kernel task return from [`begin`], with `registers` as it has stored them. Returns `false`
/// if the kernel has no task. The kernel writes the id of the task to `id`, and clears `cleared_at_end`
/// when the task has ended. The task calls [`separate`] with `identity` first.
///
/// # Safety
///
/// - `registers` and `thread_pointer` belong to an identity that runs nowhere, and whose task has ended.
/// - The stack below `registers` is not used until the task has ended.
/// - Both words and `identity` are valid until then, and all signals are blocked.
pub(super) unsafe fn end(
    registers: *mut u8,
    thread_pointer: ThreadPointer,
    id: *const AtomicI32,
    cleared_at_end: *const AtomicU32,
    identity: *const c_void,
) -> bool {
    const LIKE_A_PTHREAD: i32 = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_SETTLS
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    let result: isize;
    // SAFETY: the new task runs on a stack of its own, and the registers are what its caller expects, the
    // C library (caller). The old one only gets a number.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "sub rsp, 8",
            "mov rdi, r9",
            "call {separate}",
            "add rsp, 8",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbx",
            "pop rbp",
            "ret",
            "2:",
            inlateout("rax") libc::SYS_clone as isize => result,
            in("rdi") LIKE_A_PTHREAD as usize,
            in("rsi") registers,
            in("rdx") id,
            in("r10") cleared_at_end,
            in("r8") thread_pointer.address(),
            in("r9") identity,
            lateout("rcx") _,
            lateout("r11") _,
            separate = sym separate,
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x0, x5",
            "bl {separate}",
            "ldp x19, x20, [sp, #16]",
            "ldp x21, x22, [sp, #32]",
            "ldp x23, x24, [sp, #48]",
            "ldp x25, x26, [sp, #64]",
            "ldp x27, x28, [sp, #80]",
            "ldp d8, d9, [sp, #96]",
            "ldp d10, d11, [sp, #112]",
            "ldp d12, d13, [sp, #128]",
            "ldp d14, d15, [sp, #144]",
            "ldp x29, x30, [sp], #160",
            "ret",
            "2:",
            in("x8") libc::SYS_clone,
            inlateout("x0") LIKE_A_PTHREAD as isize => result,
            in("x1") registers,
            in("x2") id,
            in("x3") thread_pointer.address(),
            in("x4") cleared_at_end,
            in("x5") identity,
            separate = sym separate,
        );
    }
    result > 0
}
