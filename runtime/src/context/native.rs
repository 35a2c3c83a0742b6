//! Our own backends: what they have in common, which is everything but the instructions.

use super::Entry;
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

pub(crate) unsafe fn prepare(
    context: *mut Context,
    base: *mut u8,
    _limit: *mut u8,
    entry: Entry,
    arg: *mut (),
) {
    debug_assert!(base.addr().is_multiple_of(16));
    // The trampoline finds the entry function at the stack pointer, in the lower of two words, so
    // that the stack is 16-aligned at its call, as every ABI asks.
    let sp = base.wrapping_sub(16);
    // SAFETY: the 16 bytes below `base` are on the stack, writable and unused (caller).
    unsafe { sp.cast::<Entry>().write_unaligned(entry) };
    let pc = arch::trampoline as *const () as usize;
    // A frame pointer of zero ends the chain. The argument travels in the reserved register.
    let first = Context {
        sp: sp.addr(),
        fp: 0,
        reserved: arg.addr(),
        pc,
    };
    // SAFETY: `context` is valid for writes (caller).
    unsafe { context.write(first) };
}

/// Nothing is held but the stack, which is its owner's.
#[inline(always)]
pub(crate) unsafe fn release(_context: *mut Context) {}
