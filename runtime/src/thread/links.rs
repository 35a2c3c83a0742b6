//! Calls that a green thread makes when it ends.

use crate::green::GreenRef;

/// Adds a call, behind those that are there. Its number is unique for this green thread.
pub(super) fn link(green: GreenRef, call: Box<dyn FnOnce()>) -> u64 {
    let rare = green.rare();
    let id = rare.next_link.get() + 1;
    rare.next_link.set(id);
    rare.on_exit.borrow_mut().push_back((id, call));
    id
}

/// Takes a call back; `false` if it is not there any more.
pub(super) fn unlink(green: GreenRef, id: u64) -> bool {
    let Some(rare) = green.if_rare() else {
        return false;
    };
    let mut calls = rare.on_exit.borrow_mut();
    let Some(at) = calls.iter().position(|(other, _)| *other == id) else {
        return false;
    };
    let call = calls.remove(at);
    drop(calls);
    // Dropped when the list is free again: what it holds may link and unlink in its destructor.
    drop(call);
    true
}
