//! `Arm`: an operation that `select!` can wait for. `Arms`: a list of arms of different types.

use std::time::Instant;

use crate::thread::{SelectToken, Selection};

/// An operation that [`select!`](crate::select!) can wait for.
///
/// Arms are created by the functions of [`select`](super). The trait is sealed, so it cannot be
/// implemented for other types:
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
    /// The type of the arm's value when it is ready.
    type Output;

    /// Performs the operation if that needs no waiting.
    #[doc(hidden)]
    fn try_select(&self) -> Option<Self::Output>;

    /// Returns the output after the arm was selected by its queue. `None` means that all arms must
    /// be tried again.
    #[doc(hidden)]
    fn accept(&self) -> Option<Self::Output> {
        self.try_select()
    }
}

/// The part of an arm that waits for it in a queue.
#[expect(unnameable_types, reason = "its unsafe method is for this crate only")]
pub trait SelectHandle {
    /// Returns the time at which the arm is ready at the latest, if it has one. Only timers do.
    #[doc(hidden)]
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether other OS threads may make the arm ready.
    #[doc(hidden)]
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether something that is no OS thread of the program may make the arm ready.
    #[doc(hidden)]
    fn is_unforeseen(&self) -> bool {
        false
    }

    /// Adds the arm to its queue. Returns `false` if the arm is ready now.
    ///
    /// # Safety
    ///
    /// Until the arm has been unregistered, neither it nor the selection of `token` moves or is
    /// dropped.
    #[doc(hidden)]
    unsafe fn register(&self, token: SelectToken) -> bool;

    /// Removes the arm from its queue, if it is there.
    #[doc(hidden)]
    fn unregister(&self);

    /// Gives back what the arm was given when it was selected.
    #[doc(hidden)]
    fn release(&self) {}
}

/// The output of a list of arms: that of its first arm, or that of the rest of the list.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The output of the first arm.
    Left(A),
    /// The output of one of the other arms.
    Right(B),
}

/// The output of an empty list of arms. It has no values.
#[derive(Debug)]
pub enum Never {}

/// A list of arms of different types, as nested pairs.
pub trait Arms {
    /// The type of the output of the arm that is chosen.
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

    #[doc(hidden)]
    fn is_unforeseen(&self) -> bool;

    /// Registers all arms, the first one as `number`. Returns `false` if one of them is ready now.
    ///
    /// # Safety
    ///
    /// Until the arms have been unregistered, neither they nor `selection` move or are dropped.
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

    fn is_unforeseen(&self) -> bool {
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

    fn is_unforeseen(&self) -> bool {
        self.0.is_unforeseen() || self.1.is_unforeseen()
    }

    unsafe fn register(&self, number: usize, selection: &Selection) -> bool {
        // SAFETY: the conditions for the pair, which the caller keeps, are those for both of its
        // parts.
        unsafe {
            self.0.register(selection.token(number)) && self.1.register(number + 1, selection)
        }
    }

    fn unregister(&self) {
        self.0.unregister();
        self.1.unregister();
    }
}
