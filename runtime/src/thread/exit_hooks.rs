//! Exit hooks: closures that run when a green thread ends.

use crate::green::GreenRef;

/// Identifies a hook registered with [`JoinHandle::on_exit`](super::JoinHandle::on_exit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExitHookId(pub(super) u64);

/// Registers a hook, to run after those that are registered already. Its id is unique for `green`.
pub(super) fn add(green: GreenRef, hook: Box<dyn FnOnce()>) -> ExitHookId {
    let cold = green.cold_or_init();
    let id = cold.next_exit_hook.get() + 1;
    cold.next_exit_hook.set(id);
    cold.on_exit.borrow_mut().push_back((id, hook));
    ExitHookId(id)
}

/// Removes a hook. Returns `false` if it has run or been removed already.
pub(super) fn remove(green: GreenRef, id: ExitHookId) -> bool {
    let Some(cold) = green.cold() else {
        return false;
    };
    let mut hooks = cold.on_exit.borrow_mut();
    let Some(at) = hooks.iter().position(|(other, _)| *other == id.0) else {
        return false;
    };
    let hook = hooks.remove(at);
    drop(hooks);
    // Dropped while the list is not borrowed: a captured value's destructor may add or remove
    // hooks.
    drop(hook);
    true
}
