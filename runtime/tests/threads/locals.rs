//! Tests of `green_local!`, which is like `std::thread_local!`, but for green threads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use evy_runtime::test::virtual_time;
use evy_runtime::thread::{self, LocalKey};
use evy_runtime::{green_local, spawn, spawn_n, yield_now};

/// Adds its name to a log when dropped.
struct OnDrop(&'static str, Rc<RefCell<Vec<&'static str>>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

green_local! {
    static COUNT: Cell<u32> = Cell::new(7);
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
    static KEPT: RefCell<Option<OnDrop>> = RefCell::new(None);
    static LATER: RefCell<Option<OnDrop>> = RefCell::new(None)
}

#[test]
fn each_green_thread_has_its_own_value() {
    virtual_time(|| {
        COUNT.set(1);
        let others: Vec<_> = (0..3)
            .map(|n| {
                spawn(move || {
                    assert_eq!(COUNT.get(), 7);
                    COUNT.set(n);
                    yield_now();
                    COUNT.replace(100)
                })
            })
            .collect();
        for (n, other) in (0..).zip(others) {
            assert_eq!(other.join().unwrap(), n);
        }
        assert_eq!(COUNT.take(), 1);
        assert_eq!(COUNT.get(), 0);
    });
}

#[test]
fn a_local_ref_cell_has_the_shortcut_methods_of_std() {
    virtual_time(|| {
        TEXT.with_borrow_mut(|text| text.push_str("abc"));
        assert_eq!(TEXT.with_borrow(String::len), 3);
        assert_eq!(TEXT.replace("d".to_owned()), "abc");
        TEXT.set("e".to_owned());
        assert_eq!(TEXT.take(), "e");
        assert_eq!(TEXT.with(|text| text.borrow().len()), 0);
    });
}

#[test]
fn values_are_dropped_newest_first_before_a_joiner_continues() {
    virtual_time(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let (first, second, joined) = (Rc::clone(&log), Rc::clone(&log), Rc::clone(&log));
        let child = spawn(move || {
            KEPT.set(Some(OnDrop("first", first)));
            LATER.set(Some(OnDrop("second", second)));
        });
        let joiner = spawn(move || {
            child.join().unwrap();
            joined.borrow_mut().push("joined");
        });
        joiner.join().unwrap();
        assert_eq!(*log.borrow(), ["second", "first", "joined"]);
    });
}

#[test]
fn a_killed_green_thread_and_one_without_a_handle_drop_their_values() {
    virtual_time(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let (killed, ended) = (Rc::clone(&log), Rc::clone(&log));
        let victim = spawn(move || {
            KEPT.set(Some(OnDrop("killed", killed)));
            thread::park();
        });
        spawn_n(move || KEPT.set(Some(OnDrop("ended", ended))));
        yield_now();
        victim.kill();
        assert_eq!(*log.borrow(), ["ended", "killed"]);
    });
}

#[test]
fn a_destructor_may_use_other_locals_but_not_its_own() {
    struct Probe(Rc<Cell<(bool, u32)>>);
    impl Drop for Probe {
        fn drop(&mut self) {
            let gone = PROBE.try_with(|_| ()).is_err();
            COUNT.set(COUNT.get() + 1);
            self.0.set((gone, COUNT.get()));
        }
    }
    green_local! {
        static PROBE: RefCell<Option<Probe>> = RefCell::new(None);
    }
    virtual_time(|| {
        let seen = Rc::new(Cell::new((false, 0)));
        let probe = Probe(Rc::clone(&seen));
        spawn(move || PROBE.set(Some(probe))).join().unwrap();
        assert_eq!(seen.get(), (true, 8));
    });
}

#[test]
fn a_borrowed_value_stays_valid_across_a_yield() {
    virtual_time(|| {
        let reader = spawn(|| {
            TEXT.set("mine".to_owned());
            TEXT.with_borrow(|text| {
                yield_now();
                text.len()
            })
        });
        spawn_n(|| TEXT.set("another's, and longer".to_owned()));
        assert_eq!(reader.join().unwrap(), 4);
    });
}

#[test]
fn the_root_drops_its_values_when_its_os_thread_exits() {
    struct SendOnDrop(std::sync::mpsc::Sender<&'static str>);
    impl Drop for SendOnDrop {
        fn drop(&mut self) {
            self.0.send("dropped").ok();
        }
    }
    green_local! {
        static SEND_ON_DROP: RefCell<Option<SendOnDrop>> = RefCell::new(None);
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || SEND_ON_DROP.set(Some(SendOnDrop(sender))))
        .join()
        .unwrap();
    assert_eq!(receiver.recv(), Ok("dropped"));
}

#[test]
fn a_key_can_be_passed_to_a_function() {
    fn read(key: &'static LocalKey<Cell<u32>>) -> u32 {
        key.get()
    }
    virtual_time(|| assert_eq!(spawn(|| read(&COUNT)).join().unwrap(), 7));
}

/// Calls a function when dropped.
struct Action(Box<dyn Fn()>);

impl Drop for Action {
    fn drop(&mut self) {
        (self.0)();
    }
}

green_local! {
    static ACTION: RefCell<Option<Action>> = RefCell::new(None);
    static LAST: RefCell<Option<OnDrop>> = RefCell::new(None);
}

fn actions() -> [fn(); 5] {
    [
        || evy_runtime::sleep(Duration::from_millis(1)),
        || assert_eq!(spawn(|| COUNT.get()).join().ok(), Some(7)),
        || drop(spawn(|| COUNT.set(1))),
        || assert!(evy_runtime::timeout(Duration::ZERO, thread::park).is_err()),
        || panic!("in the destructor of a green local"),
    ]
}

#[test]
fn a_destructor_may_park_spawn_time_out_and_panic() {
    for action in actions() {
        virtual_time(|| {
            let log = Rc::new(RefCell::new(Vec::new()));
            for killed in [false, true] {
                let last = Rc::clone(&log);
                let child = spawn(move || {
                    LAST.set(Some(OnDrop("last", last)));
                    ACTION.set(Some(Action(Box::new(action))));
                    if killed {
                        thread::park();
                    }
                });
                yield_now();
                child.kill();
                assert_eq!(child.join().is_err(), killed);
            }
            assert_eq!(*log.borrow(), ["last", "last"]);
        });
    }
}

#[test]
fn os_thread_exit_survives_a_destructor_that_parks_spawns_times_out_or_panics() {
    for action in actions() {
        let os_thread = std::thread::spawn(move || ACTION.set(Some(Action(Box::new(action)))));
        assert!(os_thread.join().is_ok());
    }
}

#[test]
fn an_initializer_may_park_while_others_initialize_and_use_their_values() {
    green_local! {
        static VALUE: Vec<u32> = {
            yield_now();
            vec![7; 3]
        };
    }
    let users = [(); 3].map(|()| {
        spawn(|| {
            VALUE.with(|value| {
                yield_now();
                value.iter().sum::<u32>()
            })
        })
    });
    assert_eq!(users.map(|user| user.join().unwrap()), [21; 3]);
}

#[test]
fn a_value_that_is_set_first_is_not_initialized() {
    green_local! {
        static CELL: Cell<u32> = panic!("initialized");
        static REF_CELL: RefCell<String> = panic!("initialized");
    }
    virtual_time(|| {
        let child = spawn(|| {
            CELL.set(5);
            REF_CELL.set("set".to_owned());
            CELL.set(CELL.get() + 1);
            (CELL.get(), REF_CELL.take())
        });
        assert_eq!(child.join().unwrap(), (6, "set".to_owned()));
        assert!(spawn(|| CELL.get()).join().unwrap_err().is_panic());
    });
}

#[test]
fn the_outermost_of_recursive_initializations_provides_the_value() {
    green_local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
        static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
        static RECURSIVE: Numbered = {
            let depth = DEPTH.replace(DEPTH.get() + 1);
            if depth < 2 {
                RECURSIVE.with(|inner| LOG.with_borrow_mut(|log| log.push(inner.0.to_string())));
            }
            Numbered(depth)
        };
    }
    struct Numbered(u32);
    impl Drop for Numbered {
        fn drop(&mut self) {
            LOG.try_with(|log| log.borrow_mut().push(format!("drop {}", self.0)))
                .ok();
        }
    }
    virtual_time(|| {
        let child = spawn(|| {
            assert_eq!(RECURSIVE.with(|value| value.0), 0);
            LOG.take()
        });
        assert_eq!(child.join().unwrap(), ["2", "drop 2", "1", "drop 1"]);
    });
}

#[test]
fn the_result_of_an_access_can_be_named_as_the_second_type_argument() {
    assert_eq!(COUNT.with::<_, u32>(|count| count.get()), 7);
    assert_eq!(COUNT.try_with::<_, u64>(|count| count.get().into()), Ok(7));
    assert_eq!(TEXT.with_borrow::<_, usize>(String::len), 0);
    assert_eq!(TEXT.with_borrow_mut::<_, usize>(|text| text.len()), 0);
}
