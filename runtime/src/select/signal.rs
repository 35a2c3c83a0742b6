//! The `signal` arm.

use std::fmt;

use super::arms::{Arm, SelectHandle};
use crate::signal::{Inbox, Signals};
use crate::sync::wait_list::WaitEntry;
use crate::thread::SelectToken;

/// Returns an arm that is ready when one of `signals` has been sent. Its output is the number of the
/// signal.
pub fn signal(signals: &Signals) -> Signal<'_> {
    Signal {
        inbox: signals.inbox(),
        entry: WaitEntry::new(None),
    }
}

/// The arm returned by [`signal`].
pub struct Signal<'a> {
    inbox: &'a Inbox,
    entry: WaitEntry<()>,
}

impl SelectHandle for Signal<'_> {
    fn is_unforeseen(&self) -> bool {
        true
    }

    unsafe fn register(&self, token: SelectToken) -> bool {
        self.entry.prepare(token);
        // SAFETY: the arm and the selection do not move until the arm has been unregistered
        // (caller).
        unsafe { self.inbox.register(&self.entry) }
    }

    fn unregister(&self) {
        // SAFETY: the entry is in this queue, or in none.
        unsafe { self.inbox.unregister(&self.entry) };
    }

    fn release(&self) {
        self.inbox.renotify();
    }
}

impl Arm for Signal<'_> {
    type Output = i32;

    fn try_select(&self) -> Option<i32> {
        self.inbox.try_recv()
    }
}

impl fmt::Debug for Signal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").finish_non_exhaustive()
    }
}
