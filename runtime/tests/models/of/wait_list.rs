//! The queue below all locks and channels: who is told, who gives up, and who unwinds.

use std::rc::Rc;
use std::time::Duration;

use crate::green::WaitReason;
use crate::primitive::{Cell, Mutex, lock, model};
use crate::sync::wait_list::{PendingUnpark, Position, WaitEntry, WaitList, WaitParams};
use crate::thread::{SelectToken, Selection, deadline_after_any_thread, park_while};
use crate::waiter::{Thread, join_all, spawn, unless_killed};

/// Something to wait for.
struct Gate {
    state: Mutex<State>,
    witness: Cell<bool>,
}

struct State {
    open: bool,
    /// Who waits, in the order of arrival.
    arrived: Vec<u32>,
    waiters: WaitList<u32>,
}

/// What the teller leaves in the slot.
const LEFT: u32 = 7;

impl Gate {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            state: Mutex::new(State {
                open: false,
                arrived: Vec::new(),
                waiters: WaitList::new(),
            }),
            witness: Cell::new(false),
        })
    }

    /// Brings `number`, and waits unless the gate is open.
    fn pass(
        &self,
        number: u32,
        timeout: Option<Duration>,
        undo: impl FnOnce(Option<u32>),
    ) -> Result<Option<u32>, Option<u32>> {
        let mut state = lock(&self.state);
        if state.open {
            return Ok(Some(LEFT));
        }
        state.arrived.push(number);
        let wait = WaitParams {
            state: &self.state,
            queue: |state| &state.waiters,
            position: Position::Back,
            reason: WaitReason::Park,
            deadline: timeout.and_then(deadline_after_any_thread),
        };
        wait.park(state, Some(number), undo)
    }

    /// Opens it, and tells all who wait; the numbers that they brought.
    fn open(&self) -> Vec<u32> {
        self.witness.set(true);
        let mut state = lock(&self.state);
        state.open = true;
        let mut all = Vec::new();
        let mut numbers = Vec::new();
        while let Some((told, brought)) =
            state.waiters.notify_front(|slot| slot.replace(Some(LEFT)))
        {
            all.push(told);
            numbers.extend(brought);
        }
        drop(state);
        all.into_iter().for_each(PendingUnpark::unpark);
        numbers
    }
}

#[test]
fn who_waits_is_told_in_order_and_sees_what_was_done_before() {
    model(|| {
        let gate = Gate::new();
        let waiter = |number| {
            let gate = Rc::clone(&gate);
            spawn(move || {
                // A place dies here, with its cells: `[told-last]`.
                assert_eq!(gate.pass(number, None, |_| unreachable!()), Ok(Some(LEFT)));
                assert!(gate.witness.get());
            })
        };
        let waiters = [waiter(1), waiter(2)];
        assert_eq!(gate.open(), lock(&gate.state).arrived);
        join_all(waiters);
    });
}

#[test]
fn a_deadline_and_a_teller_agree_on_who_came_first() {
    model(|| {
        let gate = Gate::new();
        let passing = Rc::clone(&gate);
        let waiter = spawn(move || {
            let passed = passing.pass(1, Some(Duration::ZERO), |_| unreachable!());
            match passed {
                Ok(slot) => assert_eq!((slot, passing.witness.get()), (Some(LEFT), true)),
                Err(slot) => assert_eq!(slot, Some(1), "nobody has touched it"),
            }
            passed.is_ok()
        });
        let opening = Rc::clone(&gate);
        let teller = spawn(move || opening.open());
        waiter.let_time_be_up();
        let told = teller.join() == [1];
        let came_late = lock(&gate.state).arrived.is_empty();
        assert_eq!(waiter.join(), told || came_late);
    });
}

#[test]
fn who_is_told_and_unwinds_undoes_what_it_was_told() {
    model(|| {
        let gate = Gate::new();
        let undone = Rc::new(Cell::new(None));
        let (passing, undoing) = (Rc::clone(&gate), Rc::clone(&undone));
        let waiter = spawn(move || {
            let passed = || passing.pass(1, None, |slot| undoing.set(slot));
            unless_killed(passed).is_some()
        });
        let opening = Rc::clone(&gate);
        let teller = spawn(move || opening.open());
        waiter.kill();
        let told = teller.join() == [1];
        let passed = waiter.join();
        // It was told in vain: then it has what was left for it to give back.
        let in_vain = told && !passed;
        assert_eq!(undone.get(), in_vain.then_some(LEFT));
    });
}

/// Two queues, of which a waiter stands in both.
type Queues = [Mutex<WaitList<u32>>; 2];

/// A place that is one of several of the caller.
fn place_of_several(token: SelectToken) -> WaitEntry<u32> {
    let place = WaitEntry::new(None);
    place.prepare(token);
    place
}

/// As `select`: enters both, waits for the first, leaves both. Which one it was, if any.
fn wait_in_both(
    queues: &Queues,
    timeout: Option<Duration>,
    entered: impl FnOnce(),
) -> Option<usize> {
    let selection = Selection::new();
    let places = [0, 1].map(|index| place_of_several(selection.token(index)));
    for (place, queue) in places.iter().zip(queues) {
        // SAFETY: both leave below, before places and choice are dropped; nothing unwinds here.
        unsafe { place.enter(&lock(queue), Position::Back) };
    }
    entered();
    let deadline = timeout.and_then(deadline_after_any_thread);
    park_while(WaitReason::Select, deadline, || {
        selection.selected().is_none()
    });
    for (place, queue) in places.iter().zip(queues) {
        // SAFETY: entered in this one.
        unsafe { place.leave(&lock(queue)) };
    }
    let made = selection.selected();
    for (index, place) in places.iter().enumerate() {
        assert_eq!(place.take(), (made == Some(index)).then_some(LEFT));
    }
    made
}

/// Tells who waits in this one, if anybody, in a loom thread; whether there was somebody.
fn teller(queues: &Rc<Queues>, index: usize) -> Thread<bool> {
    let queues = Rc::clone(queues);
    spawn(move || {
        let told = lock(&queues[index]).notify_front(|slot| slot.set(Some(LEFT)));
        told.map(|(told, ())| told.unpark()).is_some()
    })
}

fn queues() -> Rc<Queues> {
    Rc::new([Mutex::new(WaitList::new()), Mutex::new(WaitList::new())])
}

#[test]
fn who_stands_in_two_queues_is_reached_once() {
    model(|| {
        let queues = queues();
        let mut tellers = None;
        let made = wait_in_both(&queues, None, || {
            tellers = Some([teller(&queues, 0), teller(&queues, 1)]);
        });
        let told = join_all(tellers.unwrap());
        assert!(made.is_some());
        assert_eq!(told, [made == Some(0), made == Some(1)]);
    });
}

#[test]
fn who_gives_up_in_two_queues_was_reached_or_not() {
    model(|| {
        let queues = queues();
        let waiting = Rc::clone(&queues);
        let waiter = spawn(move || wait_in_both(&waiting, Some(Duration::ZERO), || {}));
        let tellers = [teller(&queues, 0), teller(&queues, 1)];
        waiter.let_time_be_up();
        let told = join_all(tellers);
        let made = waiter.join();
        assert_eq!(told, [made == Some(0), made == Some(1)]);
    });
}
