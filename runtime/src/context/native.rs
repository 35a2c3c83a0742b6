//! Our own backends: what they have in common, which is everything but the instructions.

use super::WaitEntry;
#[cfg(target_arch = "aarch64")]
use super::aarch64 as arch;
#[cfg(target_arch = "riscv64")]
use super::riscv64 as arch;
#[cfg(target_arch = "x86_64")]
use super::x86_64 as arch;

pub(crate) use arch::switch;

/// Four words: see the module above for the registers that they are on each architecture.
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

    /// Where the suspended stack goes on: a hint for the cache.
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
    entry: WaitEntry,
    arg: *mut (),
) {
    debug_assert!(base.addr().is_multiple_of(16));
    // What the trampoline needs travels in the registers that it is going to give other values.
    let first = Context {
        sp: base.addr(),
        fp: entry as *const () as usize,
        reserved: arg.addr(),
        pc: arch::trampoline as *const () as usize,
    };
    // SAFETY: `context` is valid for writes (caller).
    unsafe { context.write(first) };
}
