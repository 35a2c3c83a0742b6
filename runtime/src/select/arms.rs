//! An arm, and a list of arms of different types.

use std::time::Instant;

use crate::thread::{Choice, Ticket};

/// Something that can be tried, and waited for. Made by the functions of this module; nobody else can
/// make one:
///
/// ```compile_fail,E0277
/// struct Mine;
/// impl evy_runtime::select::Arm for Mine {
///     type Output = ();
///     fn attempt(&self) -> Option<()> {
///         None
///     }
/// }
/// ```
pub trait Arm: Waits {
    /// What it gives when it is ready.
    type Output;

    /// Does it, if that needs no waiting.
    #[doc(hidden)]
    fn attempt(&self) -> Option<Self::Output>;

    /// What a place in its queue was served with, if that was not in vain.
    #[doc(hidden)]
    fn finish(&self) -> Option<Self::Output> {
        self.attempt()
    }
}

/// How an arm waits.
#[expect(unnameable_types, reason = "what is unsafe in it stays in this crate")]
pub trait Waits {
    /// When it is ready at the latest.
    #[doc(hidden)]
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether other OS threads may make it ready.
    #[doc(hidden)]
    fn is_shared(&self) -> bool {
        false
    }

    /// Takes a place in its queue. `false`: it is ready now.
    ///
    /// # Safety
    ///
    /// The arm stays where it is until it has left, and the ticket's choice as long.
    #[doc(hidden)]
    unsafe fn enter(&self, ticket: Ticket) -> bool;

    /// Leaves the queue, if it is in there.
    #[doc(hidden)]
    fn leave(&self);

    /// Gives back what its place was served with.
    #[doc(hidden)]
    fn undo(&self) {}
}

/// One of two.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The first arm of a list.
    This(A),
    /// One of the others.
    Other(B),
}

/// The output of no arm at all.
#[derive(Debug)]
pub enum Never {}

/// Arms of different types, as nested pairs.
pub trait Arms {
    /// The output of one of them.
    type Output;

    #[doc(hidden)]
    const LEN: usize;

    #[doc(hidden)]
    fn attempt(&self, index: usize) -> Option<Self::Output>;

    #[doc(hidden)]
    fn finish(&self, index: usize) -> Option<Self::Output>;

    #[doc(hidden)]
    fn undo(&self, index: usize);

    #[doc(hidden)]
    fn deadline(&self, index: usize) -> Option<Instant>;

    #[doc(hidden)]
    fn is_shared(&self) -> bool;

    /// Has all of them take their places, the first one as `number`. `false`: one is ready now.
    ///
    /// # Safety
    ///
    /// The arms stay where they are until they have left, and the choice as long.
    #[doc(hidden)]
    unsafe fn enter(&self, number: usize, choice: &Choice) -> bool;

    #[doc(hidden)]
    fn leave(&self);
}

impl Arms for () {
    type Output = Never;

    const LEN: usize = 0;

    fn attempt(&self, _: usize) -> Option<Never> {
        None
    }

    fn finish(&self, _: usize) -> Option<Never> {
        None
    }

    fn undo(&self, _: usize) {}

    fn deadline(&self, _: usize) -> Option<Instant> {
        None
    }

    fn is_shared(&self) -> bool {
        false
    }

    unsafe fn enter(&self, _: usize, _: &Choice) -> bool {
        true
    }

    fn leave(&self) {}
}

impl<A: Arm, R: Arms> Arms for (A, R) {
    type Output = Either<A::Output, R::Output>;

    const LEN: usize = 1 + R::LEN;

    fn attempt(&self, index: usize) -> Option<Self::Output> {
        match index.checked_sub(1) {
            None => self.0.attempt().map(Either::This),
            Some(index) => self.1.attempt(index).map(Either::Other),
        }
    }

    fn finish(&self, index: usize) -> Option<Self::Output> {
        match index.checked_sub(1) {
            None => self.0.finish().map(Either::This),
            Some(index) => self.1.finish(index).map(Either::Other),
        }
    }

    fn undo(&self, index: usize) {
        match index.checked_sub(1) {
            None => self.0.undo(),
            Some(index) => self.1.undo(index),
        }
    }

    fn deadline(&self, index: usize) -> Option<Instant> {
        match index.checked_sub(1) {
            None => self.0.deadline(),
            Some(index) => self.1.deadline(index),
        }
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared() || self.1.is_shared()
    }

    unsafe fn enter(&self, number: usize, choice: &Choice) -> bool {
        // SAFETY: what the caller keeps for the pair, it keeps for both.
        unsafe { self.0.enter(choice.ticket(number)) && self.1.enter(number + 1, choice) }
    }

    fn leave(&self) {
        self.0.leave();
        self.1.leave();
    }
}
