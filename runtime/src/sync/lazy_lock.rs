//! `LazyLock`, as std's.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, OnceLock as StdOnceLock};

use super::once::Once;
use crate::primitive::lock;

/// A value that is made at its first use, as [`std::sync::LazyLock`]. Making it may park; others who
/// want it park meanwhile.
///
/// If making it unwinds, it is poisoned: every further use panics.
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
    /// Until it is called.
    init: Mutex<Option<F>>,
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// A value to be made by `f`. Never parks.
    #[must_use]
    pub const fn new(f: F) -> Self {
        Self {
            once: Once::new(),
            value: StdOnceLock::new(),
            init: Mutex::new(Some(f)),
        }
    }

    /// The value, made now if it was not. Parks where the function does that makes it.
    ///
    /// # Panics
    ///
    /// If making it unwinds, or has before.
    #[inline]
    pub fn force(this: &Self) -> &T {
        match this.value.get() {
            Some(value) => value,
            None => this.init(),
        }
    }

    /// As [`force`](Self::force), for one who has it alone.
    ///
    /// # Panics
    ///
    /// As `force`.
    pub fn force_mut(this: &mut Self) -> &mut T {
        Self::force(this);
        this.value.get_mut().expect("it was made just now")
    }

    #[cold]
    fn init(&self) -> &T {
        self.once.call_once(|| {
            let f = lock(&self.init).take().expect("it is called once");
            // Only here is it written, and this runs once.
            drop(self.value.set(f()));
        });
        self.value.get().expect("it was written before the end")
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it was made. Never parks.
    #[inline]
    pub fn get(this: &Self) -> Option<&T> {
        this.value.get()
    }

    /// The value, if it was made. Never parks.
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
