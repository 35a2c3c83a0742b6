//! What is to be done if the OS thread ends while one of its green threads waits.
//!
//! Such a green thread is abandoned: it never continues, and never unwinds. If it waits for
//! something that OS threads share, its entry would stay in the queue, and it would be given a lock
//! or a notification, and never use it. So each such wait has a hook, which leaves the queue, or
//! passes on what the waiter was given.

use std::mem;
use std::ptr::NonNull;

use crate::list::{List, Node};
use crate::sched::{self, AbandonHook};

/// Runs `wait`. If the OS thread ends meanwhile, and therefore `wait` never returns, `hook` is called
/// at that time. It may access whatever `wait` can, because the stack is leaked. It must not park,
/// panic, or run code of the program.
#[inline]
pub(crate) fn unless_abandoned<R>(hook: &dyn Fn(), wait: impl FnOnce() -> R) -> R {
    // An OS thread without green threads does not end while it waits.
    let Some(scheduler) = sched::if_current() else {
        return wait();
    };
    // SAFETY: only the lifetime changes. The hook is called only while its node is linked, and
    // `registered` unlinks it before the borrow ends.
    let hook = unsafe { mem::transmute::<&dyn Fn(), AbandonHook>(hook) };
    let registered = Registered {
        node: Node::new(hook),
        hooks: &scheduler.abandon_hooks,
    };
    // SAFETY: `registered` does not move, and unlinks its node when it is dropped.
    unsafe { registered.hooks.push_back(NonNull::from(&registered.node)) };
    wait()
}

/// A hook that is linked in the list of its scheduler.
struct Registered<'a> {
    node: Node<AbandonHook>,
    hooks: &'a List<AbandonHook>,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        // SAFETY: the node is linked in this list, or not at all.
        unsafe { self.hooks.remove(NonNull::from(&self.node)) };
    }
}
