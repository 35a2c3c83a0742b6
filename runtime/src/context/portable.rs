//! The same contract on corosensei, for targets without assembly of our own.
//!
//! corosensei is asymmetric: a coroutine suspends to whoever resumed it. So the OS thread's own
//! stack resumes all of them: a switch between two green threads suspends to a loop there, which
//! resumes the other one. Twice the work, the same behaviour.

use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::ptr;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::WaitEntry;

/// A switch hands the loop the context to continue.
type Target = *mut Context;

/// A coroutine and its way back; both absent for the OS thread's own stack.
///
/// A coroutine that is dropped unwinds its stack; ours never are, and own nothing but the stack that
/// is somebody else's.
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

    /// A hint for the cache; corosensei keeps the stack pointer to itself.
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

/// Memory that somebody else owns.
struct Borrowed {
    base: StackPointer,
    limit: StackPointer,
}

// SAFETY:
// - `base` and `limit` are those given to `prepare`: aligned, writable, reserved until the context is
//   left for good;
// - the guard below `limit` is the business of whoever made the stack (`stack::guard`).
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
    entry: WaitEntry,
    arg: *mut (),
) {
    let pointer = |p: *mut u8| NonZeroUsize::new(p.addr()).expect("a stack is not at address zero");
    let stack = Borrowed {
        base: pointer(base),
        limit: pointer(limit),
    };
    let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
        // SAFETY: `context` is valid until it is left for good (caller, `prepare`), and only this
        // OS thread touches it; nobody else does while its own stack runs.
        unsafe { (*context).yielder = yielder };
        // SAFETY: this is the stack that `entry` was meant for, on its first run.
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
        // SAFETY: corosensei keeps the yielder at the root of this very stack, which is running.
        unsafe { (*yielder).suspend(to) };
        return from;
    }
    let mut next = to;
    while !ptr::eq(next, from) {
        // SAFETY: `next` was prepared and is suspended (caller of the `switch` that named it), so
        // it has a coroutine, which nobody else borrows: it is not running.
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
