//! Models of the calls of other OS threads: each call is taken, returned at the end of the owner, or
//! refused, and a call is announced in time.

use std::rc::Rc;

use loom::sync::{Condvar, Mutex};

use crate::green::remote_calls::RemoteCalls;
use crate::mailbox::{Link, Linked, Mailbox};
use crate::primitive::{Arc, model};
use crate::waiter::{Thread, spawn};

/// Replaces the message that announces calls.
struct Message(Link<Self>);

impl Linked for Message {
    fn link(&self) -> &Link<Self> {
        &self.0
    }
}

/// The owner, with a condition variable in place of the poller that it waits in.
struct Owner {
    calls: RemoteCalls<usize>,
    mailbox: Mailbox<Message>,
    message: Arc<Message>,
    notified: Mutex<bool>,
    changed: Condvar,
}

impl Owner {
    /// Creates an owner with two senders, each of which sends its number. A sender returns whether
    /// its call was refused.
    fn with_two() -> (Rc<Self>, [Thread<bool>; 2]) {
        let owner = Rc::new(Self {
            calls: RemoteCalls::new(),
            mailbox: Mailbox::new(),
            message: Arc::new(Message(Link::new())),
            notified: Mutex::new(false),
            changed: Condvar::new(),
        });
        let senders = [1, 2].map(|number| {
            let owner = Rc::clone(&owner);
            spawn(move || {
                let is_refused = owner.calls.push(number).is_err();
                owner.mailbox.send(&owner.message, || owner.notify());
                is_refused
            })
        });
        (owner, senders)
    }

    fn notify(&self) {
        *self.notified.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut notified = self.notified.lock().unwrap();
        while !*notified {
            notified = self.changed.wait(notified).unwrap();
        }
        *notified = false;
    }

    /// Takes calls if they have been announced, one at a time.
    fn take(&self) -> Vec<usize> {
        match self.mailbox.take() {
            None => Vec::new(),
            Some(_) => {
                let (calls, has_more) = self.calls.take(1);
                if has_more {
                    self.mailbox.send(&self.message, || self.notify());
                }
                calls
            }
        }
    }
}

#[test]
fn each_call_is_taken_once_and_no_wake_up_is_lost() {
    model(|| {
        let (owner, senders) = Owner::with_two();
        let mut sum = 0;
        while sum < 3 {
            let calls = owner.take();
            if calls.is_empty() {
                owner.wait();
            }
            sum += calls.into_iter().sum::<usize>();
        }
        assert_eq!(senders.map(Thread::join), [false, false]);
        assert!(sum == 3 && owner.calls.close().is_empty());
        drop(owner.mailbox.close());
    });
}

#[test]
fn at_the_end_of_the_owner_each_call_is_taken_returned_or_refused() {
    model(|| {
        let (owner, senders) = Owner::with_two();
        let mut sum: usize = owner.take().into_iter().sum();
        sum += owner.calls.close().into_iter().sum::<usize>();
        drop(owner.mailbox.close());
        for (number, sender) in [1, 2].into_iter().zip(senders) {
            sum += if sender.join() { number } else { 0 };
        }
        assert_eq!(sum, 3);
    });
}
