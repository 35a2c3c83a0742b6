//! `select!`: waits for the first of several operations.
//!
//! Each function here creates an *arm*: an operation that can be tried, and that can be waited for.
//! [`run`] tries all arms, in random order with timers last, or in the order in which they are
//! written. If no arm is ready, each arm registers an entry in its own queue. All entries belong to
//! one `Selection`. The first queue to select an entry completes the selection; the other queues
//! skip theirs. Therefore an item is taken from one queue and no other, and two selects can
//! rendezvous on a queue without room.
//!
//! If an arm has been selected, but the green thread unwinds before it can use what it was given,
//! the arm gives that back.

mod any;
mod arms;
mod channel;
mod event;
mod io;
mod join;
mod queue;
mod queue_entry;
mod semaphore;
#[cfg(feature = "signal")]
mod signal;
mod timer;

pub use any::{AnyReceiver, AnySender, recv, send};
pub use arms::{Arm, Arms, Either, Never};
pub use channel::{Recv, Send};
pub use event::{Wait, wait};
pub use io::{Ready, readable, writable};
pub use join::{AnyJoinHandle, Join, RemoteJoin, join};
pub use queue::{Get, Put, QueueRecv, QueueSend, get, put};
pub use semaphore::{Acquire, acquire};
#[cfg(feature = "signal")]
pub use signal::{Signal, signal};
pub use timer::{Tick, Timer, after, at, tick};

pub use crate::queue::AnyQueue;

use std::mem;

use crate::green::WaitReason;
use crate::sched::{self, Scheduler};
use crate::thread::{self, CountGuard, Selection};

/// Waits for the first of several operations, and runs the code that belongs to it.
///
/// Each arm has the form `operation -> pattern => body`, where `operation` is one of those in the
/// table. The pattern is matched with the value of the operation; `-> pattern` may be left out. An
/// arm `default => body` may come last. Its body runs if no other arm is ready. There may be up to
/// 32 arms.
///
/// | operation | is ready when | value |
/// | --- | --- | --- |
/// | `recv(&receiver)` | the channel has a message, or all its senders have been dropped | `Result<T, RecvError>`, with the message |
/// | `send(&sender, message)` | the channel has room or a waiting receiver, or its receiver has been dropped | `Result<(), SendError<T>>` |
/// | `recv(&queue)` | the queue has an item or a waiting putter, or is closed | `Option<T>`, as returned by `Queue::recv` |
/// | `get(&queue)` | the same | `T`, the item; panics instead if the queue is closed and empty |
/// | `send(&queue, item)` | the queue has room or a waiting getter, or is closed | `Result<(), Closed<T>>` |
/// | `put(&queue, item)` | the same | `()`; panics instead if the queue is closed |
/// | `join(&handle)` | the green thread has finished, here or on another OS thread | `Result<T, JoinError>`, as returned by `JoinHandle::take_result` |
/// | `wait(&event)` | the event is set | `Result<T, EventError>`, with the value of the event |
/// | `acquire(&semaphore)` | a permit is available | `SemaphoreGuard`, which releases the permit |
/// | `readable(&fd)` | the descriptor can be read: there is data, or the end of the stream | `io::Result<()>` |
/// | `writable(&fd)` | the descriptor can be written to, or has failed | `io::Result<()>` |
/// | `signal(&signals)` | one of the signals has been sent | `i32`, the number of the signal |
/// | `tick(&interval)` | the next tick of the interval is due | `Instant`, as returned by `Interval::tick` |
/// | `after(duration)` | `duration` has passed since the `select!` began | `()` |
/// | `at(instant)` | the time `instant` has come | `()` |
///
/// If several arms are ready, one is chosen at random. Timers (`after`, `at` and `tick`) are
/// considered only if no other arm is ready. With `biased;` before the first arm, the first arm that
/// is ready is chosen, in the order in which they are written, timers too. Then an arm that is
/// always ready starves those after it. If no arm is ready at first, the one that becomes ready
/// first is chosen, with or without `biased;`.
///
/// The message or the item of an arm that is not chosen is dropped. The body runs after all arms
/// have been dropped, so it may use what they had borrowed, and it may `return` and `break`.
///
/// Parks until an arm is ready, unless there is a `default` arm.
///
/// # Panics
///
/// Panics on the root green thread if a deadlock is detected.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use evy::{Event, Queue, select, spawn_n};
///
/// let (numbers, stop) = (Queue::bounded(1), Event::new());
/// let (producer, stopper) = (numbers.clone(), stop.clone());
/// spawn_n(move || {
///     (1..=3).for_each(|n| producer.put(n));
///     while !producer.is_empty() {
///         evy::yield_now();
///     }
///     stopper.send("done").unwrap();
/// });
/// let mut sum = 0;
/// let why = loop {
///     select! {
///         get(&numbers) -> n => sum += n,
///         wait(&stop) -> why => break why.unwrap(),
///         after(Duration::from_secs(10)) => break "too late",
///     }
/// };
/// assert_eq!((sum, why), (6, "done"));
/// ```
///
/// With `biased;`, a request to stop comes before further work:
///
/// ```
/// use evy::{Event, Queue, select};
///
/// let (work, stop) = (Queue::unbounded(), Event::new());
/// work.put(1);
/// stop.send(()).unwrap();
/// select! {
///     biased;
///     wait(&stop) => println!("stopped"),
///     get(&work) -> _ => unreachable!("both are ready, and `stop` comes first"),
/// }
/// ```
///
/// The mark is an error elsewhere:
///
/// ```compile_fail
/// # let work = evy::Queue::<()>::unbounded();
/// evy::select! {
///     get(&work) => {},
///     biased;
/// }
/// ```
#[macro_export]
macro_rules! select {
    // Parses the arms one by one into `{ [call] [pattern] body }`.
    (@read $order:ident [$($done:tt)*]) => {{
        let chosen = $crate::select::run(
            $crate::select::Order::$order,
            $crate::select!(@list $($done)*),
        );
        $crate::select!(@choose chosen; $($done)*)
    }};
    (@read $order:ident [$($done:tt)*] default => $body:expr $(,)?) => {{
        let chosen = $crate::select::try_run(
            $crate::select::Order::$order,
            $crate::select!(@list $($done)*),
        );
        match chosen {
            ::core::option::Option::Some(chosen) => $crate::select!(@choose chosen; $($done)*),
            ::core::option::Option::None => $body,
        }
    }};
    (@read $order:ident [$($done:tt)*] default => $body:expr, $($rest:tt)+) => {
        ::core::compile_error!("`default` must be the last arm of `select!`")
    };
    (@read $order:ident [$($done:tt)*] biased; $($rest:tt)*) => {
        ::core::compile_error!("`biased;` must come first in `select!`, and only once")
    };
    (@read $order:ident [$($done:tt)*] $arm:ident($($argument:tt)*) => $($rest:tt)*) => {
        $crate::select!(@body $order [$($done)*] [$arm($($argument)*)] [_] $($rest)*)
    };
    (
        @read $order:ident [$($done:tt)*]
        $arm:ident($($argument:tt)*) -> $pattern:pat => $($rest:tt)*
    ) => {
        $crate::select!(@body $order [$($done)*] [$arm($($argument)*)] [$pattern] $($rest)*)
    };
    (@body $order:ident [$($done:tt)*] $call:tt $pattern:tt $body:block, $($rest:tt)*) => {
        $crate::select!(@read $order [$($done)* { $call $pattern $body }] $($rest)*)
    };
    (@body $order:ident [$($done:tt)*] $call:tt $pattern:tt $body:block $($rest:tt)*) => {
        $crate::select!(@read $order [$($done)* { $call $pattern $body }] $($rest)*)
    };
    (@body $order:ident [$($done:tt)*] $call:tt $pattern:tt $body:expr, $($rest:tt)*) => {
        $crate::select!(@read $order [$($done)* { $call $pattern $body }] $($rest)*)
    };
    (@body $order:ident [$($done:tt)*] $call:tt $pattern:tt $body:expr) => {
        $crate::select!(@read $order [$($done)* { $call $pattern $body }])
    };
    // Builds the list of the arms as nested pairs.
    (@list) => { () };
    (@list { [$($call:tt)*] $pattern:tt $body:expr } $($rest:tt)*) => {
        ($crate::select::$($call)*, $crate::select!(@list $($rest)*))
    };
    // Runs the body of the chosen arm, which is given by its position in that list.
    (@choose $chosen:expr;) => { match $chosen {} };
    (@choose $chosen:expr; { $call:tt [$pattern:pat] $body:expr } $($rest:tt)*) => {
        match $chosen {
            $crate::select::Either::Left($pattern) => $body,
            $crate::select::Either::Right(other) => $crate::select!(@choose other; $($rest)*),
        }
    };
    (biased; $($rest:tt)+) => {
        $crate::select!(@read Written [] $($rest)*)
    };
    ($arm:ident $($rest:tt)*) => {
        $crate::select!(@read Random [] $arm $($rest)*)
    };
}

/// The maximum number of arms of a select. More do not compile.
const MAX_ARMS: usize = 32;

/// The order in which [`run`] and [`try_run`] try the arms. [`select!`](crate::select!) passes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// A random one, with timers last.
    Random,
    /// The order in which they are written, after the mark `biased;`.
    Written,
}

/// Waits until one of the arms is ready, and returns its output. [`select!`](crate::select!) calls
/// this function.
///
/// Parks until then.
///
/// # Panics
///
/// Panics on the root green thread if a deadlock is detected.
pub fn run<A: Arms>(order: Order, arms: A) -> A::Output {
    let scheduler = sched::current();
    thread::charge(|| false);
    let output = loop {
        if let Some(output) = try_select(scheduler, order, &arms) {
            break output;
        }
        if let Some(output) = wait_for_one(scheduler, &arms) {
            break output;
        }
    };
    drop_arms(arms);
    output
}

/// Returns the output of an arm that is ready, or `None` if there is none, without parking.
/// [`select!`](crate::select!) calls this function if it has a `default` arm.
pub fn try_run<A: Arms>(order: Order, arms: A) -> Option<A::Output> {
    let try_once = || {
        let output = try_select(sched::current(), order, &arms);
        drop_arms(arms);
        output
    };
    thread::charge_try(try_once, Option::is_none)
}

/// Drops the arms, with the values that the other arms have offered. An interrupt in the destructor
/// of such a value would lose the output of the chosen arm, so interrupts are deferred.
fn drop_arms<A: Arms>(arms: A) {
    if mem::needs_drop::<A>() {
        thread::shield(|| drop(arms));
    }
}

/// Tries all arms. In random order, those with a deadline are tried only if no other arm is ready.
fn try_select<A: Arms>(scheduler: &Scheduler, order: Order, arms: &A) -> Option<A::Output> {
    const { assert!(A::LEN <= MAX_ARMS, "`select!` has too many arms") };
    if order == Order::Written {
        return (0..A::LEN).find_map(|n| arms.try_select(n));
    }
    let mut order: [usize; MAX_ARMS] = std::array::from_fn(|n| n);
    let order = &mut order[..A::LEN];
    for n in (1..order.len()).rev() {
        order.swap(n, scheduler.random(n + 1));
    }
    let try_arms = |timers: bool| {
        let mut wanted = order
            .iter()
            .filter(|n| arms.deadline(**n).is_some() == timers);
        wanted.find_map(|n| arms.try_select(*n))
    };
    try_arms(false).or_else(|| try_arms(true))
}

/// Registers all arms and parks, until an arm has been selected or the arms must be tried again.
/// Returns `None` in the second case.
fn wait_for_one<A: Arms>(scheduler: &Scheduler, arms: &A) -> Option<A::Output> {
    let selection = Selection::new();
    let deadline = (0..A::LEN).filter_map(|n| arms.deadline(n)).min();
    let _shared = arms
        .is_shared()
        .then(|| CountGuard::new(&scheduler.shared_waiters));
    let _unforeseen = arms
        .is_unforeseen()
        .then(|| CountGuard::new(&scheduler.unforeseen_waiters));
    let mut registered = RegisteredArms {
        arms,
        selection: &selection,
        is_unregistered: false,
    };
    // SAFETY:
    // - the arms are borrowed, so they do not move;
    // - `registered` unregisters them, however this function is left;
    // - `registered` is declared after `selection`, so it is dropped first.
    let nothing_is_ready = unsafe { registered.arms.register(0, &selection) };
    if nothing_is_ready {
        let wait = || thread::wait(scheduler, WaitReason::Select, deadline);
        thread::unless_abandoned(&|| registered.leave(), wait);
    }
    registered.arms.unregister();
    registered.is_unregistered = true;
    registered.arms.accept(selection.selected()?)
}

/// The arms, while they are registered. If the green thread unwinds or is abandoned meanwhile, the
/// guard unregisters them and releases what the selected arm was given.
struct RegisteredArms<'a, A: Arms> {
    arms: &'a A,
    selection: &'a Selection,
    is_unregistered: bool,
}

impl<A: Arms> RegisteredArms<'_, A> {
    fn leave(&self) {
        self.arms.unregister();
        if let Some(selected) = self.selection.selected() {
            self.arms.release(selected);
        }
    }
}

impl<A: Arms> Drop for RegisteredArms<'_, A> {
    fn drop(&mut self) {
        if !self.is_unregistered {
            self.leave();
        }
    }
}
