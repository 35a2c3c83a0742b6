//! The condition variable, with the mutex that it is used with: no notification is lost.

use std::rc::Rc;
use std::time::Duration;

use crate::primitive::{Cell, model, model_of_two};
use crate::sync::condvar::Condvar;
use crate::sync::mutex::Mutex;
use crate::waiter::{Thread, join_all, spawn, unless_killed};

struct Door {
    open: Mutex<Cell<bool>>,
    changed: Condvar,
}

impl Door {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            open: Mutex::new(Cell::new(false)),
            changed: Condvar::new(),
        })
    }

    fn open(&self) {
        self.open.lock().unwrap().set(true);
    }

    fn wait(&self) {
        let is_closed = |open: &mut Cell<bool>| !open.get();
        let open = self.open.lock().unwrap();
        drop(self.changed.wait_while(open, is_closed).unwrap());
    }

    fn wait_elsewhere(self: &Rc<Self>) -> Thread<()> {
        let door = Rc::clone(self);
        spawn(move || door.wait())
    }
}

#[test]
fn who_waits_for_a_condition_sees_it_come() {
    model_of_two(|| {
        let door = Door::new();
        let waiter = door.wait_elsewhere();
        door.open();
        door.changed.notify_one();
        waiter.join();
    });
}

#[test]
fn all_are_notified() {
    model(|| {
        let door = Door::new();
        let waiters = [door.wait_elsewhere(), door.wait_elsewhere()];
        door.open();
        door.changed.notify_all();
        join_all(waiters);
    });
}

#[test]
fn who_is_notified_and_killed_passes_it_on() {
    model(|| {
        let door = Door::new();
        let other = Rc::clone(&door);
        let victim = spawn(move || {
            if unless_killed(|| other.wait()).is_some() {
                other.changed.notify_one();
            }
        });
        let next = door.wait_elsewhere();
        // It may be killed while it waits to be notified, and while it waits for the mutex then.
        let open = door.open.lock().unwrap();
        open.set(true);
        door.changed.notify_one();
        victim.kill();
        drop(open);
        next.join();
        victim.join();
    });
}

#[test]
fn a_wait_that_times_out_has_taken_no_notification() {
    model(|| {
        let door = Door::new();
        let other = Rc::clone(&door);
        let hasty = spawn(move || {
            let open = other.open.lock().unwrap();
            if open.get() {
                return drop(open);
            }
            let timeout = Duration::ZERO;
            let (open, result) = other.changed.wait_timeout(open, timeout).unwrap();
            let timed_out = result.timed_out();
            assert!(timed_out || open.get(), "it was notified of something");
            drop(open);
            if !timed_out {
                other.changed.notify_one();
            }
        });
        let next = door.wait_elsewhere();
        hasty.let_time_be_up();
        door.open();
        door.changed.notify_one();
        // The hasty one may have come too late to wait: then the notification is for the next.
        next.join();
        hasty.join();
    });
}
