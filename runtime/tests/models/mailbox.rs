//! Models of the mailbox: each message arrives, however sending, taking, leaving and closing
//! interleave.

use std::rc::Rc;

use loom::sync::{Condvar, Mutex};

use crate::mailbox::{Link, Linked, Mailbox};
use crate::primitive::{Arc, AtomicBool, Cell, Ordering, model};
use crate::waiter::spawn;

/// Replaces the handle of a green thread.
struct Message {
    link: Link<Self>,
    /// Each sender sets its flag before it sends the message.
    flags: [AtomicBool; 2],
    race_check: Cell<bool>,
}

impl Linked for Message {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Message {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            link: Link::new(),
            flags: [AtomicBool::new(false), AtomicBool::new(false)],
            race_check: Cell::new(false),
        })
    }

    /// Uses a relaxed store, so that only the mailbox can make the flag visible.
    fn set_flag(&self, sender: usize) {
        self.flags[sender].store(true, Ordering::Relaxed);
    }

    fn all_flags_set(&self) -> bool {
        self.flags.iter().all(|flag| flag.load(Ordering::Relaxed))
    }
}

/// The owner of a mailbox, with a condition variable in place of the poller that it waits in.
struct Receiver {
    mailbox: Mailbox<Message>,
    notified: Mutex<bool>,
    changed: Condvar,
}

impl Receiver {
    /// Creates a receiver with two remote loom threads, each of which runs `remote` with its
    /// number. The caller is the owner.
    fn with_two(remote: impl Fn(usize, &Self) + Clone + 'static) -> Rc<Self> {
        let receiver = Rc::new(Self {
            mailbox: Mailbox::new(),
            notified: Mutex::new(false),
            changed: Condvar::new(),
        });
        for number in 0..2 {
            receiver.mailbox.add_sender();
            let (receiver, remote) = (Rc::clone(&receiver), remote.clone());
            spawn(move || remote(number, &receiver));
        }
        receiver
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

    fn send(&self, message: &Arc<Message>) {
        self.mailbox.send(message, || self.notify());
    }

    /// Called by a remote loom thread, as its last action.
    fn leave(&self) {
        self.mailbox.remove_sender(|| self.notify());
    }

    /// Returns the next messages, as `idle` gets them, or `None` on a deadlock.
    fn next(&self) -> Option<Vec<Arc<Message>>> {
        loop {
            if let Some(messages) = self.mailbox.take() {
                return Some(messages);
            }
            if self.mailbox.is_disconnected() {
                return None;
            }
            self.wait();
        }
    }
}

#[test]
fn each_message_arrives_once_and_no_wake_up_is_lost() {
    model(|| {
        let messages = [Message::new(), Message::new()];
        let receiver = Receiver::with_two(move |number, receiver| {
            messages[number].race_check.set(true);
            receiver.send(&messages[number]);
        });
        let mut arrived = 0;
        while arrived < 2 {
            let messages = receiver
                .next()
                .expect("no deadlock while a message is to come");
            arrived += messages.len();
            assert!(messages.iter().all(|message| message.race_check.get()));
        }
        assert!(arrived == 2 && receiver.mailbox.is_empty());
    });
}

#[test]
fn a_message_sent_by_two_senders_shows_what_both_did() {
    model(|| {
        let message = Message::new();
        let sent = Arc::clone(&message);
        let receiver = Receiver::with_two(move |number, receiver| {
            sent.set_flag(number);
            receiver.send(&sent);
        });
        while !message.all_flags_set() {
            receiver
                .next()
                .expect("no deadlock while a flag is to come");
        }
        drop(receiver.mailbox.close());
    });
}

#[test]
fn a_token_is_not_lost_among_wake_ups() {
    model(|| {
        let message = Message::new();
        let sent = Arc::clone(&message);
        let receiver = Receiver::with_two(move |number, receiver| {
            if number == 0 {
                sent.set_flag(0);
                sent.link.put_token();
            }
            receiver.send(&sent);
        });
        while !message.link.take_token() {
            receiver
                .next()
                .expect("no deadlock while a token is to come");
        }
        assert!(message.flags[0].load(Ordering::Relaxed));
        drop(receiver.mailbox.close());
    });
}

#[test]
fn of_two_tokens_the_last_one_taken_shows_what_both_senders_did() {
    model(|| {
        let message = Message::new();
        let sent = Arc::clone(&message);
        let receiver = Receiver::with_two(move |number, receiver| {
            sent.set_flag(number);
            sent.link.put_token();
            receiver.send(&sent);
        });
        // Like `while !condition { thread::park() }`.
        while !message.all_flags_set() {
            while !message.link.take_token() {
                receiver
                    .next()
                    .expect("no deadlock while a token is to come");
            }
        }
        drop(receiver.mailbox.close());
    });
}

#[test]
fn a_message_sent_before_leaving_arrives_before_the_deadlock() {
    model(|| {
        let message = Message::new();
        let sent = Arc::clone(&message);
        let receiver = Receiver::with_two(move |number, receiver| {
            if number == 0 {
                receiver.send(&sent);
            }
            receiver.leave();
        });
        let mut arrived = 0;
        while let Some(messages) = receiver.next() {
            arrived += messages.len();
        }
        assert_eq!(arrived, 1);
    });
}

#[test]
fn the_last_remote_that_leaves_makes_the_owner_notice_a_deadlock() {
    model(|| {
        let receiver = Receiver::with_two(|_, receiver| receiver.leave());
        assert!(receiver.next().is_none());
    });
}

#[test]
fn a_mailbox_that_is_closed_during_sends_is_left_empty() {
    model(|| {
        let messages = [Message::new(), Message::new()];
        let sent = messages.clone();
        let receiver = Receiver::with_two(move |number, receiver| receiver.send(&sent[number]));
        let last = receiver.mailbox.close();
        assert!(receiver.mailbox.is_closed() && receiver.mailbox.is_empty());
        drop((last, messages));
        // Loom reports messages that are not freed.
    });
}
