//! Models of channels: each message arrives once, is returned, or is dropped with the channel. A
//! waiter is woken if the other end is gone.

use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, SendError};
use std::time::Duration;

use crate::primitive::{Cell, model, model_of_two};
use crate::sync::mpsc::channel::Channel;
use crate::thread::deadline_after_any_thread;
use crate::waiter::{Thread, join_all, spawn, unless_killed};

/// A message. The cell reports an access by two loom threads at once.
type Message = Cell<u32>;

/// The result of a send; an error contains the message.
type Sent = Result<(), u32>;

struct ChannelModel(Channel<Message>);

impl ChannelModel {
    /// Creates a channel with one sender. The caller is the receiver.
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

    /// Spawns a sender that sends `messages` and then leaves. Returns `None` if it was killed while
    /// it waited.
    fn sender<const N: usize>(self: &Rc<Self>, messages: [u32; N]) -> Thread<Option<[Sent; N]>> {
        let channel = Rc::clone(self);
        spawn(move || {
            let sent = unless_killed(|| messages.map(|message| channel.send(message)));
            channel.0.remove_sender();
            sent
        })
    }
}

fn check_order(capacity: Option<usize>) {
    model_of_two(move || {
        let channel = ChannelModel::new(capacity);
        let sender = channel.sender([1, 2]);
        assert_eq!(channel.receive_all(), [1, 2]);
        assert_eq!(sender.join(), Some([Ok(()), Ok(())]));
    });
}

#[test]
fn messages_of_an_unbounded_channel_arrive_in_order_and_then_the_end() {
    check_order(None);
}

#[test]
fn messages_of_a_channel_of_bound_zero_arrive_in_order_and_then_the_end() {
    check_order(Some(0));
}

#[test]
fn messages_of_a_bounded_channel_arrive_in_order_and_then_the_end() {
    check_order(Some(1));
}

fn check_two_senders(capacity: Option<usize>) {
    model(move || {
        let channel = ChannelModel::new(capacity);
        channel.0.add_sender();
        let senders = [channel.sender([1]), channel.sender([2])];
        let mut received = channel.receive_all();
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        assert_eq!(join_all(senders), [Some([Ok(())]); 2]);
    });
}

#[test]
fn messages_of_two_senders_arrive_through_an_unbounded_channel() {
    check_two_senders(None);
}

#[test]
fn messages_of_two_senders_arrive_through_a_channel_of_bound_zero() {
    check_two_senders(Some(0));
}

#[test]
fn messages_of_two_senders_arrive_through_a_bounded_channel() {
    check_two_senders(Some(1));
}

#[test]
fn room_goes_to_the_waiting_sender() {
    model(|| {
        let channel = ChannelModel::new(Some(1));
        channel.0.add_sender();
        let senders = [channel.sender([1]), channel.sender([2])];
        let first = channel.receive().unwrap();
        // Both sends complete without a second receive.
        assert_eq!(join_all(senders), [Some([Ok(())]); 2]);
        assert_eq!(channel.receive_all(), [3 - first]);
    });
}

#[test]
fn a_send_to_a_receiver_that_leaves_returns_the_message() {
    model_of_two(|| {
        let channel = ChannelModel::new(Some(0));
        let sender = channel.sender([1]);
        let other = Rc::clone(&channel);
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
fn the_message_of_a_killed_sender_arrives_whole_or_not_at_all() {
    model_of_two(|| {
        let channel = ChannelModel::new(Some(0));
        let sender = channel.sender([1]);
        sender.kill();
        let received = channel.receive_all();
        match sender.join() {
            Some(sent) => assert_eq!((sent, received), ([Ok(())], vec![1])),
            // The sender may have been notified before the kill.
            None => assert!(received.is_empty() || received == [1]),
        }
    });
}

#[test]
fn a_message_that_arrives_at_the_deadline_is_left_for_the_next_receive() {
    model(|| {
        let channel = ChannelModel::new(Some(0));
        let other = Rc::clone(&channel);
        let receiver = spawn(move || {
            let first = other.0.recv(deadline_after_any_thread(Duration::ZERO));
            match first.map(|message| message.get()) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => other.receive().unwrap(),
                Err(RecvTimeoutError::Disconnected) => unreachable!(),
            }
        });
        let sender = channel.sender([1]);
        receiver.expire_deadline();
        assert_eq!(receiver.join(), 1);
        assert_eq!(sender.join(), Some([Ok(())]));
    });
}

#[test]
fn both_of_two_receivers_are_woken_when_the_sender_leaves() {
    model(|| {
        let channel = ChannelModel::new(None);
        let others = [(); 2].map(|()| {
            let channel = Rc::clone(&channel);
            spawn(move || channel.receive())
        });
        channel.0.remove_sender();
        assert_eq!(join_all(others), [None; 2]);
    });
}

#[test]
fn a_receiver_killed_after_its_notification_leaves_the_message_to_another() {
    model(|| {
        let channel = ChannelModel::new(None);
        let other = Rc::clone(&channel);
        let victim = spawn(move || match unless_killed(|| other.receive()) {
            Some(message) => other.send(message.unwrap()),
            None => Ok(()),
        });
        let sending = Rc::clone(&channel);
        let sender = spawn(move || sending.send(1));
        victim.kill();
        assert_eq!(channel.receive(), Some(1));
        assert_eq!(join_all([victim, sender]), [Ok(()), Ok(())]);
    });
}
