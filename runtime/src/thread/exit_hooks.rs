//! Exit hooks: closures that run when a green thread ends.

use crate::green::GreenRef;

/// Identifies a hook registered with [`JoinHandle::on_exit`](super::JoinHandle::on_exit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExitHookId {
    /// The id of the green thread. Zero if the hook ran at once.
    green: u64,
    /// The number of the hook, unique for its green thread.
    number: u64,
}

impl ExitHookId {
    /// Returns the id of a hook that was not registered, because it ran at once.
    pub(super) const fn already_run() -> Self {
        Self {
            green: 0,
            number: 0,
        }
    }
}

/// Registers a hook, to run after those that are registered already.
pub(super) fn add(green: GreenRef, hook: Box<dyn FnOnce()>) -> ExitHookId {
    let cold = green.cold_or_init();
    let number = cold.next_exit_hook.get() + 1;
    cold.next_exit_hook.set(number);
    cold.on_exit.borrow_mut().insert(number, hook);
    ExitHookId {
        green: green.id(),
        number,
    }
}

/// Removes a hook. Returns `false` if it has run or been removed already, or if it belongs to
/// another green thread.
pub(super) fn remove(green: GreenRef, id: ExitHookId) -> bool {
    let Some(cold) = green.cold().filter(|_| id.green == green.id()) else {
        return false;
    };
    let hook = cold.on_exit.borrow_mut().remove(&id.number);
    // Dropped while the hooks are not borrowed: a captured value's destructor may add or remove
    // hooks.
    hook.is_some()
}
