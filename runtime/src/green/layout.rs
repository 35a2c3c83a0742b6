//! The layout of the control block and the closure on a stack.

use std::ptr::NonNull;

use super::green_ref::GreenRef;
use super::green_thread::GreenThread;
use crate::stack::Stack;

/// Writes a free control block to the top of a new stack.
///
/// # Safety
///
/// Nothing else uses the stack, and it stays mapped for as long as the control block is used.
pub(super) unsafe fn init_on_stack(scheduler: *const (), stack: Stack) -> GreenRef {
    let block = NonNull::new(block_below(stack.base())).expect("a stack has an address");
    // SAFETY: aligned and inside the stack, which nothing else uses (caller); the block stays
    // there.
    unsafe {
        block.write(GreenThread::new(scheduler, Some(stack)));
        GreenThread::pin(block);
        GreenRef::new(block)
    }
}

/// The size in bytes of the largest closure that is stored on the stack of its green thread, below
/// the control block.
///
/// A larger closure is called in a box on the heap, so that the stack keeps the size that was
/// requested.
pub const MAX_INLINE_CLOSURE: usize = 2048;

/// Returns the address of the control block on a stack with this `base`.
#[inline(always)]
fn block_below(base: *mut u8) -> *mut GreenThread {
    let end = base.addr() - size_of::<GreenThread>();
    base.wrapping_sub(size_of::<GreenThread>() + end % align_of::<GreenThread>())
        .cast()
}

/// Whether a closure can be stored on the stack of its green thread, below the control block.
#[inline(always)]
pub(crate) const fn fits_on_stack<F>() -> bool {
    size_of::<F>() <= MAX_INLINE_CLOSURE && closure_align::<F>() <= align_of::<GreenThread>()
}

/// The alignment of a closure on a stack, where the frames begin.
const fn closure_align<F>() -> usize {
    if align_of::<F>() > 16 {
        align_of::<F>()
    } else {
        16
    }
}

/// Returns the address of a closure below its control block, which is where the frames begin.
///
/// Returns `None` if the closure is too large or needs too large an alignment, and must be boxed.
#[inline(always)]
pub(crate) fn closure_below<F>(block: *mut GreenThread) -> Option<*mut F> {
    // A constant, because the block is aligned.
    let align = closure_align::<F>();
    fits_on_stack::<F>().then(|| {
        block
            .wrapping_byte_sub(size_of::<F>().next_multiple_of(align))
            .cast()
    })
}

#[cfg(test)]
mod tests {
    use super::{GreenThread, block_below, closure_below};

    #[test]
    fn block_and_closure_are_aligned_and_do_not_overlap() {
        #[repr(align(64))]
        struct Line(#[expect(dead_code, reason = "it has a size")] [u8; 100]);
        #[repr(align(128))]
        struct TooMuch(#[expect(dead_code, reason = "it has an alignment")] u8);
        fn place<F>(block: *mut GreenThread) {
            let closure = closure_below::<F>(block).expect("it fits");
            assert!(closure.addr() + size_of::<F>() <= block.addr());
            assert!(closure.addr().is_multiple_of(align_of::<F>().max(16)));
        }
        for base in [1 << 20, (1 << 20) - 64, (1 << 20) - 16] {
            let base = std::ptr::without_provenance_mut::<u8>(base);
            let block = block_below(base);
            assert!(block.addr() + size_of::<GreenThread>() <= base.addr());
            assert_eq!(block.addr() % align_of::<GreenThread>(), 0);
            place::<()>(block);
            place::<u8>(block);
            place::<[usize; 3]>(block);
            place::<Line>(block);
            place::<[u128; 128]>(block);
            assert!(closure_below::<TooMuch>(block).is_none());
            assert!(closure_below::<[u8; 2049]>(block).is_none());
        }
    }
}
