//! The program: it uses every item of `sync` in the ways that its signature in std allows.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::cell::Cell;
use std::fmt::{Debug, Display, Write};
use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::mpsc::{
    self, Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryRecvError,
    TrySendError, channel, sync_channel,
};
use super::sync::{
    Arc, Barrier, BarrierWaitResult, Condvar, LazyLock, LockResult, Mutex, MutexGuard, Once,
    OnceLock, OnceState, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
    TryLockResult, WaitTimeoutResult, Weak,
};
use super::thread;

fn assert_send<T: Send + ?Sized>() {}
fn assert_sync<T: Sync + ?Sized>() {}
fn assert_unwind_safe<T: UnwindSafe + RefUnwindSafe + ?Sized>() {}
fn debug_string<T: Debug>(value: &T) -> String {
    format!("{value:?}")
}

static MUTEX: Mutex<u8> = Mutex::new(1);
static RWLOCK: RwLock<Vec<u8>> = RwLock::new(Vec::new());
static CONDVAR: Condvar = Condvar::new();
static BARRIER: Barrier = Barrier::new(1);
static ONCE: Once = Once::new();
static ONCE_LOCK: OnceLock<String> = OnceLock::new();
static LAZY_LOCK: LazyLock<String> = LazyLock::new(|| "lazy".to_owned());

/// A trait; its objects are the unsized data of locks.
trait Shape {
    fn grow(&mut self) -> u32;
}

impl Shape for u32 {
    fn grow(&mut self) -> u32 {
        *self += 1;
        *self
    }
}

/// A read guard is covariant, like a reference.
fn shorten<'a>(guard: RwLockReadGuard<'a, &'static str>) -> RwLockReadGuard<'a, &'a str> {
    guard
}

/// Unwinds while it holds the guard that `guard` returns.
fn poison<G>(guard: impl FnOnce() -> G + UnwindSafe) {
    let outcome = catch_unwind(|| {
        let _guard = guard();
        resume_unwind(Box::new("on purpose"));
    });
    assert!(outcome.is_err());
}

pub(crate) fn use_locks() -> String {
    let mut output = String::new();
    assert_send::<Mutex<Cell<u8>>>();
    assert_sync::<Mutex<Cell<u8>>>();
    assert_sync::<MutexGuard<'static, u8>>();
    assert_unwind_safe::<Mutex<Cell<u8>>>();
    assert_unwind_safe::<Mutex<dyn Shape>>();
    assert_send::<RwLock<u8>>();
    assert_sync::<RwLock<u8>>();
    assert_sync::<RwLockReadGuard<'static, u8>>();
    assert_sync::<RwLockWriteGuard<'static, u8>>();
    assert_unwind_safe::<RwLock<Cell<u8>>>();

    let lock: fn(&Mutex<u8>) -> LockResult<MutexGuard<'_, u8>> = Mutex::lock;
    let try_lock: fn(&Mutex<u8>) -> TryLockResult<MutexGuard<'_, u8>> = Mutex::try_lock;
    *lock(&MUTEX).unwrap() += 1;
    *try_lock(&MUTEX).unwrap() += 1;
    writeln!(output, "{}", MUTEX.lock().unwrap()).unwrap();
    writeln!(output, "{MUTEX:?}").unwrap();
    // Unsized coercions, of an owning pointer and of a reference.
    let shape: Arc<Mutex<dyn Shape>> = Arc::new(Mutex::new(1u32));
    writeln!(output, "{}", shape.lock().unwrap().grow()).unwrap();
    let list: &Mutex<[u8]> = &Mutex::new([1, 2, 3]);
    writeln!(output, "{list:?} {}", list.is_poisoned()).unwrap();
    let mut made = Mutex::from(4u8);
    *made.get_mut().unwrap() += 1;
    *made.lock().unwrap() += u8::from(Mutex::<bool>::default().into_inner().unwrap());
    poison(|| made.lock().unwrap());
    writeln!(output, "{:?} {}", made, made.is_poisoned()).unwrap();
    let error: PoisonError<_> = made.lock().unwrap_err();
    writeln!(output, "{} {:?} {}", error, error, error.get_ref()).unwrap();
    drop(error);
    let Err(TryLockError::Poisoned(error)) = made.try_lock() else {
        unreachable!()
    };
    drop(error);
    made.clear_poison();
    let held = made.lock().unwrap();
    let Err(TryLockError::WouldBlock) = made.try_lock() else {
        unreachable!()
    };
    drop(held);
    writeln!(output, "{:?}", made.into_inner()).unwrap();

    let write: LockResult<RwLockWriteGuard<'static, Vec<u8>>> = RWLOCK.write();
    write.unwrap().push(1);
    RWLOCK.try_write().unwrap().push(2);
    let read: LockResult<RwLockReadGuard<'static, Vec<u8>>> = RWLOCK.read();
    let guards = [read.unwrap(), RWLOCK.try_read().unwrap()];
    writeln!(output, "{guards:?} {RWLOCK:?}").unwrap();
    drop(guards);
    let text = RwLock::new("text");
    fn print(value: impl Display) -> String {
        value.to_string()
    }
    writeln!(output, "{}", print(shorten(text.read().unwrap()))).unwrap();
    writeln!(output, "{}", print(text.write().unwrap())).unwrap();
    let shape: Box<RwLock<dyn Shape>> = Box::new(RwLock::new(1u32));
    writeln!(output, "{}", shape.write().unwrap().grow()).unwrap();
    let mut made: RwLock<u8> = RwLock::from(RwLock::<u8>::default().into_inner().unwrap());
    *made.get_mut().unwrap() += 1;
    poison(|| made.read().unwrap());
    writeln!(output, "{made:?}").unwrap();
    poison(|| made.write().unwrap());
    writeln!(output, "{made:?} {}", made.is_poisoned()).unwrap();
    drop(made.read().unwrap_err());
    drop(made.try_write().unwrap_err());
    made.clear_poison();
    writeln!(output, "{:?}", made.into_inner()).unwrap();
    output
}

pub(crate) fn use_signals() -> String {
    let mut output = String::new();
    assert_send::<Condvar>();
    assert_sync::<Condvar>();
    assert_unwind_safe::<Condvar>();
    assert_send::<Barrier>();
    assert_sync::<Barrier>();
    assert_unwind_safe::<Barrier>();
    assert_send::<BarrierWaitResult>();

    let pair = Arc::new((Mutex::new(0), Condvar::default()));
    let other: Weak<_> = Arc::downgrade(&pair);
    let counts = thread::spawn(move || {
        let pair = other.upgrade().unwrap();
        *pair.0.lock().unwrap() += 1;
        pair.1.notify_one();
        pair.1.notify_all();
    });
    let guard = pair.0.lock().unwrap();
    drop(pair.1.wait_while(guard, |count| *count == 0).unwrap());
    counts.join().unwrap();
    let guard = pair.0.lock().unwrap();
    let short = Duration::from_millis(1);
    let (guard, result): (_, WaitTimeoutResult) = pair.1.wait_timeout(guard, short).unwrap();
    let copy = result;
    writeln!(output, "{result:?} {} {}", copy == result, copy.timed_out()).unwrap();
    let waited = pair.1.wait_timeout_while(guard, short, |_| true).unwrap();
    writeln!(output, "{waited:?}").unwrap();
    drop(waited);
    let waited = pair
        .1
        .wait_timeout_while(pair.0.lock().unwrap(), short, |count| *count == 0);
    writeln!(output, "{waited:?} {:?} {CONDVAR:?}", pair.1).unwrap();
    drop(waited);
    let wait: for<'a> fn(&Condvar, MutexGuard<'a, u8>) -> LockResult<MutexGuard<'a, u8>> =
        Condvar::wait;
    writeln!(output, "{}", size_of_val(&wait)).unwrap();

    let result = BARRIER.wait();
    writeln!(output, "{result:?} {} {BARRIER:?}", result.is_leader()).unwrap();
    output
}

pub(crate) fn use_cells() -> String {
    let mut output = String::new();
    assert_send::<Once>();
    assert_sync::<Once>();
    assert_unwind_safe::<Once>();
    assert_send::<OnceLock<Cell<u8>>>();
    assert_sync::<OnceLock<u8>>();
    assert_unwind_safe::<OnceLock<u8>>();
    assert_send::<LazyLock<Cell<u8>>>();
    assert_sync::<LazyLock<u8, fn() -> u8>>();
    assert_unwind_safe::<LazyLock<u8>>();

    ONCE.call_once::<fn()>(|| ());
    ONCE.call_once_force(|_: &OnceState| unreachable!());
    ONCE.wait();
    ONCE.wait_force();
    writeln!(output, "{} {ONCE:?}", ONCE.is_completed()).unwrap();
    let once = Once::new();
    poison(|| once.call_once(|| resume_unwind(Box::new("on purpose"))));
    once.call_once_force(|state| {
        writeln!(output, "{state:?} {}", state.is_poisoned()).unwrap();
    });

    writeln!(output, "{ONCE_LOCK:?}").unwrap();
    let text: &'static String = ONCE_LOCK.get_or_init(|| "once".to_owned());
    writeln!(output, "{text} {:?}", ONCE_LOCK.set("again".to_owned())).unwrap();
    writeln!(output, "{} {:?}", ONCE_LOCK.wait(), ONCE_LOCK.get()).unwrap();
    let mut cell = OnceLock::from(1);
    *cell.get_mut().unwrap() += 1;
    let copy = cell.clone();
    writeln!(output, "{} {}", copy == cell, cell == OnceLock::default()).unwrap();
    writeln!(
        output,
        "{:?} {:?} {:?}",
        cell.take(),
        cell,
        copy.into_inner()
    )
    .unwrap();
    fn total<T: Eq>(_: &T) {}
    total(&cell);
    // The value may borrow from a variable that is declared after the cell.
    let borrows = OnceLock::new();
    let local = 5;
    borrows.set(&local).unwrap();

    writeln!(output, "{LAZY_LOCK:?}").unwrap();
    writeln!(
        output,
        "{} {}",
        LAZY_LOCK.len(),
        LazyLock::force(&LAZY_LOCK)
    )
    .unwrap();
    let count = AtomicUsize::new(0);
    let lazy = LazyLock::new(|| count.fetch_add(1, Ordering::Relaxed));
    writeln!(output, "{} {} {lazy:?}", *lazy, *lazy).unwrap();
    writeln!(output, "{}", *LazyLock::<u8>::default()).unwrap();
    output
}

pub(crate) fn use_channels() -> String {
    let mut output = String::new();
    assert_send::<Sender<Cell<u8>>>();
    assert_sync::<Sender<Cell<u8>>>();
    assert_send::<SyncSender<Cell<u8>>>();
    assert_sync::<SyncSender<Cell<u8>>>();
    assert_send::<Receiver<Cell<u8>>>();
    assert_unwind_safe::<Sender<Cell<u8>>>();
    assert_unwind_safe::<SyncSender<Cell<u8>>>();
    assert_unwind_safe::<Receiver<Cell<u8>>>();

    let (sender, receiver): (Sender<u8>, Receiver<u8>) = channel();
    let unbounded: fn(&Sender<u8>, u8) -> Result<(), SendError<u8>> = Sender::send;
    unbounded(&sender, 1).unwrap();
    sender.clone().send(2).unwrap();
    writeln!(output, "{sender:?} {receiver:?}").unwrap();
    let received: Result<u8, RecvError> = receiver.recv();
    let tried: Result<u8, TryRecvError> = receiver.try_recv();
    writeln!(output, "{received:?} {tried:?} {:?}", receiver.try_recv()).unwrap();
    let short = Duration::from_millis(1);
    let timed: Result<u8, RecvTimeoutError> = receiver.recv_timeout(short);
    writeln!(output, "{timed:?}").unwrap();
    sender.send(3).unwrap();
    sender.send(4).unwrap();
    let mut tries: mpsc::TryIter<'_, u8> = receiver.try_iter();
    writeln!(
        output,
        "{:?} {:?} {:?}",
        tries.next(),
        tries.next(),
        tries.next()
    )
    .unwrap();
    sender.send(5).unwrap();
    drop(sender);
    let mut all: mpsc::Iter<'_, u8> = receiver.iter();
    writeln!(output, "{:?} {:?}", all.next(), all.next()).unwrap();
    writeln!(output, "{:?} {:?}", receiver.recv(), receiver.try_recv()).unwrap();
    writeln!(output, "{:?}", receiver.recv_timeout(short)).unwrap();
    for message in &receiver {
        output.push_str(&debug_string(&message));
    }
    let mut rest: mpsc::IntoIter<u8> = receiver.into_iter();
    writeln!(output, "{:?}", rest.next()).unwrap();

    let (sender, receiver): (SyncSender<u8>, Receiver<u8>) = sync_channel(1);
    let bounded: fn(&SyncSender<u8>, u8) -> Result<(), SendError<u8>> = SyncSender::send;
    bounded(&sender, 1).unwrap();
    let full: Result<(), TrySendError<u8>> = sender.clone().try_send(2);
    writeln!(output, "{full:?} {sender:?}").unwrap();
    drop(receiver);
    writeln!(output, "{:?} {:?}", sender.send(3), sender.try_send(4)).unwrap();
    let error = sender.send(5).unwrap_err();
    writeln!(output, "{error} {}", debug_string(&error)).unwrap();
    output
}
