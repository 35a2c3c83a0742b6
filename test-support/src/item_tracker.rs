//! `ItemTracker`: accounts for every item that goes through a queue, whatever happens to its putter
//! and its getter.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use evy_runtime::{Full, lowlevel};

/// Knows the state of each item that was put through it; a clone is another handle to it.
#[derive(Clone, Debug, Default)]
pub struct ItemTracker(Rc<RefCell<Vec<ItemState>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ItemState {
    /// The green thread of this id is putting the item.
    Putting(u64),
    /// The item is in the queue, or on its way to a getter.
    Put,
    /// A getter has received the item. Every item that was put must end like this.
    Got,
    /// The putter has the item back. Every item that was not put must end like this.
    Returned,
    /// The item was dropped after it was put, or by a green thread other than its putter.
    Lost,
}

impl ItemTracker {
    /// Creates an item and passes it to `put`. Returns `true` if `put` has put it. `put` may
    /// unwind.
    pub fn track_put(&self, put: impl FnOnce(Item) -> Result<(), Full<Item>>) -> bool {
        let number = self.0.borrow().len();
        let putter = lowlevel::current_id();
        self.0.borrow_mut().push(ItemState::Putting(putter));
        let _guard = PutGuard(self, number);
        let item = Item {
            number,
            tracker: self.clone(),
        };
        let done = put(item).is_ok();
        assert_eq!(
            done,
            self.state(number) != ItemState::Returned,
            "the result of a put says what happened to the item"
        );
        done
    }

    /// Checks, for a queue that was emptied, that every item that was put has been received.
    /// Returns how many items were received, and how many were not put.
    #[must_use]
    pub fn check_all_accounted(&self) -> (usize, usize) {
        let states = self.0.borrow();
        let unaccounted =
            |state: &&ItemState| !matches!(state, ItemState::Got | ItemState::Returned);
        assert_eq!(states.iter().find(unaccounted), None, "of {}", states.len());
        let got = states.iter().filter(|state| **state == ItemState::Got);
        let got = got.count();
        (got, states.len() - got)
    }

    fn state(&self, number: usize) -> ItemState {
        self.0.borrow()[number]
    }

    fn set(&self, number: usize, state: ItemState) {
        self.0.borrow_mut()[number] = state;
    }
}

/// Marks an item as put when the put ends, unless the item was received or returned meanwhile.
struct PutGuard<'a>(&'a ItemTracker, usize);

impl Drop for PutGuard<'_> {
    fn drop(&mut self) {
        let Self(tracker, number) = *self;
        if matches!(tracker.state(number), ItemState::Putting(_)) {
            tracker.set(number, ItemState::Put);
        }
    }
}

/// An item that records what happens to it.
pub struct Item {
    number: usize,
    tracker: ItemTracker,
}

impl Item {
    /// Marks the item as received.
    pub fn take(self) {
        let state = self.tracker.state(self.number);
        assert!(
            matches!(state, ItemState::Putting(_) | ItemState::Put),
            "{state:?}"
        );
        self.tracker.set(self.number, ItemState::Got);
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        let state = match self.tracker.state(self.number) {
            ItemState::Got => return,
            ItemState::Putting(putter) if putter == lowlevel::current_id() => ItemState::Returned,
            _ => ItemState::Lost,
        };
        self.tracker.set(self.number, state);
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
