//! Calls that a green thread makes when it ends.

use crate::green::GreenRef;

/// Adds a call, behind those that are there. Its number is unique for this green thread.
pub(super) fn add(green: GreenRef, call: Box<dyn FnOnce()>) -> u64 {
    let cold = green.cold_or_init();
    let id = cold.next_exit_hook.get() + 1;
    cold.next_exit_hook.set(id);
    cold.on_exit.borrow_mut().push_back((id, call));
    id
}

/// Takes a call back; `false` if it is not there any more.
pub(super) fn remove(green: GreenRef, id: u64) -> bool {
    let Some(cold) = green.cold() else {
        return false;
    };
    let mut calls = cold.on_exit.borrow_mut();
    let Some(at) = calls.iter().position(|(other, _)| *other == id) else {
        return false;
    };
    let call = calls.remove(at);
    drop(calls);
    // Dropped when the list is free again: what it holds may link and unlink in its destructor.
    drop(call);
    true
}
