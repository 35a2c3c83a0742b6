//! Two contexts that switch to each other forever: a bare switch, without a scheduler.
//!
//! It uses the runtime's context module alone, which does not depend on green threads.

#![expect(
    dead_code,
    reason = "the included module belongs to another crate, which uses more of it"
)]

#[path = "../runtime/src/context/mod.rs"]
mod context;

use context::{Context, prepare, switch};

struct Pair {
    outer: Context,
    inner: Context,
}

unsafe extern "C" fn back_and_back(arg: *mut ()) -> ! {
    let pair = arg.cast::<Pair>();
    loop {
        // SAFETY: this runs on the inner stack, while `outer` is suspended in `there_and_back`.
        unsafe { switch(&raw mut (*pair).inner, &raw mut (*pair).outer) };
    }
}

/// Returns a closure that switches to another stack and back.
pub(crate) fn there_and_back() -> impl FnMut() {
    const WORDS: usize = 64 * 1024 / 16;
    // Leaked: the inner context is never finished.
    let stack = Box::leak(vec![0u128; WORDS].into_boxed_slice());
    let pair: *mut Pair = Box::leak(Box::new(Pair {
        outer: Context::new(),
        inner: Context::new(),
    }));
    let limit = stack.as_mut_ptr().cast::<u8>();
    // SAFETY: the stack and the pair are leaked, so they stay valid. Only these two contexts use
    // them, one at a time.
    unsafe {
        let base = limit.add(WORDS * 16);
        prepare(
            &raw mut (*pair).inner,
            base,
            limit,
            back_and_back,
            pair.cast(),
        );
    }
    move || {
        // SAFETY: `inner` has been prepared above, or is suspended in its loop.
        unsafe { switch(&raw mut (*pair).outer, &raw mut (*pair).inner) };
    }
}
