//! `vfork`, which is `fork` once anything is patched.
//!
//! The child of a `vfork` uses the memory of its parent. A hook that it calls, such as `close`,
//! would wake green threads of the parent. The function returns twice to its caller's frame, so the
//! real one must be jumped to.

use std::ffi::c_void;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;

use libc::pid_t;

use crate::state::PATCHED;

/// The real function. Null until constructors of the program run.
static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

#[used]
#[unsafe(link_section = ".init_array")]
static FIND: extern "C" fn() = {
    extern "C" fn find() {
        // SAFETY: the name is a C string.
        let real = unsafe { libc::dlsym(libc::RTLD_NEXT, c"vfork".as_ptr()) };
        REAL.store(real, Relaxed);
    }
    find
};

/// Replaces `vfork`.
///
/// # Safety
///
/// As for the function of the C library.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vfork() -> pid_t {
    #[cfg(target_arch = "x86_64")]
    std::arch::naked_asm!(
        "cmp dword ptr [rip + {patched}], 0",
        "jne {fork}",
        "mov rax, qword ptr [rip + {real}]",
        "test rax, rax",
        "je {fork}",
        "jmp rax",
        patched = sym PATCHED,
        real = sym REAL,
        fork = sym super::fork::fork,
    );
    #[cfg(target_arch = "aarch64")]
    std::arch::naked_asm!(
        "adrp x9, {patched}",
        "ldr w9, [x9, :lo12:{patched}]",
        "cbnz w9, 1f",
        "adrp x9, {real}",
        "ldr x9, [x9, :lo12:{real}]",
        "cbz x9, 1f",
        "br x9",
        "1: b {fork}",
        patched = sym PATCHED,
        real = sym REAL,
        fork = sym super::fork::fork,
    );
}
