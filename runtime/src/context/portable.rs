//! The same contract on top of corosensei, for targets that evy has no assembly for.
//!
//! Coroutines of corosensei are asymmetric: a coroutine can only suspend to the code that resumed
//! it. Therefore a loop on the OS thread's own stack resumes all of them. A switch between two
//! green threads suspends to that loop, which resumes the other one. The behavior is the same, for
//! twice the work.

use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::ptr;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::Entry;

/// The context that the loop is to continue, passed to it by a switch.
type Target = *mut Context;

/// A coroutine, and the yielder with which it suspends. The OS thread's own stack has neither.
///
/// Dropping a coroutine would unwind its stack, so these coroutines are never dropped. Nothing
/// leaks, because they own nothing: the memory of their stack is borrowed.
pub(crate) struct Context {
    coroutine: Option<ManuallyDrop<Coroutine<(), Target, (), Borrowed>>>,
    yielder: *const Yielder<(), Target>,
}

impl Context {
    pub(crate) const fn new() -> Self {
        Self {
            coroutine: None,
            yielder: ptr::null(),
        }
    }

    /// Returns an address on the stack, for prefetching. corosensei does not expose the stack
    /// pointer.
    pub(crate) fn stack_pointer(&self) -> *const u8 {
        self.yielder.cast()
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("yielder", &self.yielder)
            .finish_non_exhaustive()
    }
}

/// A stack in memory that is owned elsewhere.
struct Borrowed {
    base: StackPointer,
    limit: StackPointer,
}

// SAFETY:
// - `base` and `limit` are those given to `prepare`: aligned, writable, and used by nothing else
//   until the computation is discarded;
// - the guard below `limit` is provided by the code that created the stack (`stack::guard`).
unsafe impl Stack for Borrowed {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}

pub(crate) unsafe fn prepare(
    context: *mut Context,
    base: *mut u8,
    limit: *mut u8,
    entry: Entry,
    arg: *mut (),
) {
    let pointer = |p: *mut u8| NonZeroUsize::new(p.addr()).expect("a stack is not at address zero");
    let stack = Borrowed {
        base: pointer(base),
        limit: pointer(limit),
    };
    let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
        // SAFETY:
        // - `context` is valid until its computation is discarded (caller of `prepare`);
        // - only this OS thread touches it, and no other code does while its own stack runs.
        unsafe { (*context).yielder = yielder };
        // SAFETY: `entry` is called once, on the stack that it was prepared for.
        unsafe { entry(arg) }
    });
    let first = Context {
        coroutine: Some(ManuallyDrop::new(coroutine)),
        yielder: ptr::null(),
    };
    // SAFETY: `context` is valid for writes (caller).
    unsafe { context.write(first) };
}

#[inline]
pub(crate) unsafe fn switch(from: *mut Context, to: *mut Context) -> *mut Context {
    // SAFETY: `from` is the caller's own context (caller).
    let yielder = unsafe { (*from).yielder };
    if !yielder.is_null() {
        // SAFETY: corosensei keeps the yielder at the base of this stack, which is running.
        unsafe { (*yielder).suspend(to) };
        return from;
    }
    let mut next = to;
    while !ptr::eq(next, from) {
        // SAFETY: `next` was prepared and is suspended (caller of the `switch` that passed it
        // here). So it has a coroutine, which nothing else borrows, because it is not running.
        let coroutine = unsafe { (*next).coroutine.as_mut() };
        match coroutine
            .expect("a prepared context has a coroutine")
            .resume(())
        {
            CoroutineResult::Yield(target) => next = target,
            CoroutineResult::Return(()) => unreachable!("an entry function does not return"),
        }
    }
    from
}
