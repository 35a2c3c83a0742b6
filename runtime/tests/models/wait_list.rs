//! Models of the wait list, the queue of all locks and channels: waiters that are notified, that
//! give up, and that unwind.

use std::rc::Rc;
use std::time::Duration;

use crate::green::WaitReason;
use crate::primitive::{Cell, Mutex, lock, model};
use crate::sync::wait_list::{
    IfAbandoned, PendingUnpark, Position, WaitEntry, WaitList, WaitParams,
};
use crate::thread::{SelectToken, Selection, deadline_after_any_thread, park_while};
use crate::waiter::{Thread, join_all, spawn, unless_killed};

/// A flag that loom threads wait for.
struct Flag {
    state: Mutex<State>,
    race_check: Cell<bool>,
}

struct State {
    is_set: bool,
    /// The numbers of the waiters, in the order of arrival.
    arrived: Vec<u32>,
    waiters: WaitList<u32>,
}

/// The value that the notifier leaves in the slot.
const LEFT: u32 = 7;

impl Flag {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            state: Mutex::new(State {
                is_set: false,
                arrived: Vec::new(),
                waiters: WaitList::new(),
            }),
            race_check: Cell::new(false),
        })
    }

    /// Waits with `number` in its slot, unless the flag is set.
    fn wait(
        &self,
        number: u32,
        timeout: Option<Duration>,
        undo: impl FnOnce(Option<u32>),
    ) -> Result<Option<u32>, Option<u32>> {
        let mut state = lock(&self.state);
        if state.is_set {
            return Ok(Some(LEFT));
        }
        state.arrived.push(number);
        let wait = WaitParams {
            state: &self.state,
            queue: |state| &state.waiters,
            position: Position::Back,
            reason: WaitReason::Park,
            deadline: timeout.and_then(deadline_after_any_thread),
            if_abandoned: IfAbandoned::Leaves,
        };
        wait.park(state, Some(number), undo)
    }

    /// Sets the flag and notifies all waiters. Returns the numbers from their slots.
    fn set(&self) -> Vec<u32> {
        self.race_check.set(true);
        let mut state = lock(&self.state);
        state.is_set = true;
        let mut all = Vec::new();
        let mut numbers = Vec::new();
        while let Some((notified, number)) =
            state.waiters.notify_front(|slot| slot.replace(Some(LEFT)))
        {
            all.push(notified);
            numbers.extend(number);
        }
        drop(state);
        all.into_iter().for_each(PendingUnpark::unpark);
        numbers
    }
}

#[test]
fn waiters_are_notified_in_fifo_order_and_see_what_was_done_before() {
    model(|| {
        let flag = Flag::new();
        let waiter = |number| {
            let flag = Rc::clone(&flag);
            spawn(move || {
                // The entry is dropped here, with its cells: `[notified-last]`.
                assert_eq!(flag.wait(number, None, |_| unreachable!()), Ok(Some(LEFT)));
                assert!(flag.race_check.get());
            })
        };
        let waiters = [waiter(1), waiter(2)];
        assert_eq!(flag.set(), lock(&flag.state).arrived);
        join_all(waiters);
    });
}

#[test]
fn a_deadline_and_a_notifier_agree_on_which_came_first() {
    model(|| {
        let flag = Flag::new();
        let waiting = Rc::clone(&flag);
        let waiter = spawn(move || {
            let waited = waiting.wait(1, Some(Duration::ZERO), |_| unreachable!());
            match waited {
                Ok(slot) => assert_eq!((slot, waiting.race_check.get()), (Some(LEFT), true)),
                Err(slot) => assert_eq!(slot, Some(1), "the slot is unchanged"),
            }
            waited.is_ok()
        });
        let setting = Rc::clone(&flag);
        let notifier = spawn(move || setting.set());
        waiter.expire_deadline();
        let notified = notifier.join() == [1];
        let came_late = lock(&flag.state).arrived.is_empty();
        assert_eq!(waiter.join(), notified || came_late);
    });
}

#[test]
fn a_waiter_that_unwinds_after_its_notification_undoes_it() {
    model(|| {
        let flag = Flag::new();
        let undone = Rc::new(Cell::new(None));
        let (waiting, undoing) = (Rc::clone(&flag), Rc::clone(&undone));
        let waiter = spawn(move || {
            let waited = || waiting.wait(1, None, |slot| undoing.set(slot));
            unless_killed(waited).is_some()
        });
        let setting = Rc::clone(&flag);
        let notifier = spawn(move || setting.set());
        waiter.kill();
        let notified = notifier.join() == [1];
        let waited = waiter.join();
        // If the waiter was notified in vain, `undo` is given the value that was left in its slot.
        let in_vain = notified && !waited;
        assert_eq!(undone.get(), in_vain.then_some(LEFT));
    });
}

/// Two queues for a waiter that is in both.
type Queues = [Mutex<WaitList<u32>>; 2];

/// Creates an entry that is one of several of the caller.
fn entry_of_several(token: SelectToken) -> WaitEntry<u32> {
    let entry = WaitEntry::new(None);
    entry.prepare(token);
    entry
}

/// Waits like `select`: enters both queues, waits for the first notification, and leaves both.
/// Returns the index of the queue that notified, if any.
fn wait_in_both(
    queues: &Queues,
    timeout: Option<Duration>,
    before_park: impl FnOnce(),
) -> Option<usize> {
    let selection = Selection::new();
    let entries = [0, 1].map(|index| entry_of_several(selection.token(index)));
    for (entry, queue) in entries.iter().zip(queues) {
        // SAFETY:
        // - Both entries leave below, before they and the selection are dropped or moved. Nothing
        //   unwinds here.
        // - The lock of the queue is held.
        unsafe { entry.enter(&lock(queue), Position::Back) };
    }
    before_park();
    let deadline = timeout.and_then(deadline_after_any_thread);
    park_while(WaitReason::Select, deadline, || {
        selection.selected().is_none()
    });
    for (entry, queue) in entries.iter().zip(queues) {
        // SAFETY: the entry has entered this queue, and the lock of the queue is held.
        unsafe { entry.leave(&lock(queue)) };
    }
    let selected = selection.selected();
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry.take(), (selected == Some(index)).then_some(LEFT));
    }
    selected
}

/// Notifies the first waiter of one queue, in a loom thread. Returns whether there was a waiter.
fn notifier(queues: &Rc<Queues>, index: usize) -> Thread<bool> {
    let queues = Rc::clone(queues);
    spawn(move || {
        let notified = lock(&queues[index]).notify_front(|slot| slot.set(Some(LEFT)));
        notified.map(|(notified, ())| notified.unpark()).is_some()
    })
}

fn queues() -> Rc<Queues> {
    Rc::new([Mutex::new(WaitList::new()), Mutex::new(WaitList::new())])
}

#[test]
fn a_waiter_in_two_queues_is_notified_once() {
    model(|| {
        let queues = queues();
        let mut notifiers = None;
        let selected = wait_in_both(&queues, None, || {
            notifiers = Some([notifier(&queues, 0), notifier(&queues, 1)]);
        });
        let notified = join_all(notifiers.unwrap());
        assert!(selected.is_some());
        assert_eq!(notified, [selected == Some(0), selected == Some(1)]);
    });
}

#[test]
fn a_waiter_that_gives_up_in_two_queues_was_notified_once_or_not_at_all() {
    model(|| {
        let queues = queues();
        let waiting = Rc::clone(&queues);
        let waiter = spawn(move || wait_in_both(&waiting, Some(Duration::ZERO), || {}));
        let notifiers = [notifier(&queues, 0), notifier(&queues, 1)];
        waiter.expire_deadline();
        let notified = join_all(notifiers);
        let selected = waiter.join();
        assert_eq!(notified, [selected == Some(0), selected == Some(1)]);
    });
}
