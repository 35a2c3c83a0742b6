//! Two contexts that switch to each other for ever: a bare switch, by the context module itself, which
//! knows nothing of green threads.

#![expect(
    dead_code,
    reason = "the module of another crate, with what only its users need"
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

/// A switch to another stack and back, each time it is called.
pub(crate) fn there_and_back() -> impl FnMut() {
    const WORDS: usize = 64 * 1024 / 16;
    // Leaked: the inner context is never finished.
    let stack = Box::leak(vec![0u128; WORDS].into_boxed_slice());
    let pair: *mut Pair = Box::leak(Box::new(Pair {
        outer: Context::new(),
        inner: Context::new(),
    }));
    let limit = stack.as_mut_ptr().cast::<u8>();
    // SAFETY: leaked memory that only these two contexts use, one at a time.
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
        // SAFETY: `inner` was prepared above, or suspended in its loop.
        unsafe { switch(&raw mut (*pair).outer, &raw mut (*pair).inner) };
    }
}
