//! `OnceLock`: a cell that is written once. An `OnceLock` of std holds the value, and a [`Once`]
//! lets callers wait for it.

use std::fmt;
use std::sync::OnceLock as StdOnceLock;

use super::once::Once;

/// A cell that is written once, like [`std::sync::OnceLock`].
///
/// The initialization may park. Only the methods that say so park.
///
/// # Examples
///
/// ```
/// use evy::sync::OnceLock;
///
/// static CONFIG: OnceLock<String> = OnceLock::new();
/// assert_eq!(CONFIG.get_or_init(|| "from a file".to_owned()), "from a file");
/// assert_eq!(CONFIG.get().map(String::len), Some(11));
/// ```
pub struct OnceLock<T> {
    once: Once,
    value: StdOnceLock<T>,
}

impl<T> OnceLock<T> {
    /// Creates a new, empty cell.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            once: Once::new(),
            value: StdOnceLock::new(),
        }
    }

    /// Returns a reference to the value, or `None` if the cell is empty.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Returns a mutable reference to the value, or `None` if the cell is empty.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Returns a reference to the value, waiting for it if the cell is empty.
    ///
    /// Parks until the cell is initialized.
    pub fn wait(&self) -> &T {
        loop {
            self.once.wait_force();
            if let Some(value) = self.get() {
                return value;
            }
        }
    }

    /// Initializes the cell with `value`.
    ///
    /// Parks while the cell is being initialized by another caller.
    ///
    /// # Errors
    ///
    /// Returns `value` if the cell was initialized already.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.once.call_once_interruptible(|| {
            // The value is written only here and in `init`. Only one of the closures runs to
            // completion.
            value = value.take().and_then(|value| self.value.set(value).err());
        });
        value.map_or(Ok(()), Err)
    }

    /// Returns a reference to the value, initializing it with `f` if the cell is empty.
    ///
    /// Only one caller at a time runs its `f`; the others wait for it. If `f` unwinds, because of a
    /// panic, a kill or a timeout, the cell stays empty, and the next caller runs its own `f`. A
    /// call from within `f` for the same cell parks forever.
    ///
    /// Parks while the cell is being initialized by another caller, and where `f` parks.
    #[inline]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        match self.get() {
            Some(value) => value,
            None => self.init(f),
        }
    }

    #[cold]
    fn init(&self, f: impl FnOnce() -> T) -> &T {
        self.once.call_once_interruptible(|| {
            let value = f();
            // The value is written only here and in `set`. Only one of the closures runs to
            // completion.
            drop(self.value.set(value));
        });
        self.get()
            .expect("the value was written by the initialization")
    }

    /// Consumes the cell, returning the value if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out of the cell, leaving it empty.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let cell = Self::new();
        cell.get_or_init(|| value);
        cell
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().cloned().map_or_else(Self::new, Self::from)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => text.field(value),
            None => text.field(&format_args!("<uninit>")),
        };
        text.finish()
    }
}
