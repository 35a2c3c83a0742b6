//! Channels: each message arrives once, comes back, or dies with the channel; and whoever waits for
//! an end that is gone hears of it.

use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, SendError};
use std::time::Duration;

use crate::primitive::{Cell, model, model_of_two};
use crate::sync::mpsc::channel::Channel;
use crate::thread::deadline_after_any_thread;
use crate::waiter::{Thread, join_all, spawn, unless_killed};

/// A message; that it is not touched by two at once is seen by the cell.
type Message = Cell<u32>;

/// What a send gave back.
type Sent = Result<(), u32>;

struct Ends(Channel<Message>);

impl Ends {
    /// With one sender, and the caller as receiver.
    fn new(capacity: Option<usize>) -> Rc<Self> {
        Rc::new(Self(Channel::new(capacity)))
    }

    fn send(&self, message: u32) -> Sent {
        let sent = self.0.send(Cell::new(message));
        sent.map_err(|SendError(message)| message.get())
    }

    fn receive(&self) -> Option<u32> {
        self.0.recv(None).ok().map(|message| message.get())
    }

    fn receive_all(&self) -> Vec<u32> {
        std::iter::from_fn(|| self.receive()).collect()
    }

    /// A sender that sends these, and leaves; `None` if it was killed where it waits.
    fn sender<const N: usize>(self: &Rc<Self>, messages: [u32; N]) -> Thread<Option<[Sent; N]>> {
        let ends = Rc::clone(self);
        spawn(move || {
            let sent = unless_killed(|| messages.map(|message| ends.send(message)));
            ends.0.remove_sender();
            sent
        })
    }
}

fn in_order(capacity: Option<usize>) {
    model_of_two(move || {
        let ends = Ends::new(capacity);
        let sender = ends.sender([1, 2]);
        assert_eq!(ends.receive_all(), [1, 2]);
        assert_eq!(sender.join(), Some([Ok(()), Ok(())]));
    });
}

#[test]
fn unbounded_messages_arrive_in_order_and_then_the_end() {
    in_order(None);
}

#[test]
fn messages_that_meet_arrive_in_order_and_then_the_end() {
    in_order(Some(0));
}

#[test]
fn bounded_messages_arrive_in_order_and_then_the_end() {
    in_order(Some(1));
}

fn of_two(capacity: Option<usize>) {
    model(move || {
        let ends = Ends::new(capacity);
        ends.0.add_sender();
        let senders = [ends.sender([1]), ends.sender([2])];
        let mut received = ends.receive_all();
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        assert_eq!(join_all(senders), [Some([Ok(())]); 2]);
    });
}

#[test]
fn unbounded_messages_of_two_senders_arrive() {
    of_two(None);
}

#[test]
fn messages_of_two_senders_that_meet_the_receiver_arrive() {
    of_two(Some(0));
}

#[test]
fn bounded_messages_of_two_senders_arrive() {
    of_two(Some(1));
}

#[test]
fn room_goes_to_the_one_that_waits_for_it() {
    model(|| {
        let ends = Ends::new(Some(1));
        ends.0.add_sender();
        let senders = [ends.sender([1]), ends.sender([2])];
        let first = ends.receive().unwrap();
        // Nobody needs to receive once more.
        assert_eq!(join_all(senders), [Some([Ok(())]); 2]);
        assert_eq!(ends.receive_all(), [3 - first]);
    });
}

#[test]
fn who_sends_to_a_receiver_that_leaves_gets_the_message_back() {
    model_of_two(|| {
        let ends = Ends::new(Some(0));
        let sender = ends.sender([1]);
        let other = Rc::clone(&ends);
        let receiver = spawn(move || {
            let received = other.0.try_recv().is_ok();
            other.0.remove_receiver();
            received
        });
        let arrived = if receiver.join() { Ok(()) } else { Err(1) };
        assert_eq!(sender.join(), Some([arrived]));
    });
}

#[test]
fn a_sender_that_is_killed_leaves_no_half_a_message() {
    model_of_two(|| {
        let ends = Ends::new(Some(0));
        let sender = ends.sender([1]);
        sender.kill();
        let received = ends.receive_all();
        match sender.join() {
            Some(sent) => assert_eq!((sent, received), ([Ok(())], vec![1])),
            // It may have been told before.
            None => assert!(received.is_empty() || received == [1]),
        }
    });
}

#[test]
fn a_message_that_comes_as_the_time_is_up_is_there_for_the_next() {
    model(|| {
        let ends = Ends::new(Some(0));
        let other = Rc::clone(&ends);
        let receiver = spawn(move || {
            let first = other.0.recv(deadline_after_any_thread(Duration::ZERO));
            match first.map(|message| message.get()) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => other.receive().unwrap(),
                Err(RecvTimeoutError::Disconnected) => unreachable!(),
            }
        });
        let sender = ends.sender([1]);
        receiver.let_time_be_up();
        assert_eq!(receiver.join(), 1);
        assert_eq!(sender.join(), Some([Ok(())]));
    });
}

#[test]
fn two_who_receive_both_hear_of_the_end() {
    model(|| {
        let ends = Ends::new(None);
        let others = [(); 2].map(|()| {
            let ends = Rc::clone(&ends);
            spawn(move || ends.receive())
        });
        ends.0.remove_sender();
        assert_eq!(join_all(others), [None; 2]);
    });
}

#[test]
fn a_receiver_that_is_told_and_killed_leaves_the_message_to_the_other() {
    model(|| {
        let ends = Ends::new(None);
        let other = Rc::clone(&ends);
        let victim = spawn(move || match unless_killed(|| other.receive()) {
            Some(message) => other.send(message.unwrap()),
            None => Ok(()),
        });
        let sending = Rc::clone(&ends);
        let sender = spawn(move || sending.send(1));
        victim.kill();
        assert_eq!(ends.receive(), Some(1));
        assert_eq!(join_all([victim, sender]), [Ok(()), Ok(())]);
    });
}
