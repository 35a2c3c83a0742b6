//! Macros and modules in a program that depends on `evy` alone: the macros expand without the
//! crates below it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use evy::sync::{Arc, Mutex, OnceLock, mpsc};
use evy::test::{explore_schedules, inject_faults, virtual_time, wait_all_parked};
use evy::{Event, Queue, Semaphore, thread};

const MINUTE: Duration = Duration::from_secs(60);

evy::green_local! {
    /// A value for each green thread.
    static NAME: RefCell<String> = RefCell::new("default".to_owned());
    pub(crate) static COUNT: Cell<u32> = const { Cell::new(0) };
}

#[test]
fn select_completes_the_first_ready_arm() {
    virtual_time(|| {
        let (queue, done, permits) = (Queue::bounded(1), Event::new(), Semaphore::new(0));
        let (sender, receiver) = mpsc::sync_channel(0);
        let (items, end) = (queue.clone(), done.clone());
        evy::spawn_n(move || {
            sender.send(1).unwrap();
            items.put(2);
            evy::sleep(MINUTE);
            end.send(()).unwrap();
            std::mem::forget(sender);
        });
        let mut sum = 0;
        loop {
            evy::select! {
                recv(&receiver) -> n => sum += n.unwrap(),
                get(&queue) -> n => sum += n,
                acquire(&permits) => unreachable!(),
                wait(&done) => break,
            }
        }
        assert_eq!(sum, 3);
    });
}

/// A program that defines names that the macro uses itself.
mod hides_the_prelude {
    use evy::Queue;

    enum Own {
        None,
        Some,
    }
    use Own::{None, Some};

    pub(crate) fn sum() -> u32 {
        let (chosen, other, arms) = (Queue::unbounded(), Queue::unbounded(), 40);
        other.put(arms);
        evy::select! {
            get(&chosen) -> 0 | 1..=u32::MAX => 0,
            get(&other) -> other => other + 2,
            default => [None, Some].len() as u32,
        }
    }
}

#[test]
fn select_does_not_conflict_with_names_of_the_program() {
    virtual_time(|| assert_eq!(hides_the_prelude::sum(), 42));
}

#[test]
fn select_is_an_expression_and_may_be_left_by_return_break_and_question_mark() {
    fn number(from: &str) -> Result<u32, std::num::ParseIntError> {
        let queue = Queue::<u32>::unbounded();
        let n = evy::select! { put(&queue, from.parse()?) => queue.get() };
        evy::select! { get(&queue) -> _ => return Ok(0), default => {} }
        evy::select! { after(Duration::ZERO) => Ok(n + "1".parse::<u32>()?), }
    }
    virtual_time(|| {
        assert_eq!(number("41"), Ok(42));
        assert!(number("many").is_err());
        assert_eq!(evy::select! { default => 1 }, 1);
        let label = 'left: {
            let text: String = evy::select! {
                at(evy::lowlevel::now()) => break 'left "broken",
                get(&Queue::unbounded()) -> text => match text { "" => return, _ => text.to_owned() },
            };
            drop(text);
            "went through"
        };
        assert_eq!(label, "broken");
    });
}

#[test]
fn each_green_thread_has_its_own_locals() {
    virtual_time(|| {
        NAME.set("root".to_owned());
        let child = evy::spawn(|| {
            COUNT.set(COUNT.get() + 1);
            (NAME.take(), COUNT.get())
        });
        assert_eq!(child.join().unwrap(), ("default".to_owned(), 1));
        assert_eq!((NAME.take().as_str(), COUNT.get()), ("root", 0));
    });
}

#[test]
fn the_test_functions_control_time_and_order_and_inject_faults() {
    explore_schedules(0..20, || {
        let total = Arc::new(Mutex::new(0));
        let adders = [1, 2, 3].map(|n| {
            let total = Arc::clone(&total);
            evy::spawn(move || {
                let mut total = total.lock().unwrap();
                evy::yield_now();
                *total += n;
            })
        });
        assert!(evy::wait_all(adders).iter().all(Result::is_ok));
        assert_eq!(*total.lock().unwrap(), 6);
    });
    let faults = inject_faults(|injector| {
        let queue = Queue::bounded(0);
        let (items, rest) = (queue.clone(), queue.clone());
        let victim =
            injector.spawn(move || evy::select! { get(&items) -> n => n, after(MINUTE) => 0 });
        evy::spawn_n(move || queue.put(1));
        let taken = victim.join().map_or(0, |n| n.unwrap_or(0));
        wait_all_parked();
        assert_eq!(taken + rest.try_get().unwrap_or(0), 1);
    });
    assert!(faults >= 4, "{faults}");
}

#[test]
fn sync_primitives_are_shared_with_os_threads() {
    static GREETING: OnceLock<String> = OnceLock::new();
    let (sender, receiver) = mpsc::channel();
    let os_thread = std::thread::spawn(move || {
        let greeting = GREETING.get_or_init(|| "hello".to_owned());
        sender.send(greeting.len()).unwrap();
    });
    let green = evy::spawn(move || receiver.recv().unwrap());
    assert_eq!(green.join().unwrap(), 5);
    assert_eq!(GREETING.get().map(String::as_str), Some("hello"));
    os_thread.join().unwrap();
    assert!(thread::current().parent().is_none());
}
