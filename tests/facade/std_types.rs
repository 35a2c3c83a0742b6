//! What a program can do with a type of std, it can do with the type of the same name in evy: catch
//! panics around it, print it, and pass type arguments.

use std::cell::Cell;
use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};

/// Compiles only if `T` has both traits.
fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}

/// Compiles only if references to `T` may cross a `catch_unwind`.
fn ref_unwind_safe<T: RefUnwindSafe>() {}

/// A value that a panic can leave in an inconsistent state.
type Fragile = Cell<u8>;

macro_rules! unwind_safety {
    ($std:ident) => {{
        use $std::sync::{self, mpsc};
        use $std::thread;
        unwind_safe::<sync::Barrier>();
        unwind_safe::<sync::BarrierWaitResult>();
        unwind_safe::<sync::Condvar>();
        unwind_safe::<sync::LazyLock<u8>>();
        unwind_safe::<sync::Mutex<Fragile>>();
        unwind_safe::<sync::MutexGuard<'static, Fragile>>();
        unwind_safe::<sync::Once>();
        unwind_safe::<sync::OnceLock<u8>>();
        unwind_safe::<sync::RwLock<Fragile>>();
        unwind_safe::<sync::RwLockReadGuard<'static, u8>>();
        unwind_safe::<sync::RwLockWriteGuard<'static, Fragile>>();
        unwind_safe::<sync::WaitTimeoutResult>();
        unwind_safe::<mpsc::IntoIter<Fragile>>();
        unwind_safe::<mpsc::Iter<'static, Fragile>>();
        unwind_safe::<mpsc::Receiver<Fragile>>();
        unwind_safe::<mpsc::Sender<Fragile>>();
        unwind_safe::<mpsc::SyncSender<Fragile>>();
        unwind_safe::<mpsc::TryIter<'static, Fragile>>();
        unwind_safe::<thread::AccessError>();
        unwind_safe::<thread::Builder>();
        unwind_safe::<thread::LocalKey<Fragile>>();
        unwind_safe::<thread::Thread>();
        unwind_safe::<thread::ThreadId>();
        ref_unwind_safe::<thread::Scope<'static, 'static>>();
    }};
}

#[test]
fn a_panic_may_be_caught_around_the_same_types_as_in_std() {
    unwind_safety!(std);
    unwind_safety!(evy);
}

#[cfg(feature = "net")]
#[test]
fn a_panic_may_be_caught_around_a_socket() {
    unwind_safe::<evy::net::TcpStream>();
    unwind_safe::<evy::net::TcpListener>();
}

macro_rules! printed {
    ($std:ident) => {{
        use $std::sync::{self, mpsc};
        use $std::thread;
        let mutex = sync::Mutex::new(5);
        let rwlock = sync::RwLock::new(5);
        let poisoned = sync::Mutex::new("text");
        catch_unwind(|| {
            let _held = poisoned.lock().unwrap();
            std::panic::resume_unwind(Box::new(()));
        })
        .unwrap_err();
        let free = format!("{mutex:?} {rwlock:?} {poisoned:?}");
        let (read, held) = (rwlock.read().unwrap(), mutex.lock().unwrap());
        let (sender, receiver) = mpsc::channel::<u8>();
        let (sync_sender, _) = mpsc::sync_channel::<u8>(1);
        let lazy = sync::LazyLock::new(|| 5);
        let once_lock = sync::OnceLock::new();
        let unset = format!("{lazy:?} {once_lock:?}");
        once_lock.set(*lazy).unwrap();
        let leader = sync::Barrier::new(1).wait();
        let condvar = sync::Condvar::new();
        let mutex_of_wait = sync::Mutex::new(());
        let guard = mutex_of_wait.lock().unwrap();
        let (guard, timed_out) = condvar
            .wait_timeout(guard, std::time::Duration::ZERO)
            .unwrap();
        drop(guard);
        let mut state = String::new();
        sync::Once::new().call_once_force(|once_state| state = format!("{once_state:?}"));
        [
            format!("{free} {rwlock:?} {held:?} {read:?}"),
            format!("{unset} {lazy:?} {once_lock:?} {:?}", sync::Once::new()),
            format!(
                "{sender:?} {sync_sender:?} {:?} {:?}",
                receiver.iter(),
                receiver.try_iter()
            ),
            format!(
                "{receiver:?} {:?} {leader:?} {condvar:?}",
                sync::Barrier::new(1)
            ),
            format!("{timed_out:?} {state} {:?}", KEY),
            thread::Builder::new()
                .name("printed".into())
                .spawn(|| format!("{:?}", thread::current()))
                .unwrap()
                .join()
                .unwrap()
                .replace(|c: char| c.is_ascii_digit(), ""),
        ]
    }};
}

mod on_std {
    use std::thread_local;
    pub(super) fn printed() -> [String; 6] {
        use super::*;
        thread_local!(static KEY: u8 = const { 0 });
        printed!(std)
    }
}

mod on_evy {
    use evy::thread_local;
    pub(super) fn printed() -> [String; 6] {
        use super::*;
        thread_local!(static KEY: u8 = const { 0 });
        printed!(evy)
    }
}

macro_rules! statics_and_trait_objects {
    ($std:ident) => {{
        use $std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock};
        static BARRIER: Barrier = Barrier::new(1);
        static CONDVAR: Condvar = Condvar::new();
        static LAZY: LazyLock<String> = LazyLock::new(|| "lazy".into());
        static MUTEX: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        static ONCE: Once = Once::new();
        static ONCE_LOCK: OnceLock<String> = OnceLock::new();
        static RWLOCK: RwLock<Vec<u8>> = RwLock::new(Vec::new());
        ONCE.call_once(|| MUTEX.lock().unwrap().push(1));
        CONDVAR.notify_all();
        RWLOCK.write().unwrap().push(2);
        let object: Arc<Mutex<dyn ToString + Send>> = Arc::new(Mutex::new(3));
        let slice: &RwLock<[u8]> = &RwLock::new([4, 5]);
        let text = object.lock().unwrap().to_string();
        let numbers = [
            &**MUTEX.lock().unwrap(),
            &RWLOCK.read().unwrap(),
            &slice.read().unwrap(),
        ];
        let numbers = numbers.concat();
        let set = ONCE_LOCK.get_or_init(|| "set".into());
        format!(
            "{} {set} {text} {numbers:?} {}",
            *LAZY,
            BARRIER.wait().is_leader()
        )
    }};
}

#[test]
fn types_can_be_statics_and_can_contain_trait_objects_as_in_std() {
    let on_evy = statics_and_trait_objects!(evy);
    assert_eq!(on_evy, statics_and_trait_objects!(std));
    assert_eq!(on_evy, "lazy set 3 [1, 2, 4, 5] true");
}

macro_rules! poison_messages {
    ($std:ident) => {{
        use $std::sync::{LazyLock, Once};
        let message = |f: &dyn Fn()| {
            let payload = catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
            let text = payload.downcast_ref::<String>().cloned();
            text.unwrap_or_else(|| payload.downcast_ref::<&str>().unwrap().to_string())
        };
        let (once, lazy) = (Once::new(), LazyLock::<u8>::new(|| panic!("first")));
        let call = || once.call_once(|| panic!("first"));
        let force = || assert_ne!(*lazy, 0);
        [
            message(&call),
            message(&call),
            message(&force),
            message(&force),
        ]
    }};
}

#[test]
fn the_message_of_a_poisoned_once_or_lazy_lock_names_its_type_as_in_std() {
    let on_evy = poison_messages!(evy);
    assert_eq!(on_evy, poison_messages!(std));
    assert_eq!(on_evy[3], "LazyLock instance has previously been poisoned");
}

#[test]
fn an_optional_thread_id_is_as_small_as_in_std() {
    use std::mem::size_of;
    assert_eq!(size_of::<Option<evy::thread::ThreadId>>(), 8);
    assert_eq!(size_of::<Option<std::thread::ThreadId>>(), 8);
}

#[test]
fn evy_thread_local_takes_what_stds_macro_takes() {
    evy::thread_local! {}
    evy::thread_local! {
        /// A value with an attribute.
        #[doc(hidden)]
        pub static ZERO: u8 = 0;
        pub(crate) static CELL: Cell<Option<String>> = const { Cell::new(None) };
        static LAST: std::cell::RefCell<Vec<u8>> = const { Vec::new() }.into()
    }
    evy::thread_local!(static ONE: u8 = const { 1 });
    evy::thread_local!(
        static TWO: u8 = const { 2 };
    );
    CELL.set(Some("root".into()));
    LAST.with_borrow_mut(|last| last.push(5));
    let child = evy::spawn(|| (CELL.take(), LAST.with_borrow(Vec::len)));
    assert_eq!(child.join().unwrap(), (None, 0));
    assert_eq!(CELL.take().as_deref(), Some("root"));
    assert_eq!(
        ONE.with(|one| TWO.with(|two| one + two + ZERO.with(|zero| *zero))),
        3
    );
}

#[test]
fn types_print_as_in_std() {
    assert_eq!(on_evy::printed(), on_std::printed());
}
