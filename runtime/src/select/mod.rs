//! `select!`: wait for the first of several things.
//!
//! Each function here makes an *arm*: something that can be tried, and waited for. `run` tries all
//! arms in an order drawn by lot, timers last. If none is ready it stands in the queues of all of
//! them with one `Selection`, which the first to serve it makes; the others pass it over. So an item is
//! taken from one queue and no other, and two selects can meet at a queue without room.
//!
//! What serves a place and is not used, because the green thread unwinds, is given back by its arm.

mod arms;
mod channel;
mod event;
mod io;
mod join;
mod queue;
mod queue_entry;
mod semaphore;
mod timer;

pub use arms::{Arm, Arms, Either, Never};
pub use channel::{AnySender, Recv, Send, recv, send};
pub use event::{Wait, wait};
pub use io::{Ready, readable, writable};
pub use join::{Join, join};
pub use queue::{Get, Put, get, put};
pub use semaphore::{Acquire, acquire};
pub use timer::{Timer, after, at};

pub use crate::queue::AnyQueue;

use crate::green::WaitReason;
use crate::sched::{self, Scheduler};
use crate::thread::{self, CountGuard, Selection};

/// Waits for the first of several things, and runs what belongs to it.
///
/// Each arm is a call of a function of [`select`](mod@crate::select), a pattern for whatever it gives,
/// and what to do with that; as last one there may be `default`, for when none is ready. There may be 32
/// arms:
///
/// | arm | is ready when | gives |
/// | --- | --- | --- |
/// | `recv(&receiver)` | there is a message, or will be none | `Result<T, RecvError>` |
/// | `send(&sender, message)` | there is room, or no receiver | `Result<(), SendError<T>>` |
/// | `get(&queue)` | there is an item | `T` |
/// | `put(&queue, item)` | there is room | `()` |
/// | `join(&handle)` | the green thread has ended | `Result<T, JoinError>`, as `take_result` |
/// | `wait(&event)` | it has happened | `Result<T, EventError>` |
/// | `acquire(&semaphore)` | there is a permit | `SemaphoreGuard` |
/// | `readable(&fd)`, `writable(&fd)` | the descriptor is | `io::Result<()>` |
/// | `after(duration)`, `at(instant)` | it is that late | `()` |
///
/// Parks until one is ready, unless there is a `default`. Among those that are ready, one is drawn by
/// lot; a timer comes into question only if nothing else is ready. What an arm that is not chosen was
/// to send is dropped. The bodies run when all arms are gone: they may `return` and `break`.
///
/// # Panics
///
/// On the root green thread, when nothing can wake anybody any more.
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
#[macro_export]
macro_rules! select {
    // Reads one arm after the other into `{ call, pattern, body }`.
    (@read [$($done:tt)*]) => {{
        let chosen = $crate::select::run($crate::select!(@list $($done)*));
        $crate::select!(@choose chosen; $($done)*)
    }};
    (@read [$($done:tt)*] default => $body:expr $(,)?) => {{
        let chosen = $crate::select::try_run($crate::select!(@list $($done)*));
        match chosen {
            ::core::option::Option::Some(chosen) => $crate::select!(@choose chosen; $($done)*),
            ::core::option::Option::None => $body,
        }
    }};
    (@read [$($done:tt)*] default => $body:expr, $($rest:tt)+) => {
        ::core::compile_error!("`default` comes last in a select")
    };
    (@read [$($done:tt)*] $arm:ident($($argument:tt)*) => $($rest:tt)*) => {
        $crate::select!(@body [$($done)*] [$arm($($argument)*)] [_] $($rest)*)
    };
    (@read [$($done:tt)*] $arm:ident($($argument:tt)*) -> $pattern:pat => $($rest:tt)*) => {
        $crate::select!(@body [$($done)*] [$arm($($argument)*)] [$pattern] $($rest)*)
    };
    (@body [$($done:tt)*] $call:tt $pattern:tt $body:block, $($rest:tt)*) => {
        $crate::select!(@read [$($done)* { $call $pattern $body }] $($rest)*)
    };
    (@body [$($done:tt)*] $call:tt $pattern:tt $body:block $($rest:tt)*) => {
        $crate::select!(@read [$($done)* { $call $pattern $body }] $($rest)*)
    };
    (@body [$($done:tt)*] $call:tt $pattern:tt $body:expr, $($rest:tt)*) => {
        $crate::select!(@read [$($done)* { $call $pattern $body }] $($rest)*)
    };
    (@body [$($done:tt)*] $call:tt $pattern:tt $body:expr) => {
        $crate::select!(@read [$($done)* { $call $pattern $body }])
    };
    // The arms, as a list of pairs.
    (@list) => { () };
    (@list { [$($call:tt)*] $pattern:tt $body:expr } $($rest:tt)*) => {
        ($crate::select::$($call)*, $crate::select!(@list $($rest)*))
    };
    // What was chosen, as its position in that list.
    (@choose $chosen:expr;) => { match $chosen {} };
    (@choose $chosen:expr; { $call:tt [$pattern:pat] $body:expr } $($rest:tt)*) => {
        match $chosen {
            $crate::select::Either::Left($pattern) => $body,
            $crate::select::Either::Right(other) => $crate::select!(@choose other; $($rest)*),
        }
    };
    ($arm:ident $($rest:tt)*) => {
        $crate::select!(@read [] $arm $($rest)*)
    };
}

/// So many arms a select may have; more do not compile.
const MAX_ARMS: usize = 32;

/// Parks until one of the arms is ready. What [`select!`](crate::select!) calls.
///
/// # Panics
///
/// On the root green thread, when nothing can wake anybody any more.
pub fn run<A: Arms>(arms: A) -> A::Output {
    let scheduler = sched::current();
    loop {
        if let Some(output) = try_select(scheduler, &arms) {
            return output;
        }
        if let Some(output) = wait_for_one(scheduler, &arms) {
            return output;
        }
    }
}

/// One of the arms that are ready, if any is. What [`select!`](crate::select!) calls for a `default`.
/// Never parks.
pub fn try_run<A: Arms>(arms: A) -> Option<A::Output> {
    try_select(sched::current(), &arms)
}

/// Tries all arms, in an order drawn by lot; those with a deadline when nothing else is ready.
fn try_select<A: Arms>(scheduler: &Scheduler, arms: &A) -> Option<A::Output> {
    const { assert!(A::LEN <= MAX_ARMS, "too many arms in a select") };
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

/// Stands in all queues until served, or until there is something to try again.
fn wait_for_one<A: Arms>(scheduler: &Scheduler, arms: &A) -> Option<A::Output> {
    let selection = Selection::new();
    let deadline = (0..A::LEN).filter_map(|n| arms.deadline(n)).min();
    let _counted = arms
        .is_shared()
        .then(|| CountGuard::new(&scheduler.cross_thread_waiters));
    let mut registered = RegisteredArms {
        arms,
        selection: &selection,
        is_over: false,
    };
    // SAFETY: the arms are borrowed, so they stay where they are; `registered` has them leave, whichever
    // way this function is left, before the choice goes: it is declared after it.
    let nothing_is_ready = unsafe { registered.arms.register(0, &selection) };
    if nothing_is_ready {
        thread::wait(scheduler, WaitReason::Select, deadline);
    }
    registered.arms.unregister();
    registered.is_over = true;
    registered.arms.accept(selection.selected()?)
}

/// While the arms stand in their queues.
struct RegisteredArms<'a, A: Arms> {
    arms: &'a A,
    selection: &'a Selection,
    is_over: bool,
}

impl<A: Arms> Drop for RegisteredArms<'_, A> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.arms.unregister();
        if let Some(served) = self.selection.selected() {
            self.arms.release(served);
        }
    }
}
