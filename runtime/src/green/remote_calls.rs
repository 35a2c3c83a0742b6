//! `RemoteCalls`: what other OS threads have asked a scheduler to do.
//!
//! A call is pushed first, and then a message is sent to the mailbox of the scheduler. The owner takes
//! the calls when it takes the message. Many calls cost one message, and so one wake-up
//! ([`mailbox`](crate::mailbox)).
//!
//! | operation | finds    | does                                        |
//! | --------- | -------- | ------------------------------------------- |
//! | `push`    | open     | adds the call                               |
//! | `push`    | closed   | returns the call, and the caller drops it   |
//! | `take`    | any      | removes the first calls                     |
//! | `close`   | open     | removes all calls, and stays closed forever |
//!
//! A call that was pushed is therefore either taken or returned by `close`.

use std::collections::VecDeque;
use std::fmt;

use crate::primitive::{Mutex, lock};

/// The calls that the owner has not taken yet, in FIFO order.
pub(crate) struct RemoteCalls<C> {
    /// `None` once the scheduler has ended.
    queue: Mutex<Option<VecDeque<C>>>,
}

impl<C> RemoteCalls<C> {
    pub(crate) fn new() -> Self {
        Self {
            queue: Mutex::new(Some(VecDeque::new())),
        }
    }

    /// Adds a call, from any OS thread.
    ///
    /// # Errors
    ///
    /// Returns the call if the scheduler has ended.
    pub(crate) fn push(&self, call: C) -> Result<(), C> {
        match &mut *lock(&self.queue) {
            Some(queue) => {
                queue.push_back(call);
                Ok(())
            }
            None => Err(call),
        }
    }

    /// Takes the first calls, at most `max`. Also returns whether there are more. Called by the owner.
    pub(crate) fn take(&self, max: usize) -> (Vec<C>, bool) {
        match &mut *lock(&self.queue) {
            Some(queue) => {
                let calls = queue.drain(..max.min(queue.len())).collect();
                if queue.is_empty() {
                    // The memory of many calls is not kept.
                    queue.shrink_to(max);
                }
                (calls, !queue.is_empty())
            }
            None => (Vec::new(), false),
        }
    }

    /// Takes all calls. Those that are pushed from then on are returned to their senders.
    pub(crate) fn close(&self) -> VecDeque<C> {
        lock(&self.queue).take().unwrap_or_default()
    }
}

impl<C> fmt::Debug for RemoteCalls<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteCalls").finish_non_exhaustive()
    }
}
