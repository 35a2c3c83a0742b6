//! An arm, and a list of arms of different types.

use std::time::Instant;

use crate::thread::{SelectToken, Selection};

/// Something that can be tried, and waited for. Made by the functions of this module; nobody else can
/// make one:
///
/// ```compile_fail,E0277
/// struct Mine;
/// impl evy::select::Arm for Mine {
///     type Output = ();
///     fn try_select(&self) -> Option<()> {
///         None
///     }
/// }
/// ```
pub trait Arm: SelectHandle {
    /// What it gives when it is ready.
    type Output;

    /// Does it, if that needs no waiting.
    #[doc(hidden)]
    fn try_select(&self) -> Option<Self::Output>;

    /// What a place in its queue was served with, if that was not in vain.
    #[doc(hidden)]
    fn accept(&self) -> Option<Self::Output> {
        self.try_select()
    }
}

/// How an arm waits.
#[expect(unnameable_types, reason = "what is unsafe in it stays in this crate")]
pub trait SelectHandle {
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
    unsafe fn register(&self, token: SelectToken) -> bool;

    /// Leaves the queue, if it is in there.
    #[doc(hidden)]
    fn unregister(&self);

    /// Gives back what its place was served with.
    #[doc(hidden)]
    fn release(&self) {}
}

/// One of two.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The first arm of a list.
    Left(A),
    /// One of the others.
    Right(B),
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
    fn try_select(&self, index: usize) -> Option<Self::Output>;

    #[doc(hidden)]
    fn accept(&self, index: usize) -> Option<Self::Output>;

    #[doc(hidden)]
    fn release(&self, index: usize);

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
    unsafe fn register(&self, number: usize, selection: &Selection) -> bool;

    #[doc(hidden)]
    fn unregister(&self);
}

impl Arms for () {
    type Output = Never;

    const LEN: usize = 0;

    fn try_select(&self, _: usize) -> Option<Never> {
        None
    }

    fn accept(&self, _: usize) -> Option<Never> {
        None
    }

    fn release(&self, _: usize) {}

    fn deadline(&self, _: usize) -> Option<Instant> {
        None
    }

    fn is_shared(&self) -> bool {
        false
    }

    unsafe fn register(&self, _: usize, _: &Selection) -> bool {
        true
    }

    fn unregister(&self) {}
}

impl<A: Arm, R: Arms> Arms for (A, R) {
    type Output = Either<A::Output, R::Output>;

    const LEN: usize = 1 + R::LEN;

    fn try_select(&self, index: usize) -> Option<Self::Output> {
        match index.checked_sub(1) {
            None => self.0.try_select().map(Either::Left),
            Some(index) => self.1.try_select(index).map(Either::Right),
        }
    }

    fn accept(&self, index: usize) -> Option<Self::Output> {
        match index.checked_sub(1) {
            None => self.0.accept().map(Either::Left),
            Some(index) => self.1.accept(index).map(Either::Right),
        }
    }

    fn release(&self, index: usize) {
        match index.checked_sub(1) {
            None => self.0.release(),
            Some(index) => self.1.release(index),
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

    unsafe fn register(&self, number: usize, selection: &Selection) -> bool {
        // SAFETY: what the caller keeps for the pair, it keeps for both.
        unsafe {
            self.0.register(selection.token(number)) && self.1.register(number + 1, selection)
        }
    }

    fn unregister(&self) {
        self.0.unregister();
        self.1.unregister();
    }
}
