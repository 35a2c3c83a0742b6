//! `LazyLock`: a value that is initialized at its first use.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, OnceLock as StdOnceLock};

use super::once::Once;
use crate::primitive::lock;

/// A value that is initialized at its first use, like [`std::sync::LazyLock`].
///
/// The initialization may park. Concurrent callers park until it has finished. Only the functions
/// that say so park; dereferencing parks like [`force`](Self::force).
///
/// The `LazyLock` is poisoned if the initialization panics: every further use panics.
///
/// # Differences from std
///
/// - The initialization runs under a [`shield`](crate::shield), because the value belongs to all
///   users: a kill or a timeout of its first user is deferred until the value exists. A timeout
///   that the initialization itself opens works as usual.
///
/// # Examples
///
/// ```
/// use evy::sync::LazyLock;
///
/// static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| vec!["made", "once"]);
/// assert_eq!(WORDS.len(), 2);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    once: Once,
    value: StdOnceLock<T>,
    /// `None` once it has been called.
    init: Mutex<Option<F>>,
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// Creates a value that is initialized with `f` at its first use.
    #[must_use]
    pub const fn new(f: F) -> Self {
        Self {
            once: Once::new(),
            value: StdOnceLock::new(),
            init: Mutex::new(Some(f)),
        }
    }

    /// Forces the evaluation of the value and returns a reference to it.
    ///
    /// Parks while the value is being initialized by another caller, and where the initialization
    /// parks.
    ///
    /// # Panics
    ///
    /// Panics if the initialization panics, or has panicked before.
    #[inline]
    pub fn force(this: &Self) -> &T {
        match this.value.get() {
            Some(value) => value,
            None => this.init(),
        }
    }

    /// Forces the evaluation of the value and returns a mutable reference to it.
    ///
    /// Parks where the initialization parks.
    ///
    /// # Panics
    ///
    /// Panics as [`force`](Self::force) does.
    pub fn force_mut(this: &mut Self) -> &mut T {
        Self::force(this);
        this.value
            .get_mut()
            .expect("the value was initialized just now")
    }

    #[cold]
    fn init(&self) -> &T {
        self.once.call_once_or_panic(POISON, || {
            let f = lock(&self.init)
                .take()
                .expect("the initialization runs once");
            // The value is written only here, and this runs once.
            drop(self.value.set(f()));
        });
        self.value
            .get()
            .expect("the value was written by the initialization")
    }
}

const POISON: &str = "LazyLock instance has previously been poisoned";

impl<T, F> LazyLock<T, F> {
    /// Returns a reference to the value, or `None` if it has not been initialized.
    #[inline]
    pub fn get(this: &Self) -> Option<&T> {
        this.value.get()
    }

    /// Returns a mutable reference to the value, or `None` if it has not been initialized.
    #[inline]
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        this.value.get_mut()
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        Self::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_tuple("LazyLock");
        match self.value.get() {
            Some(value) => text.field(value),
            None => text.field(&format_args!("<uninit>")),
        };
        text.finish()
    }
}
