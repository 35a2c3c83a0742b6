//! Keeps account of items that go through a queue, whatever becomes of those who put and get them.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use evy_runtime::{Full, lowlevel};

/// What has become of each item.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Rc<RefCell<Vec<Fate>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// This green thread is about to put it.
    Offered(u64),
    /// It is in the queue, or on its way to a getter.
    Put,
    /// The only good end of an item that was put.
    Got,
    /// The only good end of one that was not: whoever wanted to put it has it again.
    Back,
    /// It was dropped by somebody else, or after it was put.
    Lost,
}

impl Ledger {
    /// Has `put` put a new item, and says whether it has. `put` may unwind.
    pub(crate) fn offer(&self, put: impl FnOnce(Item) -> Result<(), Full<Item>>) -> bool {
        let number = self.0.borrow().len();
        let putter = lowlevel::current_id();
        self.0.borrow_mut().push(Fate::Offered(putter));
        let _offer = Offer(self, number);
        let item = Item {
            number,
            ledger: self.clone(),
        };
        let done = put(item).is_ok();
        assert_eq!(done, self.fate(number) != Fate::Back, "it did what it says");
        done
    }

    /// For a queue that was emptied: each item that was put has been got, and only those. Returns
    /// how many were, and how many were not put.
    pub(crate) fn close(&self) -> (usize, usize) {
        let fates = self.0.borrow();
        let unsettled = |fate: &&Fate| !matches!(fate, Fate::Got | Fate::Back);
        assert_eq!(fates.iter().find(unsettled), None, "of {}", fates.len());
        let got = fates.iter().filter(|fate| **fate == Fate::Got).count();
        (got, fates.len() - got)
    }

    fn fate(&self, number: usize) -> Fate {
        self.0.borrow()[number]
    }

    fn set(&self, number: usize, fate: Fate) {
        self.0.borrow_mut()[number] = fate;
    }
}

/// While an item is being put.
struct Offer<'a>(&'a Ledger, usize);

impl Drop for Offer<'_> {
    fn drop(&mut self) {
        let Self(ledger, number) = *self;
        if matches!(ledger.fate(number), Fate::Offered(_)) {
            ledger.set(number, Fate::Put);
        }
    }
}

/// An item that knows what it owes: to be got, or to go back to its putter.
pub(crate) struct Item {
    number: usize,
    ledger: Ledger,
}

impl Item {
    /// Says that it was got.
    pub(crate) fn take(self) {
        let fate = self.ledger.fate(self.number);
        assert!(matches!(fate, Fate::Offered(_) | Fate::Put), "{fate:?}");
        self.ledger.set(self.number, Fate::Got);
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        let fate = match self.ledger.fate(self.number) {
            Fate::Got => return,
            Fate::Offered(putter) if putter == lowlevel::current_id() => Fate::Back,
            _ => Fate::Lost,
        };
        self.ledger.set(self.number, fate);
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {}", self.number)
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number)
    }
}
