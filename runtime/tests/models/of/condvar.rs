//! Models of the condition variable and its mutex: no notification is lost.

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
fn a_waiter_sees_the_condition_become_true() {
    model_of_two(|| {
        let door = Door::new();
        let waiter = door.wait_elsewhere();
        door.open();
        door.changed.notify_one();
        waiter.join();
    });
}

#[test]
fn notify_all_notifies_every_waiter() {
    model(|| {
        let door = Door::new();
        let waiters = [door.wait_elsewhere(), door.wait_elsewhere()];
        door.open();
        door.changed.notify_all();
        join_all(waiters);
    });
}

#[test]
fn a_waiter_killed_after_its_notification_notifies_the_next() {
    model(|| {
        let door = Door::new();
        let other = Rc::clone(&door);
        let victim = spawn(move || {
            if unless_killed(|| other.wait()).is_some() {
                other.changed.notify_one();
            }
        });
        let next = door.wait_elsewhere();
        // The victim may be killed while it waits for the notification, or afterwards while it
        // waits for the mutex.
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
fn a_wait_that_times_out_consumes_no_notification() {
    model(|| {
        let door = Door::new();
        let other = Rc::clone(&door);
        let timed = spawn(move || {
            let open = other.open.lock().unwrap();
            if open.get() {
                return drop(open);
            }
            let timeout = Duration::ZERO;
            let (open, result) = other.changed.wait_timeout(open, timeout).unwrap();
            let timed_out = result.timed_out();
            assert!(
                timed_out || open.get(),
                "a notified waiter finds the door open"
            );
            drop(open);
            if !timed_out {
                other.changed.notify_one();
            }
        });
        let next = door.wait_elsewhere();
        timed.expire_deadline();
        door.open();
        door.changed.notify_one();
        // The waiter with the deadline may have come too late to wait. Then the notification is for
        // the next one.
        next.join();
        timed.join();
    });
}
