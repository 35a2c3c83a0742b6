//! The parts shared by the assembly backends.

use super::Entry;
#[cfg(target_arch = "aarch64")]
use super::aarch64 as arch;
#[cfg(target_arch = "riscv64")]
use super::riscv64 as arch;
#[cfg(target_arch = "x86_64")]
use super::x86_64 as arch;

pub(crate) use arch::switch;

/// The four words that a switch saves. The docs of the parent module list the registers of each
/// architecture.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Context {
    sp: usize,
    fp: usize,
    reserved: usize,
    pc: usize,
}

impl Context {
    pub(crate) const fn new() -> Self {
        Self {
            sp: 0,
            fp: 0,
            reserved: 0,
            pc: 0,
        }
    }

    /// Returns the stack pointer of a suspended computation, for prefetching.
    #[inline(always)]
    pub(crate) fn stack_pointer(&self) -> *const u8 {
        std::ptr::without_provenance(self.sp)
    }
}

#[inline(always)]
pub(crate) unsafe fn prepare(
    context: *mut Context,
    base: *mut u8,
    _limit: *mut u8,
    entry: Entry,
    arg: *mut (),
) {
    debug_assert!(base.addr().is_multiple_of(16));
    // The trampoline receives its parameters in registers that it overwrites afterwards.
    let first = Context {
        sp: base.addr(),
        fp: entry as *const () as usize,
        reserved: arg.addr(),
        pc: arch::trampoline as *const () as usize,
    };
    // SAFETY: `context` is valid for writes (caller).
    unsafe { context.write(first) };
}
