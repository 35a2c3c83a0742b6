//! Models of the condition variable and its mutex: no notification is lost.

use std::rc::Rc;
use std::time::Duration;

use crate::primitive::{Cell, model, model_of_two};
use crate::sync::condvar::Condvar;
use crate::sync::mutex::Mutex;
use crate::waiter::{Thread, join_all, spawn, unless_killed};

struct Flag {
    value: Mutex<Cell<bool>>,
    changed: Condvar,
}

impl Flag {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            value: Mutex::new(Cell::new(false)),
            changed: Condvar::new(),
        })
    }

    fn set(&self) {
        self.value.lock().unwrap().set(true);
    }

    fn wait(&self) {
        let is_unset = |value: &mut Cell<bool>| !value.get();
        let value = self.value.lock().unwrap();
        drop(self.changed.wait_while(value, is_unset).unwrap());
    }

    fn wait_elsewhere(self: &Rc<Self>) -> Thread<()> {
        let flag = Rc::clone(self);
        spawn(move || flag.wait())
    }
}

#[test]
fn a_waiter_sees_the_condition_become_true() {
    model_of_two(|| {
        let flag = Flag::new();
        let waiter = flag.wait_elsewhere();
        flag.set();
        flag.changed.notify_one();
        waiter.join();
    });
}

#[test]
fn notify_all_notifies_every_waiter() {
    model(|| {
        let flag = Flag::new();
        let waiters = [flag.wait_elsewhere(), flag.wait_elsewhere()];
        flag.set();
        flag.changed.notify_all();
        join_all(waiters);
    });
}

#[test]
fn a_waiter_killed_after_its_notification_notifies_the_next() {
    model(|| {
        let flag = Flag::new();
        let other = Rc::clone(&flag);
        let victim = spawn(move || {
            if unless_killed(|| other.wait()).is_some() {
                other.changed.notify_one();
            }
        });
        let next = flag.wait_elsewhere();
        // The victim may be killed while it waits for the notification, or afterwards while it
        // waits for the mutex.
        let value = flag.value.lock().unwrap();
        value.set(true);
        flag.changed.notify_one();
        victim.kill();
        drop(value);
        next.join();
        victim.join();
    });
}

#[test]
fn a_wait_that_times_out_consumes_no_notification() {
    model(|| {
        let flag = Flag::new();
        let other = Rc::clone(&flag);
        let timed = spawn(move || {
            let value = other.value.lock().unwrap();
            if value.get() {
                return drop(value);
            }
            let timeout = Duration::ZERO;
            let (value, result) = other.changed.wait_timeout(value, timeout).unwrap();
            let timed_out = result.timed_out();
            assert!(
                timed_out || value.get(),
                "a notified waiter finds the flag set"
            );
            drop(value);
            if !timed_out {
                other.changed.notify_one();
            }
        });
        let next = flag.wait_elsewhere();
        timed.expire_deadline();
        flag.set();
        flag.changed.notify_one();
        // The waiter with the deadline may have come too late to wait. Then the notification is for
        // the next one.
        next.join();
        timed.join();
    });
}
