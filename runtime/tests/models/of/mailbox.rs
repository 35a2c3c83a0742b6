//! The mailbox: what is sent arrives, however sending, taking, leaving and closing interleave.

use std::rc::Rc;

use loom::sync::{Condvar, Mutex};

use crate::mailbox::{Link, Linked, Mailbox};
use crate::primitive::{Arc, AtomicBool, Cell, Ordering, model};
use crate::waiter::spawn;

/// In the place of a green thread's handle.
struct Letter {
    link: Link<Self>,
    /// What is told by whom it comes from, before it is sent.
    news: [AtomicBool; 2],
    witness: Cell<bool>,
}

impl Linked for Letter {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Letter {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            link: Link::new(),
            news: [AtomicBool::new(false), AtomicBool::new(false)],
            witness: Cell::new(false),
        })
    }

    /// Relaxed, so that nothing but the mailbox makes it visible.
    fn tell(&self, sender: usize) {
        self.news[sender].store(true, Ordering::Relaxed);
    }

    fn told_all(&self) -> bool {
        self.news.iter().all(|news| news.load(Ordering::Relaxed))
    }
}

/// In the place of an inbox: a mailbox, and a poller that its owner waits in.
struct Office {
    mailbox: Mailbox<Letter>,
    notified: Mutex<bool>,
    changed: Condvar,
}

impl Office {
    /// With two outsiders, who do as they are told. The caller is the owner.
    fn with_two(outsider: impl Fn(usize, &Self) + Clone + 'static) -> Rc<Self> {
        let office = Rc::new(Self {
            mailbox: Mailbox::new(),
            notified: Mutex::new(false),
            changed: Condvar::new(),
        });
        for number in 0..2 {
            office.mailbox.add_remote();
            let (office, outsider) = (Rc::clone(&office), outsider.clone());
            spawn(move || outsider(number, &office));
        }
        office
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

    fn send(&self, letter: &Arc<Letter>) {
        self.mailbox.send(letter, || self.notify());
    }

    /// By an outsider, at last.
    fn leave(&self) {
        self.mailbox.remove_remote(|| self.notify());
    }

    /// The next letters, as `idle` gets them; `None` is a stall.
    fn next(&self) -> Option<Vec<Arc<Letter>>> {
        loop {
            if let Some(letters) = self.mailbox.take() {
                return Some(letters);
            }
            if self.mailbox.is_disconnected() {
                return None;
            }
            self.wait();
        }
    }
}

#[test]
fn each_letter_arrives_once_and_no_wake_up_is_lost() {
    model(|| {
        let letters = [Letter::new(), Letter::new()];
        let office = Office::with_two(move |number, office| {
            letters[number].witness.set(true);
            office.send(&letters[number]);
        });
        let mut arrived = 0;
        while arrived < 2 {
            let letters = office.next().expect("no stall while one is to come");
            arrived += letters.len();
            assert!(letters.iter().all(|letter| letter.witness.get()));
        }
        assert!(arrived == 2 && office.mailbox.is_empty());
    });
}

#[test]
fn a_letter_that_two_send_brings_the_news_of_both() {
    model(|| {
        let letter = Letter::new();
        let sent = Arc::clone(&letter);
        let office = Office::with_two(move |number, office| {
            sent.tell(number);
            office.send(&sent);
        });
        while !letter.told_all() {
            office.next().expect("no stall while there is news");
        }
        drop(office.mailbox.close());
    });
}

#[test]
fn a_token_survives_the_wake_ups_around_it() {
    model(|| {
        let letter = Letter::new();
        let sent = Arc::clone(&letter);
        let office = Office::with_two(move |number, office| {
            if number == 0 {
                sent.tell(0);
                sent.link.put_token();
            }
            office.send(&sent);
        });
        while !letter.link.take_token() {
            office.next().expect("no stall while a token is to come");
        }
        assert!(letter.news[0].load(Ordering::Relaxed));
        drop(office.mailbox.close());
    });
}

#[test]
fn of_two_tokens_the_last_one_taken_shows_what_both_senders_did() {
    model(|| {
        let letter = Letter::new();
        let sent = Arc::clone(&letter);
        let office = Office::with_two(move |number, office| {
            sent.tell(number);
            sent.link.put_token();
            office.send(&sent);
        });
        // As `while !condition { thread::park() }`.
        while !letter.told_all() {
            while !letter.link.take_token() {
                office.next().expect("no stall while a token is to come");
            }
        }
        drop(office.mailbox.close());
    });
}

#[test]
fn who_sends_and_leaves_has_left_no_stall() {
    model(|| {
        let letter = Letter::new();
        let sent = Arc::clone(&letter);
        let office = Office::with_two(move |number, office| {
            if number == 0 {
                office.send(&sent);
            }
            office.leave();
        });
        let mut arrived = 0;
        while let Some(letters) = office.next() {
            arrived += letters.len();
        }
        assert_eq!(arrived, 1);
    });
}

#[test]
fn who_leaves_last_has_a_stall_noticed() {
    model(|| {
        let office = Office::with_two(|_, office| office.leave());
        assert!(office.next().is_none());
    });
}

#[test]
fn nothing_is_left_in_a_mailbox_that_closes_meanwhile() {
    model(|| {
        let letters = [Letter::new(), Letter::new()];
        let sent = letters.clone();
        let office = Office::with_two(move |number, office| office.send(&sent[number]));
        let last = office.mailbox.close();
        assert!(office.mailbox.is_closed() && office.mailbox.is_empty());
        drop((last, letters));
        // Loom complains of letters that are not freed.
    });
}
